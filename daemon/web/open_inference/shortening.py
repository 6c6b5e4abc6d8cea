"""JSON of any size made small: its long strings are left where they are, and only their places are kept.

Entered by request threads. A body that brings a model as base64 is larger than the model: it is gone through on the
disk, piece by piece, and never is in memory as a whole.
"""

import re
import secrets
from dataclasses import dataclass
from typing import BinaryIO, cast

from daemon.errors import InvalidJson, TooLarge

PIECE_BYTES = 256 << 10
"""Gone through at once, in less than a millisecond: requests wait for the interpreter lock meanwhile."""
LONG_BYTES = 64 << 10
"""A string of more bytes is long."""
MOST_KEPT_BYTES = 1 << 20
"""So much of a text may be left when its long strings are out of it."""

_OUTSIDE = -1
_IN_A_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Span:
    """A long string's place in the stream: from ``start`` to ``end``, the quotes not counted."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """JSON with other, short strings in the place of its long ones: ``spans`` has those by what stands for them."""

    text: bytes
    spans: dict[str, Span]


def shorten(stream: BinaryIO, *, limit_bytes: int) -> Shortened:
    """Goes through all of ``stream``, from its beginning on, in which nothing but strings is looked at.

    Raises TooLarge beyond ``limit_bytes``, or where more than ``MOST_KEPT_BYTES`` are left; InvalidJson where a string
    does not end.
    """
    walk = _Walk()
    stream.seek(0)
    while piece := stream.read(PIECE_BYTES):
        walk.take(piece)
        if walk.taken > limit_bytes:
            raise TooLarge(f"the body has more than {limit_bytes} bytes; no more are taken (server.max_upload_mb)")
        if len(walk.kept) > MOST_KEPT_BYTES:
            raise TooLarge(f"the body has more than {MOST_KEPT_BYTES} bytes beside its files")
    if walk.is_in_string:
        raise InvalidJson("the body is not JSON: it ends within a string; expected an object")
    return Shortened(bytes(walk.kept), walk.spans)


class _Walk:
    """How far a text was gone through. For one thread."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.spans: dict[str, Span] = {}
        self.taken = 0
        self._token = secrets.token_hex(16)  # so that no text can hold what stands for one of its strings
        self._rest = b""  # a backslash whose character is still to come
        self._start = _OUTSIDE  # of the string that is gone through
        self._mark = 0  # where that one begins in what is kept

    @property
    def is_in_string(self) -> bool:
        return self._start != _OUTSIDE

    def take(self, piece: bytes) -> None:
        """Goes through the next bytes."""
        buffer = self._rest + piece
        base = self.taken - len(self._rest)
        self.taken += len(piece)
        self._rest = b""
        position = 0
        while position < len(buffer):
            step = self._inside if self.is_in_string else self._outside
            position = step(buffer, position, base)

    def _outside(self, buffer: bytes, position: int, base: int) -> int:
        quote = buffer.find(b'"', position)
        end = len(buffer) if quote < 0 else quote + 1
        self.kept += buffer[position:end]
        if quote >= 0:
            self._start, self._mark = base + end, len(self.kept)
        return end

    def _inside(self, buffer: bytes, position: int, base: int) -> int:
        end = _end_of_string(buffer, position)
        self._keep(buffer, position, end, is_long=base + end - self._start > LONG_BYTES)
        if end == len(buffer):
            return end
        if buffer.startswith(b"\\", end):  # the piece ends between it and its character
            self._rest = b"\\"
            return len(buffer)
        self._close(base + end)
        return end + 1

    def _keep(self, buffer: bytes, position: int, end: int, *, is_long: bool) -> None:
        if is_long:
            del self.kept[self._mark :]
        else:
            self.kept += buffer[position:end]

    def _close(self, end: int) -> None:
        if end - self._start > LONG_BYTES:
            name = f"{self._token}:{len(self.spans)}"
            self.spans[name] = Span(self._start, end)
            self.kept += name.encode()
        self.kept += b'"'
        self._start = _OUTSIDE


def _end_of_string(buffer: bytes, position: int) -> int:
    """Where the string around ``position`` ends, at a quote, or what is there of it, perhaps within an escape."""
    quote = buffer.find(b'"', position)
    end = len(buffer) if quote < 0 else quote
    if buffer.find(b"\\", position, end) < 0:  # by far the most, and quickly seen
        return end
    return cast("re.Match[bytes]", _IN_A_STRING.match(buffer, position)).end()  # an empty match at least
