"""JSON values to arrays and back: what is taken, what is refused and in which words."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.errors import InvalidInput
from daemon.release import Dim, Signature, TensorSpec
from daemon.runtime import bfloat16
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.shapes import MOST_BESIDE_NOTHING, check_shape
from daemon.runtime.tensors import decode, decode_one, encode, encode_one

FLOATS = ["float16", "float32", "float64", "bfloat16"]
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def spec(dtype: str = "float32", shape: tuple[Dim, ...] | None = None, name: str = "x") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def signature(*inputs: TensorSpec, outputs: int = 1) -> Signature:
    return Signature(inputs, tuple(spec(name=f"y{n}") for n in range(outputs)))


def refusal(value: object, *, dtype: str = "float32", shape: tuple[Dim, ...] | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        decode_one(value, spec(dtype, shape))
    return str(caught.value)


def as_json(value: object) -> str:
    return orjson.dumps(encode_one(value), option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
def test_numbers_are_taken_by_every_number_type(dtype: str) -> None:
    array = decode_one([[1, 0], [2, 3]], spec(dtype))
    assert array.dtype == DTYPES[dtype].numpy
    assert array.tolist() == [[1, 0], [2, 3]]
    assert array.flags.c_contiguous


@pytest.mark.parametrize("dtype", INTS)
def test_limits_of_integers_are_exact(dtype: str) -> None:
    limits = np.iinfo(dtype)
    array = decode_one([int(limits.min), int(limits.max)], spec(dtype))
    assert array.tolist() == [limits.min, limits.max]
    for beyond in (int(limits.min) - 1, int(limits.max) + 1):
        message = refusal([[0, beyond]], dtype=dtype)
        assert message == f"input 'x': expected {dtype} from {limits.min} to {limits.max}, got {beyond} at [0][1]"


def test_integers_beyond_64_bits_are_refused_as_they_come_from_orjson() -> None:
    assert "expected whole numbers, got 1e+20" in refusal(orjson.loads("[100000000000000000000]"), dtype="uint64")


def test_integers_beyond_64_bits_are_refused_as_they_come_from_json() -> None:
    assert "expected int64 from" in refusal(json.loads("[100000000000000000000]"), dtype="int64")


@pytest.mark.parametrize("value", [1.5, 1.0])
def test_fractions_are_refused_by_integers(value: float) -> None:
    assert refusal([7, value], dtype="int32") == f"input 'x': expected whole numbers, got {value} at [1]"


@pytest.mark.parametrize(
    ("dtype", "value"), [("float16", 65520.0), ("float32", 3.5e38), ("bfloat16", 3.3962e38), ("float16", 10**6)]
)
def test_overflow_of_floats_is_refused(dtype: str, value: float) -> None:
    assert refusal([0, value], dtype=dtype) == f"input 'x': expected finite {dtype}, got {value} at [1]"


@pytest.mark.parametrize(("dtype", "value"), [("float16", 65504.0), ("float32", 3.4e38), ("bfloat16", 3.39e38)])
def test_greatest_floats_are_taken(dtype: str, value: float) -> None:
    assert float(decode_one([value, -value], spec(dtype))[1]) < -65503


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    assert "expected finite float64" in refusal([1.0, value], dtype="float64")


def test_booleans_take_true_false_0_and_1() -> None:
    array = decode_one([True, False, 0, 1], spec("bool"))
    assert array.dtype == np.bool_
    assert array.tolist() == [True, False, False, True]


@pytest.mark.parametrize(("value", "came"), [(2, "2"), (-1, "-1"), (1.0, "1.0"), ("true", "a string"), (None, "null")])
def test_other_values_are_refused_by_booleans(value: object, came: str) -> None:
    assert refusal([True, value], dtype="bool") == f"input 'x': expected true, false, 0 or 1, got {came} at [1]"


def test_strings_are_taken_as_str() -> None:
    array = decode_one([["é", "日本"], ["", "a\0b"]], spec("string"))
    assert array.dtype == object
    assert array.tolist() == [["é", "日本"], ["", "a\0b"]]


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("float32", [[0, 0, 0, "7"]], "expected numbers, got a string at [0][3]"),
        ("float32", [[1.0], [True]], "expected numbers, got a boolean at [1][0]"),
        ("int64", [False], "expected whole numbers, got a boolean at [0]"),
        ("float32", [None], "expected numbers, got null at [0]"),
        ("float32", [{"b64": ""}], "expected numbers, got an object at [0]"),
        ("string", ["a", 1], "expected strings, got a number at [1]"),
        ("string", ["a", 1.5], "expected strings, got 1.5 at [1]"),
        ("float32", None, "expected numbers, got null"),
        ("float32", "abc", "expected numbers, got a string"),
    ],
)
def test_elements_of_another_type_are_named_with_their_place(dtype: str, value: object, message: str) -> None:
    assert refusal(value, dtype=dtype) == f"input 'x': {message}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2], [3]], "expected lists of equal length, got 2 and 1 elements at [1]"),
        ([[[1], [2]], [[3], []]], "expected lists of equal length, got 1 and 0 elements at [1][1]"),
        ([[1], 2], "expected a list like its siblings, got a number at [1]"),
        ([[1, 2], [3, [4]]], "expected a number like its siblings, got a list at [1][1]"),
        ([[], [1]], "expected lists of equal length, got 0 and 1 elements at [1]"),
    ],
)
def test_ragged_lists_are_refused_with_their_place(value: object, message: str) -> None:
    assert refusal(value) == f"input 'x': {message}"


def nested(depth: int) -> object:
    value: object = 1.0
    for _ in range(depth):
        value = [value]
    return value


def test_lists_nested_without_end_are_refused() -> None:
    assert refusal(nested(100_000)) == "input 'x': expected at most 32 levels of lists, got more"


def test_lists_nested_as_deep_as_allowed_are_taken() -> None:
    assert decode_one(nested(32), spec()).shape == (1,) * 32


@pytest.mark.parametrize(
    ("value", "shape", "came"),
    [
        ([[1] * 9], ("batch", 10), "[1, 9]"),
        ([1] * 10, ("batch", 10), "[10]"),
        ([[[1] * 10]], ("batch", 10), "[1, 1, 10]"),
        (1, (None, 10), "[]"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(value: object, shape: tuple[Dim, ...], came: str) -> None:
    written = "[?, 10]" if shape[0] is None else "[batch, 10]"
    assert refusal(value, shape=shape) == f"input 'x': expected float32 {written}, got shape {came}"


@pytest.mark.parametrize(
    ("value", "wanted", "shape"),
    [
        ([], None, (0,)),
        ([[], []], None, (2, 0)),
        ([], ("batch", 10), (0, 10)),
        ([], ("batch", 3, "w"), (0, 3, 0)),
        ([[]], ("batch", 0), (1, 0)),
        (3, None, ()),
        ([3], ("n",), (1,)),
    ],
)
def test_empty_lists_and_scalars_have_their_shape(
    value: object, wanted: tuple[Dim, ...] | None, shape: tuple[int, ...]
) -> None:
    for dtype in ("float32", "int8", "bool", "string"):
        if value in ([], [[]], [[], []]):
            assert decode_one(value, spec(dtype, wanted)).shape == shape
    if value not in ([], [[]], [[], []]):
        assert decode_one(value, spec("float32", wanted)).shape == shape


def test_empty_list_is_refused_where_the_model_fixes_the_dimension() -> None:
    assert refusal([], shape=(1, 10)) == "input 'x': expected float32 [1, 10], got shape [0, 10]"


def test_list_alone_goes_to_the_only_input() -> None:
    assert decode([1], signature(spec(name="other")))["other"].tolist() == [1.0]


def test_list_alone_goes_to_the_only_required_input() -> None:
    made = decode([1], signature(spec(name="a"), TensorSpec("b", "float32", None, optional=True)))
    assert list(made) == ["a"]


def test_list_alone_goes_to_the_only_input_when_it_is_optional() -> None:
    assert list(decode([1], signature(TensorSpec("b", "float32", None, optional=True)))) == ["b"]


def test_list_alone_is_refused_when_there_are_several_inputs() -> None:
    with pytest.raises(InvalidInput, match="expected inputs by name, 'a', 'b', got a value without one"):
        decode([1], signature(spec(name="a"), spec(name="b")))


def test_object_is_by_name_even_for_an_only_input() -> None:
    assert decode({"x": [1, 2]}, signature(spec()))["x"].tolist() == [1.0, 2.0]


def test_optional_inputs_may_be_left_out_or_given() -> None:
    both = signature(spec(name="a"), TensorSpec("b", "int64", None, optional=True))
    assert list(decode({"a": 1}, both)) == ["a"]
    assert decode({"a": 1, "b": 2}, both)["b"].dtype == np.int64


def test_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"unknown input 'z': expected 'a', 'b' \(optional\)"):
        decode({"z": 1}, signature(spec(name="a"), TensorSpec("b", "int64", None, optional=True)))


def test_missing_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidInput, match="input 'b' is missing: expected 'a', 'b'"):
        decode({"a": 1}, signature(spec(name="a"), spec(name="b")))


def test_empty_object_is_taken_by_a_model_without_inputs() -> None:
    assert decode({}, signature()) == {}


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=30))
def test_any_json_is_decoded_like_numpy_or_refused(value: Any) -> None:
    for dtype in ("float32", "int8", "bool", "string", "bfloat16"):
        try:
            array = decode_one(value, spec(dtype))
        except InvalidInput:
            continue
        with np.errstate(over="ignore"):
            assert np.array_equal(array, np.asarray(value, DTYPES[dtype].numpy))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([[0.1, np.nan, np.inf, -np.inf]], np.float32), "[[0.1,null,null,null]]"),
        (np.array([0.5, np.nan], np.float16), "[0.5,null]"),
        (np.array(0.1, np.float32), "0.1"),
        (np.array(0.1, np.float64), "0.1"),
        (np.array(np.nan, np.float32), "null"),
        (np.array(-np.inf, np.float16), "null"),
        (np.array(7, np.uint8), "7"),
        (np.array(2**64 - 1, np.uint64), "18446744073709551615"),
        (np.array(True), "true"),
        (np.array([[True], [False]]), "[[true],[false]]"),
        (np.array("é", object), '"é"'),
        (np.array([["a", "日本"]], object), '[["a","日本"]]'),
        (np.array([b"ok", b"\xff"], object), '["ok","\ufffd"]'),
        (np.zeros((2, 0), np.float32), "[[],[]]"),
        (np.zeros((0, 2), object), "[]"),
        (np.arange(6, dtype=np.int32).reshape(2, 3).T, "[[0,3],[1,4],[2,5]]"),
        (np.arange(3, dtype=">i4"), "[0,1,2]"),
        ([{3: 0.25, 7: float("nan")}], '[{"3":0.25,"7":null}]'),
        ([{"a": np.float32(0.1)}, {}], '[{"a":0.1},{}]'),
        ({np.int64(1): np.array([1, 2])}, '{"1":[1,2]}'),
        ([np.array([1.5], np.float32), np.array(2.0)], "[[1.5],2.0]"),
        (None, "null"),
        ([None], "[null]"),
    ],
)
def test_outputs_become_json(value: object, text: str) -> None:
    assert as_json(value) == text


def test_large_outputs_stay_arrays_without_a_copy() -> None:
    array: Array = np.zeros((3, 4), np.float32)
    assert encode([array, None], signature(outputs=2))[0] is array


def test_encode_refuses_outputs_that_the_signature_does_not_have() -> None:
    with pytest.raises(ValueError):
        encode([1, 2], signature(outputs=1))


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        (1.0, 1.0),
        (1.00390625, 1.0),  # half way, to even: down
        (1.01171875, 1.015625),  # half way, to even: up
        (1.00390637, 1.0078125),  # a little over half way
        (-3.14159, -3.140625),
        (3.3895314e38, 3.3895314e38),
        (1e-40, 2.0**-133),  # the least there is
        (0.0, 0.0),
    ],
)
def test_bfloat16_rounds_to_nearest_even(number: float, rounded: float) -> None:
    bits = bfloat16.to_bits(np.array([[number]], np.float32))
    assert bits.shape == (1, 1)
    assert bfloat16.from_bits(bits)[0, 0] == np.float32(rounded)


def test_bfloat16_keeps_what_is_not_finite() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    values = np.append(values, np.array([0x7F800001], np.uint32).view(np.float32))  # a NaN whose fraction is cut off
    back = bfloat16.from_bits(bfloat16.to_bits(values))
    assert np.array_equal(back, values, equal_nan=True)
    assert np.signbit(back[3])


def test_bfloat16_round_trip_is_exact_for_all_its_values() -> None:
    every = np.arange(2**16, dtype=np.uint16)
    numbers = bfloat16.from_bits(every)
    finite = ~np.isnan(numbers)
    assert np.array_equal(bfloat16.to_bits(numbers)[finite], every[finite])


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3)])
def test_bfloat16_keeps_the_shape(shape: tuple[int, ...]) -> None:
    assert bfloat16.from_bits(bfloat16.to_bits(np.ones(shape, np.float32))).shape == shape


@pytest.mark.parametrize(
    ("dtype", "printed"),
    [
        ("seq(map(int64,tensor(float)))", b'[[{"1":0.1,"2":null}]]'),
        ("seq(map(int64,tensor(double)))", b'[[{"1":0.10000000149011612,"2":null}]]'),
    ],
)
def test_float32_values_of_maps_are_printed_in_their_own_shortest_form(dtype: str, printed: bytes) -> None:
    wide = float(np.float32(0.1))
    signature = Signature((), (TensorSpec("probabilities", dtype, None),))
    assert orjson.dumps(encode([[{1: wide, 2: float("nan")}]], signature), option=orjson.OPT_NON_STR_KEYS) == printed


@pytest.mark.parametrize("wanted", [None, ("n", "m"), ("n", None), ("n", 0)])
def test_empty_tensor_is_bounded_in_its_other_dimensions(wanted: tuple[Dim, ...] | None) -> None:
    check_shape((MOST_BESIDE_NOTHING, 0), spec(shape=wanted))
    with pytest.raises(
        InvalidInput, match=r"at most 65536 in the other dimensions of an empty tensor, got shape \[65537"
    ):
        check_shape((MOST_BESIDE_NOTHING + 1, 0), spec(shape=wanted))


def test_dimensions_of_the_model_are_no_bound_for_an_empty_batch() -> None:
    check_shape((0, 3, 1024, 1024), spec(shape=("n", 3, 1024, 1024)))
    check_shape((1, 3, 1024, 0), spec(shape=("n", 3, "height", "width")))
    with pytest.raises(InvalidInput, match="at most 3145728 in the other dimensions"):
        check_shape((2, 3, 1024, 1024, 0), spec(shape=("n", 3, 1024, 1024, "m")))
    with pytest.raises(InvalidInput, match="at most 65536 in the other dimensions"):
        check_shape((66, 0, 1000), spec(shape=("n", "m", 1000)))
    with pytest.raises(InvalidInput, match="at most 65536"):
        check_shape((0, 1024, 65), spec(shape=("n", "m", "k")))
