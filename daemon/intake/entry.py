"""One entry of the store: the names, modes and order of the files in its folder; entered by the store's callers."""

import os
from pathlib import Path

from daemon.intake.copying import digesting, read_members
from daemon.intake.members import MADE_FOLDER, STORED_STEM, fingerprint
from daemon.intake.naming import MODEL_SUFFIXES
from daemon.release import Candidate


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


def hash_entry(model_file: Path) -> Candidate:
    """The candidate that the entry's bytes make now. Raises OSError, Rejected or SourceChanged if unreadable."""
    members = [(location, path, fingerprint(path)) for location, path in stored_members(model_file)]
    with digesting() as digest:
        file_sha256, size_bytes = read_members(members, digest, lambda _: None)
        return Candidate(digest.hexdigest(), model_file, file_sha256, size_bytes)


def fsync_path(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
