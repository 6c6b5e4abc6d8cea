"""Whether anyone has a file open for writing."""

import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.intake import writers
from daemon.intake.writers import Writers, writers_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"x" * 8192)
    return path


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    if writers_of(fd) is Writers.UNKNOWN:
        os.close(fd)
        pytest.skip("the file system of the temporary folder has no leases")
    yield fd
    os.close(fd)


def test_writers_of_is_none_for_a_closed_file(fd: int) -> None:
    assert writers_of(fd) is Writers.NONE


def test_writers_of_is_none_while_others_only_read(fd: int, path: Path) -> None:
    with path.open("rb"):
        assert writers_of(fd) is Writers.NONE


def test_writers_of_sees_a_writer_in_this_process_until_it_closes(fd: int, path: Path) -> None:
    with path.open("ab"):
        assert writers_of(fd) is Writers.SOME
    assert writers_of(fd) is Writers.NONE


def test_writers_of_sees_a_writer_in_another_process_until_it_dies(fd: int, path: Path) -> None:
    script = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        assert writers_of(fd) is Writers.SOME
        writer.kill()
        writer.wait(10)
        assert writers_of(fd) is Writers.NONE


def test_writers_of_sees_a_shared_mapping_after_its_descriptor_closed(fd: int, path: Path) -> None:
    with path.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    assert writers_of(fd) is Writers.SOME
    mapping.close()
    assert writers_of(fd) is Writers.NONE


def test_writers_of_works_in_a_thread_that_is_not_the_main_one(fd: int, path: Path) -> None:
    seen: list[Writers] = []
    with path.open("ab"):
        thread = threading.Thread(target=lambda: seen.append(writers_of(fd)))
        thread.start()
        thread.join(10)
    assert seen == [Writers.SOME]


def test_writers_of_leaves_no_lease_that_holds_up_a_writer(fd: int, path: Path) -> None:
    assert writers_of(fd) is Writers.NONE
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # a lease left behind would raise BlockingIOError


BREAK_A_LEASE = """
import fcntl, os, sys, threading
from daemon.intake import writers

real, path = fcntl.fcntl, sys.argv[1]
opener = threading.Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)))

def with_a_writer_in_between(fd, operation, argument=0):
    result = real(fd, operation, argument)
    if operation == fcntl.F_SETLEASE and argument == fcntl.F_RDLCK:
        opener.start()
        while real(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK:
            pass
    return result

fcntl.fcntl = with_a_writer_in_between
print(writers.writers_of(os.open(path, os.O_RDONLY)).name)
opener.join()
"""


@pytest.mark.usefixtures("fd")
def test_writers_of_survives_a_writer_that_comes_while_the_lease_is_held(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BREAK_A_LEASE, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, b"NONE\n")  # SIGIO would have killed it


def test_writers_of_is_unknown_for_a_descriptor_that_may_write(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        assert writers_of(fd) is not Writers.NONE
    finally:
        os.close(fd)


def test_writers_of_is_unknown_where_one_kernel_does_not_know_all_writers(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "_file_system", lambda _: "nfs4")
    assert writers_of(fd) is Writers.UNKNOWN


def test_file_system_names_the_type_of_a_mount() -> None:
    fd = os.open("/proc/self/status", os.O_RDONLY)
    try:
        assert writers._file_system(fd) == "proc"
    finally:
        os.close(fd)
