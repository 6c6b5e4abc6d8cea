"""What a check may know: plain values."""

from dataclasses import dataclass
from pathlib import Path

from daemon.release import Candidate, Release


@dataclass(frozen=True, slots=True)
class Subject:
    """A candidate before the gate, for which ``model``, with what serves now and what somebody vouched for.

    ``digests`` are SHA-256 hex digests that the model file must have. ``is_known`` says that its bytes are those of an
    earlier release, by the hash under which they are stored. ``beside`` is the folder that the file came from, where it
    came from one. ``relapse`` says how these bytes failed their probation for this model, if they did. A rehearsal may
    change nothing. ``is_loaded`` says that its engine stands by.
    """

    candidate: Candidate
    model: str
    digests: tuple[str, ...] = ()
    serving: Release | None = None
    is_known: bool = False
    beside: Path | None = None
    relapse: str | None = None
    is_rehearsal: bool = False
    is_loaded: bool = False
