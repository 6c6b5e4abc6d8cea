"""Families of samples in prometheus_client's form, made with few words. Entered by the thread of a scrape.

Samples are gone through with pauses: a scrape of many models takes a while, and requests need the interpreter's lock.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from daemon.web.totals import Spread

PAUSE_EVERY = 200
PAUSE_SECONDS = 50e-6
"""A thread that sleeps, however shortly, leaves the lock to those who wait for it; else they wait for 5 ms."""

Labels = Sequence[str]


class _Patient(list[Any]):
    """Samples; who goes through them pauses now and then."""

    def __iter__(self) -> Iterator[Any]:
        for number, sample in enumerate(super().__iter__(), start=1):
            if number % PAUSE_EVERY == 0:
                time.sleep(PAUSE_SECONDS)
            yield sample


class Histogram:
    """A family of histograms with the same buckets: those that end at ``bounds``, of ``counted`` finer ones."""

    def __init__(self, name: str, text: str, labels: Labels, bounds: Sequence[float], counted: Sequence[float]) -> None:
        self.family = HistogramMetricFamily(name, text, labels=labels)
        self.family.samples = _Patient()
        self._ends = [(_named(bound), counted.index(bound)) for bound in bounds]

    def add(self, labels: Labels, spread: Spread) -> None:
        """Adds one histogram."""
        upto = list(accumulate(spread.buckets))
        buckets = [*((name, float(upto[place])) for name, place in self._ends), ("+Inf", float(upto[-1]))]
        self.family.add_metric(labels, buckets, spread.total)


def _named(bound: float) -> str:
    name: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return name


def histogram(name: str, text: str, labels: Labels, bounds: Sequence[float]) -> Histogram:
    """A family of histograms with the buckets that are counted."""
    return Histogram(name, text, labels, bounds, bounds)


def counter(name: str, text: str, labels: Labels, rows: Sequence[tuple[Labels, float]]) -> Metric:
    """A counter; ``name`` ends in ``_total``."""
    family = CounterMetricFamily(name, text, labels=labels)
    family.samples = _Patient()
    for values, value in rows:
        family.add_metric(values, value)
    return family


def gauge(name: str, text: str, labels: Labels, rows: Sequence[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    family.samples = _Patient()
    for values, value in rows:
        family.add_metric(values, value)
    return family


def info(name: str, text: str, labels: Labels, rows: Sequence[Labels]) -> Metric:
    """Facts as the labels of a sample that is 1; ``name`` without ``_info``."""
    family = InfoMetricFamily(name, text)
    for values in rows:
        family.add_metric([], dict(zip(labels, values, strict=True)))
    return family
