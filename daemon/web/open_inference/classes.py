"""The n greatest elements of an output, as its parameter ``classification`` asks for. Any thread, no state.

As Triton's "Classification Extension" has it: strings ``value:index``, or ``value:index:label`` where there are labels.
"""

import math
from collections.abc import Iterable
from itertools import repeat

import numpy as np

from daemon.errors import BadRequest
from daemon.release import TensorSpec
from daemon.runtime import Array
from daemon.runtime.dtypes import DTYPES
from daemon.web.open_inference.forms import Labels

MOST_CLASSES = 1 << 17
"""So many strings take a tenth of a second."""
WRITTEN_OUT_BELOW = 1e40
"""Of greater numbers, which float64 alone has, nobody wants hundreds of digits: they are told as ``1e+40``."""
SELECT_BELOW = 8
"""Where fewer than one in so many is wanted, the others are not sorted."""


def expect_numbers(spec: TensorSpec, name: str) -> None:
    """Raise BadRequest where the tensor of the output ``name`` has nothing that could be compared."""
    if DTYPES[spec.dtype].kind not in ("float", "int"):
        raise BadRequest(f"output {name!r} is {spec.dtype}, expected numbers where a classification is asked for")


def classes_of(array: Array, labels: Labels, most: int) -> Array:
    """The strings, greatest value first, for each row of ``array``: an object array of shape ``[rows, n]``.

    A tensor of one dimension, or none, is one row, and so is the answer: ``[n]``. A row of several dimensions counts as
    flat. There are ``most``, or as many as the row has. Of equals the first comes first; NaN comes last. Raises
    BadRequest where they are more than ``MOST_CLASSES``.
    """
    is_row = array.ndim < 2
    rows = array.reshape(1, -1) if is_row else array.reshape(len(array), math.prod(array.shape[1:]))
    width = min(most, rows.shape[1])
    if len(rows) * width > MOST_CLASSES:
        raise BadRequest(
            f"expected a classification of {MOST_CLASSES} elements at most, got {width} of each of {len(rows)} rows"
        )
    strings = np.empty((len(rows), width), object)
    if strings.size:
        indices = _greatest(rows, width)
        strings.reshape(-1)[:] = _told(np.take_along_axis(rows, indices, axis=1), indices, labels)
    return strings[0] if is_row else strings


def _greatest(rows: Array, most: int) -> Array:
    """The indices of the ``most`` greatest elements of each row, greatest first."""
    falling = -rows if rows.dtype.kind == "f" else ~rows  # what is greater is less here, without an overflow
    if most * SELECT_BELOW > rows.shape[1] or (found := _least(falling, most)) is None:
        return np.argsort(falling, axis=1, kind="stable")[:, :most]
    order = np.argsort(np.take_along_axis(falling, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _least(rows: Array, most: int) -> Array | None:
    """The indices of the ``most`` least elements of each row as they stand, the first of equals; None for NaN."""
    bound = np.partition(rows, most - 1, axis=1)[:, most - 1 : most]
    if rows.dtype.kind == "f" and np.isnan(bound).any():
        return None
    is_less, is_bound = rows < bound, rows == bound
    room = most - np.count_nonzero(is_less, axis=1, keepdims=True)
    chosen = is_less | (is_bound & (np.cumsum(is_bound, axis=1) <= room))
    return np.nonzero(chosen)[1].reshape(len(rows), most)


def _told(values: Array, indices: Array, labels: Labels) -> list[str]:
    numbers, places = values.ravel().tolist(), indices.ravel().tolist()
    told = [form % pair for form, pair in zip(_forms(values), zip(numbers, places, strict=True), strict=False)]
    if labels is None:
        return told
    known = len(labels)
    return [f"{text}:{labels[place]}" if place < known else text for text, place in zip(told, places, strict=True)]


def _forms(values: Array) -> Iterable[str]:
    """How each of ``values`` is written, with its place."""
    if values.dtype.kind != "f":
        return repeat("%d:%d")
    huge = np.abs(values.ravel()) >= WRITTEN_OUT_BELOW if values.dtype.itemsize > 4 else None
    return repeat("%f:%d") if huge is None or not huge.any() else np.where(huge, "%r:%d", "%f:%d").tolist()
