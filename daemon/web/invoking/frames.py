"""Tables in the JSON forms that pandas writes, by column. Pure functions, any thread."""

from collections.abc import Sequence

from daemon.errors import InvalidInput
from daemon.runtime.columns import from_values
from daemon.runtime.nesting import called
from daemon.runtime.tables import Table

MOST_GAPS = 10
"""So many times what they hold may a list of records be as a table: else few bytes could become many cells."""
_SPLIT_KEYS = frozenset({"columns", "index", "data"})


def split_table(value: object, key: str = "dataframe_split") -> Table:
    """``{"columns"?: […], "index"?: […], "data": [[…], …]}``, as ``DataFrame.to_dict(orient="split")`` has it.

    Columns that are named by their number only, from 0 on, have no names. The index says nothing to a model. Raises
    InvalidInput with ``key``.
    """
    if not isinstance(value, dict):
        raise InvalidInput(f"{key}: expected an object with 'columns' and 'data', got {called(value)}")
    if unknown := [key for key in value if key not in _SPLIT_KEYS]:
        raise InvalidInput(f"{key}: unknown key {unknown[0]!r:.100}: expected 'columns', 'index' and 'data'")
    if "data" not in value:
        raise InvalidInput(f"{key}: expected a key 'data' with the rows, there is none")
    rows = _rows(value["data"], key)
    names = _names(value.get("columns"), key)
    width = len(names) if names is not None else (len(rows[0]) if rows else 0)
    _check_widths(rows, width, key)
    index = value.get("index")
    if index is not None and (not isinstance(index, list) or len(index) != len(rows)):
        raise InvalidInput(f"{key}: expected an index with {len(rows)} labels, one for each row")
    is_named = names is not None and list(names) != list(range(width))
    return Table(
        names=[_name(name, key) for name in names or ()] if is_named else None,
        columns=list(zip(*rows, strict=True)) if rows else [()] * width,
        rows=len(rows),
        read=from_values,
    )


def records_table(value: object, key: str = "dataframe_records") -> Table:
    """``[{"column": value, …}, …]``, as ``DataFrame.to_dict(orient="records")`` has it.

    A column that a record lacks has null there, if another record has it. Raises InvalidInput with ``key``.
    """
    if not isinstance(value, list):
        raise InvalidInput(f"{key}: expected a list of objects, one for each row, got {called(value)}")
    if not value:
        raise InvalidInput(f"{key}: expected at least one object, got an empty list")
    for number, record in enumerate(value, 1):
        if type(record) is not dict:
            raise InvalidInput(f"{key}: expected an object for row {number}, got {called(record)}")
    names = list(dict.fromkeys(name for record in value for name in record))
    if len(names) * len(value) > MOST_GAPS * sum(map(len, value)):
        raise InvalidInput(f"{key}: expected the same columns in all objects, got {len(names)} in {len(value)} objects")
    columns = [[record.get(name) for record in value] for name in names]
    return Table(names=names, columns=columns, rows=len(value), read=from_values)


def columns_table(value: dict[str, list[object]], key: str) -> Table:
    """``{"column": [value, …], …}``; raises InvalidInput with ``key`` where columns differ in length."""
    lengths = {name: len(column) for name, column in value.items()}
    rows = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != rows:
            first = next(iter(lengths))
            raise InvalidInput(
                f"{key}: expected columns of equal length, got {rows} in {first!r:.100}, {length} in {name!r:.100}"
            )
    return Table(names=list(value), columns=list(value.values()), rows=rows, read=from_values)


def _rows(data: object, key: str) -> list[list[object]]:
    if not isinstance(data, list):
        raise InvalidInput(f"{key}: expected a list of rows, got {called(data)}")
    if set(map(type, data)) <= {list}:
        return data
    number, odd = next((number, row) for number, row in enumerate(data, 1) if type(row) is not list)
    raise InvalidInput(f"{key}: expected a list for row {number}, got {called(odd)}")


def _names(columns: object, key: str) -> list[object] | None:
    if columns is not None and not isinstance(columns, list):
        raise InvalidInput(f"{key}: expected 'columns' to be a list of names, got {called(columns)}")
    return columns


def _name(name: object, key: str) -> str:
    if isinstance(name, str):
        return name
    if type(name) is int:
        return str(name)
    raise InvalidInput(f"{key}: expected the name of a column to be a string, got {called(name)}")


def _check_widths(rows: Sequence[Sequence[object]], width: int, key: str) -> None:
    if set(map(len, rows)) <= {width}:
        return
    number, odd = next((number, row) for number, row in enumerate(rows, 1) if len(row) != width)
    raise InvalidInput(f"{key}: expected {width} cells in row {number}, one for each column, got {len(odd)}")
