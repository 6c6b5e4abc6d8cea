"""Large JSON requests by simdjson: tensors of numbers straight to arrays, no Python object for each. Any thread.

Only what is plainly right is read so; for everything else, and for every mistake, there is the long way, whose sentence
says what is wrong.
"""

from collections.abc import Mapping
from typing import Any

import simdjson

from daemon.runtime.flat_json import has_just, measured, numbers, parser_for


def read_large(body: bytes, dtypes: Mapping[str, str]) -> dict[str, Any] | None:
    """The object that ``body`` holds, with arrays for the ``data`` of its inputs; None where that is not plain to see.

    ``dtypes`` has the house's name by input. An array has the shape that the lists of its ``data`` have.
    """
    if not body.startswith(b"{"):
        return None
    try:
        return _read(parser_for(len(body)).parse(body), body, dtypes)
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError, UnicodeError):
        return None


def _read(document: Any, body: bytes, dtypes: Mapping[str, str]) -> dict[str, Any] | None:
    request = _plain(document, but="inputs")
    lists = 1 + _lists_in(request)
    entries = []
    for each in document["inputs"]:
        entry = _plain(each, but="data")
        shape, inner = measured(each["data"])
        array = None if shape is None else numbers(each["data"], shape, dtypes[entry["name"]])
        if array is None:
            return None
        entries.append({**entry, "data": array})
        lists += _lists_in(entry) + inner
    # Lists among the numbers of the innermost ones would have been flattened with them: so each list is accounted for,
    # and a text with a bracket in it is not plain.
    return {**request, "inputs": entries} if has_just(lists, b"[", body) else None


def _plain(found: Any, *, but: str) -> dict[str, Any]:
    """An object's members but one, as Python has them; raises ValueError where two have one name."""
    names = list(found.keys())
    if len(set(names)) != len(names):
        raise ValueError("two members have one name")
    return {name: _value(found[name]) for name in names if name != but}


def _lists_in(value: Any) -> int:
    """How many lists a value is made of; raises RecursionError where it is too deep to say."""
    if isinstance(value, dict):
        return sum(map(_lists_in, value.values()))
    return 1 + sum(map(_lists_in, value)) if isinstance(value, list) else 0


def _value(value: Any) -> Any:
    if isinstance(value, simdjson.Array):
        return value.as_list()
    return value.as_dict() if isinstance(value, simdjson.Object) else value
