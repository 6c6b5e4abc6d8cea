"""The lane: one thread, one act after the other, models in turn, and an end that leaves nobody waiting."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from daemon.errors import Rejected, ShuttingDown
from daemon.lane import Entry, Lane, Outcome, lane
from tests.fakes import WAIT_SECONDS, release_of


class Stopper:
    """An act that says when it runs and ends when it is let go."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.let_go = threading.Event()

    def __call__(self) -> str:
        self.running.set()
        assert self.let_go.wait(WAIT_SECONDS)
        return "let go"


def void(_: object) -> None:
    """Takes a value that nobody wants."""


@pytest.fixture
def tidied() -> list[str]:
    return []


@pytest.fixture
def lane_of(tidied: list[str]) -> Iterator[Lane]:
    lane_of = Lane(after_each=lambda: tidied.append(threading.current_thread().name))
    yield lane_of
    lane_of.stop()


def entry(model: str = "default", act: Callable[[], Any] = lambda: None, **more: Any) -> Entry:
    return Entry(model=model, act=act, **more)


def hold(lane_of: Lane, model: str = "default") -> Stopper:
    """Starts the lane and keeps it busy."""
    stopper = Stopper()
    lane_of.enter([entry(model, stopper, model_path="held.onnx")])
    lane_of.start()
    assert stopper.running.wait(WAIT_SECONDS)
    return stopper


def test_interpreters_lock_changes_hands_more_often_while_an_act_runs(lane_of: Lane) -> None:
    sys.setswitchinterval(0.005)  # the interpreter's own
    lane_of.start()
    (during,) = lane_of.enter([entry(act=sys.getswitchinterval)])
    assert during.result(WAIT_SECONDS) == pytest.approx(lane.SWITCH_SECONDS)
    (waited,) = lane_of.enter([entry()])
    waited.result(WAIT_SECONDS)
    assert lane_of.stop()
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_act_runs_on_the_lanes_thread_and_fills_its_future(lane_of: Lane) -> None:
    lane_of.start()
    (future,) = lane_of.enter([entry(act=lambda: threading.current_thread().name)])
    assert future.result(WAIT_SECONDS) == "deployer"


def test_what_is_entered_before_the_start_runs_after_it(lane_of: Lane) -> None:
    (future,) = lane_of.enter([entry(act=lambda: 1)])
    assert not future.done()
    lane_of.start()
    assert future.result(WAIT_SECONDS) == 1


def test_after_each_runs_on_the_lanes_thread_after_every_act(lane_of: Lane, tidied: list[str]) -> None:
    lane_of.start()
    futures = [lane_of.enter([entry()])[0] for _ in range(3)]
    for future in futures:
        future.result(WAIT_SECONDS)
    lane_of.stop()
    assert tidied == ["deployer"] * 3


def test_after_each_keeps_nobody_waiting_for_an_answer() -> None:
    let_go = threading.Event()
    lane_of = Lane(after_each=lambda: void(let_go.wait(WAIT_SECONDS)))
    lane_of.start()
    (future,) = lane_of.enter([entry(act=lambda: 1)])
    assert future.result(WAIT_SECONDS / 2) == 1
    let_go.set()
    assert lane_of.stop()


def test_act_that_fails_gives_its_error_and_the_next_one_runs(lane_of: Lane, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise Rejected("load", "no")

    lane_of.start()
    bad, good = lane_of.enter([entry(act=refuse), entry(act=lambda: 1)])
    assert isinstance(bad.exception(WAIT_SECONDS), Rejected)
    assert good.result(WAIT_SECONDS) == 1
    assert caplog.records == []


def test_act_that_fails_unexpectedly_is_logged_once(lane_of: Lane, caplog: pytest.LogCaptureFixture) -> None:
    lane_of.start()
    (future,) = lane_of.enter([entry(act=lambda: [][0])])
    assert isinstance(future.exception(WAIT_SECONDS), IndexError)
    assert [(record.levelno, record.message) for record in caplog.records] == [(logging.ERROR, "an act failed")]


def test_models_take_turns_while_one_has_much_to_do(lane_of: Lane) -> None:
    ran: list[str] = []
    stopper = hold(lane_of, "a")
    futures = lane_of.enter(
        [
            entry(model, lambda name=name: ran.append(name))  # type: ignore[misc]
            for model, name in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2"), ("c", "c1"))
        ]
    )
    stopper.let_go.set()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert ran == ["b1", "c1", "a1", "b2", "a2", "a3"]


def test_overtaken_file_is_skipped_and_its_future_says_so(lane_of: Lane) -> None:
    ran: list[str] = []

    def serves(name: str) -> Outcome:
        ran.append(name)
        return Outcome(kind="live", release=release_of())

    stopper = hold(lane_of)
    older, newer = lane_of.enter(
        [
            entry(act=lambda: ran.append("older"), overtake=lambda: "superseded", changed_ns=10),
            entry(act=lambda: serves("newer"), overtake=lambda: "superseded", changed_ns=20),
        ]
    )
    stopper.let_go.set()
    newer.result(WAIT_SECONDS)
    assert older.result(WAIT_SECONDS) == "superseded"
    assert ran == ["newer"]


def test_overtaken_file_has_its_turn_when_the_newer_one_is_refused(lane_of: Lane) -> None:
    ran: list[str] = []
    stopper = hold(lane_of)
    futures = lane_of.enter(
        [entry(act=partial(ran.append, name), changed_ns=age) for name, age in (("1", 10), ("3", 30), ("2", 20))]
    )
    stopper.let_go.set()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert ran == ["3", "2", "1"]


def test_overtaken_file_has_its_turn_when_the_newer_one_fails(lane_of: Lane) -> None:
    def fail() -> None:
        raise Rejected("store", "the disk is full")

    stopper = hold(lane_of)
    older, newer = lane_of.enter(
        [entry(act=lambda: "ran", overtake=lambda: "superseded", changed_ns=10), entry(act=fail, changed_ns=20)]
    )
    stopper.let_go.set()
    assert isinstance(newer.exception(WAIT_SECONDS), Rejected)
    assert older.result(WAIT_SECONDS) == "ran"


def test_overtaken_file_is_skipped_when_a_request_that_came_later_serves(lane_of: Lane) -> None:
    ran: list[str] = []

    def refused() -> None:
        ran.append("refused")

    def served() -> Outcome:
        ran.append("served")
        return Outcome(kind="live", release=release_of())

    stopper = hold(lane_of)
    older, _, _ = lane_of.enter(
        [
            entry(act=partial(ran.append, "older"), overtake=lambda: "superseded", changed_ns=10),
            entry(act=served),
            entry(act=refused, changed_ns=20),
        ]
    )
    stopper.let_go.set()
    assert older.result(WAIT_SECONDS) == "superseded"
    assert ran[0] == "served"
    assert "older" not in ran


def test_file_that_runs_already_is_not_overtaken(lane_of: Lane) -> None:
    stopper = Stopper()
    (older,) = lane_of.enter([entry(act=stopper, overtake=lambda: "superseded", changed_ns=10)])
    lane_of.start()
    assert stopper.running.wait(WAIT_SECONDS)
    (newer,) = lane_of.enter([entry(act=lambda: "ran", changed_ns=20)])
    stopper.let_go.set()
    assert (older.result(WAIT_SECONDS), newer.result(WAIT_SECONDS)) == ("let go", "ran")


def test_lane_tells_what_runs_and_what_waits_for_a_model(lane_of: Lane) -> None:
    stopper = hold(lane_of)
    lane_of.enter([entry(model_path="next.onnx"), entry("other", model_path="other.onnx")])
    running, waiting = lane_of.of_model("default")
    assert running is not None
    assert (running.model_path, [each.model_path for each in waiting]) == ("held.onnx", ["next.onnx"])
    running, waiting = lane_of.of_model("other")
    assert (running, [each.model_path for each in waiting]) == (None, ["other.onnx"])
    stopper.let_go.set()


def test_entries_of_many_threads_all_run_once(lane_of: Lane) -> None:
    ran: list[int] = []
    lane_of.start()

    def enter(number: int) -> None:
        for _ in range(50):
            lane_of.enter([entry(f"model-{number}", lambda: ran.append(number))])[0].result(WAIT_SECONDS)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == sorted([0, 1, 2, 3] * 50)


def test_stop_refuses_what_waits_and_what_comes(lane_of: Lane) -> None:
    stopper = hold(lane_of)
    (waiting,) = lane_of.enter([entry()])
    ended = threading.Thread(target=lane_of.stop)
    ended.start()
    assert isinstance(waiting.exception(WAIT_SECONDS), ShuttingDown)
    with pytest.raises(ShuttingDown):
        lane_of.enter([entry()])
    stopper.let_go.set()
    ended.join()


def test_stop_waits_for_the_act_that_runs(lane_of: Lane) -> None:
    stopper = hold(lane_of)
    threading.Timer(0.05, stopper.let_go.set).start()
    assert lane_of.stop()
    assert lane_of.of_model("default") == (None, [])


def test_stop_gives_up_on_an_act_that_will_not_end(lane_of: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    stopper = hold(lane_of)
    monkeypatch.setattr(lane, "STOP_SECONDS", 0.01)
    assert not lane_of.stop()
    stopper.let_go.set()


def test_lane_that_never_started_stops(lane_of: Lane) -> None:
    (future,) = lane_of.enter([entry()])
    assert lane_of.stop()
    assert isinstance(future.exception(WAIT_SECONDS), ShuttingDown)


def in_a_while(seconds: float = 0.05) -> float:
    """A time soon to come, as entries have it."""
    return time.monotonic() + seconds


def test_entry_that_is_due_later_runs_by_itself_and_no_sooner(lane_of: Lane) -> None:
    lane_of.start()
    when = in_a_while()
    (future,) = lane_of.enter([entry(act=time.monotonic, due=when)])
    assert future.result(WAIT_SECONDS) >= when


def test_entry_that_is_due_later_keeps_nobody_waiting(lane_of: Lane) -> None:
    lane_of.start()
    (far,) = lane_of.enter([entry(due=in_a_while(3600))])
    (near,) = lane_of.enter([entry(act=lambda: far.done())])
    assert near.result(WAIT_SECONDS) is False


def test_entries_run_in_the_order_in_which_they_are_due(lane_of: Lane) -> None:
    ran: list[str] = []
    lane_of.start()
    (last,) = lane_of.enter([entry(act=partial(ran.append, "late"), due=in_a_while(0.1))])
    lane_of.enter([entry(act=partial(ran.append, "early"), due=in_a_while(0.02))])
    last.result(WAIT_SECONDS)
    assert ran == ["early", "late"]


def test_file_is_not_overtaken_by_one_that_is_not_due(lane_of: Lane) -> None:
    (older, _) = lane_of.enter([entry(act=lambda: "ran", changed_ns=10), entry(changed_ns=20, due=in_a_while(3600))])
    lane_of.start()
    assert older.result(WAIT_SECONDS) == "ran"


def test_urgent_entry_goes_before_what_came_earlier(lane_of: Lane) -> None:
    ran: list[str] = []
    stopper = hold(lane_of, "a")
    futures = lane_of.enter([entry("b", partial(ran.append, "b")), entry("c", partial(ran.append, "c"), urgent=True)])
    stopper.let_go.set()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert ran == ["c", "b"]


class Busy:
    """An act that looks after what is urgent once it is asked to, and tells what had run by then."""

    def __init__(self, lane_of: Lane) -> None:
        self.lane_of = lane_of
        self.ran: list[str] = []
        self.look = threading.Event()
        self.running = threading.Event()

    def __call__(self) -> list[str]:
        self.running.set()
        assert self.look.wait(WAIT_SECONDS)
        self.lane_of.run_urgent()
        return list(self.ran)


def test_urgent_entries_run_in_the_middle_of_an_act_and_the_others_wait(lane_of: Lane) -> None:
    busy = Busy(lane_of)
    (act,) = lane_of.enter([entry("a", busy)])
    lane_of.start()
    assert busy.running.wait(WAIT_SECONDS)
    futures = lane_of.enter(
        [
            entry("b", partial(busy.ran.append, "other")),
            entry("b", partial(busy.ran.append, "first"), urgent=True),
            entry("a", partial(busy.ran.append, "second"), urgent=True),
            entry("b", partial(busy.ran.append, "not yet"), urgent=True, due=in_a_while(3600)),
        ]
    )
    busy.look.set()
    assert act.result(WAIT_SECONDS) == ["first", "second"]
    futures[0].result(WAIT_SECONDS)
    assert busy.ran == ["first", "second", "other"]
    assert [future.done() for future in futures] == [True, True, True, False]


def test_urgent_entry_runs_once_and_on_the_lanes_thread(lane_of: Lane) -> None:
    names: list[str] = []
    busy = Busy(lane_of)
    (act,) = lane_of.enter([entry("a", busy)])
    lane_of.start()
    assert busy.running.wait(WAIT_SECONDS)
    lane_of.enter([entry(act=lambda: names.append(threading.current_thread().name), urgent=True)])
    busy.look.set()
    act.result(WAIT_SECONDS)
    lane_of.enter([entry()])[0].result(WAIT_SECONDS)
    assert names == ["deployer"]


def test_urgent_entry_that_fails_is_logged_and_the_act_around_it_goes_on(
    lane_of: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    busy = Busy(lane_of)
    (act,) = lane_of.enter([entry("a", busy)])
    lane_of.start()
    assert busy.running.wait(WAIT_SECONDS)
    (bad,) = lane_of.enter([entry(act=lambda: [][0], urgent=True)])
    busy.look.set()
    assert act.result(WAIT_SECONDS) == []
    assert isinstance(bad.exception(WAIT_SECONDS), IndexError)
    assert [record.message for record in caplog.records] == ["an act failed"]


def test_what_follows_an_act_follows_the_one_around_the_urgent_ones_alone(lane_of: Lane, tidied: list[str]) -> None:
    busy = Busy(lane_of)
    lane_of.enter([entry("a", busy)])
    lane_of.start()
    assert busy.running.wait(WAIT_SECONDS)
    (pressing,) = lane_of.enter([entry("b", lambda: len(tidied), urgent=True)])
    busy.look.set()
    assert pressing.result(WAIT_SECONDS) == 0
    lane_of.stop()
    assert len(tidied) == 1


def test_nothing_urgent_is_nothing_to_do(lane_of: Lane) -> None:
    busy = Busy(lane_of)
    (act,) = lane_of.enter([entry("a", busy)])
    lane_of.start()
    busy.look.set()
    assert act.result(WAIT_SECONDS) == []


def test_stop_refuses_what_is_due_later_and_does_not_wait_for_it(lane_of: Lane) -> None:
    lane_of.start()
    (future,) = lane_of.enter([entry(due=in_a_while(3600))])
    assert lane_of.stop()
    assert isinstance(future.exception(WAIT_SECONDS), ShuttingDown)


def test_stop_refuses_what_is_urgent_and_no_act_runs_it_any_more(lane_of: Lane) -> None:
    busy = Busy(lane_of)
    (act,) = lane_of.enter([entry("a", busy)])
    lane_of.start()
    assert busy.running.wait(WAIT_SECONDS)
    (pressing,) = lane_of.enter([entry(act=partial(busy.ran.append, "urgent"), urgent=True)])
    ended = threading.Thread(target=lane_of.stop)
    ended.start()
    assert isinstance(pressing.exception(WAIT_SECONDS), ShuttingDown)
    busy.look.set()
    assert act.result(WAIT_SECONDS) == []
    ended.join()
