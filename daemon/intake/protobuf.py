"""Walking the fields of a protobuf message in a file, without reading what they hold; entered by the outline's caller.

The wire format is that of protobuf's "Encoding" page: a tag (field number and wire type) as a varint, then a varint, 4
or 8 fixed bytes, or a length and as many bytes. Groups, long deprecated, count as foreign.
"""

import os
from collections.abc import Iterator

VARINT = 0
_FIXED64 = 1
LENGTH_DELIMITED = 2
_FIXED32 = 5

_WINDOW_BYTES = 32 << 10
_SEARCH_BYTES = 256 << 10
_LONGEST_HEAD_BYTES = 20
"""A tag and a length, each a varint of at most 10 bytes."""

_HIGHEST_FIELD = (1 << 29) - 1
_LONGEST_FIELD_BYTES = 1 << 31
"""Protobuf takes no message of 2 GiB, and so no field."""

MOST_FIELDS = 5_000_000

Span = tuple[int, int]
"""Where a field's content begins and ends in the file."""

Field = tuple[int, int, int, int]
"""Field number, wire type, and the span of the content: a plain tuple, as there are hundreds of thousands."""


class Cut(Exception):
    """The bytes so far may be the start of a message; more are to come."""


class Alien(Exception):
    """The bytes can never be a message of the expected kind."""


class Fields:
    """One pass over the fields of a file of ``size`` bytes; for one thread. ``fd`` stays its owner's."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size
        self._base = 0
        self._window = b""
        self._count = 0
        self._searched_from = 0
        self._searched_to = 0
        self._hit = False

    def within(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message at ``start`` to ``end``.

        Raises Cut where the file ends first or has zeros where a field should begin, Alien for what no protobuf
        writer makes.
        """
        position = start
        while position < end:
            number, wire, content, position = self._field_at(position, end)
            yield number, wire, content, position

    def varint_at(self, position: int) -> int:
        """The value of a varint field whose content is at ``position``."""
        return _varint(self._window, self._index(position))[0]

    def read(self, start: int, end: int) -> bytes:
        """The bytes of a field that is known to be short."""
        return os.pread(self._fd, end - start, start)

    def mentions(self, word: bytes, start: int, end: int) -> bool:
        """Whether ``word`` occurs between ``start`` and ``end``; asked of rising places, it reads no byte twice."""
        if self._base <= start and end <= self._base + len(self._window):
            return self._window.find(word, start - self._base, end - self._base) >= 0
        if not self._searched_from <= start <= self._searched_to:
            self._searched_from = self._searched_to = start
            self._hit = False
        while not self._hit and self._searched_to + len(word) <= end:
            chunk = os.pread(self._fd, min(_SEARCH_BYTES, end - self._searched_to), self._searched_to)
            if len(chunk) < len(word):
                raise Cut("ends inside a field: it became shorter")
            place = chunk.find(word)
            self._hit = place >= 0
            self._searched_to += place if self._hit else len(chunk) - len(word) + 1
        return self._hit and self._searched_to + len(word) <= end

    def _field_at(self, position: int, end: int) -> Field:
        """Number, wire type, start of the content and end of the field at ``position``."""
        self._count += 1
        if self._count > MOST_FIELDS:
            raise Alien(f"more than {MOST_FIELDS} fields")
        index = self._index(position)
        try:
            tag, after = _varint(self._window, index)
            if tag == 0:
                raise Cut(f"zeros where a field should begin (byte {position})")
            number, wire = tag >> 3, tag & 7
            if not 0 < number <= _HIGHEST_FIELD:
                raise Alien(f"field number {number} at byte {position}")
            length, after = self._length(wire, after, position)
        except IndexError:
            raise Cut(f"ends inside a field (begun at byte {position})") from None
        content = position + after - index
        if content + length > end:
            self._refuse_overrun(number, content + length, end)
        return number, wire, content, content + length

    def _length(self, wire: int, after: int, position: int) -> tuple[int, int]:
        """Length of a field's content, and where in the window it begins."""
        if wire == LENGTH_DELIMITED:
            length, after = _varint(self._window, after)
            if length >= _LONGEST_FIELD_BYTES:
                raise Alien(f"a field of {length} bytes at byte {position}, expected less than 2 GiB")
            return length, after
        if wire == VARINT:
            return _varint(self._window, after)[1] - after, after
        if wire == _FIXED32:
            return 4, after
        if wire == _FIXED64:
            return 8, after
        raise Alien(f"wire type {wire} at byte {position}")

    def _refuse_overrun(self, number: int, field_end: int, end: int) -> None:
        if field_end > self._size:
            raise Cut(f"ends inside a field ({self._size} of at least {field_end} bytes)")
        raise Alien(f"field {number} runs {field_end - end} bytes past the message that holds it")

    def _index(self, position: int) -> int:
        """Where ``position`` is in the window, which then holds a whole head from there or the end of the file."""
        index = position - self._base
        if 0 <= index <= len(self._window) - _LONGEST_HEAD_BYTES:
            return index
        if index < 0 or self._base + len(self._window) < self._size:
            self._window = os.pread(self._fd, _WINDOW_BYTES, position)
            self._base = position
            return 0
        return index


def _varint(window: bytes, index: int) -> tuple[int, int]:
    """The varint at ``index`` and the index after it. Raises IndexError where the window ends first."""
    byte = window[index]
    if byte < 0x80:
        return byte, index + 1
    value = byte & 0x7F
    for shift in range(7, 70, 7):
        index += 1
        byte = window[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, index + 1
    raise Alien("a number of more than 10 bytes")
