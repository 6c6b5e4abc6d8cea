"""The quick ways from JSON to arrays give, and refuse, what the long one does."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.errors import InvalidInput, InvalidJson
from daemon.release import Dim, Signature, TensorSpec
from daemon.runtime import Array, decode, decoder_of, read_flat
from daemon.runtime.flat_json import has_just
from daemon.web.answers import LARGE_BYTES
from daemon.web.dialects.plain import body_decoder, inputs_of

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "uint64", "bool", "string"]
SHAPES: list[tuple[Dim, ...] | None] = [None, (), (None,), ("batch", 3), (None, None), (1, 3), ("n", 2, 2)]

SPECS = st.builds(
    TensorSpec,
    name=st.just("x"),
    dtype=st.sampled_from(DTYPES),
    shape=st.sampled_from(SHAPES),
    optional=st.booleans(),
)
SIGNATURES = st.lists(SPECS, min_size=1, max_size=3).map(
    lambda specs: Signature(
        tuple(
            sorted(
                (TensorSpec(f"x{number}", spec.dtype, spec.shape, spec.optional) for number, spec in enumerate(specs)),
                key=lambda spec: spec.optional,
            )
        ),
        (TensorSpec("y", "float32", None),),
    )
)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1, 1, width=32),
    st.integers(-3, 3),
    st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**31, 255, 256, 3.5e38, -3.5e38, 65520, 1e308, -0.0]),
)
LEAVES = st.one_of(NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.none(), st.sampled_from(["", "1", "[", '"', "]["]))


def rows(length: int, depth: int) -> st.SearchStrategy[Any]:
    level: st.SearchStrategy[Any] = NUMBERS
    for _ in range(depth):
        level = st.lists(level, min_size=length, max_size=length)
    return level


VALUES = st.one_of(
    st.builds(lambda length, depth: rows(length, depth), st.integers(1, 4), st.integers(0, 3)).flatmap(
        lambda each: each
    ),
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4), max_leaves=14),
)
INPUTS = st.one_of(VALUES, st.dictionaries(st.sampled_from(["x0", "x1", "x2", "z", "x[0"]), VALUES, max_size=3))


def outcome(act: Any) -> tuple[str, object]:
    """What came of it, in a form that can be compared: bytes and dtypes, or the sentence."""
    try:
        arrays: dict[str, Array] = act()
    except (InvalidInput, InvalidJson) as error:
        return type(error).__name__, str(error)
    return "arrays", {
        name: (array.dtype.str, array.shape, array.tolist() if array.dtype.kind == "O" else array.tobytes())
        for name, array in arrays.items()
    }


@settings(max_examples=600, deadline=None)
@given(SIGNATURES, INPUTS)
def test_decoder_of_a_signature_gives_and_refuses_what_decode_does(signature: Signature, inputs: object) -> None:
    assert outcome(lambda: decoder_of(signature)(inputs)) == outcome(lambda: decode(inputs, signature))


@settings(max_examples=600, deadline=None)
@given(SIGNATURES, INPUTS)
def test_flat_reading_gives_what_decode_does_or_nothing(signature: Signature, inputs: object) -> None:
    body = orjson.dumps({"inputs": inputs})
    if (arrays := read_flat(body, signature)) is not None:
        assert outcome(lambda: arrays) == outcome(lambda: decode(inputs_of(body), signature))


def signature_of(dtype: str = "float32", shape: tuple[Dim, ...] | None = (None, None)) -> Signature:
    return Signature((TensorSpec("x", dtype, shape),), (TensorSpec("y", "float32", None),))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (40, 30), (200, 1)])
def test_plain_numbers_are_read_flat(dtype: str, shape: tuple[int, int]) -> None:
    values = np.arange(shape[0] * shape[1]).reshape(shape).tolist()
    for inputs in (values, {"x": values}):
        arrays = read_flat(orjson.dumps({"inputs": inputs}), signature_of(dtype))
        assert arrays is not None
        assert arrays["x"].dtype.name == dtype
        assert arrays["x"].tolist() == values


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [[1, 2], [3]]}',
        b'{"inputs": [[1, 2], [3, [4]]]}',
        b'{"inputs": [[1, 2], [[3], 4]]}',
        b'{"inputs": [[1], [2], [3, [4]]]}',
        b'{"inputs": [[1, true]]}',
        b'{"inputs": [["1", 2]]}',
        b'{"inputs": [[1, null]]}',
        b'{"inputs": [[1e39, 2]]}',
        b'{"inputs": [[]]}',
        b'{"inputs": []}',
        b'{"inputs": 1.5}',
        b'{"inputs": null}',
        b'{"inputs": [[1, {"a": 2}]]}',
        b'{"inputs": [[1, 2]], "inputs": [[3, 4]]}',
        b'{"inputs": {"x": [[1, 2]], "x": [[3, 4]]}}',
        b'{"inputs": {"z": [[1, 2]]}}',
        b'{"inputs": [[1, 2]], "note": "["}',
        b'{"inputs": [[1, 2]]} []',
        b'\xef\xbb\xbf{"inputs": [[1, 2]]}',
        b"[]",
        b"",
        b'{"inputs": [[184467440737095516150, 2]]}',
    ],
)
def test_whatever_is_not_plain_is_left_to_the_long_way(body: bytes) -> None:
    assert read_flat(body, signature_of()) is None


@pytest.mark.parametrize(
    "inputs",
    [
        [[1.5] * 700 + [[2.5]]],
        [[1.5] * 700, [1.5] * 699 + [[2.5]]],
        [[1.5] * 700, [[2.5] * 700]],
        [[1.5] * 699 + ["a"]],
    ],
)
def test_what_is_not_plain_in_a_long_text_is_left_to_the_long_way(inputs: object) -> None:
    assert read_flat(orjson.dumps({"inputs": inputs}), signature_of()) is None


@given(
    st.lists(st.integers(0, 1500), max_size=9).map(lambda gaps: b"[".join(b"x" * gap for gap in gaps)),
    st.integers(-1, 1),
)
def test_bytes_are_counted_right_however_dense_they_are(text: bytes, more: int) -> None:
    times = max(0, text.count(b"[") + more)
    assert has_just(times, b"[", text) == (times == text.count(b"["))


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        ("int64", 2**53 + 1, 2**53 + 1),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("int32", 2**31 - 1, 2**31 - 1),
        ("int32", 2**31, "expected int32 from -2147483648 to 2147483647, got 2147483648 at [0][0]"),
        ("int64", 2**63, "expected int64 from"),
        ("int64", 1.5, "expected whole numbers, got 1.5 at [0][0]"),
        ("float32", 1e39, "expected finite float32, got 1e+39 at [0][0]"),
    ],
)
def test_number_of_a_large_body_is_exact_or_refused_with_its_place(dtype: str, number: float, expected: object) -> None:
    row = [number, *([1] * 2000)]
    body = orjson.dumps({"inputs": [row]})
    assert len(body) > LARGE_BYTES
    read = body_decoder(signature_of(dtype))
    if isinstance(expected, str):
        with pytest.raises(InvalidInput) as refused:
            read(body)
        assert expected in str(refused.value)
    else:
        assert read(body)["x"][0, 0] == expected


def test_arrays_outlive_the_parser_and_the_body() -> None:
    first = [[float(number) for number in range(3000)]]
    read = body_decoder(signature_of())
    array = read(orjson.dumps({"inputs": first}))["x"]
    for _ in range(5):
        read(orjson.dumps({"inputs": [[-1.0] * 3000]}))
    assert array.tolist() == first


@pytest.mark.parametrize("shape", [("n", 3), (2, 3), (2, "m"), ("n", "m", 1)])
@pytest.mark.parametrize(
    "value", [[[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]
)
def test_shape_that_does_not_fit_is_told_as_by_the_long_way(shape: tuple[Dim, ...], value: object) -> None:
    signature = Signature((TensorSpec("x", "float32", shape),), (TensorSpec("y", "float32", None),))
    assert outcome(lambda: decoder_of(signature)(value)) == outcome(lambda: decode(value, signature))
