"""Large JSON bodies straight to arrays, by simdjson: no Python object for each number. Any thread.

Only what is plainly right is read so: ``{"inputs": …}`` with rectangular lists of numbers. For everything else, and
for every mistake, there is the long way, whose sentence says what is wrong. 150,528 floats take 2.7 ms so, and 7.8 by
orjson and ``decode``; 256 take 10 µs, and 16 (measured).
"""

import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import simdjson

from daemon.release import Signature, TensorSpec
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.nesting import MAX_RANK

KEPT_BYTES = 1 << 20
"""A parser keeps some times as much memory as its longest text had; those for longer ones are not kept."""
_COUNTED = 0xFFFFFF
"""simdjson counts the elements of a list up to here."""
DENSE_BYTES = 300
"""What stands more often than once in so many bytes is counted; for less, one leap from each to the next costs less."""
_READ_AS = {
    **dict.fromkeys(("float64", "float32", "float16"), "d"),
    **dict.fromkeys(("int64", "int32", "int16", "int8", "uint32", "uint16", "uint8"), "i"),
}

_own = threading.local()


def read_flat(body: bytes, signature: Signature, *, key: str = "inputs") -> dict[str, Array] | None:
    """The arrays by name that ``decode`` would make of the value of ``key`` in the body, which has no other.

    None where that is not plain to see.
    """
    if not body.startswith(b"{"):
        return None
    try:
        return _read(parser_for(len(body)).parse(body), body, signature, key)
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError, UnicodeError):
        return None  # whatever is wrong, the long way says it


def has_just(times: int, byte: bytes, text: bytes) -> bool:
    """Whether ``byte`` stands so often in ``text``, no more and no less."""
    if times * DENSE_BYTES > len(text):
        return text.count(byte) == times
    at = -1
    for _ in range(times):
        at = text.find(byte, at + 1)
        if at < 0:
            return False
    return text.find(byte, at + 1) < 0


def parser_for(size_bytes: int) -> Any:
    """This thread's parser of a text of so many bytes; what came of the one before must have been let go."""
    if size_bytes > KEPT_BYTES:
        return simdjson.Parser()
    if not hasattr(_own, "parser"):
        _own.parser = simdjson.Parser()
    return _own.parser


def _read(document: Any, body: bytes, signature: Signature, key: str) -> dict[str, Array] | None:
    if list(document.keys()) != [key]:
        return None
    values = _by_name(document[key], signature)
    if values is None:
        return None
    specs = {spec.name: spec for spec in signature.inputs}
    lists = 0
    arrays: dict[str, Array] = {}
    for name, value in values.items():
        spec = specs[name]
        shape, inner = measured(value)
        array = None if shape is None or not _fits(shape, spec) else numbers(value, shape, spec.dtype)
        if array is None:
            return None
        lists += inner
        arrays[name] = array
    # Lists among the numbers of the innermost ones would have been flattened with them: so each list is accounted for,
    # and strings, which may hold brackets, are the keys alone.
    keys = 1 if isinstance(document[key], simdjson.Array) else 1 + len(values)
    is_plain = has_just(lists, b"[", body) and has_just(2 * keys, b'"', body)
    return arrays if is_plain else None


def _by_name(inputs: Any, signature: Signature) -> Mapping[str, Any] | None:
    required = {spec.name for spec in signature.inputs if not spec.optional}
    if isinstance(inputs, simdjson.Array):
        return {next(iter(required)): inputs} if len(required) == 1 else None
    names = list(inputs.keys())
    known = {spec.name for spec in signature.inputs}
    is_plain = len(set(names)) == len(names) and required <= set(names) <= known and not any("[" in n for n in names)
    return {name: inputs[name] for name in names} if is_plain else None


def measured(value: Any) -> tuple[tuple[int, ...] | None, int]:
    """The shape of nested lists, of which all of a level have one length, and how many lists they are; or None."""
    level: list[Any] = [value]
    shape: tuple[int, ...] = ()
    lists = 0
    while isinstance(level[0], simdjson.Array):
        length = len(level[0])
        if not 0 < length < _COUNTED or len(shape) == MAX_RANK or any(len(each) != length for each in level):
            return None, 0
        shape = (*shape, length)
        lists += len(level)
        if not isinstance(level[0][0], simdjson.Array):
            break
        level = [inner for each in level for inner in each]
    return (shape or None), lists


def numbers(value: Any, shape: tuple[int, ...], dtype: str) -> Array | None:
    """The array of ``shape`` that ``value``, as ``measured``, has for a ``dtype`` of the house's; None for a mistake.

    Lists and numbers on one level are taken for numbers: whoever calls this counts the lists.
    """
    kind = _READ_AS.get(dtype)
    if kind is None:
        return None
    flat = np.frombuffer(value.as_buffer(of_type=kind), np.float64 if kind == "d" else np.int64)
    if flat.size != math.prod(shape):
        return None
    with np.errstate(over="ignore"):
        array = flat.astype(DTYPES[dtype].numpy).reshape(shape)
    is_exact = bool(np.isfinite(array).all()) if kind == "d" else bool((array == flat.reshape(shape)).all())
    return array if is_exact else None


def _fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    if spec.shape is None:
        return True
    pairs = zip(spec.shape, shape, strict=False)
    return len(shape) == len(spec.shape) and all(not isinstance(dim, int) or dim == size for dim, size in pairs)
