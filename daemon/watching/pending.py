"""A path that is on its way: looked at, but neither deployed nor refused yet. Used by the scanner's thread alone."""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from daemon.intake.completeness import Look
from daemon.lane import Outcome


@dataclass(slots=True)
class Pending:
    """What is known of an arrival until it is settled.

    ``future`` is the deployer's once it was submitted. ``unresolved`` says why there is no look yet,
    ``since_ns`` (monotonic) when it was first seen.
    """

    model: str
    model_path: str
    look: Look | None = None
    future: "Future[Outcome] | None" = None
    is_announced: bool = False
    is_waiting: bool = False
    unresolved: str = ""
    since_ns: int = field(default_factory=time.monotonic_ns)

    @property
    def reason(self) -> str:
        """What it waits for."""
        return self.look.reason if self.look else self.unresolved
