"""The greatest elements of each row: which, in which order, how they are told, and how many at most."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from daemon.errors import BadRequest
from daemon.runtime.dtypes import Array
from daemon.web.open_inference import classes
from daemon.web.open_inference.classes import MOST_CLASSES, classes_of

DTYPES = ["float16", "float32", "float64", "int8", "int64", "uint8", "uint64"]


def by_hand(row: list[Any], most: int) -> list[str]:
    """A row's greatest as a sort by value, then by place, has them."""
    order = sorted(range(len(row)), key=lambda at: (row[at] != row[at], -row[at] if row[at] == row[at] else 0, at))
    told = (f"{row[at]:f}" if type(row[at]) is float and abs(row[at]) < 1e40 else repr(row[at]) for at in order)
    return [f"{number}:{at}" for number, at in zip(told, order, strict=True)][:most]


@pytest.mark.parametrize("select_below", [1, 8, 1000])
@given(st.data())
def test_greatest_come_first_then_equals_in_their_order_and_nan_last(select_below: int, data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    few = arrays.from_dtype(dtype)
    if data.draw(st.booleans()):
        few = st.sampled_from([0, 1, 2])
    elif dtype.kind == "f":
        few = st.sampled_from([0.0, 1.5, -1.5, np.inf, -np.inf, np.nan])
    shape = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 20)))
    array = data.draw(arrays.arrays(dtype, shape, elements=few))
    most = data.draw(st.integers(1, 25))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classes, "SELECT_BELOW", select_below)
        found = classes_of(array, None, most)
    assert found.shape == (shape[0], min(most, shape[1]))
    assert found.tolist() == [by_hand(row, most) for row in array.tolist()]


def test_labels_are_told_as_far_as_there_are_any() -> None:
    assert classes_of(np.array([[3, 1, 2]]), ["a", "b"], 3).tolist() == [["3:0:a", "2:2", "1:1:b"]]


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.array(2.5), ["2.500000:0"]),
        (np.array([1, 3]), ["3:1"]),
        (np.array([1e39, -1e308]), ["999999999999999939709166371603178586112.000000:0"]),
        (np.array([1e40, -1e308]), ["1e+40:0"]),
        (np.arange(8).reshape(1, 2, 2, 2), [["7:7"]]),
        (np.empty(0), []),
        (np.empty((2, 0, 3)), [[], []]),
        (np.empty((0, 3)), []),
    ],
)
def test_row_is_what_the_first_dimension_counts(array: Array, wanted: list[Any]) -> None:
    assert classes_of(array, None, 1).tolist() == wanted


def test_classes_are_bounded_in_number() -> None:
    assert classes_of(np.empty((MOST_CLASSES, 2)), None, 1).shape == (MOST_CLASSES, 1)
    with pytest.raises(
        BadRequest, match=f"a classification of {MOST_CLASSES} elements at most, got 2 of each of 65537"
    ):
        classes_of(np.empty((MOST_CLASSES // 2 + 1, 2)), None, 2)
    assert classes_of(np.empty((2_000_000, 0)), None, 2).shape == (2_000_000, 0)


@pytest.mark.parametrize(("shape", "most"), [((MOST_CLASSES, 1), 1), ((1, 1_900_000), 5), ((MOST_CLASSES, 15), 1)])
def test_large_outputs_take_no_long_time(shape: tuple[int, int], most: int) -> None:
    array = np.random.default_rng(1).random(shape) * 1e300
    began = time.perf_counter()
    classes_of(array, None, most)
    assert time.perf_counter() - began < 2.0, "15 seconds and more, where each row is looked at by itself"
