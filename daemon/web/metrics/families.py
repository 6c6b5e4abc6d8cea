"""Families of samples in prometheus_client's form, made with few words. Entered by the thread of a scrape.

Of many models there are many samples. Each is made when it is written and forgotten then, so that the garbage collector
has nothing to go through, and with pauses, as requests need the interpreter's lock.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from prometheus_client.core import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from daemon.web.totals import Spread

PAUSE_EVERY = 50
PAUSE_SECONDS = 50e-6
"""A thread that sleeps, however shortly, leaves the lock to those who wait for it; else they wait for 5 ms."""

T = TypeVar("T")
Labels = Sequence[str]


def patiently(things: Iterable[T], *, every: int) -> Iterator[T]:
    """``things``, with a pause after ``every`` so many."""
    for number, thing in enumerate(things, start=1):
        if number % every == 0:
            time.sleep(PAUSE_SECONDS)
        yield thing


class _Samples(list[Sample]):
    """Stands where a family has its list; each sample is made anew for who goes through them."""

    def __init__(self, made: Callable[[], Iterator[Sample]]) -> None:
        super().__init__()
        self._made = made

    def __iter__(self) -> Iterator[Sample]:
        return patiently(self._made(), every=PAUSE_EVERY)


class Histogram:
    """A family of histograms with the same buckets: those that end at ``bounds``, of ``counted`` finer ones."""

    def __init__(self, name: str, text: str, labels: Labels, bounds: Sequence[float], counted: Sequence[float]) -> None:
        self.family = Metric(name, text, "histogram")
        self.family.samples = _Samples(self._samples)
        self._labels = labels
        self._ends = [*((_named(bound), counted.index(bound)) for bound in bounds), ("+Inf", -1)]
        self._rows: list[tuple[Labels, Spread]] = []

    def add(self, labels: Labels, spread: Spread) -> None:
        """Adds one histogram."""
        self._rows.append((labels, spread))

    def _samples(self) -> Iterator[Sample]:
        name = self.family.name
        for values, spread in self._rows:
            labels = dict(zip(self._labels, values, strict=True))
            upto = list(accumulate(spread.buckets))
            for end, place in self._ends:
                yield Sample(f"{name}_bucket", {**labels, "le": end}, upto[place])
            yield Sample(f"{name}_count", labels, upto[-1])
            yield Sample(f"{name}_sum", labels, spread.total)


def _named(bound: float) -> str:
    name: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return name


def histogram(name: str, text: str, labels: Labels, bounds: Sequence[float]) -> Histogram:
    """A family of histograms with the buckets that are counted."""
    return Histogram(name, text, labels, bounds, bounds)


def counter(name: str, text: str, labels: Labels, rows: Sequence[tuple[Labels, float]]) -> Metric:
    """A counter; ``name`` ends in ``_total``."""
    return _single(Metric(name.removesuffix("_total"), text, "counter"), name, labels, rows)


def gauge(name: str, text: str, labels: Labels, rows: Sequence[tuple[Labels, float]]) -> Metric:
    return _single(Metric(name, text, "gauge"), name, labels, rows)


def info(name: str, text: str, labels: Labels, rows: Sequence[Labels]) -> Metric:
    """Facts as the labels of a sample that is 1; ``name`` without ``_info``."""
    return _single(Metric(name, text, "info"), f"{name}_info", labels, [(values, 1) for values in rows])


def _single(family: Metric, name: str, labels: Labels, rows: Sequence[tuple[Labels, float]]) -> Metric:
    """``family`` with one sample for each row."""
    family.samples = _Samples(
        lambda: (Sample(name, dict(zip(labels, values, strict=True)), value) for values, value in rows)
    )
    return family
