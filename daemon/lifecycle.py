"""The daemon's life: start-up, serving, and the end. The main thread runs it; start-up settles on its own."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import Protocol

from daemon.deployer import Deployer
from daemon.history import Journal
from daemon.http.pool import Load
from daemon.notify import notify
from daemon.release import Release
from daemon.watcher import Watcher
from daemon.web.readiness import Readiness

FIRST_DEPLOYS_SECONDS = 10.0
"""How long ``ready`` waits for what lies in the drop directory where nothing served before."""
MOMENT_SECONDS = 1.0
"""How long it waits for it otherwise; what takes longer is deployed later."""


class HttpServer(Protocol):
    """What serves HTTP on sockets that listen already, whichever front it is. It runs once."""

    @property
    def addresses(self) -> Sequence[str]:
        """What clients connect to."""

    def run(self) -> bool:
        """Serve until ``begin_drain``, then drain; whether everything that was begun was answered."""

    def begin_drain(self) -> None:
        """Have ``run`` take nothing new, answer what was begun and return. For any thread and for signal handlers."""

    def load(self) -> Load:
        """Return how busy the server is."""

    def close(self) -> None:
        """Close what is open, of a server that never ran too."""


class Daemon:
    """Everything that was assembled, to be run once. It owns ``undo``, which closes every part in the right order.

    The sockets listen already; until ``serve`` runs, clients that come early wait instead of being refused. So does the
    deployer run, which brings back what served before: ``restored``. ``warm_up`` is called when that serves again, for
    which it would only take a core away.
    """

    def __init__(
        self,
        *,
        server: HttpServer,
        deployer: Deployer,
        watcher: Watcher,
        journal: Journal,
        readiness: Readiness,
        restored: Sequence["Future[Release | None]"],
        warm_up: Callable[[], None],
        undo: ExitStack,
    ) -> None:
        self._server = server
        self._deployer = deployer
        self._watcher = watcher
        self._journal = journal
        self._readiness = readiness
        self._restored = restored
        self._warm_up = warm_up
        self._undo = undo
        self._start_up: threading.Thread | None = None

    @property
    def addresses(self) -> Sequence[str]:
        """What clients connect to."""
        return self._server.addresses

    def serve(self, announce: Callable[[], None]) -> bool:
        """Serves until ``stop``; whether all that had begun was answered. ``announce`` is called once ready."""
        self._start_up = threading.Thread(target=self._settle, args=(announce,), name="start-up", daemon=True)
        self._start_up.start()
        try:
            return self._server.run()
        finally:
            self._readiness.stop()

    def stop(self) -> None:
        """Begins the end: not ready from here on, the sockets close, ``serve`` returns. For signal handlers."""
        self._readiness.stop()
        notify("STOPPING=1")
        self._journal.release_waiters()
        self._server.begin_drain()

    def close(self) -> bool:
        """Ends and frees every part; False when something would not end, and only leaving the process will end it."""
        if not self._watcher.stop() or not self._deployer.stop():
            return False
        if self._start_up is not None:  # what it waited for has ended with the two above
            self._start_up.join()
        self._undo.close()
        return True

    def _settle(self, announce: Callable[[], None]) -> None:
        """What served before serves again, and only then is the drop directory looked at, though events come already.

        What was dropped meanwhile is given a moment, and more where nothing served before: ``ready`` is to be no empty
        word, and slow arrivals are not to hold it up.
        """
        self._watcher.start()
        wait(self._restored)
        if self._readiness.is_stopping:
            return
        self._warm_up()
        self._watcher.look()
        self._watcher.wait_for_first_deploys(MOMENT_SECONDS if self._restored else FIRST_DEPLOYS_SECONDS)
        if self._readiness.is_stopping:
            return
        self._readiness.settle()
        notify("READY=1")
        announce()
