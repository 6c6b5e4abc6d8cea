"""One entry of the store: the names, modes and order of the files in its folder; entered by the store's callers."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from daemon.intake.copying import Part, digesting, read_members
from daemon.intake.members import MADE_FOLDER, STORED_STEM, Fingerprint, fingerprint
from daemon.intake.naming import MODEL_SUFFIXES
from daemon.release import Candidate

DATED_BACK_NS = 60_000_000_000


def stored_name(suffix: str) -> str:
    """What a model file of that suffix, in any case, is called in the store. Raises ValueError for others."""
    if suffix.lower() not in MODEL_SUFFIXES:
        raise ValueError(f"suffix {suffix!r}: expected .onnx or .ort")
    return f"{STORED_STEM}{suffix.lower()}"


def create_member(folder: Path, location: str) -> int:
    """A new file below ``folder``, open for writing and reading, that nobody may write again."""
    path = folder / location
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o444)


def stored_members(model_file: Path) -> list[tuple[str, Path]]:
    """Locations and paths of an entry's members: the folder itself is the only record of them."""
    folder = model_file.parent
    found = [("", model_file)]
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path != model_file and relative.parts[0] != MADE_FOLDER and path.is_file():
            found.append((str(relative), path))
    return sorted(found)


def layout(model_file: Path) -> list[tuple[str, str, int]]:
    """Location, model file's name and size of each member: what two entries of one hash may still differ in."""
    return [(location, model_file.name, path.stat().st_size) for location, path in stored_members(model_file)]


def stored_parts(model_file: Path) -> list[Part]:
    """The entry's members as they look now. Raises OSError."""
    return [(location, path, fingerprint(path)) for location, path in stored_members(model_file)]


def hash_entry(model_file: Path, parts: Sequence[Part]) -> Candidate:
    """The candidate that the entry's bytes make now. Raises OSError, Rejected or SourceChanged if unreadable.

    SourceChanged also where a member does not look as in ``parts``, before and after it was read.
    """
    with digesting() as digest:
        file_sha256, size_bytes = read_members(parts, digest, lambda _: None)
        return Candidate(digest.hexdigest(), model_file, file_sha256, size_bytes)


def date_back(path: Path) -> None:
    """Dates the last change of a file that is complete a minute back.

    Whatever writes to it later then changes how it looks, at once too: clocks of file systems go by several
    milliseconds, so two writes can have the same time.
    """
    past = time.time_ns() - DATED_BACK_NS
    os.utime(path, ns=(past, past))


def would_show(looks: Iterable[Fingerprint]) -> bool:
    """Whether files that look like this now will look otherwise once they are written to, however soon."""
    before = time.time_ns() - DATED_BACK_NS // 2
    return all(look.mtime_ns < before for look in looks)


def fsync_path(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
