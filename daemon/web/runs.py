"""How a release is run for requests: how long at most, and who is told of it. Entered by request threads."""

import math
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import NoReturn

import numpy as np

from daemon.errors import HandOver, InferenceFailed, RunTimeout
from daemon.gate import RequestRing
from daemon.holder import Serving
from daemon.lane.probation import Probation
from daemon.release import Release
from daemon.runtime import Array, Batch, Engine, Output, elements_of, in_gear, waits_for_cores
from daemon.runtime.deadlines import overdue
from daemon.web.asking import Asked
from daemon.web.faces import Face

AT_ONCE_SECONDS = 0.1
"""A run for which everybody waits is stopped after that, and made again by another thread."""
CORES_SECONDS = 2.0
"""So long may a run for several wait for cores."""
AT_ONCE_BYTES = 256 << 10
"""Outputs beyond that take time to be written."""

Run = Callable[[Serving, Face, Mapping[str, Array]], list[Output]]


class Runs:
    """Runs releases; thread-safe. ``probation`` is told how every run went, ``ring`` keeps some of the requests."""

    def __init__(self, probation: Probation, ring: RequestRing, *, timeout_seconds: float) -> None:
        self._probation = probation
        self._ring = ring
        self._timeout_seconds = timeout_seconds

    def alone(self, serving: Serving, face: Face, inputs: Mapping[str, Array]) -> list[Output]:
        """Raises as the engine does: InvalidInput, RunTimeout or InferenceFailed."""
        if face.batch_size == 1:
            return serving.engine.run(inputs, timeout_seconds=self._timeout_seconds)
        return _paced(serving, face, inputs, timeout_seconds=self._timeout_seconds)

    def at_once(self, serving: Serving, face: Face, inputs: Mapping[str, Array]) -> list[Output]:
        """As ``alone``; HandOver where it waits, takes longer than was to be expected, or gives much to write."""
        try:
            outputs = _run_now(serving.engine, inputs, timeout_seconds=min(AT_ONCE_SECONDS, self._timeout_seconds))
        except RunTimeout:
            pass
        else:
            if sum(output.nbytes for output in outputs if isinstance(output, np.ndarray)) <= AT_ONCE_BYTES:
                return outputs
        return _hand_over(face)

    def within(self, asked: Asked, serving: Serving, _face: Face, inputs: Mapping[str, Array]) -> list[Output]:
        """As ``alone``, and no longer than the client waits; raises HandOver where all would wait with it."""
        if asked.at_once:
            raise HandOver
        patience = asked.patience_seconds or 0.0
        return serving.engine.run(inputs, timeout_seconds=min(patience, self._timeout_seconds))

    def batch(self, serving: Serving, face: Face, *, most: int) -> Batch:
        """What is run as one, with at most so many rows.

        A run is stopped early, as others wait for it: one of its members may be what takes so long.
        """

        def run(inputs: Mapping[str, Array]) -> list[Output]:
            limit = face.pace.limit_seconds(elements_of(inputs))
            timeout = min(limit + CORES_SECONDS, self._timeout_seconds)
            return _paced(serving, face, inputs, timeout_seconds=timeout, run_seconds=limit)

        return Batch(serving.release.signature, run, most=most, fits=face.pace.fits)

    def blame(self, release: Release, error: Exception) -> None:
        """Counts ``error`` against ``release``, if a run of it has failed by it."""
        if isinstance(error, InferenceFailed):
            self._probation.failed(release, str(error))

    def note(self, release: Release, inputs: Mapping[str, Array], outputs: list[Output]) -> None:
        """What a run gave is looked at, and kept if it is its turn."""
        self._probation.answered(release, outputs)
        if self._ring.wants(release.model):
            self._ring.offer(release, inputs, outputs)


def _run_now(engine: Engine, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
    """As ``Engine.run``; RunTimeout, too, where it had to wait for cores."""
    if not waits_for_cores(engine):
        return engine.run(inputs, timeout_seconds=timeout_seconds)
    with in_gear(engine, timeout_seconds=0) as gear:
        return gear.run(inputs, timeout_seconds=timeout_seconds)


def _paced(
    serving: Serving, face: Face, inputs: Mapping[str, Array], *, timeout_seconds: float, run_seconds: float = math.inf
) -> list[Output]:
    """As the engine runs it, ``run_seconds`` at most; what it took tells how much is best run together.

    The wait for cores tells nothing: it says how much else is going on.
    """
    size, due = elements_of(inputs), perf_counter() + timeout_seconds
    with in_gear(serving.engine, timeout_seconds=timeout_seconds) as engine:
        started = perf_counter()
        try:
            outputs = engine.run(inputs, timeout_seconds=max(0.0, min(run_seconds, due - started)))
        except RunTimeout as error:
            face.pace.overran(size, perf_counter() - started)
            raise overdue(timeout_seconds) from error
        face.pace.ran(size, perf_counter() - started)
        return outputs


def _hand_over(face: Face) -> NoReturn:
    face.took_its_time()
    raise HandOver
