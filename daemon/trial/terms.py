"""What the daemon and the warm parent agree on, and what a trial's process is allowed: plain values."""

from dataclasses import dataclass

READY = b"warm"
"""What the warm parent says once it has imported everything."""
MOST_BYTES = 4096
"""Of one message between the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTerms:
    """``memory_bytes`` of its own beyond what it starts with, files of at most ``file_bytes``, and its niceness.

    ``memory_bytes`` counts what is allocated, touched or not (``RLIMIT_DATA``): mapped files do not count.
    """

    memory_bytes: int
    file_bytes: int
    nice: int
