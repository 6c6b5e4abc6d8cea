"""The reader: the identity of files, whose turn it is, and what becomes of a reading that is not wanted any more."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from daemon.intake.copying import CHUNK_BYTES, Part
from daemon.intake.members import fingerprint
from daemon.intake.store import hash_members
from daemon.watching.reader import Reader, Task
from tests.fakes import WAIT_SECONDS

HUGE_BYTES = 1 << 40
"""Of holes: no disk is needed for it, and nobody reads it to its end within a test."""


class Desk:
    """A reader, a folder for what it reads, and the order in which digests came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.woken = threading.Event()
        self.reader = Reader(self.woken.set)
        self.came: list[str] = []

    def put(self, name: str, content: bytes) -> Part:
        path = self.folder / name
        path.write_bytes(content)
        return part(path)

    def put_huge(self, name: str = "huge.onnx") -> Part:
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(HUGE_BYTES)
        return part(path)

    def read(self, *parts: Part) -> "Future[str | None]":
        future = self.reader.read(parts)
        future.add_done_callback(lambda _: self.came.append(parts[0][1].name))
        return future

    def read_huge(self) -> "Future[str | None]":
        """A reading that is under way for good."""
        future = self.read(self.put_huge())
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.is_open("huge.onnx"):
            assert time.monotonic() < deadline
        return future

    def is_open(self, name: str) -> bool:
        return str(self.folder / name) in open_files()


def part(path: Path, location: str = "") -> Part:
    return location, path, fingerprint(path)


def open_files() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  (names are enough)
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Desk]:
    """A reader that was not started yet."""
    desk = Desk(tmp_path)
    yield desk
    assert desk.reader.stop()
    assert not [name for name in open_files() if name.startswith(str(tmp_path))]


@pytest.fixture
def desk(idle: Desk) -> Desk:
    idle.reader.start()
    return idle


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
def test_digest_is_the_identity_that_the_store_would_give(desk: Desk, size: int) -> None:
    weights = desk.put("w.data", b"weights" * 1000)
    parts = (desk.put("m.onnx", os.urandom(size)), ("w.data", *weights[1:]))
    assert desk.read(*parts).result(WAIT_SECONDS) == hash_members(parts)


def test_digest_that_is_there_wakes(desk: Desk) -> None:
    future = desk.read(desk.put("m.onnx", b"model"))
    assert desk.woken.wait(WAIT_SECONDS)
    assert future.done()


def test_file_that_changed_since_it_was_seen_has_no_digest(desk: Desk) -> None:
    seen = desk.put("m.onnx", b"model")
    desk.put("m.onnx", b"other")
    assert desk.read(seen).result(WAIT_SECONDS) is None


def test_file_that_vanished_since_it_was_seen_has_no_digest(desk: Desk) -> None:
    seen = desk.put("m.onnx", b"model")
    seen[1].unlink()
    assert desk.read(seen).result(WAIT_SECONDS) is None


def test_fifo_in_the_file_s_place_has_no_digest_and_blocks_nobody(desk: Desk) -> None:
    seen = desk.put("m.onnx", b"model")
    seen[1].unlink()
    os.mkfifo(seen[1])
    assert desk.read(seen).result(WAIT_SECONDS) is None


@pytest.mark.parametrize("change", ["rewritten", "touched", "replaced", "removed", "cut"])
def test_file_that_changes_while_it_is_read_has_no_digest(tmp_path: Path, change: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(2 * CHUNK_BYTES))
    task = Task([part(path)])
    assert task.read_piece()
    if change == "rewritten":
        with path.open("r+b") as file:
            file.write(b"\1")
    elif change == "touched":
        path.chmod(0o600)
    elif change == "cut":
        os.truncate(path, CHUNK_BYTES)
    else:
        path.unlink()
    if change == "replaced":
        path.write_bytes(bytes(2 * CHUNK_BYTES))
    while task.read_piece():
        pass
    assert task.future.result(0) is None


def test_small_file_is_read_while_a_huge_one_is(desk: Desk) -> None:
    huge = desk.read_huge()
    small = desk.put("small.onnx", b"model")
    assert desk.read(small).result(WAIT_SECONDS) == hash_members([small])
    assert not huge.done()


def test_of_files_that_wait_the_smallest_is_read_first(idle: Desk) -> None:
    futures = [idle.read(idle.put(f"{size}.onnx", bytes(size))) for size in (30, 10, 20)]
    idle.reader.start()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert idle.came == ["10.onnx", "20.onnx", "30.onnx"]


def test_reading_that_is_cancelled_ends_and_closes_its_file(desk: Desk) -> None:
    huge = desk.read_huge()
    assert huge.cancel()
    assert desk.woken.wait(WAIT_SECONDS)
    assert not desk.is_open("huge.onnx")
    assert desk.read(desk.put("m.onnx", b"model")).result(WAIT_SECONDS)


def test_stop_ends_the_thread_though_a_huge_file_is_being_read(desk: Desk) -> None:
    huge = desk.read_huge()
    assert desk.reader.stop()
    assert not desk.reader._thread.is_alive()
    assert not desk.is_open("huge.onnx")
    assert not huge.done()


def test_fault_in_one_reading_is_logged_and_ends_no_other(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    no_model = part(desk.put("w.data", b"weights")[1], "w.data")
    assert desk.read(no_model).result(WAIT_SECONDS) is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert desk.read(desk.put("m.onnx", b"model")).result(WAIT_SECONDS)
