"""The HTTP server: waitress' parts in a loop of its own, with two pools, a guard before bodies, and a drain.

``run`` is the loop and is entered by the main thread alone; ``begin_drain`` and ``load`` by any.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from socket import socket
from wsgiref.types import WSGIApplication

from daemon.http.drain import STOP_SECONDS, close_overdue, drain
from daemon.http.front import Front
from daemon.http.listener import Listener
from daemon.http.loans import Loans
from daemon.http.pool import Load
from daemon.http.pools import Pools
from daemon.http.sockets import affordable, bind
from daemon.http.spool import Spool
from daemon.http.terms import Terms
from daemon.http.values import (
    NO_GROUPS,
    Admission,
    Expected,
    Grouping,
    Guard,
    HttpError,
    IsSlow,
    Limits,
    OnRefusal,
    ignore_refusal,
    nobody_knows,
)

__all__ = ["Admission", "Guard", "HttpError", "IsSlow", "Limits", "Load", "Server", "bind"]

TURN_SECONDS = 1.0
RETRY_SECONDS = 0.05
"""How often a full server looks whether one of its connections has become idle."""


class Server:
    """Serves one WSGI application on sockets that already listen, until it is drained. It runs once.

    It owns the sockets from its construction on: ``run`` closes them at its end, ``close`` does for a server that never
    ran. ``guard`` is called by the loop thread and may not block. Bodies over ``limits.spool_bytes`` go to unlinked
    files in ``spool_dir``, which must exist. What is quick by ``expected_seconds``, the loop answers itself; what
    ``grouping`` says of may be answered together. ``on_refusal`` hears of what is answered here.
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
        self._front = Front(app, Terms(limits, guard, self._spool, on_refusal=on_refusal), self._pools)
        self._listeners = [Listener(sock, self._front) for sock in sockets]
        self._drain_asked = False
        self._next_look = 0.0
        self._next_retry = 0.0
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """What clients connect to: ``http://HOST:PORT`` or ``unix:PATH``, the ports as they came to be."""
        return tuple(listener.url for listener in self._listeners)

    def run(self) -> bool:
        """Serve until ``begin_drain``, then drain; whether everything that was begun was answered."""
        self._front.connection_limit = affordable(self._limits.connection_limit)
        try:
            self._pools.start()
            self._spool.start()
            while not self._drain_asked:
                self._front.poller.turn(RETRY_SECONDS if self._front.crowded else TURN_SECONDS)
                self._look()
            self._front.draining = True
            return drain(self._front)
        finally:
            self.close()

    def begin_drain(self) -> None:
        """Have ``run`` take nothing new, answer what was begun and return. For any thread and for signal handlers."""
        self._drain_asked = True
        self._front.poller.wake()

    def load(self) -> Load:
        """Return how busy the server is."""
        return Load(len(self._front.channels), *self._pools.loads())

    def close(self) -> None:
        """Close what is open; ``run`` does so itself. Not while ``run`` runs."""
        if self._closed:
            return
        self._closed = True
        for channel in list(self._front.channels.values()):
            channel.handle_close()
        for listener in self._listeners:
            listener.close()
        self._pools.stop(time.monotonic() + STOP_SECONDS)
        self._spool.stop(time.monotonic() + STOP_SECONDS)
        self._front.poller.close()

    def _look(self) -> None:
        """Do, once a second, what is due for clients that take long; look for room where there was none."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + TURN_SECONDS
            close_overdue(self._front, now)
            self._front.room.look(now)
        if self._front.crowded and now >= self._next_retry:
            self._next_retry = now + RETRY_SECONDS
            self._front.resume()
