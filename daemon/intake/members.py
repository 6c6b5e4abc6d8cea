"""The files that make one model, and the only ways in which any of them is opened; entered by any thread, no state.

A model is its file, the external data files that it names, and optionally a ``.sha256`` sidecar. Everything here
refuses by name and by ``lstat`` before it opens, so a FIFO cannot block and ``/dev/zero`` is never read.
"""

import errno
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.errors import Rejected
from daemon.intake.naming import shown
from daemon.intake.outline import Reference

STORED_STEM = "__model__"
MADE_FOLDER = "__made__"
RESERVED = frozenset({f"{STORED_STEM}.onnx", f"{STORED_STEM}.ort", MADE_FOLDER})
"""Names in a store entry that no external data file may take."""

_MOST_LOCATIONS = 10_000
_DRIVE = re.compile(r"[A-Za-z]:")
_IN_MEMORY = "_ORT_MEM_ADDR_"
"""ONNX Runtime's mark for a tensor at an address in its own memory; in a file it can only be an attack."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file looks like without reading it; two different contents hardly ever share one."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Member:
    """An external data file: its normalised location, its path, and how many bytes the model needs of it."""

    location: str
    path: Path
    needed_bytes: int


def fingerprint(target: Path | int) -> Fingerprint:
    """The fingerprint of an open descriptor, or of what a path resolves to. Raises OSError."""
    seen = os.fstat(target) if isinstance(target, int) else target.stat()
    return Fingerprint(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def open_regular(path: Path) -> int:
    """A read-only descriptor of the regular file at ``path``, which the caller closes; never blocks.

    Raises Rejected("structure") for anything else than a regular file, links included, and OSError as open does.
    """
    _refuse_special(path, os.lstat(path))
    # O_NONBLOCK: if a FIFO takes the file's place after the lstat, open returns instead of waiting for a writer.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _refuse_special(path, os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_special(path: Path, seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise Rejected("structure", f"{shown(path.name)} is {_kind(seen.st_mode)}, expected a regular file")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def resolve(path: Path, allowed: Sequence[Path]) -> Path:
    """``path`` with every link followed, which must lie in one of the ``allowed`` folders.

    Raises Rejected("structure") for a link that leads elsewhere or in a loop, FileNotFoundError for one that
    leads nowhere, and other OSErrors (a folder that may not be searched).
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, error.filename) from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise Rejected("structure", f"{shown(path.name)} leads nowhere: its links form a loop") from error
    if not any(real.is_relative_to(os.path.realpath(folder)) for folder in allowed):
        raise Rejected("structure", f"{shown(path.name)} leads outside the folders that may be named")
    return real


def locate(model_file: Path, references: Iterable[Reference]) -> list[Member]:
    """The external data files of the resolved ``model_file``, sorted by location; opens nothing.

    Missing and short files are for the caller to see. Raises Rejected("structure") for a location that is absolute,
    climbs, passes through a link, names something else than a regular file, the model itself or a reserved name.
    """
    needed: dict[str, int] = {}
    for reference in references:
        if (fault := location_fault(reference.location)) is not None:
            raise _refused(reference.location, fault)
        location = str(PurePosixPath(reference.location))
        needed[location] = max(needed.get(location, 0), reference.offset + (reference.length or 0))
        if len(needed) > _MOST_LOCATIONS:
            raise Rejected("structure", f"names more than {_MOST_LOCATIONS} external data files")
    return [_member(model_file, location, needed[location]) for location in sorted(needed)]


def location_fault(location: str) -> str | None:
    """What is wrong with an external data location as text, or None where it may be looked up."""
    parts = location.split("/")
    if not location or not PurePosixPath(location).parts:
        return "is empty"
    if location.startswith("/") or _DRIVE.match(location):
        return "is absolute"
    if "\0" in location or "\\" in location:
        return "holds a NUL or a backslash"
    if ".." in parts:
        return "leads out of the model's folder"
    if _IN_MEMORY in parts:
        return "is an address in memory"
    if PurePosixPath(location).parts[0] in RESERVED:
        return "is a reserved name"
    return None


def _member(model_file: Path, location: str, needed_bytes: int) -> Member:
    path = model_file.parent
    for part in PurePosixPath(location).parts:
        if path != model_file.parent and not _is_there_as(path, location, stat.S_IFDIR):
            break
        path /= part
    path = model_file.parent / location
    if _is_there_as(path, location, stat.S_IFREG) and path.samefile(model_file):
        raise _refused(location, "is the model file itself")
    return Member(location, path, needed_bytes)


def _is_there_as(path: Path, location: str, kind: int) -> bool:
    """Whether ``path`` exists, itself and not through a link; another kind than ``kind`` is refused."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:  # too long a name, a folder that may not be searched
        raise _refused(location, f"cannot be looked up: {error.strerror}") from error
    if stat.S_IFMT(mode) != kind:
        raise _refused(location, f"passes through {_kind(mode)}")
    return True


def _refused(location: str, fault: str) -> Rejected:
    return Rejected("structure", f"external data location '{shown(location)[:200]}' {fault}")
