"""What a request must meet to be read, and where its body goes. Shared by threads, but for the loop's heads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.http.heads import Heads
from daemon.http.spool import Spool
from daemon.http.values import Guard, Limits, OnRefusal, ignore_refusal


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request must meet to be read."""

    limits: Limits
    guard: Guard
    spool: Spool
    heads: Heads[bytes, Mapping[str, Any]] = field(default_factory=Heads)
    on_refusal: OnRefusal = ignore_refusal
