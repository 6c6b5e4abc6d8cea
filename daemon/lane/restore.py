"""What start-up brings back: the last good release of a model, or the newest one before it whose bytes are intact.

It runs on the deployer's thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.errors import Rejected, StoreDamaged
from daemon.history import utc_now
from daemon.lane.adopt import Adoption
from daemon.lane.back import relapses
from daemon.lane.prepare import Preparation
from daemon.lane.stages import Stages
from daemon.release import Release
from daemon.runtime import Engine


@dataclass(frozen=True, slots=True)
class Intact:
    """A release whose bytes were verified, with its warm engine."""

    release: Release
    engine: Engine


def newest_intact(
    releases: Sequence[Release], preparation: Preparation, adoption: Adoption, stages: Stages
) -> tuple[Intact | None, list[str]]:
    """The first of ``releases`` (newest first) that verifies and loads, and what was wrong with those before it.

    What was not proved by this library on this machine (it was upgraded, say) goes through a trial before it is loaded.
    Bytes that failed their probation come last, whatever their age.
    """
    faults: list[str] = []
    tried: set[str] = set()
    failed = relapses(releases)
    for release in sorted(releases, key=lambda release: release.sha256 in failed):
        if release.sha256 in tried:
            continue
        tried.add(release.sha256)
        try:
            with stages.timed("store"):
                candidate = preparation.verified(release.sha256)
            with stages.timed("gate"):
                preparation.prove(candidate, release.model)
            return Intact(release, adoption.warm_engine(release, stages, in_haste=True)), faults
        except StoreDamaged as damage:
            faults.append(f"version {release.version}: {damage}")
        except Rejected as refusal:
            faults.append(f"version {release.version}: {refusal.reason}")
    return None, faults


def renumbered(release: Release, version: int) -> Release:
    """``release`` again under a new number: its own was another's bytes to whoever saw it last."""
    return replace(release, version=version, cause="restored", time=utc_now())
