"""One budget of cores for the runs of all models, so that several of them never get more threads than there are cores.

Any thread; first come, first served.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.errors import RunTimeout
from daemon.runtime.deadlines import spoken


class CoreBudget:
    """Lends ``cores``: all that a run wants where they are free, else the least that will do. Thread-safe.

    Who finds fewer waits, and those who come later behind it: so what needs many cores gets them in the end.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._lock = threading.Lock()
        self._free = cores  # guarded by _lock
        self._waiting: deque[_Place] = deque()  # guarded by _lock; none of them while a core is free

    @contextmanager
    def claim(self, wanted: int, *, least: int = 1, timeout_seconds: float) -> Iterator[int]:
        """How many cores a run has until the block ends: ``wanted``, or ``least``, neither more than there are.

        Raises RunTimeout after ``timeout_seconds`` without them.
        """
        granted = self._take(_Place(min(wanted, self._cores), min(least, self._cores)), timeout_seconds)
        try:
            yield granted
        finally:
            self._give_back(granted)

    def _take(self, place: "_Place", timeout_seconds: float) -> int:
        with self._lock:
            if not self._waiting and self._grant_locked(place, alone=True):
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
        while self._waiting and self._grant_locked(self._waiting[0], alone=len(self._waiting) == 1):
            self._waiting.popleft().called.release()

    def _grant_locked(self, place: "_Place", *, alone: bool) -> bool:
        """Give ``place`` what it wants where that is free and nobody else waits, else the least; whether it got it."""
        cores = place.wanted if alone and self._free >= place.wanted else place.least
        if self._free < cores:
            return False
        place.granted = cores
        self._free -= cores
        return True


class _Place:
    """One that waits. ``called`` opens once ``granted`` is set."""

    __slots__ = ("called", "granted", "least", "wanted")

    def __init__(self, wanted: int, least: int) -> None:
        self.wanted = max(1, wanted)
        self.least = max(1, min(least, self.wanted))
        self.granted = 0
        self.called = threading.Lock()
        self.called.acquire()
