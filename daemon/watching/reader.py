"""Reads whole files for their digest beside the scan, piece by piece, so that no large file keeps a small one waiting.

The scanner's thread asks; the thread "reader" reads.
"""

import heapq
import itertools
import logging
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from hashlib import sha256

from daemon.errors import Rejected, SourceChanged
from daemon.intake.copying import CHUNK_BYTES, Part, expect_unchanged, filling_from, in_identity_order
from daemon.intake.members import open_regular

LOG = logging.getLogger("modeldrop.watcher")

STOP_SECONDS = 5.0
"""How long the end waits for the piece that is being read: a disk may be slow."""


class Task:
    """Files to be read, and their digest so far. Used by the reader's thread; ``future`` is for any thread.

    Who no longer wants the digest cancels ``future``; that is noticed between two pieces.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.future: Future[str | None] = Future()
        self.left_bytes = sum(seen.size for _, _, seen in parts)
        self._digest = sha256()
        self._pieces = _pieces(parts)

    def read_piece(self) -> bool:
        """Reads one piece more; False when there are no more, or nobody wants them."""
        if self.future.cancelled():
            return self._end(None)
        try:
            piece = next(self._pieces, None)
        except (OSError, Rejected, SourceChanged):
            return self._end(None)
        except Exception:  # whatever it is, the thread must outlive it
            LOG.exception("a file could not be read")
            return self._end(None)
        if piece is None:
            return self._end(self._digest.hexdigest() if self.left_bytes == 0 else None)
        self._digest.update(piece)
        self.left_bytes -= len(piece)
        return True

    def close(self) -> None:
        """Closes the file that is open, if one is."""
        self._pieces.close()

    def _end(self, digest: str | None) -> bool:
        self.close()
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(digest)
        return False


class Reader:
    """One thread, and the tasks that wait for it: the one with the fewest bytes left always gets the next piece.

    So a small file waits for one piece of a large one at most. Thread-safe; owned by the watcher, which starts and
    stops it. ``wake`` is called, on the reader's thread, when a digest is there.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int, Task]] = []  # a heap, guarded by _changed
        self._numbers = itertools.count()  # guarded by _changed
        self._stopping = False  # guarded by _changed
        self._thread = threading.Thread(target=self._work, name="reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        """Ends the thread after the piece that it reads; False when it will not end. What is not read stays unread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        return not self._thread.is_alive()

    def read(self, parts: Sequence[Part]) -> "Future[str | None]":
        """The identity of the files together; None when they cannot be read, or are not what was seen any more."""
        task = Task(parts)
        self._put(task)
        return task.future

    def _put(self, task: Task) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (task.left_bytes, next(self._numbers), task))
            self._changed.notify()

    def _work(self) -> None:
        while (task := self._take()) is not None:
            if task.read_piece():
                self._put(task)
            else:
                self._wake()
        with self._changed:
            for _, _, left in self._waiting:
                left.close()

    def _take(self) -> Task | None:
        """The task with the fewest bytes left; waits for one; None when it is time to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            return None if self._stopping else heapq.heappop(self._waiting)[-1]


def _pieces(parts: Sequence[Part]) -> Generator[memoryview, None, None]:
    """The bytes that make the identity; each piece is good until the next one is asked for.

    Raises OSError, Rejected, and SourceChanged where a file is not the one that was seen, before or after it was read.
    """
    largest = max(seen.size for _, _, seen in parts)
    buffer = memoryview(bytearray(max(1, min(CHUNK_BYTES, largest))))
    for _, path, seen in in_identity_order(parts):
        fd = open_regular(path)
        try:
            expect_unchanged(fd, path, seen)
            fill = filling_from(fd, seen.size)
            while count := fill(buffer):
                yield buffer[:count]
            expect_unchanged(fd, path, seen)
        finally:
            os.close(fd)
