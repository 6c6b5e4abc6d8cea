"""The JSON in which MLflow's clients ask for predictions, and SageMaker's: tensors, or tables as pandas has them.

Any thread, no state. The forms are those of MLflow's scoring server 2 and 3: an object with exactly one of ``inputs``,
``instances``, ``dataframe_split`` and ``dataframe_records``. SageMaker's containers take a bare list, too.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NoReturn

import orjson

from daemon.errors import InvalidInput, InvalidJson
from daemon.release import Signature
from daemon.runtime import Array, decoder_of, read_flat
from daemon.runtime.nesting import called
from daemon.runtime.tables import fitter_of, is_tabular
from daemon.web.answers import LARGE_BYTES
from daemon.web.guesses import seeming, seeming_file
from daemon.web.invoking.frames import columns_table, records_table, split_table

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
_NESTED = (list, dict)
_FEATURES = frozenset({"features"})
"""What SageMaker's own algorithms call a row, whatever the model's input is called."""


class Manner(Enum):
    """In which manner a request is answered in JSON: tensors in an object, rows in an object, or tensors bare."""

    TENSORS = "tensors"
    ROWS = "rows"
    BARE = "bare"


Scored = tuple[Mapping[str, Array], Manner]


def json_reader_of(signature: Signature) -> Callable[[bytes], Scored]:
    """A function from a body to the arrays by input that it has for ``signature``, and the manner of its answer.

    Raises InvalidJson or InvalidInput.
    """
    read_tensors = _tensor_reader_of(signature)
    fit = fitter_of(signature)

    def read(body: bytes) -> Scored:
        if len(body) >= LARGE_BYTES and b'"inputs"' in body[:32] and (plain := read_flat(body, signature)) is not None:
            return plain, Manner.TENSORS
        value = parsed(body)
        if type(value) is list:
            return read_tensors(value, "the body"), Manner.BARE
        form = _form_of(value)
        if form == "dataframe_split":
            return fit([split_table(value[form])]), Manner.ROWS
        if form == "dataframe_records":
            return fit([records_table(value[form], form)]), Manner.ROWS
        return read_tensors(value[form], form), Manner.TENSORS

    return read


def parsed(body: bytes) -> Any:
    """The JSON value that ``body`` is; Python's literal ``NaN``, which is none, is read as null. Raises InvalidJson."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body:
            hint = seeming(body, error) or seeming_file(body)
            raise InvalidJson(f"the body is not JSON: {error}{hint}") from None
    try:
        return json.loads(body.decode(), parse_int=_whole, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidJson(f"the body is not JSON: {error}") from None


def _tensor_reader_of(signature: Signature) -> Callable[[Any, str], Mapping[str, Array]]:
    """A function for the value of ``inputs``, ``instances`` or a bare list: tensors, or columns of plain values."""
    decode = decoder_of(signature)
    fit = fitter_of(signature)
    names = {spec.name for spec in signature.inputs}
    has_columns = is_tabular(signature)

    def read(value: Any, key: str) -> Mapping[str, Array]:
        if type(value) is list and value and type(value[0]) is dict:
            if value[0].keys() == _FEATURES and not names & _FEATURES:
                return decode(_stacked(value, key)["features"])
            if _is_flat(value[0]) and (has_columns or not names.issuperset(value[0])):
                return fit([records_table(value, key)])
            return decode(_stacked(value, key))
        if has_columns and type(value) is list:
            return fit([split_table({"data": value}, key)])
        if has_columns and type(value) is dict and value and all(map(_is_plain_list, value.values())):
            return fit([columns_table(value, key)])
        return decode(value)

    return read


def _form_of(value: Any) -> str:
    """Which of the forms an object has; other keys mean nothing, as in MLflow."""
    if type(value) is not dict:
        raise InvalidJson(f"the body is {called(value)} in JSON; expected an object or a list")
    found = [form for form in FORMS if form in value]
    if len(found) != 1:
        expected = "expected exactly one of 'inputs', 'instances', 'dataframe_split' and 'dataframe_records'"
        keys = found or list(value)[:10]
        raise InvalidInput(f"{expected}, found " + (", ".join(f"{key!r:.100}" for key in keys) or "an empty object"))
    if found == ["instances"] and type(value["instances"]) is not list:
        raise InvalidInput(f"instances: expected a list of rows, got {called(value['instances'])}")
    params = value.get("params")
    if params is not None and type(params) is not dict:
        raise InvalidInput(f"params: expected an object, got {called(params)}")
    return found[0]


def _stacked(rows: list[Any], key: str) -> dict[str, list[Any]]:
    """Objects by input as lists by input: rows as tensors whose first dimension they are."""
    first = rows[0]
    for number, row in enumerate(rows, 1):
        if type(row) is not dict or row.keys() != first.keys():
            wanted = ", ".join(f"{name!r:.100}" for name in list(first)[:10])
            raise InvalidInput(f"{key}: expected an object with {wanted or 'no keys'} for row {number}, as for row 1")
    return {name: [row[name] for row in rows] for name in first}


def _is_flat(row: dict[str, Any]) -> bool:
    return not any(type(cell) in _NESTED for cell in row.values())


def _is_plain_list(column: Any) -> bool:
    return type(column) is list and not any(type(cell) in _NESTED for cell in column)


def _whole(digits: str) -> int | float:
    """As many digits as 64 bits may need: more would take long to read, and fit no type."""
    return int(digits) if len(digits) <= 20 else float(digits)


def _constant(name: str) -> None:
    if name != "NaN":
        _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
