"""Deadlines: who outlives one is stopped, who does not is left alone, and the thread sleeps in between."""

import logging
import math
import threading
import time
from collections.abc import Iterator

import pytest

from daemon.runtime.deadlines import Deadlines, spoken

PATIENCE_SECONDS = 10.0
FAR_SECONDS = 3600.0


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    made = Deadlines()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def nobody_cancelled_in_time() -> Iterator[None]:
    wrongly_cancelled.clear()
    yield
    assert wrongly_cancelled == []


wrongly_cancelled: list[str] = []


def never() -> None:
    wrongly_cancelled.append("a block that was in time")


def test_cancel_is_called_once_when_a_block_outlives_its_deadline(deadlines: Deadlines) -> None:
    calls: list[float] = []
    cancelled = threading.Event()

    def cancel() -> None:
        calls.append(time.monotonic())
        cancelled.set()

    start = time.monotonic()
    with deadlines.guard(0.05, cancel) as guard:
        assert cancelled.wait(PATIENCE_SECONDS)
        assert guard.expired
    assert len(calls) == 1
    assert calls[0] - start >= 0.05


def test_nothing_is_cancelled_when_a_block_ends_in_time(deadlines: Deadlines) -> None:
    later = threading.Event()
    with deadlines.guard(0.02, never) as guard:
        pass
    with deadlines.guard(0.05, later.set):
        assert later.wait(PATIENCE_SECONDS)
    assert not guard.expired


def test_nearer_deadline_is_kept_when_a_farther_one_is_slept_for(deadlines: Deadlines) -> None:
    cancelled = threading.Event()
    with deadlines.guard(FAR_SECONDS, never), deadlines.guard(0.01, cancelled.set):
        assert cancelled.wait(PATIENCE_SECONDS)


def test_farther_deadline_is_kept_when_a_nearer_one_has_passed(deadlines: Deadlines) -> None:
    near, far = threading.Event(), threading.Event()
    with deadlines.guard(0.1, far.set), deadlines.guard(0.01, near.set):
        assert near.wait(PATIENCE_SECONDS)
        assert far.wait(PATIENCE_SECONDS)


def test_deadline_is_kept_when_the_thread_was_parked(deadlines: Deadlines) -> None:
    for _ in range(3):
        cancelled = threading.Event()
        with deadlines.guard(0.01, cancelled.set):
            assert cancelled.wait(PATIENCE_SECONDS)


def test_passed_deadline_cancels_at_once(deadlines: Deadlines) -> None:
    cancelled = threading.Event()
    with deadlines.guard(-1.0, cancelled.set):
        assert cancelled.wait(PATIENCE_SECONDS)


def test_others_are_cancelled_when_one_cancel_raises(deadlines: Deadlines, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("cannot cancel")

    cancelled = threading.Event()
    with caplog.at_level(logging.ERROR), deadlines.guard(0.0, fail), deadlines.guard(0.01, cancelled.set):
        assert cancelled.wait(PATIENCE_SECONDS)
    assert "could not be stopped" in caplog.text


def test_endless_guard_starts_no_thread(deadlines: Deadlines) -> None:
    before = threading.active_count()
    with deadlines.guard(math.inf, never) as guard:
        assert threading.active_count() == before
    assert not guard.expired


def test_one_thread_serves_when_many_guards_overlap(deadlines: Deadlines) -> None:
    before = threading.active_count()
    with deadlines.guard(FAR_SECONDS, never), deadlines.guard(FAR_SECONDS, never), deadlines.guard(1e9, never):
        assert threading.active_count() == before + 1


def test_thread_sleeps_through_guards_that_come_and_go(deadlines: Deadlines) -> None:
    with deadlines.guard(FAR_SECONDS, never):
        pass
    roused: list[str] = []
    deadlines._rouse_locked = lambda: roused.append("roused")  # type: ignore[method-assign]
    for _ in range(1000):
        with deadlines.guard(FAR_SECONDS, never):
            pass
    assert len(roused) <= 1  # the one that finds the thread parked, after the first guard


def test_stop_cancels_and_joins_when_a_guard_is_open() -> None:
    deadlines = Deadlines()
    cancelled = threading.Event()
    with deadlines.guard(FAR_SECONDS, cancelled.set) as guard:
        deadlines.stop()
        assert cancelled.is_set()
        assert guard.expired
    assert "deadlines" not in {thread.name for thread in threading.enumerate()}


def test_guard_is_refused_after_stop() -> None:
    deadlines = Deadlines()
    deadlines.stop()
    deadlines.stop()
    with pytest.raises(RuntimeError, match="stopped"), deadlines.guard(1.0, never):
        pytest.fail("entered")


def test_every_deadline_is_kept_under_many_threads(deadlines: Deadlines) -> None:
    missed: list[float] = []

    def work(seconds: float) -> None:
        for _ in range(20):
            cancelled = threading.Event()
            with deadlines.guard(FAR_SECONDS, never), deadlines.guard(seconds, cancelled.set):
                if not cancelled.wait(PATIENCE_SECONDS):
                    missed.append(seconds)

    threads = [threading.Thread(target=work, args=(0.001 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0 µs"),
        (1e-6, "1 µs"),
        (0.000989414, "989.4 µs"),
        (0.001, "1 ms"),
        (0.05, "50 ms"),
        (0.99999, "1000 ms"),
        (1.0, "1 second"),
        (1.5, "1.5 seconds"),
        (30.0, "30 seconds"),
    ],
)
def test_time_is_spoken_of_in_the_unit_that_fits_it(seconds: float, told: str) -> None:
    assert spoken(seconds) == told
