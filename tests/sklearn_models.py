"""Pipelines of scikit-learn and what skl2onnx makes of them, as their users have them."""

from functools import lru_cache
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

COLUMNS = ("age", "city", "visits", "member")
CITIES = ("Bern", "Köln", "New York, NY", '"Zug"')


def people(rows: int, seed: int = 0) -> Any:
    """An object array of ``rows`` people by ``COLUMNS``; one age in five is missing."""
    random = np.random.default_rng(seed)
    table = np.empty((rows, len(COLUMNS)), dtype=object)
    table[:, 0] = np.where(random.random(rows) < 0.2, np.nan, random.integers(18, 90, rows) + 0.5)
    table[:, 1] = random.choice(CITIES, rows)
    table[:, 2] = random.integers(0, 50, rows)
    table[:, 3] = random.random(rows) < 0.5
    return table


@lru_cache(maxsize=1)
def churn() -> tuple[Any, bytes]:
    """A classifier of people with one input for each column, and its ONNX form with scikit-learn's map of classes."""
    table = people(400)
    wanted = np.where((table[:, 2] > 20) ^ (table[:, 1] == "Bern"), "stays", "leaves")
    columns = ColumnTransformer(
        [
            ("age", make_pipeline(SimpleImputer(), StandardScaler()), [0]),
            ("city", OneHotEncoder(handle_unknown="ignore"), [1]),
            ("rest", "passthrough", [2, 3]),
        ]
    )
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(table, wanted)
    types = (FloatTensorType, StringTensorType, Int64TensorType, BooleanTensorType)
    inputs = [(name, kind([None, 1])) for name, kind in zip(COLUMNS, types, strict=True)]
    return pipeline, to_onnx(pipeline, initial_types=inputs).SerializeToString()


@lru_cache(maxsize=1)
def houses() -> tuple[Any, bytes]:
    """A regressor of four numbers in one input, of one output ``[N, 1]``."""
    random = np.random.default_rng(1)
    table = random.random((200, 4), dtype=np.float32)
    forest = RandomForestRegressor(5, max_depth=4, random_state=0).fit(table, table @ np.array([1, 2, 3, 4]))
    return forest, to_onnx(forest, table[:1], target_opset=18).SerializeToString()
