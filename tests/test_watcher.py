"""The scanner's thread: what wakes it, what cannot end it, and what ends it; once with real parts."""

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from daemon import watcher as room
from daemon.history import Journal
from daemon.lane import Outcome, Wish
from daemon.release import Event
from daemon.watcher import Watcher
from daemon.watching.alarm import Alarm
from daemon.watching.arming import Arming
from daemon.watching.reader import Reader
from daemon.watching.scanner import Scanner
from daemon.watching.view import DropDirectory, Patience
from tests.fakes import WAIT_SECONDS
from tests.onnx_bytes import plain_bytes


class FakeScanner:
    """Counts scans; each runs ``act`` and asks to be repeated after ``delay`` seconds."""

    def __init__(self) -> None:
        self.scans = 0
        self.delay = math.inf
        self.act: Callable[[], object] = lambda: None
        self.futures: list[Future[Outcome]] = []
        self.undecided = False
        self.finished = 0
        self._scanned = threading.Condition()

    def scan(self) -> float:
        with self._scanned:
            self.scans += 1
            self._scanned.notify_all()
        self.act()
        return self.delay

    def under_way(self) -> list[Future[Outcome]]:
        return self.futures

    def is_undecided(self) -> bool:
        return self.undecided

    def finish(self, seconds: float) -> None:
        assert seconds > 0
        self.finished += 1

    def waiting_for(self, model: str) -> dict[str, str] | None:
        return {"model_path": f"model_drop/{model}.onnx"}

    def wait_for_scans(self, number: int) -> None:
        with self._scanned:
            assert self._scanned.wait_for(lambda: self.scans >= number, WAIT_SECONDS)


class FakeArming:
    """Counts how often it was asked to keep and to end."""

    def __init__(self) -> None:
        self.kept = 0
        self.ended = 0
        self.failing: Exception | None = None
        self._asked = threading.Condition()

    def keep(self) -> None:
        with self._asked:
            self.kept += 1
            self._asked.notify_all()
        if self.failing is not None:
            raise self.failing

    def wait_until_kept(self, number: int = 1) -> None:
        with self._asked:
            assert self._asked.wait_for(lambda: self.kept >= number, WAIT_SECONDS)

    def end(self) -> None:
        self.ended += 1


class Desk:
    """A watcher on fakes."""

    def __init__(self, rescan_seconds: float = 3600) -> None:
        self.scanner = FakeScanner()
        self.arming = FakeArming()
        self.wake = threading.Event()
        self.reader = Reader(self.wake.set)
        self.watcher = Watcher(
            cast(Any, self.scanner), cast(Any, self.arming), self.reader, wake=self.wake, rescan_seconds=rescan_seconds
        )

    def start(self) -> None:
        self.watcher.start()
        self.watcher.look()


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.watcher.stop()


def test_first_scan_comes_with_the_start_and_the_next_with_an_event(desk: Desk) -> None:
    desk.start()
    desk.scanner.wait_for_scans(1)
    desk.wake.set()
    desk.scanner.wait_for_scans(2)
    assert desk.arming.kept >= 2


def test_events_are_asked_for_at_the_start_and_nothing_is_scanned_before_look(desk: Desk) -> None:
    desk.watcher.start()
    desk.arming.wait_until_kept()
    desk.wake.set()
    assert desk.scanner.scans == 0
    assert desk.watcher.fault() is None
    desk.watcher.look()
    desk.scanner.wait_for_scans(1)


def test_stop_before_look_scans_nothing_and_ends_the_alarm(desk: Desk) -> None:
    desk.watcher.start()
    assert desk.watcher.stop()
    assert (desk.scanner.scans, desk.arming.ended) == (0, 1)


def test_time_before_look_counts_for_no_fault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.watcher._rescan_seconds = 0
    monkeypatch.setattr(room, "STALLED_SECONDS", -1)
    desk.watcher.start()
    assert desk.watcher.fault() is None


def test_events_that_cannot_be_asked_for_are_asked_for_again_and_complained_of_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.arming.failing = RuntimeError("no thread to be had")
    desk.start()
    desk.arming.wait_until_kept(2)
    desk.arming.failing = None
    desk.wake.set()
    desk.scanner.wait_for_scans(1)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_rescan_needs_no_event() -> None:
    desk = Desk(rescan_seconds=0.01)
    desk.start()
    desk.scanner.wait_for_scans(3)
    assert desk.watcher.stop()


def test_scan_that_asks_for_another_gets_it_without_an_event(desk: Desk) -> None:
    desk.scanner.delay = 0.01
    desk.start()
    desk.scanner.wait_for_scans(3)


def test_event_during_a_scan_is_not_lost(desk: Desk) -> None:
    desk.scanner.act = lambda: desk.wake.set() if desk.scanner.scans == 1 else None
    desk.start()
    desk.scanner.wait_for_scans(2)


def test_scan_that_fails_ends_nothing_and_is_logged_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError(5, "input/output error")

    desk.scanner.act = fail
    desk.start()
    for number in (1, 2, 3):
        desk.scanner.wait_for_scans(number)
        desk.wake.set()
    desk.scanner.act = lambda: None
    desk.wake.set()
    desk.scanner.wait_for_scans(4)
    assert desk.watcher.fault() is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_watcher_that_does_not_run_is_at_fault(desk: Desk) -> None:
    assert desk.watcher.fault() == "the watcher is not running"
    desk.start()
    desk.scanner.wait_for_scans(1)
    assert desk.watcher.fault() is None
    desk.watcher.stop()
    assert desk.watcher.fault() == "the watcher is not running"


def test_scan_that_hangs_is_at_fault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    desk.scanner.act = lambda: let_go.wait(WAIT_SECONDS)
    desk.watcher._rescan_seconds = 0
    monkeypatch.setattr(room, "STALLED_SECONDS", -1)
    desk.start()
    desk.scanner.wait_for_scans(1)
    fault = desk.watcher.fault()
    let_go.set()
    assert fault is not None
    assert fault.startswith("the watcher has not finished a scan for ")


def test_stop_ends_the_thread_and_the_alarm(desk: Desk) -> None:
    desk.start()
    desk.scanner.wait_for_scans(1)
    assert desk.watcher.stop()
    assert (desk.arming.ended, desk.scanner.finished) == (1, 1)


def test_stop_gives_up_on_a_scan_that_will_not_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    desk.scanner.act = lambda: let_go.wait(WAIT_SECONDS)
    desk.start()
    desk.scanner.wait_for_scans(1)
    with monkeypatch.context() as patch:
        patch.setattr(room, "STOP_SECONDS", 0.01)
        assert not desk.watcher.stop()
    let_go.set()


def test_start_after_stop_starts_nothing(desk: Desk) -> None:
    assert desk.watcher.stop()
    desk.start()
    assert desk.watcher._thread.ident is None  # it never ran
    desk.watcher.wait_for_first_deploys(WAIT_SECONDS)  # returns at once


def test_first_deploys_are_waited_for(desk: Desk) -> None:
    future: Future[Outcome] = Future()
    desk.scanner.futures.append(future)
    desk.start()
    threading.Timer(0.05, future.set_result, [Outcome(kind="live")]).start()
    desk.watcher.wait_for_first_deploys(WAIT_SECONDS)
    assert future.done()


def test_first_deploys_are_not_waited_for_longer_than_asked(desk: Desk) -> None:
    desk.scanner.futures.append(Future())
    desk.start()
    desk.watcher.wait_for_first_deploys(0.01)
    assert not desk.scanner.futures[0].done()


def test_first_scan_counts_once_it_is_decided_what_is_an_arrival(desk: Desk) -> None:
    desk.scanner.undecided = True
    desk.start()
    desk.scanner.wait_for_scans(1)
    desk.wake.set()
    desk.scanner.wait_for_scans(2)  # the first scan is behind it, and did not count
    assert not desk.watcher._first_scan.is_set()
    desk.scanner.undecided = False
    desk.wake.set()
    assert desk.watcher._first_scan.wait(WAIT_SECONDS)


def test_stop_ends_the_reader_too(desk: Desk) -> None:
    desk.start()
    assert "reader" in [thread.name for thread in threading.enumerate()]
    assert desk.watcher.stop()
    assert "reader" not in [thread.name for thread in threading.enumerate()]


def test_what_waits_is_the_scanners_to_say(desk: Desk) -> None:
    assert desk.watcher.waiting_for("m") == {"model_path": "model_drop/m.onnx"}


class Deploys:
    """Takes wishes as the deployer does and lets a test wait for them."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.came = threading.Condition()

    def submit(self, wishes: Sequence[Wish]) -> list[Future[Outcome]]:
        with self.came:
            self.wishes += wishes
            self.came.notify_all()
        futures: list[Future[Outcome]] = [Future() for _ in wishes]
        for future in futures:
            future.set_result(Outcome(kind="live"))
        return futures

    def wait_for(self, number: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.wishes) >= number, WAIT_SECONDS)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[Path, Deploys, Journal]]:
    """A watcher of real parts, which no rescan helps."""
    drop, deploys, wake = tmp_path / "drop", Deploys(), threading.Event()
    drop.mkdir()
    journal = Journal(tmp_path / "journal.sqlite3")
    alarm, reader = Alarm(wake), Reader(wake.set)
    scanner = Scanner(
        DropDirectory(drop, "model_drop", "default", ()),
        Patience(200, 60),
        journal=journal,
        submit=deploys.submit,
        read=reader.read,
        closed=alarm.bell.take_closed,
        wake=wake.set,
    )
    arming = Arming(alarm, drop, lambda event, reason: void(journal.append(Event(event=event, reason=reason))))
    watcher = Watcher(scanner, arming, reader, wake=wake, rescan_seconds=3600)
    watcher.start()
    watcher.look()
    watcher.wait_for_first_deploys(WAIT_SECONDS)
    yield drop, deploys, journal
    watcher.stop()
    journal.close()


def void(_: object) -> None:
    """Takes a value that nobody wants."""


def test_dropped_file_is_submitted_by_its_event_alone(real: tuple[Path, Deploys, Journal]) -> None:
    drop, deploys, _ = real
    (drop / "m.onnx").write_bytes(plain_bytes())
    deploys.wait_for(1)
    (drop / "named").mkdir()
    (drop / "named" / "m.onnx").write_bytes(plain_bytes())
    deploys.wait_for(2)
    assert [wish.model for wish in deploys.wishes] == ["default", "named"]
