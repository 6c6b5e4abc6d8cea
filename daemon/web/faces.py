"""What is made once for a release to answer requests, and what they came to. Entered by request threads, and by readers
of figures.
"""

import math
import time
from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

from daemon.holder import Serving
from daemon.release import Release, Signature
from daemon.runtime import Array, Pace, batch_limit_seconds, batch_size
from daemon.web.asking import Dialect, Read
from daemon.web.figures import Figures

QUICK_SECONDS = 100e-6
"""A release whose predictions take less of a thread's time is quick."""

TIMED_ONCE_IN = 8
"""One prediction in so many, of a quick release; of others, each."""
FORGIVEN_ONCE_IN = 32
"""One slow one among so many that are timed may be chance, and is not counted; the next one is, in full."""
NOT_QUICK_SECONDS = 1.0
"""What a release counts for that took its time: many quick predictions must follow before it counts as quick again."""


class Tongue(NamedTuple):
    """One dialect as one release understands it: how requests are read, and what they came to."""

    read: Read
    figures: Figures


class Face:
    """One release to those who ask it: how each dialect is read for it, and what a prediction of it takes."""

    __slots__ = ("_counted", "_quick_in_a_row", "_tongues", "_turn", "batch_size", "pace", "release", "seconds")

    def __init__(self, release: Release) -> None:
        self.release = release
        self.batch_size = batch_size(release.trial)
        """How many rows of it are best run together."""
        self.pace = Pace(batch_limit_seconds(release.trial, self.batch_size))
        """How long its runs take."""
        self.seconds = math.inf
        """How long one of its predictions takes a thread, without what that waits for: a running mean."""
        self._turn = 0
        self._quick_in_a_row = 0
        self._tongues: dict[str, Tongue] = {}  # by dialect
        self._counted = _input_with_rows(release.signature)

    def tongue(self, dialect: Dialect) -> Tongue:
        """How requests in ``dialect`` are read for this release, and counted: the same one for all."""
        tongue = self._tongues.get(dialect.name)
        if tongue is None:
            made = Tongue(dialect.reader_of(self.release), Figures())
            tongue = self._tongues.setdefault(dialect.name, made)  # another thread may have been faster
        return tongue

    def rows(self, inputs: Mapping[str, Array]) -> int:
        """How many items a request has: the length of the first dimension where the model leaves it open, else 1.

        Of an input without elements it is 0, whatever its shape says: no byte came for an item.
        """
        if self._counted is None:
            return 1
        counted = inputs.get(self._counted)
        if counted is None or not counted.ndim:
            return 1
        return len(counted) if counted.size else 0

    def figures(self) -> dict[str, Figures]:
        """What requests of this release came to, by dialect."""
        return {name: tongue.figures for name, tongue in self._tongues.copy().items()}

    def started(self) -> float | None:
        """The time that this thread has worked, if this prediction is one to be timed: to ask is a system call."""
        self._turn += 1
        is_left_out = self._turn % TIMED_ONCE_IN and self.seconds < QUICK_SECONDS
        return None if is_left_out else time.thread_time()

    def ended(self, started: float | None) -> None:
        """What waited for other threads does not count."""
        if started is not None:
            self.took(time.thread_time() - started)

    def took(self, took: float) -> None:
        """A prediction took a thread so many seconds; one alone that took long changes nothing."""
        is_slow, quick_before = took >= QUICK_SECONDS, self._quick_in_a_row
        self._quick_in_a_row = 0 if is_slow else quick_before + 1
        if self.seconds == math.inf:
            self.seconds = max(took, QUICK_SECONDS)
        elif not is_slow or quick_before < FORGIVEN_ONCE_IN:
            self.seconds += (took - self.seconds) / 4

    def took_its_time(self) -> None:
        """One took longer than was to be expected."""
        self.seconds = NOT_QUICK_SECONDS


_making = Lock()
"""So that of each release one face is made, and none is lost that has counted something."""


def face_of(serving: Serving) -> Face:
    """The face of what serves: made when it is first asked for, and gone with it. No lock but for that first time."""
    face: Face | None = serving.face
    return _first_face_of(serving) if face is None else face


def known_face_of(serving: Serving) -> Face | None:
    """The same if it was asked for before."""
    face: Face | None = serving.face
    return face


def _first_face_of(serving: Serving) -> Face:
    made = Face(serving.release)
    with _making:
        if serving.face is None:  # else another thread was faster, and what it counts must not be lost
            serving.face = made
        face: Face = serving.face
        return face


def _input_with_rows(signature: Signature) -> str | None:
    """The first input if its first dimension is open."""
    first = next(iter(signature.inputs), None)
    is_open = first is not None and first.shape and not isinstance(first.shape[0], int)
    return first.name if first is not None and is_open else None
