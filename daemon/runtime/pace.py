"""What the runs of one release take while it serves, by the elements that go in. Entered by request threads.

The trial measured runs of inputs that it had to guess: a text of a single word, where clients send a hundred. So the
number of rows that are worth a run is the trial's to say, and how long they take is told by the requests themselves.
"""

from collections.abc import Mapping

from daemon.runtime.dtypes import Array
from daemon.runtime.plans import LONGEST_SECONDS

WEIGHT = 0.25
"""What the last run counts beside all before it."""
DOUBLED_SECONDS = LONGEST_SECONDS / 1.6
"""Twice of what took no longer is long by a quarter, at worst."""
PATIENCE = 4.0
"""So many times as long as was to be expected may a run take that others wait for."""
MOST_SECONDS = 2.0
"""Nobody waits longer for others."""


class Pace:
    """A running mean of the seconds that an element takes; what is not known yet fits.

    Thread-safe: of two runs that are told at once, one may be lost without loss. ``limit_seconds`` is what a run may
    take in any case. Runs that cost the same whatever goes in are told less well, which mends itself: what is far from
    long may be doubled, and the larger run shows how little an element takes.
    """

    __slots__ = ("_each", "_last", "_limit_seconds")

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._each = 0.0
        self._last = (0, 0.0)  # elements and seconds of the last run

    def fits(self, elements: int) -> bool:
        """Whether a run of so many elements is soon enough over for others to wait for it."""
        size, seconds = self._last
        may_double = elements <= 2 * size and seconds <= DOUBLED_SECONDS
        return may_double or elements * self._each <= LONGEST_SECONDS

    def limit_seconds(self, elements: int) -> float:
        """When to give up a run that others wait for: far beyond what is to be expected."""
        return max(self._limit_seconds, min(MOST_SECONDS, PATIENCE * elements * self._each))

    def ran(self, elements: int, seconds: float) -> None:
        """A run took so long."""
        if elements:
            each, before = seconds / elements, self._each
            self._each = before + (each - before) * WEIGHT if before else each
            self._last = (elements, seconds)

    def overran(self, elements: int, seconds: float) -> None:
        """A run was given up after so long; it may have needed twice that."""
        if elements:
            self._each = max(self._each, 2 * seconds / elements)
            self._last = (elements, 2 * seconds)


def elements(inputs: Mapping[str, Array]) -> int:
    """How much goes into a run."""
    return sum(array.size for array in inputs.values())
