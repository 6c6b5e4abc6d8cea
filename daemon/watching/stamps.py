"""What a path looked like when it was last dealt with, and whether it still does. Entered by the scanner's thread."""

import os
from collections.abc import Iterable
from pathlib import Path

from daemon.history import Sighting
from daemon.intake.copying import Part
from daemon.intake.members import Fingerprint

Stamp = tuple[int, ...]
"""``(dev, ino, size, mtime_ns, ctime_ns)``, or ``()`` for a file that was not there."""
Stamped = tuple[tuple[str, Stamp], ...]

SIDECAR = "*.sha256"
"""Stands for the model's sidecar among the locations of a model that was refused for what its sidecar says."""
SIZE = 2


def stamp_of(seen: Fingerprint) -> Stamp:
    return (seen.dev, seen.ino, seen.size, seen.mtime_ns, seen.ctime_ns)


def stamp_at(path: Path) -> Stamp:
    """The stamp of what ``path`` resolves to, of the link itself where it leads nowhere, ``()`` where nothing is."""
    for look in (os.stat, os.lstat):
        try:
            seen = look(path)
        except OSError:
            continue
        return (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return ()


def stamped(parts: Iterable[Part], missing: Iterable[str] = ()) -> Stamped:
    """The stamps of the members that were looked at, and of those that were not there."""
    return (*((location, stamp_of(seen)) for location, _, seen in parts), *((location, ()) for location in missing))


def is_as_it_was(path: Path, known: Sighting) -> bool:
    """Whether every file of the model at ``path`` still has the stamp that is ``known``."""
    return all(stamp_at(_place(path, location)) == stamp for location, stamp in known.members)


def lie_as_seen(path: Path, parts: Iterable[Part]) -> bool:
    """Whether the files that were seen for the model at ``path`` are what is found there now."""
    return all(stamp_at(_place(path, location)) == stamp_of(seen) for location, _, seen in parts)


def may_be_same_file(known: Sighting, now: Sighting) -> bool:
    """Whether the model file has the size that it had: else its content cannot be the same."""
    return _sizes(known.members).get("") == _sizes(now.members).get("")


def same_sizes(known: Sighting, now: Stamped) -> bool:
    """Whether the same files have the same sizes: else their content cannot be the same."""
    return _sizes(known.members) == _sizes(now)


def _sizes(members: Stamped) -> dict[str, int | None]:
    return {location: stamp[SIZE] if stamp else None for location, stamp in members if location != SIDECAR}


def _place(path: Path, location: str) -> Path:
    if not location:
        return path
    if location == SIDECAR:
        return path.with_name(f"{path.name}.sha256")
    return Path(os.path.realpath(path)).parent / location
