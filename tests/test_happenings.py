"""What the daemon does is counted, within bounds, whatever it is told."""

import time

import pytest

from daemon.release import Event
from daemon.web.metrics.happenings import DEPLOY_BOUNDS, EVENTS, MOST_CHANGED, MOST_CODES, MOST_STAGES, Happenings
from tests.test_docs import events_in_the_code


def test_every_event_that_is_made_is_there_from_the_start() -> None:
    assert set(EVENTS) == events_in_the_code()
    assert Happenings().told().events == dict.fromkeys(EVENTS, 0)


@pytest.mark.parametrize(("seconds", "place"), [(0.0005, 0), (0.001, 0), (0.0011, 1), (301.0, len(DEPLOY_BOUNDS))])
def test_deploy_is_in_the_bucket_up_to_its_bound(seconds: float, place: int) -> None:
    happenings = Happenings()
    happenings.note(Event(event="rejected", seconds={"total": seconds}))
    spread = happenings.told().deploys["rejected"]
    assert (spread.buckets[place], spread.total) == (1, seconds)


def test_stages_are_those_of_what_went_live() -> None:
    happenings = Happenings()
    happenings.note(Event(event="rejected", seconds={"total": 2.0, "store": 1.0}))
    happenings.note(Event(event="live", model="a", version=3, seconds={"total": 2.0, "load": 0.5}))
    told = happenings.told()
    assert set(told.stages) == {"load"}
    assert told.loads == {"a": (3, 0.5)}


def test_what_is_told_apart_is_bounded() -> None:
    happenings = Happenings()
    for number in range(1000):
        happenings.refused(f"code_{number}")
        happenings.note(Event(event="live", seconds={f"stage_{number}": 1.0}))
    told = happenings.told()
    assert (len(told.refusals), len(told.stages)) == (MOST_CODES, MOST_STAGES)


def test_lag_runs_from_the_change_until_it_was_seen_and_until_it_was_live() -> None:
    happenings = Happenings()
    happenings.noticed("a", "drop/a.onnx", time.time_ns())
    assert [spread.count for _, spread in sorted(happenings.told().lags.items())] == [0, 1]
    happenings.note(Event(event="live", model="a", model_path="drop/a.onnx", version=1, cause="dropped"))
    told = happenings.told().lags
    assert [told["live"].count, told["seen"].count] == [1, 1]
    assert 0 <= told["seen"].total <= told["live"].total < 5.0


@pytest.mark.parametrize("event", ["rejected", "unchanged", "superseded"])
def test_drop_that_does_not_come_to_serve_is_forgotten(event: str) -> None:
    happenings = Happenings()
    happenings.noticed("a", "drop/a.onnx", time.time_ns())
    happenings.note(Event(event=event, model="a", model_path="drop/a.onnx"))
    happenings.note(Event(event="live", model="a", model_path="drop/a.onnx", version=1, cause="dropped"))
    assert happenings.told().lags["live"].count == 0


def test_what_is_deployed_by_request_has_no_lag() -> None:
    happenings = Happenings()
    happenings.noticed("a", "drop/a.onnx", time.time_ns())
    happenings.note(Event(event="live", model="a", model_path="drop/a.onnx", version=1, cause="updated"))
    happenings.note(Event(event="live", model="a", model_path="drop/b.onnx", version=2, cause="dropped"))
    assert happenings.told().lags["live"].count == 0


def test_clock_that_is_ahead_makes_no_lag_that_is_negative() -> None:
    happenings = Happenings()
    happenings.noticed("a", "drop/a.onnx", time.time_ns() + 10**9)
    assert (happenings.told().lags["seen"].count, happenings.told().lags["seen"].total) == (1, 0.0)


def test_drops_on_their_way_are_bounded() -> None:
    happenings = Happenings()
    for number in range(MOST_CHANGED + 10):
        happenings.noticed("a", f"drop/{number}.onnx", time.time_ns())
    assert len(happenings._changed) == MOST_CHANGED


def test_what_lay_there_before_the_start_has_no_lag() -> None:
    happenings = Happenings()
    happenings.noticed("a", "drop/a.onnx", time.time_ns() - 3600 * 10**9)
    assert happenings.told().lags["seen"].count == 0
