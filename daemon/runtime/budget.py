"""One budget of cores for the runs of all models, so that several of them never get more threads than there are cores.

Any thread; first come, first served.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.errors import RunTimeout


class CoreBudget:
    """Lends ``cores``: all that a run wants where they are free, else one. Who finds none waits. Thread-safe."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._lock = threading.Lock()
        self._free = cores  # guarded by _lock
        self._waiting: deque[_Place] = deque()  # guarded by _lock; none of them while a core is free

    @contextmanager
    def claim(self, wanted: int, *, timeout_seconds: float) -> Iterator[int]:
        """How many cores a run has until the block ends: ``wanted``, or as many as there are, or one.

        Raises RunTimeout after ``timeout_seconds`` without any.
        """
        wanted = max(1, min(wanted, self._cores))
        granted = self._take(wanted, timeout_seconds)
        try:
            yield granted
        finally:
            self._give_back(granted)

    def _take(self, wanted: int, timeout_seconds: float) -> int:
        with self._lock:
            if self._free:
                return self._grant_locked(wanted)
            place = _Place(wanted)
            self._waiting.append(place)
        if place.called.acquire(timeout=min(timeout_seconds, threading.TIMEOUT_MAX)):
            return place.granted
        with self._lock:
            if not place.granted:
                self._waiting.remove(place)
                raise RunTimeout(f"the run found no free core within {timeout_seconds:g} seconds")
        return place.granted  # it was called in the last moment

    def _give_back(self, granted: int) -> None:
        with self._lock:
            self._free += granted
            while self._free and self._waiting:
                place = self._waiting.popleft()
                place.granted = self._grant_locked(1 if self._waiting else place.wanted)
                place.called.release()

    def _grant_locked(self, wanted: int) -> int:
        granted = wanted if self._free >= wanted else 1
        self._free -= granted
        return granted


class _Place:
    """One that waits. ``called`` opens once ``granted`` is set."""

    __slots__ = ("called", "granted", "wanted")

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.granted = 0
        self.called = threading.Lock()
        self.called.acquire()
