"""The n greatest elements of an output, as its parameter ``classification`` asks for. Any thread, no state.

As Triton's "Classification Extension" has it: strings ``value:index``, or ``value:index:label`` where there are labels.
"""

import numpy as np

from daemon.errors import BadRequest
from daemon.release import TensorSpec
from daemon.runtime import Array
from daemon.runtime.dtypes import DTYPES
from daemon.web.open_inference.forms import Labels


def expect_numbers(spec: TensorSpec, name: str) -> None:
    """Raise BadRequest where the tensor of the output ``name`` has nothing that could be compared."""
    if DTYPES[spec.dtype].kind not in ("float", "int"):
        raise BadRequest(f"output {name!r} is {spec.dtype}, expected numbers where a classification is asked for")


def classes_of(array: Array, labels: Labels, most: int) -> Array:
    """The strings, greatest value first, for each row of ``array``: an object array of shape ``[rows, n]``.

    A tensor of one dimension, or none, is one row, and so is the answer: ``[n]``. A row of several dimensions counts as
    flat. There are ``most``, or as many as the row has. Of equals the first comes first; NaN comes last.
    """
    is_row = array.ndim < 2
    rows = array.reshape(1, -1) if is_row else array.reshape(len(array), -1 if array.size else 0)
    found = [[_told(row[index], index, labels) for index in _greatest(row, most)] for row in rows]
    width = min(most, rows.shape[1])
    strings = np.empty((len(rows), width), object)
    if strings.size:
        strings[:] = found
    return strings[0] if is_row else strings


def _greatest(row: Array, most: int) -> list[int]:
    comparable = np.where(np.isnan(row), -np.inf, row) if row.dtype.kind == "f" else row
    rising = np.argsort(comparable[::-1], kind="stable")
    falling: list[int] = (len(row) - 1 - rising[::-1])[:most].tolist()
    return falling


def _told(value: np.generic, index: int, labels: Labels) -> str:
    number = f"{value:f}" if value.dtype.kind == "f" else str(value)
    return f"{number}:{index}" if labels is None or index >= len(labels) else f"{number}:{index}:{labels[index]}"
