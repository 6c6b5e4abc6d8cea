"""What is known of each path that was dealt with, here and in the journal. Entered by the scanner's thread."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace

from daemon.history import Journal, Sighting
from daemon.intake.copying import Part


class Memory:
    """A sighting for each path; one whose content was not read on its way gets its digest later, from ``read``."""

    def __init__(self, journal: Journal, read: Callable[[Sequence[Part]], "Future[str | None]"]) -> None:
        self._journal = journal
        self._read = read
        self._known = journal.sightings()
        self._unread: dict[str, Future[str | None]] = {}

    def get(self, path: str) -> Sighting | None:
        return self._known.get(path)

    def paths(self) -> set[str]:
        return set(self._known)

    def keep(self, sighting: Sighting) -> None:
        """Takes the place of what was known of the path."""
        self._stop_reading(sighting.path)
        self._known[sighting.path] = sighting
        self._journal.keep_sighting(sighting)

    def keep_unread(self, sighting: Sighting, parts: Sequence[Part]) -> None:
        """As ``keep``; the digest of ``parts`` is added once it is there, unless they change before."""
        self.keep(sighting)
        self._unread[sighting.path] = self._read(parts)

    def add_digests(self) -> None:
        """Completes the sightings whose content has been read."""
        for path in [path for path, future in self._unread.items() if future.done()]:
            digest = self._unread.pop(path).result()
            if digest is not None:
                self.keep(replace(self._known[path], sha256=digest))

    def finish(self, seconds: float) -> None:
        """Waits at most ``seconds`` for digests that are still to come: a restart knows only what is known now."""
        wait(self._unread.values(), timeout=seconds)
        self.add_digests()

    def forget(self, path: str) -> Sighting | None:
        """Gives what was known of the path, if anything was."""
        self._stop_reading(path)
        known = self._known.pop(path, None)
        if known is not None:
            self._journal.forget_sighting(path)
        return known

    def _stop_reading(self, path: str) -> None:
        future = self._unread.pop(path, None)
        if future is not None:
            future.cancel()
