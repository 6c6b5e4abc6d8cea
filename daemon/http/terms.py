"""What a request must meet to be read, and where its body goes. Safe to share between threads."""

from dataclasses import dataclass

from daemon.http.spool import Spool
from daemon.http.values import Guard, Limits


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request must meet to be read."""

    limits: Limits
    guard: Guard
    spool: Spool
