"""The breakdown of one deploy by stage."""

import pytest

from daemon.lane import Stages


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("daemon.lane.stages.time.perf_counter", clock)
    return clock


def test_breakdown_has_the_total_first_then_each_stage_in_order(clock: Clock) -> None:
    stages = Stages(settle_seconds=0.5)
    for stage, seconds in (("store", 1.0), ("gate", 2.0), ("store", 4.0)):
        with stages.timed(stage):
            clock.now += seconds
        clock.now += 0.25
    assert stages.breakdown() == {"total": 8.25, "settle": 0.5, "store": 5.0, "gate": 2.0}
    assert list(stages.breakdown()) == ["total", "settle", "store", "gate"]


def test_stage_that_fails_is_timed_too(clock: Clock) -> None:
    stages = Stages()

    def fail() -> None:
        with stages.timed("load"):
            clock.now += 3.0
            raise OSError

    with pytest.raises(OSError):
        fail()
    assert stages.breakdown()["load"] == 3.0
