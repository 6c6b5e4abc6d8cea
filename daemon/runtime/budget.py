"""One budget of cores for the runs of all models, so that several of them never get more threads than there are cores.

Any thread; first come, first served.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from daemon.errors import RunTimeout
from daemon.runtime.deadlines import spoken


class CoreBudget:
    """Lends ``cores``: to each run as many as its share is of those that are free and wanted. Thread-safe.

    Who finds too few waits, and those who come later behind it: so what needs many cores gets them in the end.
    """

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self._lock = threading.Lock()
        self._free = cores  # guarded by _lock
        self._waiting: deque[_Place] = deque()  # guarded by _lock; the first of them needs more than is free

    @contextmanager
    def claim(self, *widths: int, timeout_seconds: float) -> Iterator[int]:
        """How many cores a run has until the block ends: one of ``widths``, the widest first, or all that there are.

        The widest that leaves as many to each of those who wait behind it; the last is the least that it needs. Raises
        RunTimeout after ``timeout_seconds`` without them.
        """
        granted = self._take(_Place([min(width, self.cores) for width in widths]), timeout_seconds)
        try:
            yield granted
        finally:
            self._give_back(granted)

    def _take(self, place: "_Place", timeout_seconds: float) -> int:
        with self._lock:
            if not self._waiting and self._grant_locked(place, behind=0):
                return place.granted
            self._waiting.append(place)
        if place.called.acquire(timeout=min(timeout_seconds, threading.TIMEOUT_MAX)):
            return place.granted
        with self._lock:
            if not place.granted:
                self._waiting.remove(place)
                self._call_locked()  # who stood behind it may need less
                raise RunTimeout(f"the run found no free core within {spoken(timeout_seconds)}")
        return place.granted  # it was called in the last moment

    def _give_back(self, granted: int) -> None:
        with self._lock:
            self._free += granted
            self._call_locked()

    def _call_locked(self) -> None:
        while self._waiting and self._grant_locked(self._waiting[0], behind=len(self._waiting) - 1):
            self._waiting.popleft().called.release()

    def _grant_locked(self, place: "_Place", *, behind: int) -> bool:
        """Give ``place`` its share of what is free, ``behind`` it so many others, or the least; whether it got it."""
        share = self._free // (1 + behind)
        cores = next((width for width in place.widths if width <= share), place.widths[-1])
        if self._free < cores:
            return False
        place.granted = cores
        self._free -= cores
        return True


class _Place:
    """One that waits. ``called`` opens once ``granted`` is set."""

    __slots__ = ("called", "granted", "widths")

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = widths
        self.granted = 0
        self.called = threading.Lock()
        self.called.acquire()
