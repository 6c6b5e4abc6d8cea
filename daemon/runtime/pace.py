"""What the runs of one release take while it serves, by the elements that go in. Entered by request threads.

The trial measured runs of inputs that it had to guess: a text of a single word, where clients send a hundred. So the
number of rows that are worth a run is the trial's to say, and how long they take is told by the requests themselves.
"""

from collections.abc import Mapping

from daemon.runtime.dtypes import Array
from daemon.runtime.plans import LONGEST_SECONDS

WEIGHT = 0.25
"""What the last run counts beside all before it."""
PATIENCE = 4.0
"""So many times as long as was to be expected may a run take that others wait for."""
MOST_SECONDS = 2.0
"""Nobody waits longer for others."""


class Pace:
    """A running mean of the seconds that an element takes; what is not known yet fits.

    Thread-safe: of two runs that are told at once, one may be lost without loss. ``limit_seconds`` is what a run may
    take in any case. Runs that cost the same whatever goes in are told less well, which mends itself: the larger run
    that fits today shows how little an element takes.
    """

    __slots__ = ("_each", "_limit_seconds")

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._each = 0.0

    def fits(self, elements: int) -> bool:
        """Whether a run of so many elements is soon enough over for others to wait for it."""
        return elements * self._each <= LONGEST_SECONDS

    def limit_seconds(self, elements: int) -> float:
        """When to give up a run that others wait for: far beyond what is to be expected."""
        return max(self._limit_seconds, min(MOST_SECONDS, PATIENCE * elements * self._each))

    def ran(self, elements: int, seconds: float) -> None:
        """A run took so long."""
        if elements:
            each, before = seconds / elements, self._each
            self._each = before + (each - before) * WEIGHT if before else each

    def overran(self, elements: int, seconds: float) -> None:
        """A run was given up after so long; it may have needed twice that."""
        if elements:
            self._each = max(self._each, 2 * seconds / elements)


def elements(inputs: Mapping[str, Array]) -> int:
    """How much goes into a run."""
    return sum(array.size for array in inputs.values())
