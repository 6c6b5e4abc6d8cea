"""Reading files into SHA-256 and, on the way, into the store; entered by the threads that use the store.

Large files are hashed in a second thread while the first copies: hashlib and the copy inside the kernel both let go of
the interpreter lock, so the two halves overlap. No thread outlives the call that started it.
"""

import errno
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol

from daemon.errors import SourceChanged
from daemon.intake.members import Fingerprint, fingerprint, open_regular
from daemon.intake.naming import shown

CHUNK_BYTES = 4 << 20
"""Large enough that handing chunks over costs nothing (from 2 MiB on it measured flat), small enough for the cache."""

STEP_BYTES = 32 << 20
"""How much is copied before it is hashed. Between two steps the interpreter lock is needed, which busy request threads
may hold (measured with large JSON bodies: 100 MB took 5 s in steps of 2 MiB)."""

PIECE_BYTES = 128 << 10
"""Larger writes are put into large pages, whose first touch can be dear (measured on a virtual machine: 100 MB in
340 ms by 2 MiB writes, in 33 ms by this size or by ``os.sendfile``)."""

_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What file systems answer that cannot give their bytes away inside the kernel."""

Part = tuple[str, Path, Fingerprint]
"""A member to be read: its location ("" for the model file), its path, and the fingerprint it must still have."""


class Fill(Protocol):
    """Fills the start of a buffer from some source and says how many bytes it put there, 0 at the end."""

    def __call__(self, buffer: memoryview, /) -> int: ...


class Digest:
    """A running SHA-256 that is fed large chunks in a second thread; for one thread, within ``digesting``."""

    def __init__(self, lane: ThreadPoolExecutor) -> None:
        self._lane = lane
        self._hash = sha256()
        self._under_way: Future[None] | None = None
        self._buffers: list[memoryview] = []

    def spare_buffer(self, chunk_bytes: int) -> memoryview:
        """A buffer that no hashing is reading: two of them take turns."""
        if not self._buffers or len(self._buffers[0]) < chunk_bytes:
            self.settle()
            self._buffers = [memoryview(bytearray(chunk_bytes)) for _ in range(2)]
        self._buffers.reverse()
        return self._buffers[0]

    def feed(self, chunk: memoryview) -> None:
        """Hash ``chunk``, which must stay untouched until the next ``feed`` or ``settle``."""
        self.settle()
        if len(chunk) < CHUNK_BYTES:
            self._hash.update(chunk)
        else:
            self._under_way = self._lane.submit(self._hash.update, chunk)

    def settle(self) -> None:
        """Wait until everything fed is hashed."""
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def hexdigest(self) -> str:
        """The digest of everything fed so far; feeding may go on."""
        self.settle()
        return self._hash.hexdigest()


@contextmanager
def digesting() -> Iterator[Digest]:
    """A ``Digest`` whose thread, if a large chunk ever needed one, is joined at the end."""
    with ThreadPoolExecutor(1, thread_name_prefix="store-hash") as lane:
        yield Digest(lane)


def pump(fill: Fill, digest: Digest, *, size_hint: int) -> int:
    """Move everything from ``fill`` into ``digest``; the number of bytes moved."""
    chunk_bytes = max(1, min(CHUNK_BYTES, size_hint))
    moved = 0
    while count := fill(buffer := digest.spare_buffer(chunk_bytes)):
        digest.feed(buffer[:count])
        moved += count
    return moved


def write_all(target: int, chunk: memoryview) -> None:
    """Write the whole chunk, piece by piece."""
    while chunk:
        chunk = chunk[os.write(target, chunk[:PIECE_BYTES]) :]


def filling_from(fd: int, limit_bytes: int) -> Fill:
    """Fill from a descriptor's current position, ``limit_bytes`` in all: a file that grows cannot keep us."""
    left = limit_bytes

    def fill(buffer: memoryview, /) -> int:
        nonlocal left
        count = os.readv(fd, [buffer[:left]])
        left -= count
        return count

    return fill


def copy_and_digest(source: int, target: int, limit_bytes: int, digest: Digest) -> int:
    """Copy from one descriptor to another inside the kernel, and hash the copy: what is hashed is what is kept.

    ``limit_bytes`` in all are copied, from the start on; the number of bytes copied. ``target`` must be a new file that
    nobody else has, since it is hashed from a mapping.
    """
    done = 0
    while done < limit_bytes:
        end = min(done + STEP_BYTES, limit_bytes)
        copied = done
        while copied < end and (count := _copy_some(source, target, copied, end - copied)):
            copied += count
        if copied == done:
            break
        digest.feed(_mapped(target, done, copied))
        done = copied
    return done


def _mapped(fd: int, start: int, end: int) -> memoryview:
    """The bytes of a file from ``start`` to ``end``, for as long as somebody holds the view."""
    page = start - start % mmap.ALLOCATIONGRANULARITY
    return memoryview(mmap.mmap(fd, end - page, prot=mmap.PROT_READ, offset=page))[start - page :]


def _copy_some(source: int, target: int, offset: int, count: int) -> int:
    """Copy up to ``count`` bytes from ``offset`` on to the target's position, which is the same."""
    try:
        return os.sendfile(target, source, offset, count)
    except OSError as error:
        if error.errno not in _NO_SENDFILE:
            raise
    piece = os.pread(source, min(count, PIECE_BYTES), offset)
    write_all(target, memoryview(piece))
    return len(piece)


def filling_from_stream(stream: BinaryIO, target: int, count_taken: Callable[[int], None]) -> Fill:
    """Fill from an object with ``read``, writing to ``target``; ``count_taken`` hears of every length and may raise."""

    def fill(buffer: memoryview, /) -> int:
        piece = stream.read(len(buffer))
        count_taken(len(piece))
        buffer[: len(piece)] = piece
        write_all(target, buffer[: len(piece)])
        return len(piece)

    return fill


def read_members(members: Sequence[Part], digest: Digest, target_of: Callable[[str], int | None]) -> tuple[str, int]:
    """Read the model file, then the external data in order of location; (digest of the model file, bytes read).

    ``target_of`` opens where a location's bytes go, or None to only hash; the descriptor is closed here. Raises
    SourceChanged where a member no longer has its fingerprint before or after it was read.
    """
    file_sha256, size_bytes = "", 0
    for location, path, expected in in_identity_order(members):
        target = target_of(location)
        try:
            size_bytes += _read_member(path, expected, digest, target)
        finally:
            if target is not None:
                os.close(target)
        file_sha256 = file_sha256 or digest.hexdigest()
    return file_sha256, size_bytes


def in_identity_order(members: Sequence[Part]) -> list[Part]:
    """The model file first (its location is empty), then by location: the order in which bytes make the identity."""
    ordered = sorted(members, key=lambda member: member[0])
    if [location for location, _, _ in ordered].count("") != 1:
        raise ValueError("members: expected exactly one model file (location '')")
    return ordered


def _read_member(path: Path, expected: Fingerprint, digest: Digest, target: int | None) -> int:
    try:
        fd = open_regular(path)
    except FileNotFoundError as error:
        raise SourceChanged(f"{shown(path.name)} vanished before it was read") from error
    try:
        expect_unchanged(fd, path, expected)
        if target is not None:
            moved = copy_and_digest(fd, target, expected.size, digest)
        else:
            moved = pump(filling_from(fd, expected.size), digest, size_hint=expected.size)
        expect_unchanged(fd, path, expected)
    finally:
        os.close(fd)
    if moved != expected.size:
        raise SourceChanged(f"{shown(path.name)} gave {moved} bytes, expected {expected.size}")
    return moved


def expect_unchanged(fd: int, path: Path, expected: Fingerprint) -> None:
    """Both the open file and what its name leads to now must be the file that was looked at."""
    try:
        same = fingerprint(fd) == expected == fingerprint(path)
    except FileNotFoundError:
        same = False
    if not same:
        raise SourceChanged(f"{shown(path.name)} changed while it was read")
