"""The threads that run the application. ``submit`` is called by the loop thread and by the pools' own threads."""

import logging
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol

from daemon.http.request import Request
from daemon.http.values import HttpError, IsQuick, IsSlow, Limits, never_quick, overloaded

LOG = logging.getLogger("modeldrop.http")

QUICK_BODY_BYTES = 16 << 10
"""What the loop may answer itself is no longer, whoever says that it is quick."""


class Work(Protocol):
    """What a pool runs: a connection with a request at its head."""

    def service(self) -> None:
        """Answer the request."""

    def discard(self) -> None:
        """Let go of the request unanswered."""


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """How busy a pool was a moment ago."""

    threads: int
    busy: int
    waiting: int


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


class Pools:
    """Two pools, so that a prediction never waits behind a deploy or a long poll. Thread-safe."""

    def __init__(self, limits: Limits, is_slow: IsSlow, is_quick: IsQuick = never_quick) -> None:
        self._is_slow = is_slow
        self._is_quick = is_quick
        self._ended: bool | None = None
        self.fast = Pool("request", threads=limits.threads, max_queue=limits.max_queue)
        self.slow = Pool("slow", threads=limits.slow_threads, max_queue=limits.max_slow_queue)

    def start(self) -> None:
        """Start both pools."""
        self.fast.start()
        self.slow.start()

    def is_needless(self, request: Request) -> bool:
        """Whether a whole ``request`` is better answered by whoever read it: the loop."""
        if request.chunked or request.content_length > QUICK_BODY_BYTES:
            return False
        try:
            return self._is_quick(request.command, request.path, request.content_length)
        except Exception:
            LOG.exception("whether a request is quick could not be told")
            return False

    def submit(self, work: Work, request: Request) -> HttpError | None:
        """Queue ``work`` where its ``request`` belongs; or return the answer that it gets instead."""
        pool = self.slow if self._takes_long(request) else self.fast
        return pool.submit(work)

    def stop(self, until: float) -> bool:
        """Stop both pools by ``until`` (monotonic); whether no thread was left behind. A second call does nothing."""
        if self._ended is None:
            self.fast.finish()
            self.slow.finish()  # before the first is waited for: it may take all the time there is
            self._ended = self.fast.join(until) & self.slow.join(until)  # both, whatever the first says
        return self._ended

    def _takes_long(self, request: Request) -> bool:
        try:
            return self._is_slow(request.command, request.path, request.query)
        except Exception:
            LOG.exception("whether a request is slow could not be told")
            return False
