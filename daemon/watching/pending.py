"""A path that is on its way: looked at, but neither deployed nor refused yet. Used by the scanner's thread alone."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from daemon.intake.completeness import Look
from daemon.intake.copying import Part
from daemon.lane import Outcome

SOON_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """Files whose digest ``future`` brings, or None where they could not be read as they were seen."""

    parts: tuple[Part, ...]
    future: "Future[str | None]"


@dataclass(slots=True)
class Pending:
    """What is known of an arrival until it is settled.

    ``future`` is the deployer's once it was submitted. ``is_undecided``: the last look found it complete, but left it
    to a digest whether it is an arrival (one that comes a moment later counts at the next look). ``reading`` is for the
    question whether the content is the one that is known of the path. ``unresolved`` says why there is no look yet,
    ``since_ns`` (monotonic) when it was first seen.
    """

    model: str
    model_path: str
    look: Look | None = None
    future: "Future[Outcome] | None" = None
    reading: Reading | None = None
    is_undecided: bool = False
    is_announced: bool = False
    is_waiting: bool = False
    unresolved: str = ""
    since_ns: int = field(default_factory=time.monotonic_ns)

    @property
    def reason(self) -> str:
        """What it waits for."""
        return self.look.reason if self.look else self.unresolved

    @property
    def is_being_read(self) -> bool:
        """Whether nothing is to be said of it before a digest is there."""
        return self.reading is not None and not self.reading.future.done()

    @property
    def next_look_seconds(self) -> float:
        """When to look again without an event; never, that is at the next rescan, where only an event helps."""
        if self.future is not None or self.is_being_read:
            return math.inf
        if not self.is_waiting:
            return SOON_SECONDS
        if self.look is None or self.look.next_look_ms is None:
            return math.inf
        return self.look.next_look_ms / 1e3

    def digest_of(
        self, parts: tuple[Part, ...], read: Callable[[Sequence[Part]], "Future[str | None]"]
    ) -> "Future[str | None]":
        """The digest of exactly these files, which are read at most once."""
        if self.reading is None or self.reading.parts != parts:
            self.stop_reading()
            self.reading = Reading(parts, read(parts))
        return self.reading.future

    def stop_reading(self) -> None:
        """Nobody wants the digest any more."""
        if self.reading is not None:
            self.reading.future.cancel()
            self.reading = None
