"""What the tests of arrivals share: a model's own spot in a daemon, ways for a file to arrive, and a clock that is the
daemon's own.
"""

import fcntl
import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from watchdog.events import FileOpenedEvent, FileSystemEventHandler
from watchdog.observers import Observer

from tests.e2e.rig import Rig
from tests.onnx_models import constant_model

Arrive = Callable[[Path, Path], object]
"""Brings the complete file at the first path to the second."""

POLL_SECONDS = 0.02
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Spot:
    """One model's folder in the drop directory of a daemon that other tests use too, and what happens to that model.

    ``since`` is the id of the newest event when the test began.
    """

    rig: Rig
    model: str
    since: int

    @property
    def folder(self) -> Path:
        return self.rig.drop / self.model

    @property
    def outside(self) -> Path:
        """A folder on the same file system that the daemon does not look at."""
        return made(self.rig.folder / "outside" / self.model)

    @property
    def allowed(self) -> Path:
        """A folder in one of ``deploy.allowed_dirs``."""
        return made(self.rig.folder / "allowed" / self.model)

    def source(self, value: float, name: str = "source.onnx") -> Path:
        """A complete model outside the drop directory that answers ``value``."""
        return constant_model(self.outside / name, value)

    def wait(self, event: str, seconds: float = 15.0, **wanted: object) -> dict[str, Any]:
        """The first such event of this model since the test began."""
        return self.rig.wait_for_event(after=self.since, seconds=seconds, model=self.model, event=event, **wanted)

    def wait_live(self, file: Path) -> dict[str, Any]:
        """The ``live`` event of a release whose bytes are those that ``file`` has now."""
        return self.wait("live", sha256=digest(file))

    def events(self, after: int | None = None) -> list[dict[str, Any]]:
        """This model's events since the test began, or after an id."""
        found = self.rig.events(self.since if after is None else after)
        return [event for event in found if event["model"] == self.model]

    def names(self, after: int | None = None) -> list[str]:
        """The names of this model's events."""
        return [event["event"] for event in self.events(after)]

    def answered(self) -> float:
        """The number that this model's release answers with."""
        answer = self.rig.predict(model=self.model)
        assert answer.status == 200, answer.body
        return float(answer.json["output"][0][0])

    def live(self, value: float = 1.0, name: str = "x.onnx") -> Path:
        """Drops a model that answers ``value`` and waits until it does; gives its path in the drop directory."""
        path = made(self.folder) / name
        rename_in(self.source(value, name), path)
        self.wait_live(path)
        return path


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(file: Path) -> str:
    """The SHA-256 of a file's bytes."""
    return sha256(file.read_bytes()).hexdigest()


def truncated(source: Path, target: Path) -> Path:
    """The first half of ``source``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    return target


def pass_scans(rig: Rig) -> None:
    """Comes back when all that lies in the drop directory was looked at, and what came of it is known.

    Two files of a model that nobody asks go the whole way after one another: the scan that finds the second is later
    than everything that was there before the first.
    """
    for _ in range(2):
        number = next(_numbers)
        after = rig.last_id()
        source = constant_model(rig.folder / "fences" / f"{number}.onnx", float(number))
        made(rig.drop / "fence")
        rename_in(source, rig.drop / "fence" / source.name)
        rig.wait_for_event(after=after, event="live", model_path=f"model_drop/fence/{source.name}")
        (rig.drop / "fence" / source.name).unlink()


def outwait_patience(rig: Rig) -> None:
    """Comes back when ``incomplete_seconds`` have passed for all that lies in the drop directory.

    The clock is the daemon's: a truncated file, dropped now, is rejected.
    """
    number = next(_numbers)
    path = truncated(constant_model(rig.folder / "clocks" / "whole.onnx", 0.0), rig.drop / "clock" / f"{number}.onnx")
    rig.wait_for_event(event="rejected", model_path=f"model_drop/clock/{path.name}")
    path.unlink()
    pass_scans(rig)


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Asks until ``condition`` holds, at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s: {condition}"
        time.sleep(POLL_SECONDS)


@contextmanager
def unopened(path: Path) -> Iterator[None]:
    """Fails when anybody opens ``path`` meanwhile: the kernel takes back the lease that is held on it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # the default, SIGIO, would end the tests
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
        assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_WRLCK, f"{path.name} was opened"
    finally:
        os.close(fd)


class _Opens(FileSystemEventHandler):
    def __init__(self) -> None:
        self.paths: list[str] = []

    def on_opened(self, event: FileOpenedEvent) -> None:
        self.paths.append(os.fsdecode(event.src_path))


@contextmanager
def counted_opens(folder: Path) -> Iterator[list[str]]:
    """Gives a list that grows with every opening of a file in ``folder``, by anybody."""
    opens, observer = _Opens(), Observer()
    observer.schedule(opens, str(folder), event_filter=[FileOpenedEvent])
    observer.start()
    try:
        yield opens.paths
    finally:
        observer.stop()
        observer.join(10)


def copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def copy_with_times(source: Path, target: Path) -> None:
    """As ``cp -p`` of a file that is years old."""
    os.utime(source, (1_000_000_000, 1_000_000_000))
    shutil.copy2(source, target)


def copy_in_chunks(source: Path, target: Path) -> None:
    with target.open("wb", buffering=0) as file:
        for chunk in chunks(source):
            file.write(chunk)


def append_by_reopening(source: Path, target: Path) -> None:
    for mode, chunk in zip("waaaa", chunks(source), strict=True):
        with target.open(f"{mode}b") as file:
            file.write(chunk)


def chunks(source: Path, number: int = 5) -> list[bytes]:
    """The content in ``number`` pieces, of which none but the last ends a whole model."""
    content = source.read_bytes()
    size = len(content) // number + 1
    return [content[start : start + size] for start in range(0, len(content), size)]


def rename_in(source: Path, target: Path) -> None:
    source.rename(target)


def rename_beside(source: Path, target: Path) -> None:
    """As rsync and browsers do: written under another name in the same folder, then renamed."""
    unfinished = target.with_name(f".{target.name}.tmp")
    shutil.copyfile(source, unfinished)
    rename_in(unfinished, target)


def hard_link(source: Path, target: Path) -> None:
    """As ``ln -f``: the link takes the place of what was there in one step."""
    beside = target.with_name(f".{target.name}.link")
    os.link(source, beside)
    rename_in(beside, target)


def link_unnamed(source: Path, target: Path) -> None:
    """A file that had no name before it was whole (O_TMPFILE)."""
    fd = os.open(target.parent, os.O_TMPFILE | os.O_WRONLY)
    numbers = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY)
    try:
        os.write(fd, source.read_bytes())
        target.unlink(missing_ok=True)
        os.link(str(fd), target, src_dir_fd=numbers, follow_symlinks=True)
    finally:
        os.close(numbers)
        os.close(fd)


def write_in_place(source: Path, target: Path) -> None:
    """Byte over byte, the file never shorter than the shorter content."""
    with target.open("r+b" if target.exists() else "w+b", buffering=0) as file:
        file.write(source.read_bytes())
        file.truncate()


def fill_backwards(source: Path, target: Path) -> None:
    """As download tools with several connections do: the full length first, the end before the start."""
    content = source.read_bytes()
    with target.open("wb", buffering=0) as file:
        file.truncate(len(content))
        half = len(content) // 2
        os.pwrite(file.fileno(), content[half:], half)
        os.pwrite(file.fileno(), content[:half], 0)


def link_within(source: Path, target: Path) -> None:
    """A symbolic link to a hidden file of the same folder, swapped in by a rename."""
    hidden = target.with_name(f".{digest(source)[:8]}.onnx")
    shutil.copyfile(source, hidden)
    beside = target.with_name(f".{target.name}.tmp")
    beside.symlink_to(hidden.name)
    rename_in(beside, target)


WAYS: tuple[Arrive, ...] = (
    copy,
    copy_with_times,
    copy_in_chunks,
    append_by_reopening,
    rename_in,
    rename_beside,
    hard_link,
    link_unnamed,
    write_in_place,
    fill_backwards,
    link_within,
)
"""Every way in which a complete file may come, whether or not there was one before."""
