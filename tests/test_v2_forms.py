"""What outputs look like that are no tensors, and which elements are the greatest."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from daemon.errors import BadRequest
from daemon.release import TensorSpec
from daemon.web.open_inference.classes import classes_of
from daemon.web.open_inference.datatypes import tensor_of
from daemon.web.open_inference.forms import Form


def form(dtype: str) -> Form:
    tensor = tensor_of(TensorSpec("y", dtype, None))
    assert tensor is not None
    return Form("y", tensor)


def told(dtype: str, output: Any) -> tuple[Any, ...]:
    found = form(dtype).of(output)
    assert found is not None
    array, labels = found
    return array.dtype.name, array.tolist(), array.shape, labels


MAPS = "seq(map(string,tensor(float)))"


def test_maps_are_a_table() -> None:
    rows = [{"a": 0.25, "b": 0.75}, {"a": 1.0, "b": 0.0}]
    assert told(MAPS, rows) == ("float32", [[0.25, 0.75], [1.0, 0.0]], (2, 2), ["a", "b"])
    assert told(MAPS, [{}]) == ("float32", [[]], (1, 0), [])
    assert told(MAPS, []) == ("float32", [], (0, 0), None)
    assert told("map(int64,tensor(double))", {3: 0.5, 7: 1.5}) == ("float64", [0.5, 1.5], (2,), [3, 7])


def test_maps_with_their_keys_in_another_order_are_put_in_the_first_ones() -> None:
    assert told(MAPS, [{"a": 1.0, "b": 2.0}, {"b": 3.0, "a": 4.0}])[1] == [[1.0, 2.0], [4.0, 3.0]]


def test_sequence_of_tensors_is_stacked() -> None:
    parts = [np.array([1, 2], np.int8), np.array([3, 4], np.int8)]
    assert told("seq(tensor(int8))", parts) == ("int8", [[1, 2], [3, 4]], (2, 2), None)
    assert told("seq(tensor(int8))", []) == ("int8", [], (0,), None)
    texts = [np.array(["a"], object), np.array(["bc"], object)]
    assert told("seq(tensor(string))", texts) == ("object", [["a"], ["bc"]], (2, 1), None)


def test_optional_is_what_it_holds() -> None:
    assert told("optional(tensor(float))", np.array([1], np.float32))[1] == [1.0]
    assert form("optional(tensor(float))").of(None) is None


@pytest.mark.parametrize(
    ("dtype", "output", "what"),
    [
        (MAPS, [{"a": 1.0}, {"b": 1.0}], "maps of different keys"),
        ("seq(tensor(float))", [np.zeros(1), np.zeros(2)], "tensors of different shapes"),
    ],
)
def test_sequence_that_is_no_tensor_is_refused(dtype: str, output: Any, what: str) -> None:
    with pytest.raises(BadRequest, match=f"output 'y' is a sequence of {what}, which the protocol cannot carry"):
        form(dtype).of(output)


@given(
    st_numpy.arrays(
        st.sampled_from([np.int8, np.uint8, np.int64, np.uint64, np.float32, np.float64]),
        st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.integers(1, 6),
)
def test_greatest_come_first_and_nan_last(array: Any, most: int) -> None:
    found = classes_of(array, None, most)
    rows = array.reshape(1, -1) if array.ndim < 2 else array.reshape(len(array), int(np.prod(array.shape[1:])))
    told_rows = [found] if array.ndim < 2 else found
    for row, told_row in zip(rows, told_rows, strict=True):
        wanted = sorted(range(row.size), key=lambda index: (bool(row[index] != row[index]), -number(row[index]), index))
        assert [int(text.rpartition(":")[2]) for text in told_row] == wanted[:most]


def number(value: Any) -> Any:
    """A Python number that can be negated; NaN does not matter."""
    return 0 if value != value else value.item()


def test_values_are_written_as_triton_writes_them() -> None:
    assert classes_of(np.array([3, -1], np.int32), None, 5).tolist() == ["3:0", "-1:1"]
    assert classes_of(np.array([[0.5]], np.float16), ["cat"], 1).tolist() == [["0.500000:0:cat"]]
    assert classes_of(np.array([np.inf, np.nan], np.float32), None, 2).tolist() == ["inf:0", "nan:1"]
