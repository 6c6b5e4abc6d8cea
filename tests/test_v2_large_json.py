"""Large JSON requests are read straight to arrays where they are plain, and left to the long way where they are not."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from daemon.web.open_inference.large_json import read_large

DTYPES = {"x": "float32", "n": "int64", "u": "uint8", "h": "float16", "s": "string", "big": "uint64"}


def body(name: str, data: Any, **more: Any) -> bytes:
    return orjson.dumps({"inputs": [{"name": name, "shape": [2], "datatype": "FP32", "data": data}], **more})


@given(
    st_numpy.arrays(np.float32, st_numpy.array_shapes(max_dims=3, max_side=4), elements=st.floats(-9, 9, width=32)),
    st.sampled_from([{}, {"id": "7"}, {"outputs": [{"name": "y"}]}, {"parameters": {"binary_data_output": True}}]),
)
def test_plain_requests_are_read_as_json_has_them(array: Any, more: dict[str, Any]) -> None:
    read = read_large(body("x", array.tolist(), **more), DTYPES)
    assert read is not None
    (entry,) = read.pop("inputs")
    data = entry.pop("data")
    assert (data.dtype, data.tolist()) == (np.float32, array.tolist())
    assert entry == {"name": "x", "shape": [2], "datatype": "FP32"}
    assert read == more


@pytest.mark.parametrize(
    ("name", "data", "dtype"), [("n", [2**63 - 1, -1], "int64"), ("u", [0, 255], "uint8"), ("h", [0.5, 2], "float16")]
)
def test_types_of_numbers_keep_every_digit(name: str, data: list[Any], dtype: str) -> None:
    read = read_large(body(name, data), DTYPES)
    assert read is not None
    array = read["inputs"][0]["data"]
    assert (array.dtype.name, array.tolist()) == (dtype, data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x", [[1], 2]),
        ("x", [1, [2, 3]]),
        ("x", [[1, 2], [3]]),
        ("x", [[1, [2]], [3, 4]]),
        ("x", [[], []]),
        ("x", []),
        ("x", 1),
        ("x", None),
        ("x", [True]),
        ("x", ["1"]),
        ("x", [1e39]),
        ("x", [{}]),
        ("n", [1.0]),
        ("n", [2**63]),
        ("u", [256]),
        ("u", [-1]),
        ("h", [70000]),
        ("s", ["a"]),
        ("big", [1]),
        ("unknown", [1]),
    ],
)
def test_all_else_is_left_to_the_long_way(name: str, data: Any) -> None:
    assert read_large(body(name, data), DTYPES) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b" {}",
        b"{}",
        b'{"inputs": 1}',
        b'{"inputs": [1]}',
        b'{"inputs": [{"data": [1]}]}',
        b'{"inputs": [{"name": ["x"], "data": [1]}]}',
        b'{"inputs": [{"name": "x", "name": "n", "data": [1]}]}',
        b'{"id": 1, "inputs": [{"name": "x", "data": [1]}], "id": 2}',
        b'{"inputs": [{"name": "x", "data": [1, [2]]}]}',
        b'{"outputs": null, "inputs": [{"name": "x", "data": [1, [2]], "shape": [2]}]}',
        b'{"outputs": [], "inputs": [{"name": "x", "data": [1, [2]], "shape": null}]}',
        b'{"id": "[", "inputs": [{"name": "x", "data": [1], "shape": [1]}]}',
        b'{"inputs": [{"name": "x", "data": [1]}], "parameters": ' + b"[" * 1001 + b"]" * 1001 + b"}",
        b'{"inputs": [{"name": "x", "data": [NaN]}]}',
        b'{"inputs": [{"name": "x", "data": [1]}]',
        b'{"inputs": [{"name": "x", "data": [1]}]}x',
    ],
)
def test_odd_requests_are_left_to_the_long_way(text: bytes) -> None:
    assert read_large(text, DTYPES) is None


def test_arrays_outlive_the_text() -> None:
    text = body("x", [1.5] * 1000)
    first = read_large(text, DTYPES)
    assert first is not None
    assert read_large(body("x", [2.5] * 1000), DTYPES) is not None
    assert first["inputs"][0]["data"].tolist() == [1.5] * 1000
