"""Typed arrays are brought to what an input takes, or refused by a sentence; nothing is cut or wrapped to fit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daemon.errors import InvalidInput
from daemon.release import Dim, Signature, TensorSpec
from daemon.runtime import Array, fit, fit_inputs
from daemon.runtime.dtypes import DTYPES

FLOATS = ["float16", "float32", "float64"]
WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
BFLOAT16_MAX = 3.3895313892515355e38


def spec(dtype: str, shape: tuple[Dim, ...] | None = None) -> TensorSpec:
    return TensorSpec("x", dtype, shape)


def refusal(array: Array, dtype: str, shape: tuple[Dim, ...] | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        fit(array, spec(dtype, shape))
    return str(caught.value)


@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE, "bool"])
def test_array_that_fits_is_not_copied(dtype: str) -> None:
    array = np.zeros((2, 3), dtype)
    assert fit(array, spec(dtype, ("n", 3))) is array
    turned = np.asfortranarray(array)
    assert fit(turned, spec(dtype, ("n", 3))) is turned


ARRAYS = hnp.arrays(
    st.one_of(
        hnp.integer_dtypes(endianness="?"),
        hnp.unsigned_integer_dtypes(endianness="?"),
        hnp.floating_dtypes(endianness="?"),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


@given(array=ARRAYS, dtype=st.sampled_from([*FLOATS, *WHOLE]))
def test_numbers_keep_their_value_or_are_refused(array: Array, dtype: str) -> None:
    wanted = np.dtype(dtype)
    if array.dtype.kind == "f" and wanted.kind != "f":
        assert refusal(array, dtype) == f"input 'x': expected {dtype} or other whole numbers, got {array.dtype.name}"
        return
    if wanted.kind == "f":
        with np.errstate(all="ignore"):
            expected = array.astype(wanted)
        fits = bool((np.isfinite(expected) | ~np.isfinite(array)).all())
    else:
        expected = array.astype(wanted)
        fits = expected.tolist() == array.tolist()
    if not fits:
        assert refusal(array, dtype).startswith("input 'x': expected ")
        return
    fitted = fit(array, spec(dtype))
    assert (fitted.dtype, fitted.shape) == (wanted, array.shape)
    assert fitted.dtype.isnative
    np.testing.assert_array_equal(fitted, expected)


@pytest.mark.parametrize(
    ("array", "dtype", "sentence"),
    [
        (np.array([[1, 2], [3, 300]]), "int8", "expected int8 from -128 to 127, got 300 at [1][1]"),
        (np.array([[1, 300], [3, 4]], order="F"), "int8", "expected int8 from -128 to 127, got 300 at [0][1]"),
        (np.array(-1), "uint64", "expected uint64 from 0 to 18446744073709551615, got -1"),
        (np.array([2**63], np.uint64), "int64", f"expected int64 from {-(2**63)} to {2**63 - 1}, got {2**63} at [0]"),
        (np.array([1e39, 1]), "float32", "expected numbers within the range of float32, got 1e+39 at [0]"),
        (np.array([65520]), "float16", "expected numbers within the range of float16, got 65520 at [0]"),
        (np.array([3.4e38]), "bfloat16", "expected numbers within the range of bfloat16, got 3.4e+38 at [0]"),
        (
            np.array([3.4e38], np.float32),
            "bfloat16",
            "expected numbers within the range of bfloat16, got 3.4e+38 at [0]",
        ),
        (np.array([0, 1, 2]), "bool", "expected true, false, 0 or 1, got 2 at [2]"),
        (np.array([1.0]), "bool", "expected bool or other booleans, got float64"),
        (np.array([True]), "float32", "expected float32 or other numbers, got bool"),
        (np.array([True]), "int8", "expected int8 or other whole numbers, got bool"),
        (np.array(["1"]), "float32", "expected float32 or other numbers, got str32"),
        (np.array([1]), "string", "expected string, got int64"),
        (np.array([1j]), "float32", "expected float32 or other numbers, got complex128"),
        (np.array(["2020-01-01"], "M8[D]"), "int64", "expected int64 or other whole numbers, got datetime64[D]"),
        (np.zeros(1, [("a", "i4")]), "int32", "expected int32 or other whole numbers, got void32"),
        (np.array([b"\xff"]), "string", r"expected strings that UTF-8 can carry, got b'\xff'"),
        (np.array(["\ud800"]), "string", r"expected strings that UTF-8 can carry, got '\ud800'"),
        (np.array([0x110000], "<u4").view("<U1"), "string", "expected strings, got words that are no characters"),
        (np.array(["a", 1], object), "string", "expected strings, got int"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(array: Array, dtype: str, sentence: str) -> None:
    assert refusal(array, dtype) == f"input 'x': {sentence}"


@pytest.mark.parametrize("dtype", [*FLOATS, "bfloat16"])
def test_nan_and_the_infinities_pass(dtype: str) -> None:
    array = np.array([np.nan, np.inf, -np.inf, 0])
    np.testing.assert_array_equal(fit(array, spec(dtype)), array.astype(DTYPES[dtype].numpy))


def test_bfloat16_travels_as_float32() -> None:
    array = np.array([BFLOAT16_MAX, -1.5], np.float32)
    assert fit(array, spec("bfloat16")).dtype == np.float32
    assert fit(array, spec("bfloat16")).tolist() == array.tolist()


def test_zero_and_one_are_booleans() -> None:
    fitted = fit(np.array([[0, 1]], ">i8"), spec("bool"))
    assert (fitted.dtype, fitted.tolist()) == (np.dtype(bool), [[False, True]])


@pytest.mark.parametrize(
    "array",
    [
        np.array([["é", "日本"], ["", "a"]]),
        np.array([["é", "日本"], ["", "a"]]).astype(">U3"),
        np.char.encode(np.array([["é", "日本"], ["", "a"]]), "utf-8"),
        np.array([["é", "日本"], ["", "a"]], object),
        np.array([["é", "日本"], ["", "a"]], order="F"),
    ],
)
def test_strings_become_objects(array: Any) -> None:
    fitted = fit(array, spec("string", (2, None)))
    assert fitted.dtype == object
    assert fitted.tolist() == [["é", "日本"], ["", "a"]]


@pytest.mark.parametrize(
    ("got", "wanted", "sentence"),
    [
        ((2, 3), ("batch", 4), "expected float32 [batch, 4], got shape [2, 3]"),
        ((3,), (None, 3), "expected float32 [?, 3], got shape [3]"),
        ((), (1,), "expected float32 [1], got shape []"),
    ],
)
def test_shape_has_the_rank_and_the_fixed_dimensions(
    got: tuple[int, ...], wanted: tuple[Dim, ...], sentence: str
) -> None:
    assert refusal(np.zeros(got, np.float32), "float32", wanted) == f"input 'x': {sentence}"


def test_any_shape_does_where_the_model_states_none() -> None:
    assert fit(np.zeros((0, 3), np.float32), spec("float32")).shape == (0, 3)


def test_boolean_bytes_are_zero_and_one() -> None:
    given = np.frombuffer(bytes([0, 1, 1, 255]), bool).reshape(2, 2)
    assert refusal(given, "bool") == "input 'x': expected booleans of the bytes 0 and 1, got 255 at [1][1]"
    assert fit(given[:1], spec("bool")).tolist() == [[False, True]]
    assert fit(given[:0], spec("bool")).shape == (0, 2)


def test_empty_array_has_no_room_for_a_huge_output() -> None:
    assert "at most 65536 in the other dimensions" in refusal(np.zeros((0, 2**12, 2**13)), "float64")
    assert fit(np.zeros((0, 2**8, 2**8)), spec("float64")).size == 0


TWO = Signature(
    inputs=(TensorSpec("a", "float32", ("n",)), TensorSpec("b", "int64", ("n",), optional=True)),
    outputs=(TensorSpec("y", "float32", ("n",)),),
)


def test_inputs_are_fitted_by_name() -> None:
    fitted = fit_inputs({"b": np.array([1], np.int8), "a": np.array([1])}, TWO)
    assert {name: array.dtype.name for name, array in fitted.items()} == {"a": "float32", "b": "int64"}


def test_one_array_is_the_only_required_input() -> None:
    assert fit_inputs(np.array([1, 2]), TWO)["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"c": np.array([1])}, "unknown input 'c': expected 'a', 'b' (optional)"),
        ({"b": np.array([1])}, "input 'a' is missing: expected 'a', 'b' (optional)"),
    ],
)
def test_inputs_are_those_of_the_model(arrays: dict[str, Array], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        fit_inputs(arrays, TWO)
    assert str(caught.value) == sentence
