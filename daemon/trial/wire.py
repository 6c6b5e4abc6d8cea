"""Messages between the daemon and a trial's process: JSON, and after it the bytes of the arrays in it.

Entered by the deployer's thread on one side, by the trial's on the other. Nothing that arrives is ever executed or
unpickled, and every length is bounded before memory is taken for it: the other side may be a model gone wild.

A message is the length of its JSON (8 bytes, big-endian), the JSON ``{"blobs": [lengths], "value": …}``, and the blobs.
In the value an array stands as ``{"array": [dtype, shape, blob]}``, one of strings as ``{"strings": [shape, lengths,
texts]}``, two blobs with the bytes of each in UTF-8 and how many these are, and a mapping, whose keys may be numbers,
as ``{"map": [[key, value], …]}``.
"""

import json
import math
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from daemon.runtime import Array

MOST_JSON_BYTES = 32 << 20
MOST_BLOB_BYTES = 1 << 30
"""Of all arrays in one message."""
TICK_SECONDS = 0.02
"""How often whoever waits looks after other things meanwhile."""

_HEAD = struct.Struct(">Q")
_DTYPES = frozenset("?bBhHiIlLqQefd")


class Closed(Exception):
    """The other side closed its end, or is gone."""


class Late(Exception):
    """The message was not there in time."""


class Nonsense(Exception):
    """What came is no message."""


class Oversized(Exception):
    """What is to be sent is more than a message may hold; nothing of it was sent."""


def nothing() -> None:
    """Has nothing to look after meanwhile."""


class Wire:
    """One end of a connected stream socket, which it owns; for one thread, but for ``close``.

    ``meanwhile`` is called now and then while a message is waited for, and may raise to end the wait.
    """

    def __init__(self, sock: socket.socket, meanwhile: Callable[[], None] = nothing) -> None:
        self._sock = sock
        self._meanwhile = meanwhile
        sock.setblocking(False)

    def send(self, value: object, *, seconds: float = math.inf) -> None:
        """Send one message; raises Oversized, Closed, or Late where it is not taken within ``seconds``."""
        blobs: list[memoryview] = []
        packed = _packed(value, blobs)
        text = json.dumps({"blobs": [len(blob) for blob in blobs], "value": packed}, separators=(",", ":")).encode()
        if len(text) > MOST_JSON_BYTES or sum(map(len, blobs)) > MOST_BLOB_BYTES:
            raise Oversized(f"a message of {len(text) + sum(map(len, blobs))} bytes")
        due = time.monotonic() + seconds
        for piece in (memoryview(_HEAD.pack(len(text)) + text), *blobs):
            self._push(piece, due)

    def receive(self, *, seconds: float = math.inf) -> Any:
        """The next message's value; raises Closed, Nonsense, or Late where none is there within ``seconds``."""
        due = time.monotonic() + seconds
        (length,) = _HEAD.unpack(self._pull(_HEAD.size, due))
        if length > MOST_JSON_BYTES:
            raise Nonsense(f"a message of {length} bytes")
        try:
            message = json.loads(self._pull(length, due).decode())
            lengths = [int(each) for each in message["blobs"]]
            if any(each < 0 for each in lengths) or sum(lengths) > MOST_BLOB_BYTES:
                raise Nonsense(f"arrays of {sum(lengths)} bytes")
            return _unpacked(message["value"], [self._pull(each, due) for each in lengths])
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            raise Nonsense(f"a message that cannot be read: {type(error).__name__}") from error

    def close(self) -> None:
        """Close this end; any thread, as often as one likes."""
        self._sock.close()

    def _push(self, piece: memoryview, due: float) -> None:
        while piece:
            try:
                piece = piece[self._sock.send(piece, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, due)
            except OSError as error:
                raise Closed from error

    def _pull(self, length: int, due: float) -> bytearray:
        buffer = bytearray(length)
        view, filled = memoryview(buffer), 0
        while filled < length:
            try:
                count = self._sock.recv_into(view[filled:])
            except BlockingIOError:
                self._wait(select.POLLIN, due)
                continue
            except OSError as error:
                raise Closed from error
            if not count:
                raise Closed
            filled += count
        return buffer

    def _wait(self, what: int, due: float) -> None:
        poll = select.poll()
        poll.register(self._sock, what)
        while True:
            left = due - time.monotonic()
            if poll.poll(max(0.0, min(left, TICK_SECONDS)) * 1e3):  # whatever took the time meanwhile, it may be there
                return
            if left <= 0:
                raise Late
            self._meanwhile()


def _packed(value: object, blobs: list[memoryview]) -> object:
    if isinstance(value, np.ndarray):
        return _packed_array(value, blobs)
    if isinstance(value, dict):
        return {"map": [[_packed(key, blobs), _packed(item, blobs)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(item, blobs) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value


def _packed_array(array: Array, blobs: list[memoryview]) -> object:
    if array.dtype.kind in "OSU":
        return {"strings": [list(array.shape), *_packed_texts(array.ravel().tolist(), blobs)]}
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    blobs.append(memoryview(native.reshape(-1).view(np.uint8)) if native.size else memoryview(b""))  # type: ignore[arg-type]
    return {"array": [native.dtype.char, list(array.shape), len(blobs) - 1]}


def _packed_texts(texts: Sequence[object], blobs: list[memoryview]) -> list[int]:
    encoded = [text if isinstance(text, bytes) else str(text).encode(errors="replace") for text in texts]
    lengths = np.array([len(each) for each in encoded], np.uint32)
    blobs += [memoryview(lengths.tobytes()), memoryview(b"".join(encoded))]
    return [len(blobs) - 2, len(blobs) - 1]


def _unpacked(value: Any, blobs: Sequence[bytearray]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, blobs) for item in value]
    if not isinstance(value, dict):
        return value
    if "map" in value:
        return {_unpacked(key, blobs): _unpacked(item, blobs) for key, item in value["map"]}
    if "strings" in value:
        shape, lengths, texts = value["strings"]
        return _unpacked_texts(np.frombuffer(blobs[lengths], np.uint32), blobs[texts]).reshape(shape)
    char, shape, number = value["array"]
    if char not in _DTYPES:
        raise Nonsense(f"an array of type {char!r:.20}")
    return np.frombuffer(blobs[number], dtype=np.dtype(char)).reshape(shape)


def _unpacked_texts(lengths: Array, texts: bytearray) -> Array:
    ends = np.cumsum(lengths, dtype=np.int64)
    if len(texts) != (ends[-1] if len(ends) else 0):
        raise Nonsense("strings of other lengths than are told")
    strings = np.empty(len(lengths), dtype=object)
    strings[:] = [texts[end - length : end].decode(errors="replace") for end, length in zip(ends, lengths, strict=True)]
    return strings
