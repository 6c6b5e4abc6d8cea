"""The alarm with real watchdog: what rings it, what must not, and how it dies and is armed again."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.events import DirMovedEvent, FileClosedEvent, FileModifiedEvent, FileMovedEvent

from daemon.watching import alarm as room
from daemon.watching.alarm import Alarm, Bell
from tests.fakes import WAIT_SECONDS


@pytest.fixture
def wake() -> threading.Event:
    return threading.Event()


@pytest.fixture
def alarm(wake: threading.Event) -> Iterator[Alarm]:
    alarm = Alarm(wake)
    yield alarm
    alarm.disarm()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


def rang(wake: threading.Event) -> bool:
    return wake.wait(WAIT_SECONDS)


def test_written_file_rings_and_its_close_is_kept_once(alarm: Alarm, wake: threading.Event, drop: Path) -> None:
    alarm.arm(drop)
    (drop / "m.onnx").write_bytes(b"model")
    while not alarm.bell.take_closed(str(drop / "m.onnx")):
        assert rang(wake)
        wake.clear()
    assert not alarm.bell.take_closed(str(drop / "m.onnx"))


def test_file_renamed_inside_rings_and_counts_as_closed(alarm: Alarm, wake: threading.Event, drop: Path) -> None:
    (drop / "m.onnx.part").write_bytes(b"model")
    alarm.arm(drop)
    (drop / "m.onnx.part").rename(drop / "m.onnx")
    while not alarm.bell.take_closed(str(drop / "m.onnx")):
        assert rang(wake)
        wake.clear()


def test_file_in_a_new_subfolder_rings(alarm: Alarm, wake: threading.Event, drop: Path) -> None:
    alarm.arm(drop)
    (drop / "named").mkdir()
    assert rang(wake)


def test_link_that_is_swapped_rings(alarm: Alarm, wake: threading.Event, drop: Path) -> None:
    (drop / "..one").mkdir()
    (drop / "..tmp").symlink_to("..one")
    alarm.arm(drop)
    (drop / "..tmp").rename(drop / "..data")
    assert rang(wake)


def test_removed_file_rings(alarm: Alarm, wake: threading.Event, drop: Path) -> None:
    (drop / "m.onnx").write_bytes(b"model")
    alarm.arm(drop)
    (drop / "m.onnx").unlink()
    assert rang(wake)


def test_reading_does_not_ring_so_that_scans_do_not_wake_themselves(
    alarm: Alarm, wake: threading.Event, drop: Path
) -> None:
    (drop / "m.onnx").write_bytes(b"model")
    alarm.arm(drop)
    assert (drop / "m.onnx").read_bytes() == b"model"
    assert list(drop.iterdir()) == [drop / "m.onnx"]
    assert not wake.wait(0.2)


def test_armed_alarm_knows_its_folder(alarm: Alarm, drop: Path) -> None:
    assert not alarm.is_armed_for(drop)
    alarm.arm(drop)
    assert alarm.is_armed_for(drop)
    alarm.disarm()
    assert not alarm.is_armed_for(drop)


def test_folder_that_was_replaced_is_another(alarm: Alarm, drop: Path) -> None:
    alarm.arm(drop)
    drop.rename(drop.with_name("away"))
    assert not alarm.is_armed_for(drop)
    drop.mkdir()
    assert not alarm.is_armed_for(drop)


def test_folder_that_was_deleted_and_made_again_is_armed_again(alarm: Alarm, wake: threading.Event, drop: Path) -> None:
    alarm.arm(drop)
    observer = alarm._observer
    assert observer is not None
    shutil.rmtree(drop)
    for emitter in observer.emitters:
        emitter.join(WAIT_SECONDS)
    drop.mkdir()
    assert not alarm.is_armed_for(drop)
    alarm.arm(drop)
    wake.clear()
    (drop / "m.onnx").write_bytes(b"model")
    assert rang(wake)


def test_arming_a_missing_folder_fails_and_leaves_no_thread(alarm: Alarm, tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(FileNotFoundError):
        alarm.arm(tmp_path / "nothing")
    assert threading.active_count() == before


def test_arming_at_the_systems_limit_fails_and_leaves_no_thread(
    alarm: Alarm, drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(*_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    before = threading.active_count()
    monkeypatch.setattr("watchdog.observers.inotify.InotifyEmitter.on_thread_start", limit)
    with pytest.raises(OSError, match="limit"):
        alarm.arm(drop)
    assert threading.active_count() == before
    assert not alarm.is_armed_for(drop)


def test_armed_again_means_one_observer(alarm: Alarm, drop: Path) -> None:
    alarm.arm(drop)
    before = threading.active_count()
    alarm.arm(drop)
    assert threading.active_count() == before


def test_bell_keeps_closed_and_moved_paths_whatever_their_bytes(wake: threading.Event) -> None:
    bell = Bell(wake)
    bell.on_any_event(FileClosedEvent(b"/drop/\xff.onnx"))
    bell.on_any_event(FileMovedEvent("/drop/a.part", "/drop/a.onnx"))
    assert bell.take_closed("/drop/\udcff.onnx")
    assert bell.take_closed("/drop/a.onnx")
    assert not bell.take_closed("/drop/a.part")
    assert wake.is_set()


@pytest.mark.parametrize("event", [FileModifiedEvent("/drop/a.onnx"), DirMovedEvent("/drop/..tmp", "/drop/a.onnx")])
def test_bell_takes_no_other_event_for_a_close(wake: threading.Event, event: FileModifiedEvent) -> None:
    bell = Bell(wake)
    bell.on_any_event(event)
    assert wake.is_set()
    assert not bell.take_closed("/drop/a.onnx")


def test_bell_forgets_rather_than_grows(wake: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_CLOSED", 3)
    bell = Bell(wake)
    for number in range(10):
        bell.on_any_event(FileClosedEvent(f"/drop/{number}.onnx"))
        assert len(bell._closed) <= 3
    assert bell.take_closed("/drop/9.onnx")
