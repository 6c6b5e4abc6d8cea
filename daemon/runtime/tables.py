"""Tables to the arrays that a model takes: a column for each input, or all columns in one. Pure functions, any thread.

Models of scikit-learn have one input ``[N, 1]`` for each column, with its name; others have one input ``[N, C]`` for
all of them. Which way a model goes is found once, from its signature.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from daemon.errors import InvalidInput
from daemon.release import Signature, TensorSpec
from daemon.runtime.columns import Cells, ReadCells, from_values, is_value
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.shapes import check_shape, written
from daemon.runtime.tensors import decode_one

MOST_NAMES = 20
"""Of a model's columns in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells by column, each column with ``rows`` of them; ``names`` is None where nobody named them.

    It may be a piece of a longer one, ``begin`` rows from its first. ``read`` makes arrays of cells: they are JSON
    values or texts. ``note`` says of the very first row what else there is to know where a cell of it is wrong.
    """

    names: Sequence[str] | None
    columns: Sequence[Cells]
    rows: int
    read: ReadCells
    begin: int = 0
    note: str = ""

    def place(self, index: int, column: int) -> str:
        """Where a cell stands; rows count from 1, without a row of names."""
        index += self.begin
        name = repr(self.names[column])[:100] if self.names is not None else str(column + 1)
        note = f" ({self.note})" if self.note and index == 0 else ""
        return f"row {index + 1}{note}, column {name}"


FitTable = Callable[[Iterable[Table]], dict[str, Array]]
_FitPiece = Callable[[Table], dict[str, Array]]


def fitter_of(signature: Signature) -> FitTable:
    """A function that gives the arrays by input which a table, in one piece or several, has for ``signature``.

    It raises InvalidInput for columns that are missing, unknown or named twice, for too many and too few of them, and
    for a cell that does not fit.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    fit_piece = _piece_fitter(signature)

    def fitted(pieces: Iterable[Table]) -> dict[str, Array]:
        parts = [fit_piece(piece) for piece in pieces]
        arrays = (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )
        for name, array in arrays.items():
            check_shape(array.shape, specs[name])
        return arrays

    return fitted


def _piece_fitter(signature: Signature) -> _FitPiece:
    by_name = _named_fitter(signature)
    if (only := _one_for_all(signature)) is None:
        return by_name
    known = {spec.name for spec in signature.inputs}

    def fitted(table: Table) -> dict[str, Array]:
        if len(known) > 1 and table.names is not None and only.name in table.names and known.issuperset(table.names):
            return by_name(table)
        return {only.name: _matrix(table, only)}

    return fitted


def header_test_of(signature: Signature) -> Callable[[Sequence[str]], bool]:
    """A function that says whether the first row of a CSV file names the columns, as far as can be seen.

    It does where a cell is the name of an input; and for a model that takes all columns in one input, where a cell
    could be no value.
    """
    names = {spec.name for spec in signature.inputs}
    only = _one_for_all(signature)
    dtype = None if only is None else DTYPES.get(only.dtype)

    def is_header(cells: Sequence[str]) -> bool:
        if any(cell.strip() in names for cell in cells):
            return True
        return dtype is not None and not all(is_value(cell, dtype) for cell in cells)

    return is_header


def is_tabular(signature: Signature) -> bool:
    """Whether every input is a column of its own, and there are several."""
    return len(signature.inputs) > 1 and all(_is_column(spec) for spec in signature.inputs)


def _one_for_all(signature: Signature) -> TensorSpec | None:
    """The input that takes all columns, where only one is required."""
    required = [spec for spec in signature.inputs if not spec.optional] or list(signature.inputs)
    return required[0] if len(required) == 1 else None


def _is_column(spec: TensorSpec) -> bool:
    return spec.shape is None or all(not isinstance(dim, int) or dim == 1 for dim in spec.shape[1:])


def _named_fitter(signature: Signature) -> _FitPiece:
    specs = {spec.name: spec for spec in signature.inputs}
    order = list(specs)
    required = [spec.name for spec in signature.inputs if not spec.optional]
    expected = _written_names(signature)

    def names_of(table: Table) -> Sequence[str]:
        if table.names is not None:
            return table.names
        for names in (required, order):
            if len(names) == len(table.columns):
                return names
        raise InvalidInput(
            f"expected {len(required)} columns in the order of the model's inputs, {expected}; "
            f"found {len(table.columns)} without names"
        )

    def fitted(table: Table) -> dict[str, Array]:
        names = names_of(table)
        table = table if table.names is names else replace(table, names=names)
        found = set(names)
        if len(found) < len(names):
            raise InvalidInput(f"column {_twice(names)!r:.100} is there twice")
        if missing := [name for name in required if name not in found]:
            raise InvalidInput(f"column {missing[0]!r} is missing: expected {expected}")
        if unknown := [name for name in names if name not in specs]:
            raise InvalidInput(f"unknown column {unknown[0]!r:.100}: expected {expected}")
        return {name: _column(table, index, specs[name]) for index, name in enumerate(names)}

    return fitted


def _column(table: Table, index: int, spec: TensorSpec) -> Array:
    """One column as an input of its own, ``[N]`` or ``[N, 1]``; cells may be lists where a row of it has more."""
    cells = table.columns[index]
    if not _is_column(spec):
        if table.read is from_values:
            return decode_one(list(cells), spec)
        raise InvalidInput(
            f"input {spec.name!r} takes {spec.dtype} {written(spec.shape or ())}, which is no column: send it as JSON"
        )
    rank = 2 if spec.shape is None else len(spec.shape)
    array = table.read(cells, DTYPES[spec.dtype], lambda row: table.place(row, index))
    return array.reshape((table.rows, *(1,) * (rank - 1)))


def _matrix(table: Table, spec: TensorSpec) -> Array:
    """All columns, in their order, as one input ``[N, C]``, or of more dimensions where those are fixed."""
    inner = _inner_shape(spec, len(table.columns))
    if inner is None or math.prod(inner) != len(table.columns):
        wanted = "" if inner is None else f": expected {math.prod(inner)} columns, found {len(table.columns)}"
        raise InvalidInput(
            f"input {spec.name!r} takes {spec.dtype} {written(spec.shape or ())}" + (wanted or ", which is no table")
        )
    cells = list(chain.from_iterable(table.columns))

    def place(index: int) -> str:
        column, row = divmod(index, table.rows)
        return table.place(row, column)

    flat = table.read(cells, DTYPES[spec.dtype], place)
    return np.ascontiguousarray(flat.reshape(len(table.columns), table.rows).T).reshape((table.rows, *inner))


def _inner_shape(spec: TensorSpec, columns: int) -> tuple[int, ...] | None:
    """The dimensions of a row of ``columns`` cells; None where it cannot be told."""
    if spec.shape is None:
        return (columns,)
    inner = [dim if isinstance(dim, int) else None for dim in spec.shape[1:]]
    if inner.count(None) > 1:
        return None
    if None in inner:
        rest = math.prod(dim for dim in inner if dim is not None)
        inner[inner.index(None)] = columns // max(rest, 1)
    return tuple(dim for dim in inner if dim is not None)


def _twice(names: Iterable[str]) -> str:
    counts = Counter(names)
    return max(counts, key=counts.__getitem__)


def _written_names(signature: Signature) -> str:
    named = [f"{spec.name!r} (optional)" if spec.optional else repr(spec.name) for spec in signature.inputs]
    more = f" and {len(named) - MOST_NAMES} more" if len(named) > MOST_NAMES else ""
    return ", ".join(named[:MOST_NAMES]) + more
