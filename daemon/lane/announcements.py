"""The events that the deployer's acts make: one function for each, pure."""

from collections.abc import Sequence
from typing import Any

from daemon.errors import Rejected
from daemon.gate import Report
from daemon.lane.stages import Stages
from daemon.lane.wishes import Wish
from daemon.release import Event, Release


def superseded(wish: Wish) -> Event:
    reason = "a newer file for this model came before it was deployed"
    return Event(event="superseded", model=wish.model, model_path=wish.model_path, reason=reason)


def unchanged(wish: Wish, serving: Release, stages: Stages) -> Event:
    return _of(serving, "unchanged", model_path=wish.model_path, seconds=stages.breakdown())


def rejected(wish: Wish, sha256: str | None, refusal: Rejected, stages: Stages, report: Report | None = None) -> Event:
    """``refusal`` kept the candidate out; ``report`` knows what else would have."""
    return Event(
        event="rejected",
        model=wish.model,
        model_path=wish.model_path,
        sha256=sha256,
        cause=wish.cause,
        check=refusal.check,
        reason=refusal.reason,
        seconds=stages.breakdown(),
        detail={**_findings(report), **_also(refusal, report)},
    )


def live(wish: Wish, release: Release, before: Release | None, stages: Stages, report: Report) -> list[Event]:
    """The ``live`` event, after the ``rolled_back`` that says from which to which where it is a rollback's.

    It tells what the gate found: what of the signature changed, how far the answers drifted, and what a forced
    deploy would have failed.
    """
    detail = _findings(report)
    if wish.forced:
        detail["forced"] = [f"{refusal.check}: {refusal.reason}" for refusal in report.refusals()]
    serves = _of(release, "live", cause=release.cause, seconds=stages.breakdown(), detail=detail)
    if wish.back_to is None:
        return [serves]
    start = f"from version {before.version} " if before else ""
    step = _of(
        release,
        "rolled_back",
        reason=f"asked to go {start}back to the bytes of version {wish.back_to.version}",
        detail={"from_version": before.version if before else None, "to_version": wish.back_to.version},
    )
    return [step, serves]


def given_up(release: Release, failed: Release, to_version: int, why: str, stages: Stages) -> list[Event]:
    """``release`` serves the bytes of ``to_version`` again, as ``failed`` did not pass its probation."""
    reason = f"version {failed.version} failed its probation"
    step = _of(
        release,
        "rolled_back",
        cause="probation",
        reason=f"{reason}: {why}",
        detail={"from_version": failed.version, "from_sha256": failed.sha256, "to_version": to_version},
    )
    return [step, _of(release, "live", cause="probation", reason=reason, seconds=stages.breakdown())]


def retired(release: Release) -> Event:
    return _of(release, "retired")


def unloaded(release: Release) -> Event:
    return _of(release, "unloaded")


def restored(release: Release, faults: Sequence[str], stages: Stages, *, told: bool = True) -> Event:
    """``release`` serves again. It has a cause where it is new to the history.

    That is with ``faults`` in newer ones, or where nothing ``told`` of it before the daemon died.
    """
    cause = release.cause if faults or not told else None
    return _of(release, "restored", cause=cause, reason="; ".join(faults) or None, seconds=stages.breakdown())


def lost(model: str, faults: Sequence[str]) -> Event:
    """No release of ``model`` could be restored."""
    return Event(event="rejected", model=model, check="store", reason="; ".join(faults))


def _findings(report: Report | None) -> dict[str, object]:
    """What of the signature changed, how many expected answers were held against it, how far the answers drifted."""
    findings = report.findings() if report else {}
    detail: dict[str, object] = {}
    if "changed" in findings.get("signature", {}):
        detail["changed"] = findings["signature"]["changed"]
    if "golden" in findings:
        detail["golden"] = findings["golden"]
    if "replay" in findings:
        detail["replay"] = findings["replay"]
    return detail


def _also(refusal: Rejected, report: Report | None) -> dict[str, object]:
    others = [each for each in report.refusals() if each is not refusal] if report else []
    return {"also": [f"{each.check}: {each.reason}" for each in others]} if others else {}


def _of(release: Release, name: str, **more: Any) -> Event:
    about = {
        "model": release.model,
        "model_path": release.model_path,
        "version": release.version,
        "sha256": release.sha256,
    }
    return Event(event=name, **{**about, **more})
