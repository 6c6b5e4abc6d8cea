"""The feed: who waits for an event is woken by it, by the end of the time, or by the end of the daemon."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from daemon.history.feed import Feed
from daemon.history.journal import Journal
from daemon.release import Event

LONG = 30.0
"""Seconds that no passing test waits for."""


class Waiter:
    """Calls ``journal.wait`` on a thread of its own and keeps what it gave."""

    def __init__(self, journal: Journal, after: int, model: str | None, seconds: float = LONG) -> None:
        self.found: list[Event] | None = None
        self._call: Callable[[], list[Event]] = lambda: journal.wait(after, model, seconds)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.found = self._call()

    def result(self) -> list[Event] | None:
        self._thread.join(10.0)
        assert not self._thread.is_alive(), "still waiting"
        return self.found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal.db")) as journal:
        yield journal


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released each time a reader has found nothing and is about to wait."""
    waiting = threading.Semaphore(0)
    original = Feed.wait_beyond

    def wait_beyond(feed: Feed, seen: int, *, deadline: float) -> bool:
        waiting.release()
        return original(feed, seen, deadline=deadline)

    monkeypatch.setattr(Feed, "wait_beyond", wait_beyond)
    return waiting


def test_wait_returns_at_once_what_is_there(journal: Journal) -> None:
    written = [journal.append(Event(event="seen", model="a")) for _ in range(3)]
    assert journal.wait(1, None, LONG) == written[1:]
    assert journal.wait(1, None, LONG, limit=1) == written[1:2]


def test_wait_is_woken_by_an_append(journal: Journal, asked: threading.Semaphore) -> None:
    waiter = Waiter(journal, 0, None)
    assert asked.acquire(timeout=10)
    written = journal.append(Event(event="seen"))
    assert waiter.result() == [written]


def test_wait_for_a_model_sleeps_through_events_of_others(journal: Journal, asked: threading.Semaphore) -> None:
    waiter = Waiter(journal, 0, "a")
    assert asked.acquire(timeout=10)
    journal.append(Event(event="seen", model="b"))
    assert asked.acquire(timeout=10)  # woken, found nothing, waits again
    written = journal.append(Event(event="seen", model="a"))
    assert waiter.result() == [written]


def test_wait_misses_no_event_between_its_look_and_its_sleep(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Journal.events

    def append_after_the_first_look(journal: Journal, **what: Any) -> list[Event]:
        found = look(journal, **what)
        if journal.last_id() == 0:
            journal.append(Event(event="seen"))
        return found

    monkeypatch.setattr(Journal, "events", append_after_the_first_look)
    assert len(journal.wait(0, None, 5.0)) == 1


def test_wait_ends_empty_when_its_time_is_up(journal: Journal) -> None:
    began = monotonic()
    assert journal.wait(0, None, 0.05) == []
    assert 0.05 <= monotonic() - began < 5


def test_wait_ends_in_time_though_other_models_have_events(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Feed.wait_beyond

    def append_first(feed: Feed, seen: int, *, deadline: float) -> bool:
        journal.append(Event(event="seen", model="b"))
        return original(feed, seen, deadline=deadline)

    monkeypatch.setattr(Feed, "wait_beyond", append_first)
    assert Waiter(journal, 0, "a", 0.2).result() == []


@pytest.mark.parametrize("end", [Journal.release_waiters, Journal.close])
def test_everyone_who_waits_is_let_go_at_the_end(
    journal: Journal, asked: threading.Semaphore, end: Callable[[Journal], None]
) -> None:
    waiters = [Waiter(journal, 0, None) for _ in range(3)]
    for _ in waiters:
        assert asked.acquire(timeout=10)
    end(journal)
    assert [waiter.result() for waiter in waiters] == [[], [], []]
    assert journal.wait(0, None, LONG) == []  # and who comes later does not wait


def test_announcements_out_of_order_keep_the_newest_id() -> None:
    feed = Feed(3)
    feed.announce(6)
    feed.announce(5)
    assert feed.last_id() == 6
