"""Whether the daemon is ready, and what keeps it from being so. Any thread."""

import threading
from collections.abc import Callable

from daemon.history import Journal
from daemon.holder import ModelHolder


class Readiness:
    """Collects what counts for readiness; thread-safe. Whoever starts and ends the daemon tells it how far that is."""

    def __init__(
        self, holder: ModelHolder, journal: Journal, watcher_fault: Callable[[], str | None], *, default_model: str
    ) -> None:
        self._holder = holder
        self._journal = journal
        self._watcher_fault = watcher_fault
        self._default_model = default_model
        self._settled = threading.Event()
        self._stopping = threading.Event()

    def settle(self) -> None:
        """Start-up is settled."""
        self._settled.set()

    def stop(self) -> None:
        """The daemon is on its way out."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def faults(self) -> list[str]:
        """A sentence for each thing that is missing; empty when the daemon is ready."""
        if self.is_stopping:
            return ["the daemon is stopping"]
        found = [] if self._settled.is_set() else ["the daemon is starting"]
        if (fault := self._watcher_fault()) is not None:
            found.append(fault)
        if self._holder.release_of(self._default_model) is None and self._journal.next_version(self._default_model) > 1:
            found.append(f"model {self._default_model!r} does not serve")
        return found
