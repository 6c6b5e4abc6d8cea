"""Counts what the daemon itself does from its start on: events, deploys and their stages, how soon drops are noticed.

Entered by whoever appends to the journal, by the scanner's thread and the deployer's, by the front that refuses
requests, and by readers of metrics. Nothing here is on the way of a request that is answered.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from daemon.release import Event
from daemon.web.totals import Spread

EVENTS = (
    "seen",
    "waiting",
    "superseded",
    "unchanged",
    "rejected",
    "live",
    "retired",
    "rolled_back",
    "restored",
    "unloaded",
    "removed",
    "watch_lost",
    "watch_restored",
)
"""Every kind of event that there is."""
DEPLOY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds, inclusive, of what is counted here in buckets."""
DEPLOYED = ("live", "rejected", "restored")
"""The events that end a deploy, or a start-up's, and tell how long it took."""
NOTICED = ("seen", "live")
"""What a drop comes to, whose time since the file last changed is counted."""
MOST_CODES = 64
MOST_STAGES = 64
MOST_CHANGED = 1000
_ENDS = ("live", "unchanged", "superseded", "rejected")
"""What becomes of a drop."""


class _Buckets:
    """A histogram that grows. For one thread at a time."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def told(self) -> Spread:
        return Spread(tuple(self._counts), self._sum)


@dataclass(frozen=True, slots=True)
class Happened:
    """What happened since the start. ``loads`` has the seconds that a model's version took to load, by model."""

    events: Mapping[str, int]
    deploys: Mapping[str, Spread]
    stages: Mapping[str, Spread]
    lags: Mapping[str, Spread]
    refusals: Mapping[str, int]
    loads: Mapping[str, tuple[int, float]]


class Happenings:
    """Thread-safe; its lock is held for moments. What it tells apart is bounded, whatever it is told."""

    def __init__(self) -> None:
        self._started_ns = time.time_ns()
        self._lock = Lock()
        # all guarded by _lock
        self._events: Counter[str] = Counter(dict.fromkeys(EVENTS, 0))
        self._deploys = {name: _Buckets(DEPLOY_BOUNDS) for name in DEPLOYED}
        self._stages: dict[str, _Buckets] = {}
        self._lags = {name: _Buckets(DEPLOY_BOUNDS) for name in NOTICED}
        self._refusals: Counter[str] = Counter()
        self._loads: dict[str, tuple[int, float]] = {}
        self._changed: dict[tuple[str | None, str | None], int] = {}  # of drops on their way

    def note(self, event: Event) -> None:
        """Counts an event, and what it says of a deploy."""
        seconds = event.seconds or {}
        with self._lock:
            self._events[event.event] += 1
            if event.event in self._deploys and "total" in seconds:
                self._deploys[event.event].add(seconds["total"])
            if event.event in _ENDS:
                self._note_lag_locked(event)
            if event.event == "live":
                self._note_stages_locked(seconds)
            if event.event in ("live", "restored") and event.model is not None and event.version is not None:
                self._loads[event.model] = (event.version, seconds.get("load", 0.0))

    def noticed(self, model: str, model_path: str, changed_ns: int) -> None:
        """A drop that last changed then (wall clock) was seen to be complete now.

        What lay there before the daemon started is left out: it says nothing of how soon anything is noticed.
        """
        if changed_ns < self._started_ns:
            return
        with self._lock:
            self._lags["seen"].add(_seconds_since(changed_ns))
            if len(self._changed) >= MOST_CHANGED:
                self._changed.pop(next(iter(self._changed)))
            self._changed[model, model_path] = changed_ns

    def _note_lag_locked(self, event: Event) -> None:
        changed_ns = self._changed.pop((event.model, event.model_path), None)
        if changed_ns is not None and event.event == "live" and event.cause == "dropped":
            self._lags["live"].add(_seconds_since(changed_ns))

    def refused(self, code: str) -> None:
        """The HTTP layer answered a request itself, with an error of this code."""
        with self._lock:
            if code in self._refusals or len(self._refusals) < MOST_CODES:
                self._refusals[code] += 1

    def told(self) -> Happened:
        """What happened up to now."""
        with self._lock:
            return Happened(
                events=dict(self._events),
                deploys=_told(self._deploys),
                stages=_told(self._stages),
                lags=_told(self._lags),
                refusals=dict(self._refusals),
                loads=dict(self._loads),
            )

    def _note_stages_locked(self, seconds: Mapping[str, float]) -> None:
        for stage, spent in seconds.items():
            if stage == "total":
                continue
            if stage not in self._stages and len(self._stages) < MOST_STAGES:
                self._stages[stage] = _Buckets(DEPLOY_BOUNDS)
            if stage in self._stages:
                self._stages[stage].add(spent)


def _seconds_since(changed_ns: int) -> float:
    return max(0, time.time_ns() - changed_ns) / 1e9


def _told(buckets: Mapping[str, _Buckets]) -> dict[str, Spread]:
    return {name: each.told() for name, each in sorted(buckets.items())}
