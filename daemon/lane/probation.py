"""What became of a release's first answers: whether it is to be given up for the one before it.

Entered by request threads, which say how each run went, and by the deployer's. The verdict is a function over values.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from daemon.gate.drift import has_non_finite
from daemon.release import Release
from daemon.runtime import Output

LOG = logging.getLogger("modeldrop.deployer")

LOOK_SECONDS = 0.1
"""Between two looks for NaN once a probation is over, for the one of the next release to compare with."""
_NODE = re.compile(r"\w{1,100} node(?=:)")
"""All that is told of a failure: what ONNX Runtime says after it may hold something of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbationTerms:
    """How long a release is watched, and what it may do: ``max_error_rate`` is a share of ``min_requests`` or more.

    ``seconds`` 0 watches none. ``non_finite``: whether NaN and infinities that are new are only warned of, or count as
    errors. ``keep_previous``: whether the release before stays loaded meanwhile.
    """

    seconds: float
    max_error_rate: float
    min_requests: int
    non_finite: Literal["warn", "rollback"]
    keep_previous: bool


class Tally(NamedTuple):
    """How the runs of one release went: those that were answered or failed; what a client did wrong is not counted."""

    requests: int = 0
    failed: int = 0
    non_finite: int = 0


@dataclass(slots=True)
class _Watch:
    """One release under watch, until the next one takes its place. The counts are guarded by the probation's lock.

    ``way_back`` are the releases that may serve again instead, the one before first: those after it come where that one
    did not prove itself.
    """

    release: Release
    way_back: tuple[Release, ...]
    tally_before: Tally
    until: float
    look_at: float
    requests: int = 0
    failed: int = 0
    non_finite: int = 0
    is_over: bool = False
    is_warned: bool = False
    last_node: str = ""

    @property
    def tally(self) -> Tally:
        """How its runs went so far."""
        return Tally(self.requests, self.failed, self.non_finite)


GiveUp = Callable[[Release, str], None]
"""Is told which release to give up, and why as a clause."""


class Probation:
    """Watches the release of every model. Thread-safe; ``give_up`` is called without the lock, once for a release.

    ``has_room`` says whether memory permits that two releases of a model are loaded.
    """

    def __init__(self, terms: ProbationTerms, *, has_room: Callable[[], bool]) -> None:
        self._terms = terms
        self._has_room = has_room
        self._lock = threading.Lock()
        self._watches: dict[str, _Watch] = {}  # changed under _lock, read without it by those who only look
        self._give_up: GiveUp = lambda _release, _why: None

    def start(self, give_up: GiveUp) -> None:
        """Before anything is watched: whom to tell."""
        self._give_up = give_up

    @property
    def seconds(self) -> float:
        """How long a release is watched."""
        return self._terms.seconds

    def may_stand_by(self) -> bool:
        """Whether what served before is to stay loaded meanwhile."""
        return self._terms.keep_previous and self._has_room()

    def begin(self, release: Release, way_back: Sequence[Release], *, seconds: float | None = None) -> bool:
        """``release`` serves from now on; the first of ``way_back`` did. Whether there is one, and time to watch.

        ``seconds`` is what is left of its probation, where some of it is over.
        """
        now = time.monotonic()
        seconds = self._terms.seconds if seconds is None else seconds
        with self._lock:
            old = self._watches.get(release.model)
            is_next = old is not None and bool(way_back) and old.release.version == way_back[0].version
            tally = old.tally if old is not None and is_next else Tally()
            self._watches[release.model] = _Watch(release, tuple(way_back), tally, now + seconds, now)
        return bool(way_back) and seconds > 0

    def forget(self, model: str) -> None:
        """Nothing of ``model`` serves."""
        with self._lock:
            self._watches.pop(model, None)

    def end(self, release: Release) -> bool:
        """The time is up; False when another release serves by now."""
        with self._lock:
            watch = self._watches.get(release.model)
            if watch is None or watch.release.version != release.version:
                return False
            watch.until = time.monotonic()
            return True

    def way_back_from(self, release: Release) -> tuple[Release, ...]:
        """What may serve again instead of ``release``, which serves: nearest first."""
        watch = self._watches.get(release.model)
        return watch.way_back if watch and watch.release.version == release.version else ()

    def way_back_to(self, release: Release) -> tuple[Release, ...]:
        """The way back for what takes the place of ``release``: to it, and on to the last that proved itself."""
        watch = self._watches.get(release.model)
        if watch is None or watch.release.version != release.version or not self._is_watched(watch):
            return (release,)
        return (release,) if watch.tally.requests >= self._terms.min_requests else (release, watch.way_back[-1])

    def fallbacks(self) -> set[str]:
        """The bytes that may have to serve again, by their hashes: of what those on probation took the place of."""
        now = time.monotonic()
        with self._lock:
            watched = [watch for watch in self._watches.values() if now < watch.until]
            return {release.sha256 for watch in watched for release in watch.way_back}

    def answered(self, release: Release, outputs: Sequence[Output]) -> None:
        """``release`` has answered a request; after its probation only one now and then is looked into for NaN."""
        watch = self._watches.get(release.model)
        if watch is None or watch.release.version != release.version:
            return
        now = time.monotonic()
        looks = now >= watch.look_at
        if looks and not self._is_watched(watch):
            watch.look_at = now + LOOK_SECONDS
        self._count(watch, failed=False, non_finite=looks and has_non_finite(outputs))

    def failed(self, release: Release, reason: str) -> None:
        """A run of ``release`` has failed, for a ``reason`` of ONNX Runtime's, and not for the input's sake."""
        watch = self._watches.get(release.model)
        if watch is not None and watch.release.version == release.version:
            watch.last_node = found[0] if (found := _NODE.match(reason)) else ""
            self._count(watch, failed=True, non_finite=False)

    def of(self, model: str) -> dict[str, object] | None:
        """How far the probation of ``model`` is; None where nothing is on probation. Any thread."""
        watch = self._watches.get(model)
        if watch is None or not self._is_watched(watch):
            return None
        return {
            "seconds_left": round(watch.until - time.monotonic(), 1),
            "back_to": watch.way_back[0].version,
            "requests": watch.tally.requests,
            "failed": watch.tally.failed,
            "non_finite": watch.tally.non_finite,
        }

    def tally(self, model: str) -> Tally:
        """How the runs of what serves as ``model`` went so far."""
        watch = self._watches.get(model)
        return watch.tally if watch else Tally()

    def _is_watched(self, watch: _Watch) -> bool:
        return bool(watch.way_back) and not watch.is_over and time.monotonic() < watch.until

    def _count(self, watch: _Watch, *, failed: bool, non_finite: bool) -> None:
        with self._lock:
            watch.requests += 1
            if failed or non_finite:
                watch.failed += failed
                watch.non_finite += non_finite
            elif not (watch.failed or watch.non_finite):
                return  # nothing is held against it
            why = self._verdict_locked(watch)
            warns = non_finite and not watch.is_warned and not watch.tally_before.non_finite
            watch.is_warned = watch.is_warned or warns
        if warns:
            LOG.warning(
                "version %d of %s gives NaN or infinities, which %s",
                watch.release.version,
                watch.release.model,
                f"version {watch.way_back[0].version} did not" if watch.way_back else "no release before it could show",
            )
        if why is not None:
            self._give_up(watch.release, why)

    def _verdict_locked(self, watch: _Watch) -> str | None:
        if not self._is_watched(watch):
            return None
        why = fault(watch.tally, watch.tally_before, self._terms)
        if why is None:
            return None
        watch.is_over = True
        return f"{why}; the last failed in a {watch.last_node}" if watch.last_node else why


def fault(now: Tally, before: Tally, terms: ProbationTerms) -> str | None:
    """Why a release whose runs went like ``now`` is to be given up for one whose went like ``before``; None: it is not.

    A release that was as bad itself is nothing to go back to. NaN and infinities count where the terms say so, and
    where the release before had none.
    """
    if now.requests < terms.min_requests:
        return None
    strange = now.non_finite if terms.non_finite == "rollback" and not before.non_finite else 0
    if (now.failed + strange) / now.requests <= terms.max_error_rate:
        return None
    if before.requests and before.failed / before.requests > terms.max_error_rate:
        return None
    infinite = f" and {strange} gave NaN or infinities" if strange else ""
    return (
        f"{now.failed} of {now.requests} requests failed{infinite} (at most {terms.max_error_rate:.1%} may), "
        f"{before.failed} of {before.requests} of the release before"
    )
