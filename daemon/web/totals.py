"""What requests to run a model came to, as plain values that add up. Any thread; holds no state."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

STAGES = ("queue", "decode", "infer", "encode")
"""What an answer's time goes to: waiting, the body to arrays, the run, arrays to a body."""
BOUNDS_SECONDS = (*(float(f"{digit}e{power}") for power in range(-5, 1) for digit in (1, 2.5, 5)), 10.0)
"""Upper bounds, inclusive, of the histograms' buckets; one more has no bound."""
BATCH_BOUNDS = tuple(1 << power for power in range(11))
"""The same of rows in a run."""


Failure = type[BaseException] | str
"""An error's class, or its code where the HTTP layer told it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram: how many values are in each bucket (of its own, not up to its bound), and their sum."""

    buckets: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(tuple(map(sum, zip(self.buckets, other.buckets, strict=True))), self.total + other.total)


@dataclass(frozen=True, slots=True)
class OfSize:
    """Runs of one number of rows: how many, and the seconds that went to them by stage."""

    runs: int
    decode: float
    infer: float
    encode: float

    def __add__(self, other: "OfSize") -> "OfSize":
        return OfSize(
            self.runs + other.runs,
            self.decode + other.decode,
            self.infer + other.infer,
            self.encode + other.encode,
        )


_NO_TIMES = Spread((0,) * (len(BOUNDS_SECONDS) + 1), 0.0)
_NO_SIZES = Spread((0,) * (len(BATCH_BOUNDS) + 1), 0.0)


@dataclass(frozen=True, slots=True)
class Totals:
    """What was counted up to a moment; plain values, which can be added (``sum(many, Totals())``).

    ``failed`` counts requests that were told an error. ``seconds`` are of the others: each of ``STAGES``,
    and the ``whole`` from the request being there to its answer. ``rows`` were run in ``runs``; a run made for several
    requests is one, but its time is in the ``infer`` of each. ``batches`` are the runs' sizes, ``sizes`` their times by
    size. ``last`` is when the last one was answered, in seconds since the epoch, 0 for never.
    """

    failed: Mapping[Failure, int] = field(default_factory=dict)
    failed_seconds: float = 0.0
    in_flight: int = 0
    seconds: Mapping[str, Spread] = field(default_factory=lambda: dict.fromkeys(STAGES, _NO_TIMES))
    whole: Spread = _NO_TIMES
    rows: int = 0
    batches: Spread = _NO_SIZES
    sizes: Mapping[int, OfSize] = field(default_factory=dict)
    last: float = 0.0

    @property
    def answered(self) -> int:
        """Requests that were given what they asked for."""
        return self.whole.count

    @property
    def runs(self) -> int:
        return self.batches.count

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            failed=Counter(self.failed) + Counter(other.failed),
            failed_seconds=self.failed_seconds + other.failed_seconds,
            in_flight=self.in_flight + other.in_flight,
            seconds={stage: self.seconds[stage] + other.seconds[stage] for stage in STAGES},
            whole=self.whole + other.whole,
            rows=self.rows + other.rows,
            batches=self.batches + other.batches,
            sizes=_merged(self.sizes, other.sizes),
            last=max(self.last, other.last),
        )


def _merged(some: Mapping[int, OfSize], others: Mapping[int, OfSize]) -> dict[int, OfSize]:
    merged = dict(some)
    for size, figures in others.items():
        merged[size] = merged[size] + figures if size in merged else figures
    return merged
