"""Times the stages of one deploy, for the breakdown that its event carries. Used by one thread at a time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Seconds by stage, in the order in which they ran; ``total`` runs from the start, ``settle`` included."""

    def __init__(self, *, settle_seconds: float = 0.0) -> None:
        self._started = time.perf_counter() - settle_seconds
        self._seconds: dict[str, float] = {"settle": settle_seconds}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time that its block takes to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - start

    def note(self, stage: str, seconds: float) -> None:
        """Adds what somebody else has timed to ``stage``; one whose name has a dot is a part of the one before it."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def breakdown(self) -> dict[str, float]:
        """``total`` first, then each stage; what lies between stages is in the total alone."""
        return {"total": time.perf_counter() - self._started, **self._seconds}
