"""BYTES tensors in binary: for each element its length, 4 bytes, the least significant first, then as many bytes.

As Triton's "Binary Tensor Data Extension" has it. Any thread, no state.
"""

import struct
from collections.abc import Iterable

import numpy as np

from daemon.errors import InvalidInput
from daemon.runtime import Array

_LENGTH = struct.Struct("<I")


def read_strings(data: bytes, count: int, name: str) -> Array:
    """The ``count`` strings that ``data`` holds for the input ``name``, an object array of one dimension.

    Raises InvalidInput unless they are exactly so many, in UTF-8.
    """
    if count * _LENGTH.size > len(data):
        raise InvalidInput(f"input {name!r}: expected {count} strings, each after its length, got {len(data)} bytes")
    strings = np.empty(count, object)
    place = 0
    for index in range(count):
        end = place + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, place)[0]
        if end > len(data):
            raise InvalidInput(f"input {name!r}: expected {count} strings, got bytes that end within string {index}")
        strings[index] = _text(data[place + _LENGTH.size : end], name, index)
        place = end
    if place != len(data):
        raise InvalidInput(f"input {name!r}: expected {count} strings, got {len(data) - place} bytes more")
    return strings


def text_of(data: bytes, name: str) -> Array:
    """The one string that ``data`` is, without a length before it; raises InvalidInput unless it is UTF-8."""
    return np.array([_text(data, name, 0)], object)


def write_strings(elements: Iterable[object]) -> bytes:
    """``elements``, strings or bytes, as they go over the wire."""
    written = bytearray()
    for element in elements:
        data = element if isinstance(element, bytes) else str(element).encode(errors="replace")
        written += _LENGTH.pack(len(data))
        written += data
    return bytes(written)


def _text(data: bytes, name: str, index: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"input {name!r}: expected strings that UTF-8 can carry, got {data!r:.80} as string {index}"
        ) from None
