"""The models that are measured, with different bytes for every seed, and a request for each."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import graphs
from bench.trees import FEATURES, boosted_trees

WIDTH = 10
MLP = [256, 1024, 1024, 1024, 1024, 10]
NAMES = ("tiny", "mlp", "gbdt", "encoder", "cnn")


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of model: its name in tables, what writes one of a seed, and the inputs of a request for it."""

    name: str
    write: Callable[[Path, int], Path]
    inputs: npt.NDArray[Any]

    @property
    def body(self) -> bytes:
        """The request as the standard library writes it, with every digit of a double."""
        return json.dumps({"inputs": self.inputs.tolist()}).encode()


def case_of(name: str) -> Case:
    """One of ``NAMES``, ``sum``, or a number: a stack of dense layers of so many MB."""
    known = _known()
    if name in known:
        return Case(name, *known[name])
    megabytes = float(name)
    called = f"dense, {megabytes * 1000:.0f} KB" if megabytes < 1 else f"dense, {megabytes:.0f} MB"
    return Case(called, partial(_dense_of, megabytes=megabytes), np.ones((1, WIDTH), np.float32))


def _known() -> dict[str, tuple[Callable[[Path, int], Path], npt.NDArray[Any]]]:
    random = np.random.default_rng(7)

    def numbers(*shape: int) -> npt.NDArray[np.float32]:
        return random.random(shape, dtype=np.float32)

    return {
        "tiny": (partial(_layers, sizes=[WIDTH, 5]), numbers(1, WIDTH)),
        "mlp": (partial(_layers, sizes=MLP), numbers(1, MLP[0])),
        "gbdt": (boosted_trees, numbers(1, FEATURES)),
        "encoder": (graphs.encoder, random.integers(0, graphs.VOCABULARY, (1, graphs.TOKENS))),
        "cnn": (graphs.convolutional, numbers(1, 3, graphs.PIXELS, graphs.PIXELS)),
        "sum": (graphs.summing, numbers(1, WIDTH)),
    }


def _layers(path: Path, seed: int, *, sizes: list[int]) -> Path:
    return graphs.dense(path, sizes, seed, biased=True)


def _dense_of(path: Path, seed: int, *, megabytes: float) -> Path:
    """Two matrices are enough to reach any size: 10 x hidden and hidden x hidden, with a third one to 5 columns."""
    hidden = max(8, int((megabytes * 1e6 / 4) ** 0.5))
    return graphs.dense(path, [WIDTH, hidden, hidden, 5] if megabytes > 0.1 else [WIDTH, 170, 5], seed)
