"""Parts of answers that are sent from where they lie, without a copy of them.

What the socket does not take at once is held until it does. A thread that serves makes them, it and the loop send them,
and the loop copies what is held for long: a tensor keeps alive all that its model's session has allocated for runs.
"""

import time
from threading import Lock
from typing import Any

from waitress.buffers import ReadOnlyFileBasedBuffer

HELD_BYTES = 128 << 20
"""So much in all is held for clients that are slow to read; what is beyond goes to the disk."""
HELD_SECONDS = 1.0
"""A part that is held for longer is copied."""
COPIED_AT_ONCE_BYTES = 16 << 20
"""So much, and a part more, is copied at one look: the loop waits for it."""


class Room:
    """How much of one server's answers is held. Thread-safe."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._lock = Lock()
        self._free_bytes = held_bytes  # guarded by _lock
        self._held: dict[int, Held] = {}  # guarded by _lock; by identity, those that were not copied, eldest first

    def hold(self, data: bytes | memoryview) -> "Held | None":
        """``data``, to be sent from where it lies; None where there is no room for it."""
        with self._lock:
            if len(data) > self._free_bytes:
                return None
            self._free_bytes -= len(data)
            held = Held(memoryview(data), self)
            self._held[id(held)] = held
            return held

    def look(self, now: float) -> None:
        """Copy what is held for long; ``now`` is ``time.monotonic()``. For the loop's thread."""
        copied = 0
        while copied < COPIED_AT_ONCE_BYTES:
            with self._lock:
                held = next(iter(self._held.values()), None)
                if held is None or now - held.since < HELD_SECONDS:
                    return
                del self._held[id(held)]
            copied += held.copy()

    def give_back(self, held: "Held", size: int) -> None:
        """So many bytes are held no more."""
        with self._lock:
            self._held.pop(id(held), None)
            self._free_bytes += size

    @property
    def free_bytes(self) -> int:
        """For how many bytes there is room: a figure to show."""
        return self._free_bytes


class Held(ReadOnlyFileBasedBuffer):
    """Bytes that are to be sent, as waitress takes them; ``view`` has one byte an element.

    Under the channel's lock, but for ``copy``, which may come at any moment.
    """

    def __init__(self, view: memoryview, room: Room) -> None:
        self._room = room
        self._size = self.remain = len(view)
        self._tail = (view, len(view))  # replaced at once: what is left is its last ``remain`` bytes
        self.since = time.monotonic()

    def get(self, numbytes: int = -1, skip: bool = False) -> Any:  # noqa: ARG002  # as waitress has it
        """All that is left, however much is asked for: the socket says what it takes."""
        view, size = self._tail
        return view[size - self.remain :]

    def skip(self, numbytes: int, allow_prune: int = 0) -> None:  # noqa: ARG002
        self.remain -= numbytes

    def copy(self) -> int:
        """Let go of what the bytes are a part of, and hold a copy of the rest; how many bytes that are."""
        (view, size), left = self._tail, self.remain
        self._tail = (memoryview(bytes(view[size - left :])), left)
        return left

    def close(self) -> None:
        """Let go of the bytes; a second call does nothing."""
        size, self._size, self.remain = self._size, 0, 0
        if size:
            self._tail = (memoryview(b""), 0)
            self._room.give_back(self, size)
