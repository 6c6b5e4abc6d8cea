"""The thread that writes long bodies to disk. ``submit`` is for any thread, the rest for the loop's."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from daemon.http.loans import Loans

LOG = logging.getLogger("modeldrop.http")

NO_LOANS = Loans(0, 0)


class Spool:
    """The folder of long bodies and the thread that writes there: a slow disk holds up its uploads and nothing else.

    A body over ``spool_bytes`` is long, unless ``loans`` has memory for it. Whoever starts it stops it; ``submit`` is
    for any thread.
    """

    def __init__(self, folder: Path, spool_bytes: int, loans: Loans = NO_LOANS) -> None:
        self.folder = folder
        self.spool_bytes = spool_bytes
        self.loans = loans
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="spool", daemon=True)
        self._ended = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Have the thread do ``job``, which may not raise, after those before it; without the thread, do it here."""
        if self._thread.is_alive():
            self._jobs.put(job)
        else:
            job()

    def stop(self, until: float) -> None:
        """Let the thread do what it has and end by ``until`` (monotonic). A second call does nothing."""
        if self._ended or not self._thread.is_alive():
            return
        self._ended = True
        self._jobs.put(None)
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            LOG.warning("the disk is still busy at the end of the drain: a body in %s is left behind", self.folder)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread keeps no body alive
