"""Tables as CSV (RFC 4180), in UTF-8, with or without a row of names: read to columns, and written from outputs.

Any thread, no state. Lines may end in LF or CRLF; empty ones do not count. As pandas writes its index, a first column
without a name is left out.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np

from daemon.errors import BadRequest, InvalidInput, NotAcceptable
from daemon.release import Signature, TensorSpec
from daemon.runtime import Array, Output, encode
from daemon.runtime.columns import from_texts
from daemon.runtime.tables import Table
from daemon.web.answers import dumps

PIECE_CELLS = 200_000
"""So many cells are read at a time: each weighs some fifty bytes until it is a number."""


def read_csv(body: bytes, is_header: Callable[[Sequence[str]], bool]) -> Iterator[Table]:
    """The table that ``body`` holds, in pieces, so that few of its cells are Python's strings at a time.

    The first row names the columns where ``is_header`` says so of it. Raises BadRequest for what is no CSV or no UTF-8,
    and InvalidInput where rows differ in length or there is none.
    """
    rows = _rows(body)
    first = next(rows, None)
    if first is None:
        raise InvalidInput("the body has no rows: expected CSV with one row of values at least, or with a row of names")
    width = len(first)
    most = max(1, PIECE_CELLS // width)
    if not is_header(first):
        piece, names, begin, like = [first, *islice(rows, most - 1)], None, 0, "the first"
    else:
        names = [name.strip() for name in first]
        piece, begin, like = list(islice(rows, most)), 1 if not names[0] and width > 1 else 0, "the row of names"
    done = 0
    while True:
        yield Table(
            names=None if names is None else names[begin:],
            columns=_by_column(piece, width, like, done)[begin:],
            rows=len(piece),
            read=from_texts,
            begin=done,
            note="read as values, not as names" if names is None else "",
        )
        done += len(piece)
        piece = list(islice(rows, most))
        if not piece:
            return


def write_csv(outputs: Sequence[Output], signature: Signature, *, header: bool = False) -> bytes:
    """``outputs`` as columns next to each other, in their order: one line for each row.

    A tensor has a column for each element of a row, a list of maps one for each key. The names in the ``header`` are
    the outputs', with the number of the element or the key where there are several. Missing numbers are ``nan``, the
    infinities ``inf`` and ``-inf``. Raises NotAcceptable where outputs differ in their number of rows.
    """
    names: list[str] = []
    columns: list[Sequence[str]] = []
    rows: dict[str, int] = {}
    for output, spec in zip(outputs, signature.outputs, strict=True):
        rows[spec.name], found = _columns(output, spec)
        names += found
        columns += found.values()
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{count} of {name!r}" for name, count in rows.items())
        raise NotAcceptable(f"the outputs differ in their number of rows, {told}: ask for application/json")
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    if header:
        writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return lines.getvalue().encode()


def _rows(body: bytes) -> Iterator[list[str]]:
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline=""), strict=True)
    try:
        yield from filter(None, reader)
    except csv.Error as error:
        raise BadRequest(f"the body is no CSV, at line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        found = f"{error.object[error.start]:#04x}"
        raise BadRequest(f"the body is not UTF-8: it has a byte {found}, after line {reader.line_num}") from None


def _by_column(rows: list[list[str]], width: int, like: str, done: int) -> Sequence[Sequence[str]]:
    if set(map(len, rows)) - {width}:
        number, odd = next((number, row) for number, row in enumerate(rows, done + 1) if len(row) != width)
        raise InvalidInput(f"expected {width} cells in row {number}, as in {like}, found {len(odd)}")
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _columns(output: Output, spec: TensorSpec) -> tuple[int, Mapping[str, Sequence[str]]]:
    """How many rows an output has, and its columns by name as texts."""
    if isinstance(output, np.ndarray | np.generic):
        array = np.atleast_1d(np.asarray(output))
        rows, width = len(array), math.prod(array.shape[1:])
        texts = _texts(array.reshape(-1))
        if width == 1:
            return rows, {spec.name: texts}
        return rows, {f"{spec.name}_{index}": texts[index::width] for index in range(width)}
    if isinstance(output, list) and all(isinstance(row, dict) and row.keys() == output[0].keys() for row in output):
        (maps,) = cast(list[list[dict[object, Any]]], encode([output], Signature((), (spec,))))
        keys = maps[0] if maps else ()
        return len(maps), {f"{spec.name}_{key}": _texts(np.array([row[key] for row in maps])) for key in keys}
    raise NotAcceptable(f"output {spec.name!r} is no table: ask for application/json")


def _texts(column: Array) -> Sequence[str]:
    """Each element by its shortest text."""
    if column.dtype.kind in "OSU":
        return [text if isinstance(text, str) else bytes(text).decode(errors="replace") for text in column.tolist()]
    if not column.size:
        return ()
    texts = dumps(np.ascontiguousarray(column)).decode()[1:-1].split(",")
    if column.dtype.kind == "f":
        for index in np.flatnonzero(~np.isfinite(column)).tolist():
            texts[index] = str(float(column[index]))
    return texts
