"""Cells of a column become what numpy makes of each by itself, or the first that does not fit is named."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import InvalidInput
from daemon.runtime.columns import MISSING, from_texts, from_values, is_value
from daemon.runtime.dtypes import DTYPES

INTS = sorted(name for name, dtype in DTYPES.items() if dtype.kind == "int")
FLOATS = ["float16", "float32", "float64", "bfloat16"]
PLACE = "row {}".format
"""A place as tests have it, counted from 0."""


def refused(read: Any, cells: list[Any], dtype: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(cells, DTYPES[dtype], PLACE)
    return str(caught.value)


def limits(dtype: str) -> st.SearchStrategy[int]:
    info = np.iinfo(dtype)
    return st.integers(int(info.min), int(info.max))


@given(st.lists(st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-9, 9))))
def test_numbers_keep_their_value_and_null_is_nan(cells: list[Any]) -> None:
    wanted = np.array([math.nan if cell is None else cell for cell in cells], np.float32)
    found = from_values(cells, DTYPES["float32"], PLACE)
    assert found.dtype == np.float32
    assert found.shape == (len(cells),)
    np.testing.assert_array_equal(found, wanted)
    texts = ["" if cell is None else repr(cell) for cell in cells]
    np.testing.assert_array_equal(from_texts(texts, DTYPES["float32"], PLACE), wanted)


@given(st.data(), st.sampled_from(INTS))
def test_whole_numbers_keep_every_digit(data: st.DataObject, dtype: str) -> None:
    cells = data.draw(st.lists(limits(dtype)))
    wanted = np.array(cells, dtype)
    for found in (from_values(cells, DTYPES[dtype], PLACE), from_texts(list(map(str, cells)), DTYPES[dtype], PLACE)):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", INTS)
def test_whole_number_out_of_range_is_named_with_the_range(dtype: str) -> None:
    info = np.iinfo(dtype)
    for cell in (int(info.min) - 1, int(info.max) + 1):
        said = f"row 1: expected {dtype} from {info.min} to {info.max}, found "
        assert refused(from_values, [0, cell], dtype) == f"{said}{cell}"
        assert refused(from_texts, ["0", str(cell)], dtype) == f"{said}'{cell}'"


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1), st.sampled_from(["{}.0", "{}.", "{}e0", " {} "]))
def test_whole_numbers_may_be_written_as_floats(cells: list[int], form: str) -> None:
    wanted = np.array(cells, np.int64)
    texts = [form.format(cell) for cell in cells]
    np.testing.assert_array_equal(from_texts(texts, DTYPES["int64"], PLACE), wanted)
    np.testing.assert_array_equal(from_values([float(cell) for cell in cells], DTYPES["int64"], PLACE), wanted)


@given(st.lists(st.text(max_size=8)))
def test_text_stays_what_it_is(cells: list[str]) -> None:
    for read in (from_values, from_texts):
        found = read(cells, DTYPES["string"], PLACE)
        assert (found.dtype, found.tolist()) == (np.dtype(object), cells)


@given(st.text("0123456789+-.eE_ xnaNAif１", max_size=7), st.sampled_from(["1", ""]))
def test_text_is_a_number_as_it_is_everywhere_whatever_is_beside_it(text: str, beside: str) -> None:
    """Python's own readings of ``1_0``, of other scripts' digits and of ``inf`` are none."""
    is_number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text.strip(" "), re.ASCII) is not None
    is_missing = text.strip(" ") in MISSING or re.fullmatch(r"[+-]?nan", text.strip(" "), re.IGNORECASE) is not None
    try:
        found = from_texts([beside, text], DTYPES["float64"], PLACE)[1]
    except InvalidInput:
        assert not is_missing
        assert not is_number or math.isinf(float(text))
    else:
        assert is_missing if math.isnan(found) else (is_number and found == float(text))


@pytest.mark.parametrize("dtype", FLOATS)
def test_number_beyond_the_range_is_named(dtype: str) -> None:
    beyond = {"float16": 70000.0, "float32": 1e39, "float64": 1e309, "bfloat16": 3.3999e38}[dtype]
    assert refused(from_texts, ["1", repr(beyond)], dtype).startswith(f"row 1: expected a finite {dtype}, found ")
    if math.isfinite(beyond):
        assert refused(from_values, [1, beyond], dtype) == f"row 1: expected a finite {dtype}, found {beyond}"


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_text_of_an_infinity_is_no_number(cell: str) -> None:
    assert refused(from_texts, ["1", cell], "float32") == f"row 1: expected a finite float32, found {cell!r}"


@pytest.mark.parametrize(
    ("cell", "dtype", "said"),
    [
        ("x", "float32", "expected a number, found 'x'"),
        ("1_000", "float32", "expected a number, found '1_000'"),
        ("１", "float32", "expected a number, found '１'"),
        ("0x10", "float32", "expected a number, found '0x10'"),
        ("1 2", "float32", "expected a number, found '1 2'"),
        ("1_000", "int64", "expected a whole number, found '1_000'"),
        ("٣", "int64", "expected a whole number, found '٣'"),
        ("3.5", "int64", "expected a whole number, found '3.5'"),
        ("1e400", "int64", "expected a whole number, found '1e400'"),
        ("9" * 5000, "int64", "expected a whole number, found '" + "9" * 59),
        ("", "int64", "expected a whole number, found no value"),
        ("NA", "int64", "expected a whole number, found 'NA'"),
        ("  ", "bool", "expected true, false, 0 or 1, found '  '"),
        ("yes", "bool", "expected true, false, 0 or 1, found 'yes'"),
        ("2", "bool", "expected true, false, 0 or 1, found '2'"),
    ],
)
def test_text_that_does_not_fit_is_named(cell: str, dtype: str, said: str) -> None:
    good = "1"
    assert refused(from_texts, [good, good, cell, "also wrong"], dtype) == f"row 2: {said}"


@pytest.mark.parametrize(
    ("cell", "dtype", "said"),
    [
        ("1", "float32", "expected a number, found '1'"),
        (True, "float32", "expected a number, found a boolean"),
        ([1], "float32", "expected a number, found a list"),
        ({}, "float32", "expected a number, found an object"),
        (None, "int64", "expected a whole number, found no value"),
        (1.5, "int64", "expected a whole number, found 1.5"),
        (1e300, "uint8", "expected uint8 from 0 to 255, found 1e+300"),
        (2, "bool", "expected true, false, 0 or 1, found 2"),
        (1.0, "bool", "expected true, false, 0 or 1, found 1.0"),
        (1, "string", "expected a string, found 1"),
        (None, "string", "expected a string, found no value"),
    ],
)
def test_value_that_does_not_fit_is_named(cell: object, dtype: str, said: str) -> None:
    good = "a" if dtype == "string" else 1
    assert refused(from_values, [good, cell, good], dtype) == f"row 1: {said}"


def test_value_that_does_not_fit_is_named_in_the_first_row_too() -> None:
    assert refused(from_values, [2, 1], "bool") == "row 0: expected true, false, 0 or 1, found 2"


@pytest.mark.parametrize("cell", sorted(MISSING))
def test_what_pandas_takes_for_missing_is_nan_and_text_among_strings(cell: str) -> None:
    assert math.isnan(from_texts(["1", f" {cell} "], DTYPES["float32"], PLACE)[1])
    assert from_texts([cell], DTYPES["string"], PLACE).tolist() == [cell]
    assert is_value(cell, DTYPES["int64"])


@pytest.mark.parametrize("cell", ["True", "TRUE", "true", " 1 "])
def test_truth_is_written_in_many_ways(cell: str) -> None:
    assert from_texts([cell, "False", "0"], DTYPES["bool"], PLACE).tolist() == [True, False, False]


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_no_cells_make_an_empty_array_of_the_dtype(dtype: str) -> None:
    for read in (from_values, from_texts):
        found = read([], DTYPES[dtype], PLACE)
        assert (found.dtype, found.shape) == (DTYPES[dtype].numpy, (0,))
