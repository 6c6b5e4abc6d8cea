"""Columns of cells, as tables have them, to arrays: all cells at once, and one by one only to find a wrong one.

Pure functions, any thread. Cells are JSON values or, as CSV has them, texts. Where pandas stands for what users expect,
the rules are its own: no value is NaN among floats, and 3.0 does for a whole number, as a column that once had a gap
gives it. Nothing is cut, rounded or wrapped to fit.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from daemon.errors import InvalidInput
from daemon.runtime.bfloat16 import LIMIT as _BFLOAT16_LIMIT
from daemon.runtime.dtypes import Array, Dtype, Kind
from daemon.runtime.nesting import called

Cells = Sequence[Any]
Place = Callable[[int], str]
"""Where the cell at an index stands, as the user would say it: ``row 3, column 'age'``."""
ReadCells = Callable[[Cells, Dtype, Place], Array]

MISSING = frozenset({"", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "<NA>", "null", "NULL", "None"})
"""The texts that mean no value, as pandas reads them; among strings they are what they are."""

_TAKEN: dict[Kind, frozenset[type]] = {
    "float": frozenset({float, int, type(None)}),
    "int": frozenset({int, float}),
    "bool": frozenset({bool, int}),
    "string": frozenset({str}),
}
_EXPECTED: dict[Kind, str] = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true, false, 0 or 1",
    "string": "a string",
}
_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_NAN = re.compile("[+-]?nan", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)


def from_values(cells: Cells, dtype: Dtype, place: Place) -> Array:
    """JSON values as an array of ``dtype`` and shape ``[len(cells)]``; raises InvalidInput with a wrong cell's place.

    null is NaN among floats and refused elsewhere; whole floats do for whole numbers, 0 and 1 for booleans.
    """
    taken = _TAKEN[dtype.kind]
    kinds = set(map(type, cells))
    if not kinds <= taken:
        index = next(index for index, cell in enumerate(cells) if type(cell) not in taken)
        raise _unfit(cells, index, _EXPECTED[dtype.kind], place)
    if dtype.kind == "int" and float in kinds:
        return _array(_whole(cells, cells, place), cells, dtype, place)
    return _array(cells, cells, dtype, place)


def from_texts(cells: Sequence[str], dtype: Dtype, place: Place) -> Array:
    """Texts, as CSV has them, as an array of ``dtype`` and shape ``[len(cells)]``; raises as ``from_values``.

    What is in ``MISSING`` is NaN among floats and refused elsewhere, but for strings, which stay what they are.
    """
    if dtype.kind == "string":
        return _array(cells, cells, dtype, place)
    if dtype.kind == "bool":
        return _array(_bools(cells, place), cells, dtype, place)
    return _array((_floats if dtype.kind == "float" else _ints)(cells, place), cells, dtype, place)


def is_value(text: str, dtype: Dtype) -> bool:
    """Whether ``text`` could stand in a column of ``dtype``, by its form alone."""
    if dtype.kind == "string" or _is_missing(text):
        return True
    if dtype.kind == "bool":
        return text.strip().lower() in _BOOLS
    try:
        float(text)
    except ValueError:
        return False
    return True


def _array(values: Cells, cells: Cells, dtype: Dtype, place: Place) -> Array:
    """``values``, which are ``cells`` understood, in ``dtype``; raises InvalidInput for what is beyond its range."""
    if dtype.kind == "float":
        return _within(np.array(values, np.float64), cells, dtype, place)  # where None is NaN
    if dtype.kind == "bool":
        odd = next((at for at, one in enumerate(values) if one not in (0, 1)), None)
        if odd is not None:
            raise _unfit(cells, odd, _EXPECTED["bool"], place)
    try:
        return np.array(values, dtype.numpy)
    except OverflowError:
        pass
    limits = np.iinfo(dtype.numpy)
    index = next(at for at, one in enumerate(values) if not int(limits.min) <= one <= int(limits.max))
    raise _unfit(cells, index, f"{dtype.name} from {limits.min} to {limits.max}", place)


def _within(numbers: Array, cells: Cells, dtype: Dtype, place: Place) -> Array:
    with np.errstate(over="ignore"):  # what overflows is told with its place
        array = numbers.astype(dtype.numpy)
    unfit = np.isinf(array)
    if dtype.name == "bfloat16":
        unfit |= np.abs(array) >= _BFLOAT16_LIMIT
    if unfit.any():
        raise _unfit(cells, int(np.argmax(unfit)), f"a finite {dtype.name}", place)
    return array


def _whole(values: Cells, cells: Cells, place: Place) -> list[int]:
    odd = next((at for at, one in enumerate(values) if type(one) is float and not one.is_integer()), None)
    if odd is not None:
        raise _unfit(cells, odd, _EXPECTED["int"], place)
    return list(map(int, values))


def _floats(cells: Sequence[str], place: Place) -> list[float]:
    try:
        if _is_plain(cells):
            return list(map(float, cells))
    except ValueError:
        pass
    odd = next((at for at, one in enumerate(cells) if not (_is_missing(one) or _NUMBER.fullmatch(one))), None)
    if odd is not None:
        raise _unfit(cells, odd, _EXPECTED["float"], place)
    return [math.nan if _is_missing(cell) else float(cell) for cell in cells]


def _ints(cells: Sequence[str], place: Place) -> list[int]:
    try:
        if _is_plain(cells):
            return list(map(int, cells))
    except ValueError:
        pass
    return _whole([_number(cell) for cell in cells], cells, place)


def _number(text: str) -> int | float:
    """A whole number with all its digits, where it is written as one; NaN for what is no number."""
    if not _NUMBER.fullmatch(text):
        return math.nan
    try:
        return int(text)
    except ValueError:
        return float(text)


def _bools(cells: Sequence[str], place: Place) -> list[bool]:
    values = [_BOOLS.get(cell.strip().lower()) for cell in cells]
    if None in values:
        raise _unfit(cells, values.index(None), _EXPECTED["bool"], place)
    return [bool(value) for value in values]


def _is_missing(text: str) -> bool:
    stripped = text.strip()
    return stripped in MISSING or _NAN.fullmatch(stripped) is not None


def _is_plain(cells: Sequence[str]) -> bool:
    """Whether Python reads numbers as everybody does: it also takes ``1_000`` and the digits of all scripts."""
    text = "".join(cells)
    return text.isascii() and "_" not in text


def _unfit(cells: Cells, index: int, expected: str, place: Place) -> InvalidInput:
    cell = cells[index]
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        found = "no value" if cell is None or not cell else repr(cell)
    elif isinstance(cell, str):
        found = f"{cell!r:.60}"
    else:
        found = str(cell) if type(cell) in (int, float) else called(cell)
    return InvalidInput(f"{place(index)}: expected {expected}, found {found}")
