"""Counts what requests to run a model came to, exactly and next to for free.

Entered by request threads, and by who reads: ``Predictor.counting`` has every ``Figures.read()`` with its release. A
request leaves one small record behind, without a lock; whoever finds many of them, or reads, adds them up.
"""

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from struct import Struct
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from daemon.web.totals import BATCH_BOUNDS, BOUNDS_SECONDS, STAGES, Failure, OfSize, Spread, Totals

RECORD = Struct("5d3q")
"""Of an answer: when its request was whole, was begun, was decoded, had run, was encoded (``time.perf_counter``); the
rows that it had, the rows of the run that it was part of, and 1 if no other record counts that run, else 0.

Of a request that was answered with others, the times are moved together: what it waited for is all in the first step.
"""
record_of = RECORD.pack

FOLD_AT = 512
"""So many records are added up by who brings the last, in 60 to 120 µs; packed, they cost less than as objects."""
MOST_SIZES = 128
"""So many different sizes of runs are told apart; later ones are in the sums alone."""

_WIDTH = len(BOUNDS_SECONDS) + 1
_OFFSETS = np.arange(len(STAGES) + 1) * _WIDTH
_BOUNDS = np.array(BOUNDS_SECONDS)
_SIZE_BOUNDS = np.array(BATCH_BOUNDS)

_FORM = np.dtype([("times", np.float64, 5), ("rows", np.int64), ("size", np.int64), ("runs", np.int64)])

T = TypeVar("T")
Wholes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Figures:
    """What the requests in one dialect to one release came to. Thread-safe; no request waits for another here.

    ``in_flight`` has one entry for each request that is being answered: who begins one appends, who ends it pops.
    """

    __slots__ = ("_failures", "_lock", "_records", "_sums", "in_flight")

    def __init__(self) -> None:
        self.in_flight: list[None] = []
        self._records: deque[bytes] = deque()  # what follows takes from it in one step, so that nothing is lost
        self._failures: deque[tuple[Failure, float]] = deque()
        self._lock = Lock()
        self._sums = _Sums()  # guarded by _lock

    def answered(self, record: bytes) -> None:
        """Counts an answer; ``record`` is a ``record_of`` its times and rows."""
        self._records.append(record)
        if len(self._records) >= FOLD_AT:
            self._fold_if_free()

    def failed(self, kind: Failure, seconds: float) -> None:
        """Counts a request that is told an error of this class, after ``seconds``."""
        self._failures.append((kind, seconds))
        if len(self._failures) >= FOLD_AT:
            self._fold_if_free()

    def read(self) -> Totals:
        """What was counted so far: everything whose answer was begun to be sent before."""
        with self._lock:
            self._fold_locked()
            return self._sums.told(len(self.in_flight))

    def _fold_if_free(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._fold_locked()
            finally:
                self._lock.release()

    def _fold_locked(self) -> None:
        self._sums.add_failures(_taken(self._failures))
        if records := _taken(self._records):
            self._sums.add(np.frombuffer(b"".join(records), _FORM))


class _Sums:
    """What the records add up to. For one thread at a time."""

    def __init__(self) -> None:
        self._failed: Counter[Failure] = Counter()
        self._failed_seconds = 0.0
        self._buckets = np.zeros((len(STAGES) + 1, _WIDTH), dtype=np.int64)
        self._seconds = np.zeros(len(STAGES) + 1)
        self._rows = 0
        self._runs = np.zeros(len(BATCH_BOUNDS) + 1, dtype=np.int64)
        self._run_rows = 0
        self._sizes: dict[int, OfSize] = {}
        self._last = 0.0  # time.perf_counter
        self._last_by_the_clock = 0.0  # time.time

    def add_failures(self, failures: Iterable[tuple[Failure, float]]) -> None:
        for kind, seconds in failures:
            self._failed[kind] += 1
            self._failed_seconds += seconds

    def add(self, records: npt.NDArray[np.void]) -> None:
        """Adds one row for each record."""
        times, rows, sizes, runs = (records[name] for name in _FORM.names or ())
        seconds = np.empty((len(records), len(STAGES) + 1))
        np.subtract(times[:, 1:], times[:, :-1], out=seconds[:, :-1])
        np.subtract(times[:, -1], times[:, 0], out=seconds[:, -1])
        np.maximum(seconds, 0.0, out=seconds)  # times that were moved are off by a rounding
        places = np.searchsorted(_BOUNDS, seconds) + _OFFSETS
        self._buckets += np.bincount(places.ravel(), minlength=self._buckets.size).reshape(self._buckets.shape)
        self._seconds += seconds.sum(axis=0)
        self._rows += int(rows.sum())
        self._add_runs(seconds, sizes, runs)
        self._note_last(float(times[:, -1].max()))

    def _note_last(self, ended: float) -> None:
        """The wall clock is asked once for each: it may be set, or be sped up, between two who read."""
        if ended > self._last:
            self._last = ended
            self._last_by_the_clock = time.time() - time.perf_counter() + ended

    def _add_runs(self, seconds: Floats, sizes: Wholes, runs: Wholes) -> None:
        if (sizes == sizes[0]).all() and runs.all():  # as most have it who are asked in one way
            self._add_equal(int(sizes[0]), len(sizes), *seconds[:, 1:4].sum(axis=0).tolist())
            return
        first = runs > 0
        counts = np.bincount(np.searchsorted(_SIZE_BOUNDS, sizes[first]), minlength=len(self._runs))
        self._runs += counts
        self._run_rows += int(sizes[first].sum())
        found, places = np.unique(sizes, return_inverse=True)
        sums = [np.bincount(places, weights).tolist() for weights in (runs, *_stages_by_run(seconds, first))]
        for size, (count, *spent) in zip(found.tolist(), zip(*sums, strict=True), strict=True):
            self._add_size(size, OfSize(int(count), *spent))

    def _add_equal(self, size: int, count: int, *spent: float) -> None:
        self._runs[bisect_left(BATCH_BOUNDS, size)] += count
        self._run_rows += size * count
        self._add_size(size, OfSize(count, *spent))

    def _add_size(self, size: int, now: OfSize) -> None:
        before = self._sizes.get(size)
        if before is not None or len(self._sizes) < MOST_SIZES:
            self._sizes[size] = now if before is None else before + now

    def told(self, in_flight: int) -> Totals:
        spreads = [
            Spread(tuple(buckets), total)
            for buckets, total in zip(self._buckets.tolist(), self._seconds.tolist(), strict=True)
        ]
        return Totals(
            failed=dict(self._failed),
            failed_seconds=self._failed_seconds,
            in_flight=in_flight,
            seconds=dict(zip(STAGES, spreads[:-1], strict=True)),
            whole=spreads[-1],
            rows=self._rows,
            batches=Spread(tuple(self._runs.tolist()), float(self._run_rows)),
            sizes=dict(self._sizes),
            last=self._last_by_the_clock,
        )


def _stages_by_run(seconds: Floats, first: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """The seconds of decode, infer and encode; a run that several records have is counted by the first."""
    return seconds[:, 1], np.where(first, seconds[:, 2], 0.0), seconds[:, 3]


def _taken(waiting: deque[T]) -> list[T]:
    """What waits there now, taken out."""
    return [waiting.popleft() for _ in range(len(waiting))]
