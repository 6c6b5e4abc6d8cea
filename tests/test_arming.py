"""Keeping the alarm armed, with a fake alarm and a real folder."""

from pathlib import Path

import pytest

from daemon.watching import arming as room
from daemon.watching.alarm import Alarm
from daemon.watching.arming import RETRY_SECONDS, Arming


class FakeAlarm(Alarm):
    """Is armed when it was asked to be, until the test says otherwise; ``error`` is what arming raises."""

    def __init__(self) -> None:
        self.armed = False
        self.tries = 0
        self.error: OSError | None = None

    def arm(self, folder: Path) -> None:
        self.tries += 1
        if self.error is not None:
            raise self.error
        folder.stat()
        self.armed = True

    def is_armed_for(self, folder: Path) -> bool:
        return self.armed

    def disarm(self) -> None:
        self.armed = False


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Desk:
    """An arming on a folder, with everything it reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alarm = FakeAlarm()
        self.reported: list[tuple[str, str]] = []
        self.arming = Arming(self.alarm, folder, lambda event, reason: self.reported.append((event, reason)))

    def events(self) -> list[str]:
        return [event for event, _ in self.reported]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(room, "time", clock)
    return clock


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "drop").mkdir()
    return Desk(tmp_path / "drop")


def test_first_arming_is_no_news(desk: Desk) -> None:
    desk.arming.keep()
    desk.arming.keep()
    assert (desk.alarm.armed, desk.alarm.tries, desk.reported) == (True, 1, [])


def test_dead_observer_is_told_and_armed_again_at_once(desk: Desk) -> None:
    desk.arming.keep()
    desk.alarm.armed = False
    desk.arming.keep()
    assert desk.alarm.armed
    assert desk.events() == ["watch_lost", "watch_restored"]
    assert "replaced, or its observer ended" in desk.reported[0][1]


def test_deleted_folder_is_told_once_until_it_is_back(desk: Desk) -> None:
    desk.arming.keep()
    desk.folder.rmdir()
    desk.alarm.armed = False
    for _ in range(3):
        desk.arming.keep()
    assert desk.reported == [("watch_lost", "the drop directory is gone; what serves goes on serving")]
    desk.folder.mkdir()
    desk.arming.keep()
    assert desk.events() == ["watch_lost", "watch_restored"]


def test_folder_that_is_missing_from_the_start_is_told_and_taken_when_it_comes(desk: Desk) -> None:
    desk.folder.rmdir()
    desk.arming.keep()
    desk.folder.mkdir()
    desk.arming.keep()
    assert desk.events() == ["watch_lost", "watch_restored"]


def test_limit_of_the_system_is_told_once_and_tried_again_only_now_and_then(desk: Desk, clock: Clock) -> None:
    desk.alarm.error = OSError(28, "inotify watch limit reached")
    desk.arming.keep()
    desk.arming.keep()
    assert desk.alarm.tries == 1
    clock.now += RETRY_SECONDS + 1
    desk.arming.keep()
    assert desk.alarm.tries == 2
    reason = "the system gives no file events (inotify watch limit reached); the rescan goes on without them"
    assert desk.reported == [("watch_lost", reason)]


def test_limit_that_was_raised_is_told_as_restored(desk: Desk, clock: Clock) -> None:
    desk.alarm.error = OSError(24, "too many open files")
    desk.arming.keep()
    desk.alarm.error = None
    clock.now += RETRY_SECONDS + 1
    desk.arming.keep()
    assert desk.events() == ["watch_lost", "watch_restored"]
    assert desk.alarm.armed


def test_end_disarms(desk: Desk) -> None:
    desk.arming.keep()
    desk.arming.end()
    assert not desk.alarm.armed


def test_it_says_whether_events_arrive(desk: Desk, clock: Clock) -> None:
    assert not desk.arming.is_armed
    desk.arming.keep()
    assert desk.arming.is_armed
    desk.alarm.disarm()
    desk.alarm.error = OSError(28, "no space left on device")
    desk.arming.keep()
    assert not desk.arming.is_armed
    desk.alarm.error = None
    clock.now += RETRY_SECONDS
    desk.arming.keep()
    assert desk.arming.is_armed
