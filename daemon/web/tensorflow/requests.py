"""Predict requests of TensorFlow Serving to arrays: row form, column form, base64. Entered by request threads.

Source: TensorFlow Serving's ``g3doc/api_rest.md``, and where that is silent, its ``util/json_tensor.cc``.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

import numpy as np

from daemon.errors import InvalidInput
from daemon.release import Signature, TensorSpec
from daemon.runtime import Array, decoder_of, read_flat
from daemon.runtime.nesting import Uneven, at, called, flatten
from daemon.web.answers import LARGE_BYTES, read_object

ROWS, COLUMNS = "instances", "inputs"
"""The keys of the two forms: a list with an element for each row, and whole tensors."""

_BEGINS_PLAIN = re.compile(rb'\{\s*"(?:(?P<rows>instances)"\s*:\s*\[|inputs"\s*:)')
_SPACE = re.compile(r"\s+")

Asking = tuple[str, Mapping[str, Array]]
"""The form of a request, ``ROWS`` or ``COLUMNS``, and its inputs by name."""


def request_reader(signature: Signature) -> Callable[[bytes], Asking]:
    """A function from a body to its form and the arrays that it has for the inputs of ``signature``.

    Raises InvalidJson or InvalidInput.
    """
    decode = decoder_of(signature)
    names = [spec.name for spec in signature.inputs]
    texts = _text_reader(signature)

    def read(body: bytes) -> Asking:
        if len(body) >= LARGE_BYTES and (begin := _BEGINS_PLAIN.match(body)) is not None:
            form = ROWS if begin["rows"] else COLUMNS
            if (arrays := read_flat(body, signature, key=form)) is not None:
                return form, arrays
        form, value = _form_of(read_object(body))
        given = _by_row(value) if form == ROWS else _by_column(value, names)
        return form, decode(texts(given) if texts is not None else given)

    return read


def rows_of(inputs: Mapping[str, Array]) -> int:
    """How many instances a request in row form has; raises InvalidInput where they give no input: they are no rows."""
    if not inputs:
        raise InvalidInput(
            f"{ROWS}: the instances have no inputs, so there are no rows: ask in column form, with 'inputs'"
        )
    return len(next(iter(inputs.values())))


def _form_of(request: Mapping[str, object]) -> tuple[str, object]:
    """The form of a request and its value; other keys are passed over, as TensorFlow Serving does."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidInput(f"signature_name: expected a string, got {called(name)}")
    if (ROWS in request) == (COLUMNS in request):
        found = "both" if ROWS in request else ", ".join(repr(key) for key in list(request)[:10]) or "an empty object"
        raise InvalidInput(f"expected one of the keys {ROWS!r} and {COLUMNS!r}, found {found:.300}")
    return (ROWS, request[ROWS]) if ROWS in request else (COLUMNS, request[COLUMNS])


def _by_column(value: object, names: Iterable[str]) -> object:
    """Inputs by name as far as the model has them, as TensorFlow Serving takes them; or the value of the only one."""
    if not isinstance(value, dict) or _is_base64(value):
        return value
    return {name: value[name] for name in names if name in value}


def _by_row(rows: object) -> object:
    """The rows of each input by name, where each row is an object; or the rows of the only one."""
    if not isinstance(rows, list) or not rows:
        got = "an empty one" if rows == [] else called(rows)
        raise InvalidInput(f"{ROWS}: expected a list with an element for each row, got {got}")
    if not _is_object(rows[0]):
        return rows
    names = rows[0].keys()
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InvalidInput(f"{ROWS}[{index}]: expected an object like the first, got {called(row)}")
        if row.keys() != names:
            raise InvalidInput(
                f"{ROWS}[{index}]: expected the inputs {_listed(names)} as in the first, got {_listed(row)}"
            )
    return {name: [row[name] for row in rows] for name in names}


def _listed(names: Iterable[str]) -> str:
    return f"{', '.join(repr(name) for name in list(names)[:20]) or 'none'}"[:300]


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Mapping[str, object]) -> bool:
    return value.keys() == {"b64"} and isinstance(value["b64"], str)


def _text_reader(signature: Signature) -> Callable[[object], object] | None:
    """A function that writes base64 out in what is given for inputs of strings; None where the model has none."""
    specs = {spec.name: spec for spec in signature.inputs if spec.dtype == "string"}
    if not specs:
        return None
    meant = [spec for spec in signature.inputs if not spec.optional] or signature.inputs
    only = specs.get(meant[0].name) if len(meant) == 1 else None

    def written_out(given: object) -> object:
        if isinstance(given, dict) and not _is_base64(given):
            return {name: _texts(value, specs[name]) if name in specs else value for name, value in given.items()}
        return given if only is None else _texts(given, only)

    return written_out


def _texts(value: object, spec: TensorSpec) -> object:
    """``value``, nested lists or one element, with texts in the place of base64 objects."""
    try:
        nest = flatten(value)
    except Uneven:
        return value  # which the decoder says
    if dict not in nest.kinds:
        return value
    texts = np.empty(len(nest.elements), object)
    for index, element in enumerate(nest.elements):
        place = at(index, nest.shape)
        texts[index] = _text(element["b64"], place, spec) if _is_coded(element) else element
    written: object = texts.reshape(nest.shape).tolist()
    return written


def _is_coded(element: object) -> TypeGuard[dict[str, str]]:
    return isinstance(element, dict) and _is_base64(element)


def _text(coded: str, place: str, spec: TensorSpec) -> str:
    """The text that base64, padded or not, holds: strings are UTF-8 in this house."""
    packed = _SPACE.sub("", coded)
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"input {spec.name!r}: expected base64 of text in UTF-8, got other bytes{place}") from None
    except (binascii.Error, ValueError):
        raise InvalidInput(f"input {spec.name!r}: expected base64, got {coded!r:.60}{place}") from None
