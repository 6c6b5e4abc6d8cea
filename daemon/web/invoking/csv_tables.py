"""Tables as CSV (RFC 4180), in UTF-8, with or without a row of names: read to columns, and written from outputs.

Any thread, no state. Lines may end in LF or CRLF; empty ones do not count. As pandas writes its index, a first column
without a name is left out.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from types import SimpleNamespace
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
BLOCK_CELLS = 1 << 16
"""So many cells of numbers are written at a time: those that JSON has not weigh more than their text until then."""


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
    parts = [_Part(output, spec) for output, spec in zip(outputs, signature.outputs, strict=True)]
    if len({part.rows for part in parts}) > 1:
        told = ", ".join(f"{part.rows} of {part.name!r}" for part in parts)
        raise NotAcceptable(f"the outputs differ in their number of rows, {told}: ask for application/json")
    names = b""
    if header:
        names = _written([chain.from_iterable(part.names() for part in parts)])[0].encode() + b"\n"
    if len(parts) == 1:
        return names + parts[0].text()
    lines = zip(*(part.lines() for part in parts if part.width), strict=True)
    return names + b"".join(b",".join(cells) + b"\n" for cells in lines)


class _Part:
    """One output as a table: the cells of a row stand next to each other in ``_cells``, of shape ``[rows, width]``."""

    __slots__ = ("_cells", "_keys", "name", "rows", "width")

    def __init__(self, output: Output, spec: TensorSpec) -> None:
        self.name = spec.name
        self._keys: Sequence[object] | None = None
        if isinstance(output, np.ndarray | np.generic):
            array = np.atleast_1d(np.asarray(output))
            self._cells = array.reshape(len(array), math.prod(array.shape[1:]))
        elif isinstance(output, list) and all(
            isinstance(row, dict) and row.keys() == output[0].keys() for row in output
        ):
            (maps,) = cast(list[list[dict[object, Any]]], encode([output], Signature((), (spec,))))
            self._keys = list(maps[0]) if maps else []
            self._cells = np.array([[row[key] for key in self._keys] for row in maps]).reshape(
                len(maps), len(self._keys)
            )
        else:
            raise NotAcceptable(f"output {spec.name!r} is no table: ask for application/json")
        self.rows, self.width = self._cells.shape

    def names(self) -> Iterable[str]:
        """The name of each column."""
        if self._keys is None and self.width == 1:
            return [self.name]
        return (f"{self.name}_{key}" for key in (range(self.width) if self._keys is None else self._keys))

    def text(self) -> bytes:
        """All rows, each as a line with its end."""
        if not self.width:
            return b""
        if self._cells.dtype.kind in "OSU":
            return b"".join(line + b"\n" for line in self.lines())
        return b"".join(block + b"\n" for block in _blocks(self._cells))

    def lines(self) -> Iterator[bytes]:
        """Each row as a line without its end."""
        if self._cells.dtype.kind not in "OSU":
            return (line for block in _blocks(self._cells) for line in block.split(b"\n"))
        step = max(1, BLOCK_CELLS // max(1, self.width))
        blocks = (self._cells[at : at + step].tolist() for at in range(0, self.rows, step))
        return (line.encode() for block in blocks for line in _written(_texts(block)))


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


def _blocks(cells: Array) -> Iterator[bytes]:
    """The rows of numbers as lines, some at a time, without the end of the last."""
    width = cells.shape[1]
    if width > BLOCK_CELLS:
        for row in cells:
            yield b",".join(_numbers(row[None, at : at + BLOCK_CELLS]) for at in range(0, width, BLOCK_CELLS))
        return
    step = BLOCK_CELLS // max(1, width)
    for at in range(0, len(cells), step):
        yield _numbers(cells[at : at + step])


def _numbers(cells: Array) -> bytes:
    """Rows of numbers, each by its shortest text: as JSON has them, but for those for which that has only null."""
    text = dumps(np.ascontiguousarray(cells))[2:-2].replace(b"],[", b"\n")
    if cells.dtype.kind != "f" or (is_finite := np.isfinite(cells)).all():
        return text
    odd = iter([str(number).encode() for number in cells[~is_finite].tolist()])
    return b"".join(part for piece in text.split(b"null") for part in (piece, next(odd, b"")))


def _written(rows: Iterable[Iterable[str]]) -> list[str]:
    """Each row as a line without its end."""
    lines: list[str] = []
    end = "\r\n"  # either of which is quoted in a cell then
    csv.writer(SimpleNamespace(write=lines.append), lineterminator=end).writerows(rows)
    return [line[: -len(end)] for line in lines]


def _texts(rows: list[list[object]]) -> Iterable[Iterable[str]]:
    """Strings as they are, and bytes as UTF-8."""
    if set(map(type, chain.from_iterable(rows))) <= {str}:
        return cast(list[list[str]], rows)
    return (map(_text, row) for row in rows)


def _text(cell: object) -> str:
    return cell if isinstance(cell, str) else bytes(cast(bytes, cell)).decode(errors="replace")
