"""What is remembered of a path once it is dealt with, so that only a change of its content makes it an arrival again.

Entered by the scanner's thread.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from daemon.errors import Rejected, SourceChanged
from daemon.history import Sighting
from daemon.intake.completeness import Look
from daemon.intake.copying import Part
from daemon.intake.members import fingerprint
from daemon.intake.store import hash_members
from daemon.lane import Outcome
from daemon.watching.stamps import SIDECAR, Stamped, stamp_at, stamped


def content_of(parts: Sequence[Part]) -> str | None:
    """The identity of the files as they lie there now; None when they cannot be read or change meanwhile."""
    try:
        return hash_members(parts)
    except (OSError, Rejected, SourceChanged):
        return None


def sighting_of_settled(path: str, model: str, look: Look, outcome: Outcome | None) -> Sighting:
    """After a deploy, whatever came of it; a file that was skipped is hashed here, the others were on the way."""
    sha256 = outcome.sha256 if outcome else None
    if outcome is not None and outcome.kind == "superseded":
        sha256 = content_of(look.members)
    return Sighting(path, model, stamped(look.members), sha256)


def sighting_of_refused(path: str, model: str, file: Path, look: Look | None, refusal: Rejected) -> Sighting:
    """After a refusal without a deploy: what is there, what is missing, and the sidecar where that was the reason."""
    members: Stamped = stamped(look.members, look.waiting_for) if look and look.members else (("", stamp_at(file)),)
    if refusal.check == "integrity":
        members = (*members, (SIDECAR, stamp_at(file.with_name(f"{file.name}.sha256"))))
    return Sighting(path, model, members, _content_of_file(file, look))


def _content_of_file(file: Path, look: Look | None) -> str | None:
    if look is not None and look.members:
        return content_of(look.members)
    real = Path(os.path.realpath(file))
    try:
        return content_of([("", real, fingerprint(real))])
    except OSError:
        return None
