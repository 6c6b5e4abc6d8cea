"""What is remembered of a path once it is dealt with, so that only a change of its content makes it an arrival again.

Entered by the scanner's thread, which reads no weights here: digests come from the reader.
"""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from daemon.errors import Rejected
from daemon.history import Sighting
from daemon.intake.completeness import Look
from daemon.intake.copying import Part
from daemon.intake.members import fingerprint, location_fault, open_regular, resolve
from daemon.intake.outline import read_outline
from daemon.lane import Outcome
from daemon.watching.stamps import SIDECAR, Stamp, Stamped, same_sizes, stamp_at, stamped

Parts = tuple[Part, ...]


def sighting_of_settled(path: str, model: str, look: Look, outcome: Outcome | None) -> Sighting:
    """After a deploy, whatever came of it; without a digest where the content was not read on the way."""
    return Sighting(path, model, stamped(look.members), outcome.sha256 if outcome else None)


def sighting_of_refused(path: str, model: str, file: Path, look: Look, refusal: Rejected) -> Sighting:
    """After a wait in vain: what is there, what is missing, and the sidecar where that was the reason; no digest."""
    members = _stamped(look)
    if refusal.check == "integrity":
        members = (*members, _stamped_sidecar(file))
    return Sighting(path, model, members, None)


def sighting_of_hopeless(path: str, model: str, file: Path, allowed: Sequence[Path]) -> tuple[Sighting, Parts]:
    """After a refusal at a look: the file, and what it names, so that a mended member is looked at, too.

    Comes with what must be read for the digest; with nothing where there is one already, or nothing can be read.
    """
    try:
        real = resolve(file, allowed)
        named = ((location, stamp_at(real.parent / location)) for location in _named_by(real, file.suffix))
        return Sighting(path, model, (("", stamp_at(file)), *named), None), (("", real, fingerprint(real)),)
    except Rejected:
        # What lies outside or is no file is never opened: where the path leads stands for what is there.
        content = sha256(os.fsencode(os.path.realpath(file))).hexdigest()
    except OSError:
        content = None
    return Sighting(path, model, (("", stamp_at(file)),), content), ()


def was_refused_for_its_sidecar(known: Sighting | None) -> bool:
    """Whether the content that is known was never judged, as its sidecar spoke against it."""
    return known is not None and any(location == SIDECAR for location, _ in known.members)


def sighting_of_touched(known: Sighting, file: Path, look: Look) -> Sighting | None:
    """What takes the place of ``known`` if the content is the same; None where it cannot be."""
    now = _stamped(look)
    if known.sha256 is None or not same_sizes(known, now):
        return None
    if was_refused_for_its_sidecar(known):
        now = (*now, _stamped_sidecar(file))
    return Sighting(known.path, known.model, now, known.sha256)


def _stamped(look: Look) -> Stamped:
    """The stamps of the members that are there, be they too short, and of those that are missing."""
    there = {location for location, _, _ in look.members}
    return stamped(look.members, (location for location in look.waiting_for if location not in there))


def _stamped_sidecar(file: Path) -> tuple[str, Stamp]:
    return SIDECAR, stamp_at(file.with_name(f"{file.name}.sha256"))


def _named_by(file: Path, suffix: str) -> list[str]:
    """The external data locations of a model that may be looked up."""
    fd = open_regular(file)
    try:
        references = read_outline(fd, suffix).references
    finally:
        os.close(fd)
    return sorted({each.location for each in references if location_fault(each.location) is None})
