"""Parts of answers that are sent from where they lie, without a copy of them.

What the socket does not take at once is held until it does. A thread that serves makes them; it and the loop send them.
"""

from threading import Lock
from typing import Any

from waitress.buffers import ReadOnlyFileBasedBuffer

HELD_BYTES = 128 << 20
"""So much in all is held for clients that are slow to read; what is beyond goes to the disk."""


class Room:
    """How much of one server's answers is held. Thread-safe."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._lock = Lock()
        self._free_bytes = held_bytes  # guarded by _lock

    def hold(self, data: bytes | memoryview) -> "Held | None":
        """``data``, to be sent from where it lies; None where there is no room for it."""
        with self._lock:
            if len(data) > self._free_bytes:
                return None
            self._free_bytes -= len(data)
        return Held(memoryview(data), self)

    def give_back(self, size: int) -> None:
        """So many bytes are held no more."""
        with self._lock:
            self._free_bytes += size

    @property
    def free_bytes(self) -> int:
        """For how many bytes there is room: a figure to show."""
        return self._free_bytes


class Held(ReadOnlyFileBasedBuffer):
    """Bytes that are to be sent, as waitress takes them; ``view`` has one byte an element. Under the channel's lock."""

    def __init__(self, view: memoryview, room: Room) -> None:
        self._view = view
        self._room = room
        self._size = self.remain = len(view)

    def get(self, numbytes: int = -1, skip: bool = False) -> Any:  # noqa: ARG002  # as waitress has it
        """All that is left, however much is asked for: the socket says what it takes."""
        return self._view[self._size - self.remain :]

    def skip(self, numbytes: int, allow_prune: int = 0) -> None:  # noqa: ARG002
        self.remain -= numbytes

    def close(self) -> None:
        """Let go of the bytes; a second call does nothing."""
        size, self._size, self.remain = self._size, 0, 0
        if size:
            self._view = memoryview(b"")
            self._room.give_back(size)
