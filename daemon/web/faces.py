"""What is made once for a release to answer requests, and how long they take of late. Entered by request threads."""

import time
from collections.abc import Callable, Iterable

from daemon.release import Release
from daemon.runtime import batch_limit_seconds, batch_size
from daemon.web.asking import Dialect, Read

QUICK_SECONDS = 100e-6
"""A release whose predictions take less of a thread's time is quick: to change threads for one would take longer."""

TIMED_ONCE_IN = 8
"""One prediction in so many."""
NOT_QUICK_SECONDS = 1.0
"""What a release counts for that took its time: many quick predictions must follow before it counts as quick again."""


class Face:
    """One release to those who ask it: how each dialect is read for it, and what a prediction of it takes."""

    __slots__ = ("_readers", "_turn", "batch_seconds", "batch_size", "release", "seconds")

    def __init__(self, release: Release) -> None:
        self.release = release
        self.batch_size = batch_size(release.trial)
        """How many rows of it are best run together."""
        self.batch_seconds = batch_limit_seconds(release.trial, self.batch_size)
        """When such a run is given up."""
        self.seconds = QUICK_SECONDS  # a running mean
        self._turn = 0
        self._readers: dict[str, Read] = {}  # by dialect

    def reader(self, dialect: Dialect) -> Read:
        """How requests in ``dialect`` are read for this release."""
        read = self._readers.get(dialect.name)
        if read is None:
            read = self._readers[dialect.name] = dialect.reader_of(self.release)
        return read

    def started(self) -> float | None:
        """The time that this thread has worked, if this prediction is one to be timed: to ask is a system call."""
        self._turn += 1
        return None if self._turn % TIMED_ONCE_IN else time.thread_time()

    def ended(self, started: float | None) -> None:
        """What waited for other threads does not count."""
        if started is not None:
            self.seconds += (time.thread_time() - started - self.seconds) / 4

    @property
    def is_quick(self) -> bool:
        """Whether its predictions took next to no time of late."""
        return self.seconds < QUICK_SECONDS

    def took_its_time(self) -> None:
        """One took longer than was to be expected."""
        self.seconds = NOT_QUICK_SECONDS


class Faces:
    """The face of every release that is loaded. Thread-safe by no lock: another is made in no time.

    ``loaded`` tells the releases of a model that can be asked.
    """

    def __init__(self, loaded: Callable[[str], Iterable[Release]]) -> None:
        self._loaded = loaded
        self._faces: dict[str, dict[int, Face]] = {}  # by model, by version; an inner one is never changed

    def known(self, release: Release) -> Face | None:
        """The face of ``release`` if it was asked for before."""
        return self._faces.get(release.model, {}).get(release.version)

    def of(self, release: Release) -> Face:
        """The face of ``release``; what is loaded no longer loses its own when another is made."""
        if (face := self.known(release)) is not None:
            return face
        face = Face(release)
        versions = {each.version for each in self._loaded(release.model)}
        kept = {version: old for version, old in self._faces.get(release.model, {}).items() if version in versions}
        self._faces[release.model] = {**kept, release.version: face}
        return face
