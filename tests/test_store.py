"""The content-addressed store of private copies."""

import errno
import io
import os
import random
import shutil
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pytest

from daemon.errors import Rejected, SourceChanged, StoreDamaged, TooLarge
from daemon.intake import copying
from daemon.intake.copying import CHUNK_BYTES, Digest, Part
from daemon.intake.members import fingerprint
from daemon.intake.store import Store, hash_members
from daemon.release import Candidate

LARGE = random.Random(3).randbytes(3 * CHUNK_BYTES + 12345)


def part(path: Path, location: str = "") -> Part:
    return location, path, fingerprint(path)


def drop(folder: Path, content: bytes = b"model", **external: bytes) -> list[Part]:
    """A model file and external data in ``folder``, as the parts of a look."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.onnx").write_bytes(content)
    parts = [part(folder / "m.onnx")]
    for location, more in external.items():
        place = folder / location.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(more)
        parts.append(part(place, location.replace("__", "/")))
    return parts


def on_its_way(store: Store) -> list[str]:
    return [str(path) for path in (store.root / "tmp").rglob("*")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("step_bytes", [4096 + 17, CHUNK_BYTES, copying.STEP_BYTES])
def test_copy_is_the_same_in_steps_of_any_size(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_bytes: int
) -> None:
    monkeypatch.setattr(copying, "STEP_BYTES", step_bytes)
    candidate = store.ingest(drop(tmp_path / "drop", LARGE), ".onnx")
    assert candidate.path.read_bytes() == LARGE
    assert candidate.sha256 == sha256(LARGE).hexdigest()


@pytest.mark.parametrize("content", [b"", b"small", LARGE[:CHUNK_BYTES], LARGE[: 2 * CHUNK_BYTES], LARGE])
def test_ingest_copies_and_hashes_any_size(store: Store, tmp_path: Path, content: bytes) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", content), ".onnx")
    assert candidate.sha256 == candidate.file_sha256 == sha256(content).hexdigest()
    assert candidate.path == store.root / candidate.sha256 / "__model__.onnx"
    assert candidate.path.read_bytes() == content
    assert candidate.size_bytes == len(content)
    assert on_its_way(store) == []


def test_ingest_hashes_external_data_in_order_of_location(store: Store, tmp_path: Path) -> None:
    parts = drop(tmp_path / "drop", b"model", z=b"last", a__w=b"first")
    candidate = store.ingest([parts[1], parts[0], parts[2]], ".onnx")
    assert candidate.sha256 == sha256(b"model" + b"first" + b"last").hexdigest()
    assert candidate.file_sha256 == sha256(b"model").hexdigest()
    assert candidate.size_bytes == 14
    assert (candidate.path.parent / "a" / "w").read_bytes() == b"first"
    assert (candidate.path.parent / "z").read_bytes() == b"last"


@pytest.mark.parametrize(
    ("suffix", "name"), [(".onnx", "__model__.onnx"), (".ONNX", "__model__.onnx"), (".Ort", "__model__.ort")]
)
def test_ingest_keeps_the_suffix_that_says_the_format(store: Store, tmp_path: Path, suffix: str, name: str) -> None:
    assert store.ingest(drop(tmp_path / "drop"), suffix).path.name == name


def test_ingest_refuses_a_foreign_suffix(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        store.ingest(drop(tmp_path / "drop"), ".txt")


def test_ingest_makes_copies_that_nobody_writes_again(store: Store, tmp_path: Path) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", sub__w=b"w"), ".onnx")
    folder = candidate.path.parent
    assert {stat.S_IMODE(path.stat().st_mode) for path in (candidate.path, folder / "sub" / "w")} == {0o444}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "sub", store.root)} == {0o700}


def test_ingest_is_not_the_dropped_file_itself(store: Store, tmp_path: Path) -> None:
    parts = drop(tmp_path / "drop", w=b"weights")
    candidate = store.ingest(parts, ".onnx")
    for _, path, _ in parts:
        os.truncate(path, 0)
    assert store.verify(candidate.sha256).size_bytes == 12


@pytest.mark.parametrize("which", ["m.onnx", "w"])
def test_ingest_raises_source_changed_for_another_fingerprint(store: Store, tmp_path: Path, which: str) -> None:
    parts = drop(tmp_path / "drop", w=b"weights")
    (tmp_path / "drop" / which).write_bytes(b"longer than before")
    with pytest.raises(SourceChanged):
        store.ingest(parts, ".onnx")
    assert store.entries() == set()
    assert on_its_way(store) == []


def test_ingest_reads_nothing_of_a_file_that_is_not_the_one_looked_at(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = drop(tmp_path / "drop")
    (tmp_path / "drop" / "m.onnx").write_bytes(b"another")
    monkeypatch.setattr(os, "sendfile", lambda *_: pytest.fail("read the wrong file"))
    with pytest.raises(SourceChanged):
        store.ingest(parts, ".onnx")


def test_ingest_raises_source_changed_when_the_folder_is_exchanged_during_the_copy(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = drop(tmp_path / "drop", LARGE)
    drop(tmp_path / "fresh", LARGE)

    def exchange() -> None:
        (tmp_path / "drop").rename(tmp_path / "old")
        (tmp_path / "fresh").rename(tmp_path / "drop")

    meddling(monkeypatch, exchange)
    with pytest.raises(SourceChanged):
        store.ingest(parts, ".onnx")


def test_ingest_raises_source_changed_for_a_file_that_vanished(store: Store, tmp_path: Path) -> None:
    parts = drop(tmp_path / "drop")
    (tmp_path / "drop" / "m.onnx").unlink()
    with pytest.raises(SourceChanged):
        store.ingest(parts, ".onnx")


def meddling(monkeypatch: pytest.MonkeyPatch, meddle: Callable[[], object]) -> None:
    """Do something to the source once, after its first chunk was copied."""
    monkeypatch.setattr(copying, "STEP_BYTES", CHUNK_BYTES)  # so that there is a middle of the copy
    sendfile, once = os.sendfile, [meddle]

    def meddled(target: int, source: int, offset: int, count: int) -> int:
        if offset and once:
            once.pop()()
        return sendfile(target, source, offset, count)

    monkeypatch.setattr(os, "sendfile", meddled)


def test_ingest_raises_source_changed_for_a_write_during_the_copy(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = drop(tmp_path / "drop", LARGE)
    path = tmp_path / "drop" / "m.onnx"
    os.utime(path, ns=(1, 1))
    parts = [part(path)]

    def overwrite() -> None:
        with path.open("r+b") as file:
            file.write(b"overwritten in place")

    meddling(monkeypatch, overwrite)
    with pytest.raises(SourceChanged):
        store.ingest(parts, ".onnx")
    assert on_its_way(store) == []


def test_ingest_raises_source_changed_for_a_rename_over_the_source_during_the_copy(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = drop(tmp_path / "drop", LARGE)
    fresh = tmp_path / "fresh"
    fresh.write_bytes(LARGE)
    meddling(monkeypatch, lambda: fresh.rename(tmp_path / "drop" / "m.onnx"))
    with pytest.raises(SourceChanged):
        store.ingest(parts, ".onnx")


def test_ingest_ends_for_a_file_that_grows_all_the_while(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = drop(tmp_path / "drop", LARGE)
    path, sendfile = tmp_path / "drop" / "m.onnx", os.sendfile
    copied = 0

    def growing(target: int, source: int, offset: int, count: int) -> int:
        nonlocal copied
        with path.open("ab") as file:
            file.write(bytes(count))
        copied += count
        return sendfile(target, source, offset, count)

    monkeypatch.setattr(os, "sendfile", growing)
    with pytest.raises(SourceChanged):
        store.ingest(parts, ".onnx")
    assert copied == len(LARGE)


def test_ingest_copies_whole_chunks_where_the_kernel_takes_pieces(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendfile = os.sendfile
    monkeypatch.setattr(os, "sendfile", lambda to, source, at, count: sendfile(to, source, at, max(1, count // 2)))
    candidate = store.ingest(drop(tmp_path / "drop", LARGE), ".onnx")
    monkeypatch.undo()
    assert candidate.path.read_bytes() == LARGE


def test_ingest_copies_by_reading_and_writing_where_the_kernel_cannot_copy(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(target: int, source: int, offset: int, count: int) -> int:
        raise OSError(errno.EINVAL, "invalid argument")

    write = os.write
    monkeypatch.setattr(os, "sendfile", cannot)
    monkeypatch.setattr(os, "write", lambda fd, chunk: write(fd, chunk[: max(1, len(chunk) // 2)]))
    candidate = store.ingest(drop(tmp_path / "drop", LARGE, w=b"weights"), ".onnx")
    monkeypatch.undo()
    assert candidate.path.read_bytes() == LARGE
    assert (candidate.path.parent / "w").read_bytes() == b"weights"
    assert store.verify(candidate.sha256) == candidate


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_ingest_is_rejected_and_leaves_nothing_when_the_disk_is_full(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(target: int, source: int, offset: int, count: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sendfile", full)
    with pytest.raises(Rejected, match="no space") as caught:
        store.ingest(drop(tmp_path / "drop", LARGE), ".onnx")
    assert caught.value.check == "store"
    assert store.entries() == set()
    assert on_its_way(store) == []


class Usage(NamedTuple):
    free: int


def test_ingest_is_rejected_before_it_copies_when_there_is_no_room(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=4))
    with pytest.raises(Rejected, match="5 bytes needed, 4 free"):
        store.ingest(drop(tmp_path / "drop", b"model"), ".onnx")


def test_ingest_raises_other_errors_as_they_are(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(target: int, source: int, offset: int, count: int) -> int:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "sendfile", broken)
    with pytest.raises(OSError, match="input/output error"):
        store.ingest(drop(tmp_path / "drop"), ".onnx")
    assert on_its_way(store) == []


def test_ingest_again_keeps_a_sound_entry(store: Store, tmp_path: Path) -> None:
    parts = drop(tmp_path / "drop", w=b"weights")
    first = store.ingest(parts, ".onnx")
    before = first.path.stat().st_ino
    assert store.ingest(parts, ".onnx") == first
    assert first.path.stat().st_ino == before
    assert on_its_way(store) == []


def damage(path: Path) -> None:
    """Other bytes of the same length, as a failing disk gives."""
    path.chmod(0o600)
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("location", ["__model__.onnx", "w"])
def test_ingest_again_replaces_a_damaged_entry(store: Store, tmp_path: Path, location: str) -> None:
    parts = drop(tmp_path / "drop", w=b"weights")
    first = store.ingest(parts, ".onnx")
    damage(first.path.parent / location)
    again = store.ingest(parts, ".onnx")
    assert again == first
    assert store.verify(first.sha256) == first
    assert on_its_way(store) == []


def test_ingest_again_replaces_an_entry_of_the_same_bytes_in_other_files(store: Store, tmp_path: Path) -> None:
    joined = store.ingest(drop(tmp_path / "joined", b"modelweights"), ".onnx")
    split = store.ingest(drop(tmp_path / "split", b"model", w=b"weights"), ".onnx")
    assert split.sha256 == joined.sha256
    assert split.path.read_bytes() == b"model"
    assert (split.path.parent / "w").read_bytes() == b"weights"


def test_ingest_of_one_content_by_many_threads_leaves_one_sound_entry(store: Store, tmp_path: Path) -> None:
    parts = drop(tmp_path / "drop", LARGE)
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def ingest() -> None:
        start.wait(10)
        outcomes.append(store.ingest(parts, ".onnx").sha256)

    threads = [threading.Thread(target=ingest) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == [sha256(LARGE).hexdigest()] * 6
    store.verify(outcomes[0])
    assert on_its_way(store) == []


def test_entry_that_another_thread_has_just_brought_is_not_set_aside(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = drop(tmp_path / "drop", b"a model")
    verify, set_aside = store.verify, store._set_aside
    brought: list[Path] = []
    lost: list[bool] = []
    other = threading.Thread(target=lambda: brought.append(store.ingest(parts, ".onnx").path))

    def verify_slowly(digest: str) -> Candidate:
        try:
            return verify(digest)
        finally:
            if other.ident is None:
                other.start()
                other.join(0.3)  # it comes between the look and what follows from it, if it can

    def set_aside_slowly(home: Path) -> None:
        set_aside(home)
        lost.append(any(not path.exists() for path in brought))

    monkeypatch.setattr(store, "verify", verify_slowly)
    monkeypatch.setattr(store, "_set_aside", set_aside_slowly)
    path = store.ingest(parts, ".onnx").path
    other.join(10)
    assert brought == [path]
    assert lost == [False]


def test_ingest_refuses_parts_without_a_model_file(store: Store, tmp_path: Path) -> None:
    parts = drop(tmp_path / "drop", w=b"weights")
    with pytest.raises(ValueError):
        store.ingest(parts[1:], ".onnx")


class LateLane(ThreadPoolExecutor):
    """A second thread that gets round to nothing until its result is asked for."""

    def submit(self, act: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        return LateResult(lambda: act(*arguments, **named))


class LateResult(Future[Any]):
    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._act = act

    def result(self, timeout: float | None = None) -> object:
        return self._act()


def test_digest_counts_what_the_second_thread_has_not_hashed_yet() -> None:
    with LateLane(1) as lane:
        digest = Digest(lane)
        digest.feed(memoryview(LARGE[:CHUNK_BYTES]))
        assert digest.hexdigest() == sha256(LARGE[:CHUNK_BYTES]).hexdigest()
        digest.feed(memoryview(LARGE[CHUNK_BYTES:]))
        assert digest.hexdigest() == sha256(LARGE).hexdigest()


class Trickle(io.RawIOBase):
    """A body that comes in small, uneven pieces, as one from a socket does."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)
        self._rng = random.Random(5)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._rest.read(min(size, self._rng.randint(1, 70_000)))


@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
def test_ingest_streams_copies_and_hashes(store: Store, stream: Callable[[bytes], BinaryIO]) -> None:
    candidate = store.ingest_streams({"": stream(LARGE)}, ".onnx", limit_bytes=len(LARGE))
    assert candidate.path.read_bytes() == LARGE
    assert candidate.sha256 == candidate.file_sha256 == sha256(LARGE).hexdigest()
    assert candidate.size_bytes == len(LARGE)


def test_ingest_streams_stops_beyond_the_limit_and_leaves_nothing(store: Store) -> None:
    stream = io.BytesIO(LARGE)
    with pytest.raises(TooLarge, match="1000 bytes"):
        store.ingest_streams({"": stream}, ".onnx", limit_bytes=1000)
    assert stream.tell() <= 2000  # one piece beyond the limit at most
    assert store.entries() == set()
    assert on_its_way(store) == []


def test_ingest_streams_gives_external_data_the_identity_that_a_copy_gives(store: Store, tmp_path: Path) -> None:
    parts = {"z.data": b"last", "": LARGE, "a.data": b"first"}
    candidate = store.ingest_streams(
        {name: io.BytesIO(each) for name, each in parts.items()}, ".onnx", limit_bytes=1 << 30
    )
    assert candidate.sha256 == sha256(LARGE + b"first" + b"last").hexdigest()
    assert candidate.file_sha256 == sha256(LARGE).hexdigest()
    assert candidate.size_bytes == len(LARGE) + 9
    assert {path.name: path.read_bytes() for path in candidate.path.parent.iterdir()} == {
        "__model__.onnx": LARGE,
        "a.data": b"first",
        "z.data": b"last",
    }
    assert store.verify(candidate.sha256) == candidate


def test_ingest_streams_counts_all_streams_together(store: Store) -> None:
    streams = {"": io.BytesIO(bytes(600)), "data": io.BytesIO(bytes(600))}
    with pytest.raises(TooLarge, match="1000 bytes"):
        store.ingest_streams(streams, ".onnx", limit_bytes=1000)
    assert on_its_way(store) == []


def test_ingest_streams_leaves_nothing_when_the_sender_breaks_off(store: Store) -> None:
    class Broken(Trickle):
        def read(self, size: int = -1, /) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.ingest_streams({"": Broken(b"")}, ".onnx", limit_bytes=10)  # type: ignore[dict-item]
    assert on_its_way(store) == []


def test_ingest_streams_is_rejected_when_the_disk_is_full(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, chunk: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Rejected, match="no space"):
        store.ingest_streams({"": io.BytesIO(LARGE)}, ".onnx", limit_bytes=len(LARGE))


@pytest.mark.parametrize("content", [b"small", LARGE])
def test_hash_members_gives_the_identity_that_ingest_gives(store: Store, tmp_path: Path, content: bytes) -> None:
    parts = drop(tmp_path / "drop", content, b=LARGE, a=b"small")
    assert hash_members(parts) == store.ingest(parts, ".onnx").sha256


def test_hash_members_raises_source_changed_as_ingest_does(tmp_path: Path) -> None:
    parts = drop(tmp_path / "drop")
    (tmp_path / "drop" / "m.onnx").write_bytes(b"another")
    with pytest.raises(SourceChanged):
        hash_members(parts)


def test_candidate_and_verify_give_what_ingest_gave(store: Store, tmp_path: Path) -> None:
    for parts in (drop(tmp_path / "one"), drop(tmp_path / "two", b"more", w=b"w", sub__v=b"v")):
        ingested = store.ingest(parts, ".onnx")
        assert store.candidate(ingested.sha256) == store.verify(ingested.sha256) == ingested


@pytest.mark.parametrize("name", ["0" * 64, "../store", "", "A" * 64, "tmp"])
def test_candidate_raises_store_damaged_for_what_is_not_there(store: Store, name: str) -> None:
    with pytest.raises(StoreDamaged):
        store.candidate(name)
    with pytest.raises(StoreDamaged):
        store.verify(name)


@pytest.mark.parametrize("location", ["__model__.onnx", "w"])
def test_verify_raises_store_damaged_for_other_bytes(store: Store, tmp_path: Path, location: str) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", w=b"weights"), ".onnx")
    damage(candidate.path.parent / location)
    with pytest.raises(StoreDamaged, match="damaged"):
        store.verify(candidate.sha256)


@pytest.mark.parametrize("location", ["__model__.onnx", "w"])
def test_verify_raises_store_damaged_for_a_missing_member(store: Store, tmp_path: Path, location: str) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", w=b"weights"), ".onnx")
    (candidate.path.parent / location).unlink()
    with pytest.raises(StoreDamaged):
        store.verify(candidate.sha256)


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing may be hashed."""

    def read(*_: object) -> None:
        pytest.fail("it was hashed again")

    monkeypatch.setattr("daemon.intake.store.hash_entry", read)


@pytest.mark.parametrize("is_reopened", [False, True])
def test_verify_reads_no_files_again_that_look_as_they_did(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_reopened: bool
) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", w=b"weights"), ".onnx")
    if is_reopened:
        store = Store(store.root)
        store.verify(candidate.sha256)
    unread(monkeypatch)
    assert store.verify(candidate.sha256) == candidate


def test_verify_reads_everything_the_first_time(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = store.ingest(drop(tmp_path / "drop"), ".onnx")
    unread(monkeypatch)
    with pytest.raises(pytest.fail.Exception):
        Store(store.root).verify(candidate.sha256)


def test_verify_reads_again_what_another_write_would_not_show_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks of file systems go by milliseconds: two writes at once may leave a file of one size looking the same."""
    candidate = store.ingest(drop(tmp_path / "drop"), ".onnx")
    os.utime(candidate.path)
    reopened = Store(store.root)
    reopened.verify(candidate.sha256)
    unread(monkeypatch)
    with pytest.raises(pytest.fail.Exception):
        reopened.verify(candidate.sha256)


def test_stored_files_look_otherwise_after_a_write_however_soon(store: Store, tmp_path: Path) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", w=b"weights"), ".onnx")
    for path in (candidate.path, candidate.path.parent / "w"):
        assert path.stat().st_mtime_ns < time.time_ns() - 30_000_000_000


def test_verify_knows_nothing_of_an_entry_that_was_discarded(store: Store, tmp_path: Path) -> None:
    candidate = store.ingest(drop(tmp_path / "drop"), ".onnx")
    store.discard(candidate.sha256)
    with pytest.raises(StoreDamaged, match="missing"):
        store.verify(candidate.sha256)


def test_verify_leaves_out_what_was_made_from_the_candidate(store: Store, tmp_path: Path) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", w=b"weights"), ".onnx")
    (candidate.path.parent / "__made__").mkdir()
    (candidate.path.parent / "__made__" / "optimised.onnx").write_bytes(b"anything")
    assert store.verify(candidate.sha256) == candidate


def test_sync_reaches_every_file_and_folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", sub__w=b"weights"), ".onnx")
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    store.sync(candidate.sha256)
    folder = candidate.path.parent
    files = [candidate.path, folder / "sub" / "w"]
    assert {Path(name) for name in synced} == {*files, folder / "sub", folder, store.root}
    assert {Path(name) for name in synced[:2]} == set(files)
    assert Path(synced[-1]) == store.root


def test_sync_raises_store_damaged_for_what_is_not_there(store: Store) -> None:
    with pytest.raises(StoreDamaged):
        store.sync("0" * 64)


def test_discard_removes_an_entry_and_takes_a_missing_one_for_removed(store: Store, tmp_path: Path) -> None:
    candidate = store.ingest(drop(tmp_path / "drop", sub__w=b"weights"), ".onnx")
    assert store.entries() == {candidate.sha256}
    store.discard(candidate.sha256)
    store.discard(candidate.sha256)
    assert store.entries() == set()
    assert on_its_way(store) == []


@pytest.mark.parametrize("name", ["..", "tmp", "", "../drop"])
def test_discard_touches_nothing_but_entries(store: Store, tmp_path: Path, name: str) -> None:
    drop(tmp_path / "drop")
    store.discard(name)
    assert (tmp_path / "drop" / "m.onnx").exists()
    assert (store.root / "tmp").is_dir()


def test_store_removes_a_crashs_leftovers_and_keeps_entries(store: Store, tmp_path: Path) -> None:
    candidate = store.ingest(drop(tmp_path / "drop"), ".onnx")
    half = store.root / "tmp" / "abc"
    half.mkdir()
    (half / "__model__.onnx").write_bytes(b"half")
    again = Store(store.root)
    assert on_its_way(again) == []
    assert again.entries() == {candidate.sha256}
