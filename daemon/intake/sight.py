"""Opening the files of a dropped model to see what is there; entered by the scanner and the deployer through a look."""

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import Rejected
from daemon.intake.copying import Part, digesting, filling_from, pump
from daemon.intake.judgement import Shortage
from daemon.intake.members import Fingerprint, Member, fingerprint, locate, open_regular, resolve
from daemon.intake.outline import Outline, read_outline
from daemon.intake.writers import Writers, writers_of

_HEX_DIGEST = re.compile(rb"(?<![0-9A-Za-z])[0-9a-fA-F]{64}(?![0-9A-Za-z])")
_SIDECAR_BYTES = 4096
_NAME_BYTES = 255  # the longest file name that Linux' file systems take


@dataclass(frozen=True, slots=True)
class Seen:
    """A member as it was, and who was writing it, before anything of it was read."""

    part: Part
    writers: Writers

    def moved(self) -> bool:
        """Whether the member's path leads to another file by now, or the file changed."""
        _, path, before = self.part
        try:
            return fingerprint(path) != before
        except FileNotFoundError:
            return True


@dataclass(frozen=True, slots=True)
class Sight:
    """What is there: the model file, open as ``fd``, and after it the external data that is there, by location.

    ``sidecar`` is None where there is none; ``stated`` is the digest in it, None where it holds none.
    """

    fd: int
    seen: tuple[Seen, ...]
    outline: Outline
    refusal: Rejected | None
    shortages: tuple[Shortage, ...]
    sidecar: Fingerprint | None
    stated: str | None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Location, path and fingerprint of every member that is there."""
        return tuple(member.part for member in self.seen)

    def sha256(self) -> str:
        """The digest of the model file's bytes, read to the length that it had."""
        _, _, before = self.seen[0].part
        os.lseek(self.fd, 0, os.SEEK_SET)
        with digesting() as digest:
            pump(filling_from(self.fd, before.size), digest, size_hint=before.size)
            return digest.hexdigest()


def take_sight(path: Path, real: Path, allowed: Sequence[Path], stack: ExitStack) -> Sight:
    """Open and outline the dropped ``path``, resolved to ``real``; ``stack`` closes what was opened.

    Raises Rejected for special files and for a sidecar that leads outside ``allowed``, and OSError.
    """
    fd = open_regular(real)
    stack.callback(os.close, fd)
    # The order matters: who writes is asked before anything is read, so "nobody" holds for what was read.
    model = Seen(("", real, fingerprint(fd)), writers_of(fd))
    outline = read_outline(fd, path.suffix)
    refusal, wanted = None, list[Member]()
    try:
        wanted = locate(real, outline.references)
    except Rejected as rejected:
        refusal = rejected
    external, shortages = _look_for(wanted)
    sidecar, stated = _read_sidecar(path, allowed)
    return Sight(fd, (model, *external), outline, refusal, shortages, sidecar, stated)


def _look_for(wanted: Sequence[Member]) -> tuple[list[Seen], tuple[Shortage, ...]]:
    seen: list[Seen] = []
    shortages: list[Shortage] = []
    for member in wanted:
        try:
            one = _see(member)
        except (FileNotFoundError, NotADirectoryError):
            shortages.append(Shortage(member.location, None, member.needed_bytes))
            continue
        seen.append(one)
        _, _, mark = one.part
        if mark.size < member.needed_bytes:
            shortages.append(Shortage(member.location, mark.size, member.needed_bytes))
    return seen, tuple(shortages)


def _see(member: Member) -> Seen:
    """Opened one at a time: a model may have more external data files than a process may have descriptors."""
    fd = open_regular(member.path)
    try:
        return Seen((member.location, member.path, fingerprint(fd)), writers_of(fd))
    finally:
        os.close(fd)


def _read_sidecar(path: Path, allowed: Sequence[Path]) -> tuple[Fingerprint | None, str | None]:
    """The sidecar's fingerprint, and the first 64 hexadecimal digits in it: ``sha256sum``'s form and others."""
    sidecar = path.with_name(f"{path.name}.sha256")
    if len(os.fsencode(sidecar.name)) > _NAME_BYTES:
        return None, None  # a name that no file can have
    try:
        fd = open_regular(resolve(sidecar, allowed))
    except FileNotFoundError:
        return None, None
    try:
        mark = fingerprint(fd)
        found = _HEX_DIGEST.search(os.pread(fd, _SIDECAR_BYTES, 0))
    finally:
        os.close(fd)
    return mark, found.group().decode("ascii").lower() if found else None
