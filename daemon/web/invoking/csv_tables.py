"""Tables as CSV (RFC 4180), in UTF-8, with or without a row of names: read to columns, and written from outputs.

Any thread, no state. Lines may end in LF or CRLF; empty ones do not count. As pandas writes its index, a first column
without a name is left out.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from daemon.errors import BadRequest, InvalidInput, NotAcceptable
from daemon.release import Signature, TensorSpec
from daemon.runtime import Array, Output, encode
from daemon.runtime.columns import from_texts
from daemon.runtime.tables import Table
from daemon.web.answers import dumps

CSV = "text/csv"


def read_csv(body: bytes, is_header: Callable[[Sequence[str]], bool]) -> Table:
    """The table that ``body`` holds; the first row names the columns where ``is_header`` says so of it.

    Raises BadRequest for what is no CSV or no UTF-8, and InvalidInput where rows differ in length or there is none.
    """
    rows = _rows(_text(body))
    if not rows:
        raise InvalidInput("the body has no rows: expected CSV with one row of values at least, or with a row of names")
    if not is_header(rows[0]):
        columns = _by_column(rows, len(rows[0]), "the first")
        return Table(names=None, columns=columns, rows=len(rows), read=from_texts, note="read as values, not as names")
    names = [name.strip() for name in rows[0]]
    columns = _by_column(rows[1:], len(names), "the row of names")
    begin = 1 if not names[0] and len(names) > 1 else 0
    return Table(names=names[begin:], columns=columns[begin:], rows=len(rows) - 1, read=from_texts)


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


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: byte {error.start} is {body[error.start]:#04x}") from None


def _rows(text: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        raise BadRequest(f"the body is no CSV, at line {reader.line_num}: {error}") from None


def _by_column(rows: list[list[str]], width: int, like: str) -> Sequence[Sequence[str]]:
    if set(map(len, rows)) - {width}:
        number, odd = next((number, row) for number, row in enumerate(rows, 1) if len(row) != width)
        raise InvalidInput(f"expected {width} cells in row {number}, as in {like}, found {len(odd)}")
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _columns(output: Output, spec: TensorSpec) -> tuple[int, Mapping[str, Sequence[str]]]:
    """How many rows an output has, and its columns by name as texts."""
    if isinstance(output, np.ndarray):
        rows = len(output) if output.ndim else 1
        width = math.prod(output.shape[1:])
        texts = _texts(output.reshape(-1))
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
