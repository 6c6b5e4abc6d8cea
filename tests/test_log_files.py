"""The log's file: it rotates, follows who rotates it, and troubles no one when it can't be written."""

import logging
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.log.files import DurableFileHandler

Say = Callable[[str], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "daemon.log"


@pytest.fixture
def open_log() -> Iterator[Callable[..., Say]]:
    """Give a function that opens a log and gives what writes one line to it."""
    opened: list[DurableFileHandler] = []

    def open_at(path: Path, **limits: int) -> Say:
        log = DurableFileHandler(path, **limits)
        opened.append(log)

        def say(line: str) -> None:
            log.handle(logging.makeLogRecord({"msg": line}))

        return say

    yield open_at
    for log in opened:
        log.close()


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_lines_are_appended_to_what_is_there_in_a_folder_made_for_them(
    path: Path, open_log: Callable[..., Say]
) -> None:
    open_log(path)("one 模")
    open_log(path)("two \udcff")
    assert lines(path) == ["one 模", r"two \udcff"]


def test_full_file_is_rotated_and_the_oldest_dropped(path: Path, open_log: Callable[..., Say]) -> None:
    say = open_log(path, max_bytes=10, backups=2)
    for number in range(8):
        say(f"l{number}")  # three bytes a line, three lines a file
    assert lines(path) == ["l6", "l7"]
    assert lines(path.with_name("daemon.log.1")) == ["l3", "l4", "l5"]
    for number in range(8, 16):
        say(f"l{number}")
    assert sorted(file.name for file in path.parent.iterdir()) == ["daemon.log", "daemon.log.1", "daemon.log.2"]


def test_line_longer_than_the_limit_is_written_without_empty_files(path: Path, open_log: Callable[..., Say]) -> None:
    say = open_log(path, max_bytes=10)
    say("x" * 50)
    say("y" * 50)
    assert lines(path) == ["y" * 50]
    assert lines(path.with_name("daemon.log.1")) == ["x" * 50]
    assert len(list(path.parent.iterdir())) == 2


def test_renamed_file_is_opened_anew_under_its_name(path: Path, open_log: Callable[..., Say]) -> None:
    say = open_log(path)
    say("before")
    path.rename(path.with_name("rotated"))
    path.touch()  # as logrotate's `create` does
    say("after")
    assert lines(path) == ["after"]
    assert lines(path.with_name("rotated")) == ["before"]


def test_deleted_file_and_folder_are_made_again(path: Path, open_log: Callable[..., Say]) -> None:
    say = open_log(path)
    say("before")
    shutil.rmtree(path.parent)
    say("after")
    assert lines(path) == ["after"]


def test_cut_file_is_appended_to_at_its_new_end(path: Path, open_log: Callable[..., Say]) -> None:
    say = open_log(path)
    say("before")
    with path.open("r+b") as copied:  # as logrotate's `copytruncate` does
        copied.truncate(0)
    say("after")
    assert path.read_bytes() == b"after\n"


def test_cut_file_counts_its_bytes_anew(path: Path, open_log: Callable[..., Say]) -> None:
    say = open_log(path, max_bytes=10)
    say("12345678")
    with path.open("r+b") as copied:
        copied.truncate(0)
    say("a")
    assert not path.with_name("daemon.log.1").exists()


def test_folder_that_refuses_renames_costs_no_line(
    path: Path, open_log: Callable[..., Say], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(log: DurableFileHandler, source: str, target: str) -> None:
        raise PermissionError(source)

    monkeypatch.setattr(DurableFileHandler, "rotate", refuse)
    say = open_log(path, max_bytes=5)
    say("one")
    say("two")
    assert lines(path) == ["one", "two"]


def test_full_disk_is_said_once_and_raises_nothing(
    path: Path, open_log: Callable[..., Say], capsys: pytest.CaptureFixture[str]
) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    say = open_log(path)
    say("lost")
    say("lost")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No space left" in said
    path.unlink()
    say("written")
    assert lines(path) == ["written"]


def test_line_that_found_no_room_does_not_come_later(path: Path, open_log: Callable[..., Say]) -> None:
    say = open_log(path)
    say("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        say("lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    say("after")
    assert lines(path) == ["before", "after"]


def test_trouble_is_said_again_after_a_line_could_be_written(
    path: Path, open_log: Callable[..., Say], capsys: pytest.CaptureFixture[str]
) -> None:
    say = open_log(path)
    for _ in range(2):
        say("written")
        shutil.rmtree(path.parent)
        path.parent.write_text("a file where the folder should be")
        say("lost")
        path.parent.unlink()
    assert capsys.readouterr().err.count("cannot be written") == 2


def test_stderr_that_is_closed_raises_nothing(
    path: Path, open_log: Callable[..., Say], monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.write_text("a file where the folder should be")
    monkeypatch.setattr("sys.stderr", None)
    open_log(path)("lost")
