"""The content-addressed store of private copies that alone is checked, loaded and served.

Entered by the deployer's lane and by request threads that upload; one instance is safe to share. Each arrival is
written in a folder of its own, without a lock, and renamed in, one after the other: of two that bring the same content
one wins.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from daemon.errors import Rejected, SourceChanged, StoreDamaged, TooLarge
from daemon.intake.ahead import Known, nothing
from daemon.intake.copying import Part, digesting, filling_from_stream, pump, read_members
from daemon.intake.entry import (
    create_member,
    date_back,
    fsync_path,
    hash_entry,
    layout,
    stored_members,
    stored_name,
    stored_parts,
    would_show,
)
from daemon.intake.members import STORED_STEM, fingerprint
from daemon.intake.naming import MODEL_SUFFIXES
from daemon.release import Candidate

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class _Hashed:
    """An entry whose bytes were read, and how its files looked then."""

    candidate: Candidate
    parts: Sequence[Part]


class Store:
    """Folders ``root/<sha256>/`` with ``__model__.onnx`` or ``.ort`` and external data under its locations.

    ``root/tmp/`` holds what is on its way; leftovers there are a crash's and are removed on construction, so one
    process at a time may own a root (``StateLock``). An entry's folder ``__made__`` is free for what others derive
    from the candidate: it is no part of the identity and goes with the entry. Files are 0444, folders 0700.
    """

    def __init__(self, root: Path, *, known: Known = nothing) -> None:
        self.root = root
        self._known = known
        self._hashed: dict[str, _Hashed] = {}  # by no lock: whoever hashes an entry anew comes to the same
        self._publishing = Lock()
        self._tmp = root / "tmp"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(self._tmp, ignore_errors=True)
        self._tmp.mkdir(mode=0o700, exist_ok=True)

    def ingest(self, members: Sequence[Part], suffix: str) -> Candidate:
        """Copy a model's members (the model file under location "") in, hashing on the way.

        ``suffix`` is that of the model file, in any case. Raises SourceChanged where a member is not, before and
        after its copy, the file of its fingerprint; Rejected("store") when there is no room; nothing is left behind.
        """
        with self._on_its_way(sum(expected.size for _, _, expected in members)) as folder, digesting() as digest:
            name = stored_name(suffix)
            file_sha256, size_bytes = read_members(members, digest, lambda place: create_member(folder, place or name))
            return self._publish(folder, Candidate(digest.hexdigest(), folder / name, file_sha256, size_bytes))

    def ingest_streams(self, streams: Mapping[str, BinaryIO], suffix: str, *, limit_bytes: int) -> Candidate:
        """Copy a model from streams (anything with ``read(n)``) by location, "" for the model file, as they arrive.

        Raises TooLarge beyond ``limit_bytes`` in all, Rejected("store") when there is no room, and what ``read``
        raises; nothing is left behind.
        """
        with self._on_its_way(0) as folder, digesting() as digest:
            name = stored_name(suffix)
            count, size_bytes, file_sha256 = _limited(limit_bytes), 0, ""
            for location, stream in sorted(streams.items()):
                target = create_member(folder, location or name)
                try:
                    size_bytes += pump(filling_from_stream(stream, target, count), digest, size_hint=limit_bytes)
                finally:
                    os.close(target)
                file_sha256 = file_sha256 or digest.hexdigest()
            return self._publish(folder, Candidate(digest.hexdigest(), folder / name, file_sha256, size_bytes))

    def candidate(self, sha256: str) -> Candidate:
        """The stored candidate, its bytes not checked. Raises StoreDamaged where it is not there."""
        model_file = self._model_file(sha256)
        sizes = [path.stat().st_size for _, path in stored_members(model_file)]
        # Alone, the model file's digest is the identity; beside external data it is small and hashed again.
        file_sha256 = sha256 if len(sizes) == 1 else hash_members([("", model_file, fingerprint(model_file))])
        return Candidate(sha256, model_file, file_sha256, sum(sizes))

    def verify(self, sha256: str) -> Candidate:
        """The stored candidate, its bytes hashed again unless these very files have been hashed by this daemon before.

        A file is the same while its device, inode, size and times are. Raises StoreDamaged where bytes are missing
        or others.
        """
        model_file = self._model_file(sha256)
        try:
            parts = stored_parts(model_file)
            before = self._hashed.get(sha256)
            if before is not None and before.parts == parts:
                return before.candidate
            found = self._found(model_file, parts)
        except (OSError, Rejected, SourceChanged) as error:
            raise StoreDamaged(f"store entry {sha256} cannot be read: {error}") from error
        if found.sha256 != sha256:
            raise StoreDamaged(f"store entry {sha256} is damaged: its bytes now hash to {found.sha256}")
        if would_show(look for _, _, look in parts):
            self._hashed[sha256] = _Hashed(found, parts)
        return found

    def sync(self, sha256: str) -> None:
        """Make an entry survive a power cut: fsync its files, its folders and the root. Raises StoreDamaged."""
        model_file = self._model_file(sha256)
        for _, path in stored_members(model_file):
            fsync_path(path)
        for folder, _, _ in os.walk(model_file.parent, topdown=False):
            fsync_path(Path(folder))
        fsync_path(self.root)

    def discard(self, sha256: str) -> None:
        """Remove an entry; one that is not there is fine. Files that are mapped live on until they are unmapped."""
        self._hashed.pop(sha256, None)
        if _SHA256.fullmatch(sha256):
            self._set_aside(self.root / sha256)

    def entries(self) -> set[str]:
        """The hashes of all entries."""
        return {entry.name for entry in os.scandir(self.root) if _SHA256.fullmatch(entry.name)}

    def _found(self, model_file: Path, parts: Sequence[Part]) -> Candidate:
        """The candidate that these files make."""
        known = self._known(parts)
        if known is None:
            return hash_entry(model_file, parts)
        return Candidate(known.sha256, model_file, known.file_sha256, known.size_bytes)

    def _model_file(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise StoreDamaged(f"{sha256[:80]!r} names no store entry, expected 64 hexadecimal digits")
        for suffix in MODEL_SUFFIXES:
            path = self.root / sha256 / f"{STORED_STEM}{suffix}"
            if path.is_file():
                return path
        raise StoreDamaged(f"store entry {sha256} is missing")

    @contextmanager
    def _on_its_way(self, needed_bytes: int) -> Iterator[Path]:
        """A fresh folder below ``tmp``, gone at the end unless it was renamed in; a full disk becomes Rejected."""
        self._tmp.mkdir(mode=0o700, exist_ok=True)
        free_bytes = shutil.disk_usage(self.root).free
        if free_bytes < needed_bytes:
            raise Rejected("store", f"no space in the store: {needed_bytes} bytes needed, {free_bytes} free")
        folder = Path(tempfile.mkdtemp(dir=self._tmp))
        try:
            yield folder
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise Rejected("store", "no space in the store: the disk or a quota is full") from error
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, folder: Path, fresh: Candidate) -> Candidate:
        """Rename ``folder`` in under its hash; an entry that is there already stays if it is sound and laid out alike.

        Concatenated bytes may come in other files (``.ort`` for ``.onnx``, another split): then the newest lasts.
        """
        home = self.root / fresh.sha256
        for _, path in stored_members(fresh.path):
            date_back(path)
        with self._publishing:  # else one might set aside what another has just renamed in
            with suppress(StoreDamaged):
                present = self.verify(fresh.sha256)
                if layout(present.path) == layout(fresh.path):
                    return present
            self._set_aside(home)
            folder.rename(home)
            kept = replace(fresh, path=home / fresh.path.name)
            self._hashed[kept.sha256] = _Hashed(kept, stored_parts(kept.path))
            return kept

    def _set_aside(self, home: Path) -> None:
        """Take an entry out in one step, then remove it: nobody sees half of one."""
        aside = Path(tempfile.mkdtemp(dir=self._tmp))
        with suppress(FileNotFoundError):
            home.rename(aside / home.name)
        shutil.rmtree(aside, ignore_errors=True)


def hash_members(members: Sequence[Part]) -> str:
    """The identity that ``ingest`` would give, without copying. Raises SourceChanged as ``ingest`` does."""
    with digesting() as digest:
        read_members(members, digest, lambda _: None)
        return digest.hexdigest()


def _limited(limit_bytes: int) -> Callable[[int], None]:
    """Counts what came of a stream and stops it beyond the limit."""
    taken = 0

    def count(piece_bytes: int) -> None:
        nonlocal taken
        taken += piece_bytes
        if taken > limit_bytes:
            raise TooLarge(f"the model is larger than the limit of {limit_bytes} bytes (server.max_upload_mb)")

    return count
