"""Flattens nested JSON lists into one list and a shape, without recursion; pure functions, any thread.

Depth is bounded, so that no body, however deep, costs more than its length.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

MAX_RANK = 32
"""Levels of lists that a tensor may have; no operator of ONNX comes near it."""

_ALL_LISTS: Final = {list}
_NAMES: Final = {
    "NoneType": "null",
    "bool": "a boolean",
    "str": "a string",
    "list": "a list",
    "dict": "an object",
    "int": "a number",
    "float": "a number",
}


class Uneven(ValueError):
    """The lists do not make a tensor; the message says where, and what came."""


class Nest(NamedTuple):
    """A tensor's elements in row-major order, their types, and the length of each level of lists, outermost first."""

    elements: list[Any]
    kinds: set[type]
    shape: tuple[int, ...]


def flatten(value: object) -> Nest:
    """``value`` as elements and shape; anything but a list is a scalar of shape ``()``.

    An empty list ends the shape with 0. Elements may be of any types, except that none may be a list where its siblings
    are not. Raises Uneven for lists of different lengths or depths, and beyond ``MAX_RANK`` levels.
    """
    level: list[Any] = [value]
    shape: tuple[int, ...] = ()
    while (kinds := set(map(type, level))) == _ALL_LISTS:
        if len(shape) == MAX_RANK:
            raise Uneven(f"expected at most {MAX_RANK} levels of lists, got more")
        if len(level) > 1 and len(set(map(len, level))) > 1:
            raise _uneven_lengths(level, shape)
        shape = (*shape, len(level[0]))
        level = list(chain.from_iterable(level)) if len(level) > 1 else level[0]
    if list in kinds:
        raise _uneven_depths(level, shape)
    return Nest(level, kinds, shape)


def called(element: object) -> str:
    """What JSON calls an element of this type."""
    return _NAMES.get(type(element).__name__, type(element).__name__)


def at(index: int, shape: Sequence[int]) -> str:
    """The place of the element at row-major ``index`` as the user would write it: `` at [0][3]``; none for a scalar."""
    places: list[int] = []
    for length in reversed(shape):
        index, place = divmod(index, length)
        places.append(place)
    return "".join([" at ", *(f"[{place}]" for place in reversed(places))]) if shape else ""


def _uneven_lengths(rows: list[list[Any]], shape: tuple[int, ...]) -> Uneven:
    first = len(rows[0])
    index, row = next((index, row) for index, row in enumerate(rows) if len(row) != first)
    return Uneven(f"expected lists of equal length, got {first} and {len(row)} elements{at(index, shape)}")


def _uneven_depths(level: list[Any], shape: tuple[int, ...]) -> Uneven:
    """The first of ``level`` sets what the others should be: a list, or none."""
    wanted = type(level[0]) is list
    index, odd = next((index, one) for index, one in enumerate(level) if (type(one) is list) != wanted)
    return Uneven(f"expected {called(level[0])} like its siblings, got {called(odd)}{at(index, shape)}")
