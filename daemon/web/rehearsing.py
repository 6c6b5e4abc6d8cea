"""The answer to a dry run: what the gate says of a candidate, and what would come of it. Entered by request threads."""

from flask import Response

from daemon.errors import Rejected
from daemon.gate import Verdict
from daemon.lane import Rehearsal
from daemon.web.answers import answer


def rehearsed(rehearsal: Rehearsal, model: str) -> Response:
    """The report, as 200 whatever it says: nothing was asked to change. ``outcome`` is what would come of it."""
    refusal = rehearsal.refusal
    verdicts = rehearsal.report.verdicts if rehearsal.report else [_before_the_gate(refusal)]
    value: dict[str, object] = {
        "dry_run": True,
        "outcome": rehearsal.kind,
        "model": model,
        "sha256": rehearsal.sha256,
        "model_path": rehearsal.model_path,
        "checks": [_verdict(verdict) for verdict in verdicts],
    }
    if refusal is not None:
        value |= {"check": refusal.check, "reason": refusal.reason}
    return answer(value)


def _before_the_gate(refusal: Rejected | None) -> Verdict:
    assert refusal is not None  # what was not refused came to the gate
    return Verdict(refusal.check, 0.0, refusal)


def _verdict(verdict: Verdict) -> dict[str, object]:
    row: dict[str, object] = {
        "check": verdict.check,
        "passed": verdict.refusal is None,
        "seconds": verdict.seconds,
    }
    if verdict.refusal is not None:
        row["reason"] = verdict.refusal.reason
    return {**row, "findings": verdict.findings} if verdict.findings else row
