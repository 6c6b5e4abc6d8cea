"""What all answers of one release have in common, and how long they take of late. Entered by request threads."""

import time

from daemon.release import Release
from daemon.runtime import batch_limit_seconds, batch_size
from daemon.web.answers import JSON, dumps
from daemon.web.asking import body_decoder

QUICK_SECONDS = 100e-6
"""A release whose predictions take less of a thread's time is quick: to change threads for one would take longer."""

TIMED_ONCE_IN = 8
"""One prediction in so many."""
NOT_QUICK_SECONDS = 1.0
"""What a release counts for that took its time: many quick predictions must follow before it counts as quick again."""


class Face:
    """What of an answer is the same for every request to one release, made once; and what a prediction of it takes."""

    __slots__ = ("_turn", "batch_seconds", "batch_size", "decode", "headers", "names", "release", "seconds", "tail")

    def __init__(self, release: Release) -> None:
        self.release = release
        self.headers = (("Content-Type", JSON), *release_headers(release).items())
        same = {"model_path": release.model_path, "model": release.model, "version": release.version}
        self.tail = b"," + dumps(same)[1:-1]
        self.names = [spec.name for spec in release.signature.outputs]
        self.decode = body_decoder(release.signature)
        """From a body to the arrays that it has for the inputs."""
        self.batch_size = batch_size(release.trial)
        """How many rows of it are best run together."""
        self.batch_seconds = batch_limit_seconds(release.trial, self.batch_size)
        """When such a run is given up."""
        self.seconds = QUICK_SECONDS  # a running mean
        self._turn = 0

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


def release_headers(release: Release) -> dict[str, str]:
    """The headers that say which release answered."""
    return {
        "X-Model-Name": release.model,
        "X-Model-Version": str(release.version),
        "X-Model-SHA256": release.sha256,
    }
