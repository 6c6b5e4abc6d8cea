"""What a check may know: plain values."""

from dataclasses import dataclass

from daemon.release import Candidate, Release


@dataclass(frozen=True, slots=True)
class Subject:
    """A candidate before the gate, for which ``model``, with what serves now and what somebody vouched for.

    ``digests`` are SHA-256 hex digests that the model file must have.
    """

    candidate: Candidate
    model: str
    digests: tuple[str, ...] = ()
    serving: Release | None = None
