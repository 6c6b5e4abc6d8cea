"""The second front as a server: granian's workers, the pools, the clock, and a drain.

``run`` is entered by the main thread alone; ``begin_drain`` and ``load`` by any.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import socket
from wsgiref.types import WSGIApplication

from daemon.http.loans import Loans
from daemon.http.pool import Load
from daemon.http.pools import Pools
from daemon.http.sockets import affordable
from daemon.http.spool import Spool
from daemon.http.terms import Terms
from daemon.http.values import (
    NO_GROUPS,
    Expected,
    Grouping,
    Guard,
    IsSlow,
    Limits,
    OnRefusal,
    ignore_refusal,
    nobody_knows,
)
from daemon.native.desk import Desk
from daemon.native.sweep import Sweep, until_true
from daemon.native.worker import Worker

LOG = logging.getLogger("modeldrop.http")

TURN_SECONDS = 1.0
CROWDED_TURN_SECONDS = 0.05
"""How often a full server looks whether one of its connections has become idle."""
DRAIN_TURN_SECONDS = 0.02
STOP_SECONDS = 0.2
"""What threads whose connections were cut get to notice it."""


class NativeServer:
    """Serves one WSGI application on sockets that already listen, until it is drained. It runs once.

    The same as ``daemon.server.Server`` from outside: it owns the sockets from its construction on, ``run`` closes them
    at its end, ``close`` does for a server that never ran. ``guard`` and what is quick run on granian's thread and may
    not block. ``spool_dir`` must exist. What ``grouping`` says of may be answered together.
    ``on_refusal`` hears of what is answered here.
    """

    def __init__(
        self,
        app: WSGIApplication,
        sockets: Sequence[socket],
        limits: Limits,
        guard: Guard,
        is_slow: IsSlow,
        spool_dir: Path,
        expected_seconds: Expected = nobody_knows,
        grouping: Grouping = NO_GROUPS,
        on_refusal: OnRefusal = ignore_refusal,
    ) -> None:
        self._limits = limits
        self._pools = Pools(limits, is_slow, expected_seconds, grouping)
        self._spool = Spool(spool_dir, limits.spool_bytes, Loans(limits.lent_bytes, limits.largest_loan_bytes))
        self._desk = Desk(app, Terms(limits, guard, self._spool, on_refusal=on_refusal), self._pools)
        self._bell: SimpleQueue[None] = SimpleQueue()  # which a signal handler may ring, wherever it comes in between
        self._workers = [Worker(sock, self._desk, self._ring) for sock in sockets]
        self._sweep = Sweep(self._desk, self._workers, limits)
        self._connection_limit = limits.connection_limit
        self._drain_asked = False
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """What clients connect to: ``http://HOST:PORT`` or ``unix:PATH``, the ports as they came to be."""
        return tuple(worker.url for worker in self._workers)

    def run(self) -> bool:
        """Serve until ``begin_drain``, then drain; whether everything that was begun was answered.

        Raises StartupError where granian does not begin.
        """
        self._connection_limit = affordable(self._limits.connection_limit)
        try:
            self._pools.start()
            self._spool.start()
            for worker in self._workers:
                worker.start(self._connection_limit)
            self._serve()
            return self._drain()
        finally:
            self.close()

    def begin_drain(self) -> None:
        """Have ``run`` take nothing new, answer what was begun and return. For any thread and for signal handlers."""
        self._desk.draining = True  # from here on an answer ends its connection; granian's thread may be at one
        self._drain_asked = True
        self._ring()

    def load(self) -> Load:
        """Return how busy the server is."""
        return Load(self._sweep.count(), *self._pools.loads())

    def close(self) -> None:
        """Close what is open; ``run`` does so itself. Not while ``run`` runs."""
        if self._closed:
            return
        self._closed = True
        for worker in self._workers:
            worker.close()
        self._sweep.cut_all()
        self._pools.stop(time.monotonic() + STOP_SECONDS)
        self._spool.stop(time.monotonic() + STOP_SECONDS)
        for worker in self._workers:
            worker.join(time.monotonic() + STOP_SECONDS)

    def _serve(self) -> None:
        turn = TURN_SECONDS
        while not self._drain_asked:
            self._rest(turn)
            self._look()
            # granian accepts at once whom it has room for: who still waits at a second look finds the server full.
            somebody_waits = self._somebody_waits()
            if somebody_waits and turn == CROWDED_TURN_SECONDS:
                self._sweep.make_room(self._connection_limit)
            turn = CROWDED_TURN_SECONDS if somebody_waits else TURN_SECONDS

    def _drain(self) -> bool:
        """Answer what was begun, then close every connection; whether nothing had to be cut at ``drain_seconds``."""
        began = time.monotonic()
        until = began + self._limits.drain_seconds
        for worker in self._workers:
            worker.turn_away()
        accepted = self._wait(self._all_accepted, until)
        for worker in self._workers:
            worker.stop_listening()
        self._wait(lambda: not self._sweep.count(), min(until, began + self._limits.grace_seconds))
        # granian closes at once what is idle to it, which is all of which it has read no whole head.
        self._wait(self._sweep.is_quiet, until)
        for worker in self._workers:
            worker.let_go()
        last = max(until, time.monotonic() + STOP_SECONDS)
        ended = self._wait(lambda: all(worker.has_ended for worker in self._workers), last)
        self._sweep.cut_all()
        stopped = self._pools.stop(max(until, time.monotonic() + STOP_SECONDS))
        return accepted and ended and stopped

    def _somebody_waits(self) -> bool:
        return any(worker.waiting for worker in self._workers)

    def _all_accepted(self) -> bool:
        """Whether nobody waits any more; if somebody does for want of room, idle ones make it."""
        if not self._somebody_waits():
            return True
        self._sweep.make_room(self._connection_limit)
        return False

    def _wait(self, true: Callable[[], bool], until: float) -> bool:
        def rest(seconds: float) -> None:
            self._rest(seconds)
            self._look()

        return until_true(true, until, rest, DRAIN_TURN_SECONDS)

    def _look(self) -> None:
        """Have clients go that have to; the server outlives what fails at that."""
        try:
            self._sweep.look(time.monotonic())
        except Exception:
            LOG.exception("the connections could not be looked at")

    def _ring(self) -> None:
        self._bell.put(None)

    def _rest(self, seconds: float) -> None:
        """Wait until somebody rings, up to ``seconds``."""
        with suppress(Empty):
            self._bell.get(timeout=seconds)
