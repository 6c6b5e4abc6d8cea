"""Threads that serve one queue. ``submit`` is called by the loop thread, ``submit_next`` by the pools' own, too."""

import logging
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol

from daemon.http.values import HttpError, overloaded

LOG = logging.getLogger("modeldrop.http")


class Work(Protocol):
    """What a pool's thread does."""

    def service(self) -> None:
        """Answer what is to be answered."""

    def discard(self) -> None:
        """Let go of it unanswered."""


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """How busy a pool was a moment ago; of those who wait, ``in_lines`` wait for others of their kind."""

    threads: int
    busy: int
    waiting: int
    in_lines: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a server was a moment ago."""

    connections: int
    fast: PoolLoad
    slow: PoolLoad


class Pool:
    """Threads ``NAME-0`` … that serve one queue. Thread-safe; whoever starts it stops it.

    ``queue.SimpleQueue`` is C: handing a request over costs a tenth of what waitress' condition variable does, and
    says nothing to the log about its depth.
    """

    def __init__(self, name: str, *, threads: int, max_queue: int) -> None:
        self._name = name
        self._max_queue = max_queue
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._working = [False] * threads  # each thread writes its own place
        self._threads = [
            Thread(target=self._serve, args=(place,), name=f"{name}-{place}", daemon=True) for place in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, work: Work) -> HttpError | None:
        """Queue ``work``; or return the answer that it gets instead, because too many wait before it."""
        waiting = self._queue.qsize()
        if waiting >= self._max_queue:
            return overloaded(waiting)
        self._queue.put(work)
        return None

    @property
    def queued(self) -> int:
        """How much waits for a thread."""
        return self._queue.qsize()

    @property
    def is_busy(self) -> bool:
        """Whether anything is being done, or waits to be."""
        return any(self._working) or not self._queue.empty()

    def submit_next(self, work: Work) -> None:
        """Queue ``work``, which was taken in already, however many wait before it."""
        self._queue.put(work)

    def finish(self) -> None:
        """Have the threads end when they have done what is queued."""
        for _ in self._threads:
            self._queue.put(None)

    def join(self, until: float) -> bool:
        """Wait for the end of the threads up to ``until`` (monotonic); whether all of them ended.

        What is queued past that is discarded; a thread that is stuck is left behind (it does not keep the process).
        """
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, until - time.monotonic()))
        self._discard_queued()
        stuck = [thread.name for thread in started if thread.is_alive()]
        if stuck:
            LOG.warning("still busy at the end of the drain, left behind: %s", ", ".join(stuck))
        return not stuck

    def load(self) -> PoolLoad:
        """Return how busy the pool is."""
        return PoolLoad(len(self._threads), sum(self._working), self._queue.qsize())

    def _discard_queued(self) -> None:
        stops = 0
        while True:
            try:
                work = self._queue.get_nowait()
            except Empty:
                break
            if work is None:
                stops += 1
            else:
                work.discard()
        for _ in range(stops):  # those left behind must still find their end
            self._queue.put(None)

    def _serve(self, place: int) -> None:
        while (work := self._queue.get()) is not None:
            self._working[place] = True
            try:
                work.service()
            except BaseException:
                LOG.exception("a connection failed while it was served")
            del work  # an idle thread keeps no connection alive
            self._working[place] = False
