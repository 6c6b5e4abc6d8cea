"""What the runs of one release take while it serves, by the elements that go in. Entered by request threads.

The trial measured runs of inputs that it had to guess: a text of a single word, where clients send a hundred. So the
number of rows that are worth a run is the trial's to say, and how long they take is told by the requests themselves.
"""

from collections.abc import Mapping

from daemon.runtime.dtypes import Array
from daemon.runtime.plans import LONGEST_SECONDS

WEIGHT = 0.25
"""What the last run counts beside all before it, were they as large."""
DOUBLED_SECONDS = LONGEST_SECONDS / 1.6
"""Twice of what took no longer is long by a quarter, at worst."""
PATIENCE = 4.0
"""So many times as long as was to be expected may a run take that others wait for."""
MOST_SECONDS = 2.0
"""Nobody waits longer for others."""


class Pace:
    """The seconds that an element took in the runs of late; what is not known yet fits.

    Thread-safe: of two runs that are told at once, one may be lost without loss. ``limit_seconds`` is what a run may
    take in any case. A run counts by its elements, so that small ones say little where much of a run costs the same
    whatever goes in; and what is far from long may be doubled, so that such runs find out what fits.
    """

    __slots__ = ("_elements", "_last", "_limit_seconds", "_seconds")

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._elements = self._seconds = 0.0  # of all runs, each later one taking a part of those before away
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
        if not elements:
            return
        if self._elements:
            self._elements = self._elements * (1 - WEIGHT) + elements
            self._seconds = self._seconds * (1 - WEIGHT) + seconds
            self._last = (elements, seconds)
        else:
            self._start_from(elements, seconds)

    def overran(self, elements: int, seconds: float) -> None:
        """A run was given up after so long; it may have needed twice that."""
        if elements and 2 * seconds / elements > self._each:
            self._start_from(elements, 2 * seconds)

    def _start_from(self, elements: int, seconds: float) -> None:
        """Counts one run as if all before had been like it."""
        self._elements, self._seconds = elements / WEIGHT, seconds / WEIGHT
        self._last = (elements, seconds)

    @property
    def _each(self) -> float:
        return self._seconds / self._elements if self._elements else 0.0


def elements_of(inputs: Mapping[str, Array]) -> int:
    """How much goes into a run."""
    return sum(array.size for array in inputs.values())
