"""What one look at a model's files means: the policy of completeness as a pure function; entered by any thread."""

from dataclasses import dataclass
from enum import Enum

from daemon.errors import Rejected
from daemon.intake.naming import shown
from daemon.intake.outline import Outline, OutlineState
from daemon.intake.writers import Writers


class LookState(Enum):
    """COMPLETE: every member is there and nobody writes; WAITING: not yet."""

    COMPLETE = "complete"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Shortage:
    """An external data file of which ``there_bytes`` of ``needed_bytes`` are there, None where it is missing."""

    location: str
    there_bytes: int | None
    needed_bytes: int


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the sidecar says of the model file: ``stated`` None: no digest in it; ``actual`` None: not hashed yet."""

    stated: str | None
    actual: str | None

    @property
    def matches(self) -> bool:
        """Whether the model file is, byte for byte, the one its sender meant."""
        return self.stated is not None and self.stated == self.actual


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything a look found out.

    ``writers`` and ``closed`` sum up the members that still need the proof: all of them, without the model file where
    its sidecar matches. ``refusal`` is the verdict on a reference, if there is one. ``awaited_sidecar`` names the one
    that must come and is not there.
    """

    outline: Outline
    writers: Writers = Writers.NONE
    closed: bool = False
    still_ms: int = 0
    settle_ms: int = 0
    moved: bool = False
    refusal: Rejected | None = None
    shortages: tuple[Shortage, ...] = ()
    sidecar: Sidecar | None = None
    awaited_sidecar: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``fault`` is why to reject if it stays so; ``final``: it will stay so. ``next_look_ms`` None: on an event."""

    state: LookState
    reason: str
    fault: Rejected | None = None
    final: bool = False
    next_look_ms: int | None = None


def judge(evidence: Evidence) -> Verdict:
    """Whether the model is complete, in the order: alien, cut, references, external data, sidecar, writers."""
    fault = _fault(evidence)
    matches = evidence.sidecar is not None and evidence.sidecar.matches
    if evidence.moved:
        return _waiting("changed while it was looked at", next_look_ms=evidence.settle_ms)
    if evidence.outline.state is OutlineState.ALIEN or evidence.refusal is not None:
        return _hopeless(fault, evidence)
    if evidence.outline.state is OutlineState.CUT and not matches:
        return _waiting(evidence.outline.reason, fault)
    if evidence.shortages:
        return _waiting(_shortage_sentence(evidence.shortages), fault)
    if evidence.sidecar is not None and not matches:
        return _held_by_sidecar(evidence.sidecar, fault, evidence)
    if evidence.awaited_sidecar:
        return _waiting(f"waiting for {evidence.awaited_sidecar}", fault)
    if evidence.writers is Writers.SOME:
        return _waiting("a writer has it open")
    if not _nobody_writes(evidence):
        return _waiting_for_stillness(evidence)
    return Verdict(LookState.COMPLETE, "its sidecar's sha256 is right" if matches else "whole, and nobody writes")


def _fault(evidence: Evidence) -> Rejected | None:
    """Why the model would be rejected if its files stayed as they are."""
    outline, sidecar = evidence.outline, evidence.sidecar
    if outline.state is OutlineState.ALIEN:
        return Rejected("structure", outline.reason)
    if evidence.refusal is not None:
        return evidence.refusal
    if outline.state is OutlineState.CUT and not (sidecar is not None and sidecar.matches):
        return Rejected("structure", f"truncated: {outline.reason}")
    if evidence.shortages:
        return Rejected("structure", f"external data is incomplete: {_shortage_sentence(evidence.shortages)}")
    if sidecar is not None and not sidecar.matches:
        return Rejected("integrity", _sidecar_sentence(sidecar))
    if evidence.awaited_sidecar:
        reason = f"no sha256 was stated for it, expected {evidence.awaited_sidecar} beside it (gate.integrity.required)"
        return Rejected("integrity", reason)
    return None


def _hopeless(fault: Rejected | None, evidence: Evidence) -> Verdict:
    """A fault that no further byte mends; but what somebody still writes is not judged yet."""
    if evidence.writers is Writers.SOME:
        return _waiting("a writer has it open", fault)
    if not _nobody_writes(evidence):
        return _waiting_for_stillness(evidence, fault)
    return Verdict(LookState.WAITING, fault.reason if fault else "", fault, final=True)


def _held_by_sidecar(sidecar: Sidecar, fault: Rejected | None, evidence: Evidence) -> Verdict:
    if sidecar.stated is not None and sidecar.actual is None:
        return _waiting("a writer has it open, its sha256 is not taken yet", next_look_ms=evidence.settle_ms)
    return _waiting(_sidecar_sentence(sidecar), fault)


def _waiting(reason: str, fault: Rejected | None = None, *, next_look_ms: int | None = None) -> Verdict:
    return Verdict(LookState.WAITING, reason, fault, next_look_ms=next_look_ms)


def _waiting_for_stillness(evidence: Evidence, fault: Rejected | None = None) -> Verdict:
    reason = f"still for {evidence.still_ms} of {evidence.settle_ms} ms"
    return _waiting(reason, fault, next_look_ms=max(1, evidence.settle_ms - evidence.still_ms))


def _nobody_writes(evidence: Evidence) -> bool:
    """Proof by lease; where there are none, a close or rename event, or stillness."""
    if evidence.writers is Writers.UNKNOWN:
        return evidence.closed or evidence.still_ms >= evidence.settle_ms
    return evidence.writers is Writers.NONE


def _shortage_sentence(shortages: tuple[Shortage, ...]) -> str:
    first, more = shortages[0], len(shortages) - 1
    there = "missing" if first.there_bytes is None else f"{first.there_bytes} of {first.needed_bytes} bytes"
    return f"waiting for {shown(first.location)} ({there})" + (f" and {more} more" if more else "")


def _sidecar_sentence(sidecar: Sidecar) -> str:
    if sidecar.stated is None:
        return "sidecar is not a sha256: expected 64 hexadecimal digits"
    return f"sidecar says {sidecar.stated[:12]}…, file has {(sidecar.actual or 'not been hashed')[:12]}…"
