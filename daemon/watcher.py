"""Watches the drop directory: events wake, the scan decides, and a rescan needs no event at all.

The thread "scanner" runs the scans, "reader" reads for it; any thread may ask how it goes.
"""

import logging
import threading
import time
from concurrent.futures import wait

from daemon.watching.arming import Arming
from daemon.watching.reader import Reader
from daemon.watching.scanner import Scanner

LOG = logging.getLogger("modeldrop.watcher")

REST_SECONDS = 0.005
"""Between two scans, so that a burst of events costs a few scans and not one each."""
STOP_SECONDS = 5.0
FAREWELL_SECONDS = 0.5
"""For files that are being read when it is time to stop: most take less, and a huge one is no reason to stay."""
STALLED_SECONDS = 60.0
"""A scan may hash a large file that has a sidecar; one that takes longer than this is a fault."""


class Watcher:
    """The scanner's thread and the reader's, which it owns. ``start``, ``look`` and ``stop`` are for the daemon's life.

    ``wake`` is what events, deploys and digests set.
    """

    def __init__(
        self, scanner: Scanner, arming: Arming, reader: Reader, *, wake: threading.Event, rescan_seconds: float
    ) -> None:
        self._scanner = scanner
        self._arming = arming
        self._reader = reader
        self._wake = wake
        self._rescan_seconds = rescan_seconds
        self._lock = threading.Lock()  # start and stop may come from two threads
        self._stopping = threading.Event()
        self._may_look = threading.Event()
        self._first_scan = threading.Event()
        self._scanned_at = time.monotonic()  # by ``look``, and from then on by the scanner's thread alone
        self._trouble = ""
        self._thread = threading.Thread(target=self._watch, name="scanner", daemon=True)

    def start(self) -> None:
        """Has the system tell of arrivals, unless ``stop`` came first; what lies there is left alone until ``look``."""
        with self._lock:
            if not self._stopping.is_set():
                self._reader.start()
                self._thread.start()

    def look(self) -> None:
        """Begins to scan."""
        self._scanned_at = time.monotonic()
        self._may_look.set()

    def stop(self) -> bool:
        """Ends the scanner's thread, watchdog's and the reader's; False when a scan or a disk will not end."""
        with self._lock:
            self._stopping.set()
        self._may_look.set()
        self._wake.set()
        self._first_scan.set()  # nobody need wait for one that may never come
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        return self._reader.stop() and not self._thread.is_alive()

    def wait_for_first_deploys(self, seconds: float) -> None:
        """Waits until what lay complete in the drop directory is deployed or refused, at most ``seconds``."""
        deadline = time.monotonic() + seconds
        if self._first_scan.wait(seconds):
            wait(self._scanner.under_way(), timeout=max(0.0, deadline - time.monotonic()))

    def waiting_for(self, model: str) -> dict[str, str] | None:
        """What of ``model`` is seen but not complete: its path, and why it waits."""
        return self._scanner.waiting_for(model)

    def fault(self) -> str | None:
        """Why arrivals are not noticed, or None while they are."""
        if not self._thread.is_alive():
            return "the watcher is not running"
        silence = self.since_scan_seconds()
        if self._may_look.is_set() and silence > STALLED_SECONDS + self._rescan_seconds:
            return f"the watcher has not finished a scan for {silence:.0f} seconds"
        return None

    @property
    def is_armed(self) -> bool:
        """Whether the system tells of arrivals; the rescan notices them anyway."""
        return self._arming.is_armed

    def since_scan_seconds(self) -> float:
        """How long ago the last scan ended."""
        return time.monotonic() - self._scanned_at

    def _watch(self) -> None:
        try:
            self._arm()
            self._may_look.wait()
            while not self._stopping.is_set():
                self._wake.clear()
                delay = self._scan()
                self._scanned_at = time.monotonic()
                if not self._scanner.is_undecided():
                    self._first_scan.set()
                self._stopping.wait(REST_SECONDS)
                self._wake.wait(min(delay, self._rescan_seconds))
            self._scanner.finish(FAREWELL_SECONDS)
        finally:
            self._arming.end()

    def _arm(self) -> None:
        """The ten milliseconds of the first scan that need not wait for the models; what goes wrong ends nothing."""
        try:
            self._arming.keep()
        except Exception as error:
            self._complain(error)

    def _scan(self) -> float:
        """One scan, which cannot end the thread: what goes wrong is logged once and tried again."""
        try:
            self._arming.keep()
            delay = self._scanner.scan()
        except Exception as error:
            self._complain(error)
            return self._rescan_seconds
        self._trouble = ""
        return delay

    def _complain(self, error: Exception) -> None:
        if repr(error) != self._trouble:
            LOG.error("the drop directory cannot be scanned; trying again", exc_info=error)
        self._trouble = repr(error)
