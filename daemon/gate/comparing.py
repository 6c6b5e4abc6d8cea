"""How far an output is from what was expected of it; pure, any thread."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daemon.runtime import Array
from daemon.runtime.nesting import Uneven, at, flatten


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A number may differ by ``absolute`` plus ``relative`` times what is expected, as in ``numpy.allclose``.

    ``is_given``: somebody asked for just this; else whole numbers, booleans and strings must be equal.
    """

    absolute: float
    relative: float
    is_given: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """One output that is not as expected: by how much at most (infinite where it is no matter of degree), and where."""

    size: float
    clause: str


def miss_of(expected: object, found: object, tolerance: Tolerance) -> Miss | None:
    """The largest difference between an output and what was expected, if it is beyond the tolerance.

    ``expected`` is an array, or as JSON has it: nested lists, objects for maps, null for NaN and the infinities.
    ``found`` is what an engine gives: an array, a list, a mapping or a scalar.
    """
    if isinstance(found, np.ndarray):
        return _miss_of_array(expected, found, tolerance)
    if isinstance(found, Mapping):
        return _miss_of_map(expected, found, tolerance)
    if isinstance(found, list):
        return _miss_of_list(expected, found, tolerance)
    if isinstance(found, float) and not isinstance(expected, str | list | dict | np.ndarray):
        return _miss_of_array(expected, np.asarray(found), tolerance)
    return None if expected == found else Miss(math.inf, f"expected {expected!r:.80}, found {found!r:.80}")


def _miss_of_list(expected: object, found: Sequence[object], tolerance: Tolerance) -> Miss | None:
    if not isinstance(expected, list) or len(expected) != len(found):
        came = f"a list of {len(expected)}" if isinstance(expected, list) else type(expected).__name__
        return Miss(math.inf, f"expected {came}, found a list of {len(found)}")
    return _worst(
        (f"[{place}]", miss_of(*pair, tolerance)) for place, pair in enumerate(zip(expected, found, strict=True))
    )


def _miss_of_map(expected: object, found: Mapping[object, object], tolerance: Tolerance) -> Miss | None:
    named = {str(key): value for key, value in found.items()}
    wanted = {str(key): value for key, value in expected.items()} if isinstance(expected, Mapping) else {}
    if wanted.keys() != named.keys():
        return Miss(math.inf, f"expected the keys {sorted(wanted)!s:.200}, found {sorted(named)!s:.200}")
    return _worst((f"[{key!r}]", miss_of(wanted[key], named[key], tolerance)) for key in named)


def _worst(misses: Iterable[tuple[str, Miss | None]]) -> Miss | None:
    found = [Miss(miss.size, f"at {place}: {miss.clause}") for place, miss in misses if miss is not None]
    return max(found, key=lambda miss: miss.size, default=None)


def _miss_of_array(expected: object, found: Array, tolerance: Tolerance) -> Miss | None:
    try:
        wanted, shape = _as_array(expected, found)
    except Uneven as error:
        return Miss(math.inf, f"what is expected is no tensor: {error}")
    if shape != found.shape:
        return Miss(math.inf, f"expected the shape {list(shape)}, found {list(found.shape)}")
    if found.dtype.kind in "OSU" or wanted.dtype.kind in "OSU":
        return _miss_of_equals(wanted, found)
    if found.dtype.kind == "f" or tolerance.is_given:
        is_json = not isinstance(expected, np.ndarray)
        return _miss_of_numbers(wanted.astype(np.float64), found.astype(np.float64), tolerance, nan_is_null=is_json)
    return _miss_of_equals(wanted, found)


def _as_array(expected: object, found: Array) -> tuple[Array, tuple[int, ...]]:
    if isinstance(expected, np.ndarray):
        return expected, expected.shape
    nest = flatten(expected)
    shape = nest.shape
    if shape and shape[-1] == 0 and found.shape[: len(shape)] == shape:
        return np.empty(found.shape, found.dtype), found.shape  # an empty list has no room for what is inside
    if nest.kinds <= {int, float, bool, type(None)}:
        numbers = np.array([math.nan if element is None else element for element in nest.elements])
        return numbers.reshape(shape), shape
    texts = np.empty(len(nest.elements), dtype=object)
    texts[:] = nest.elements
    return texts.reshape(shape), shape


def _miss_of_equals(wanted: Array, found: Array) -> Miss | None:
    """Elements that must be equal: how many are not, and the first of them."""
    differs = np.asarray(wanted != found, dtype=bool).ravel()
    if not differs.any():
        return None
    index = int(np.argmax(differs))
    where = at(index, found.shape)
    pair = f"expected {wanted.ravel()[index]!s:.80}, found {found.ravel()[index]!s:.80}{where}"
    if wanted.dtype.kind in "iufb" and found.dtype.kind in "iufb":
        gaps = np.abs(wanted.astype(np.float64) - found.astype(np.float64))
        return Miss(float(np.nanmax(gaps, initial=0.0)), f"{pair}, and {int(differs.sum())} of {found.size} differ")
    return Miss(math.inf, f"{pair}, and {int(differs.sum())} of {found.size} differ")


def _miss_of_numbers(wanted: Array, found: Array, tolerance: Tolerance, *, nan_is_null: bool) -> Miss | None:
    """Not a number where none is expected, or the other way round, is infinitely far.

    ``nan_is_null``: what is expected came as JSON, whose null stands for the infinities too.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.abs(found - wanted)
        allowed = tolerance.absolute + tolerance.relative * np.abs(wanted)
    odd = ~np.isfinite(wanted)
    same = (np.isnan(wanted) & (~np.isfinite(found) if nan_is_null else np.isnan(found))) | (wanted == found)
    gaps = np.where(odd | ~np.isfinite(found), np.where(same, 0.0, math.inf), gaps)
    beyond = (gaps > np.where(odd, 0.0, allowed)) | (np.isnan(found) & ~same)  # also where what is allowed overflows
    if not beyond.any():
        return None
    flat = np.where(beyond, gaps, -1.0).ravel()
    index = int(np.argmax(flat))
    return Miss(
        float(flat[index]),
        f"differs by {flat[index]:.6g}{at(index, found.shape)}: expected {wanted.ravel()[index]:.9g}, found "
        f"{found.ravel()[index]:.9g} (atol {tolerance.absolute:g}, rtol {tolerance.relative:g})",
    )
