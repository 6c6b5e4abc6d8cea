"""Probation: the verdict in a table, and what is counted, told and warned of while a release is watched."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from daemon.lane.probation import LOOK_SECONDS, Probation, ProbationTerms, Tally, fault
from daemon.release import Release
from daemon.runtime import Output
from tests.fakes import Clock, release_of

TERMS = ProbationTerms(seconds=60, max_error_rate=0.25, min_requests=4, non_finite="warn", keep_previous=True)
STRICT = replace(TERMS, non_finite="rollback")
GOOD: list[Output] = [np.ones(2, np.float32)]
STRANGE: list[Output] = [np.array([1, np.nan], np.float32)]
ONE, TWO, THREE = release_of(1), release_of(2), release_of(3)


@pytest.mark.parametrize(
    ("now", "before", "terms", "is_at_fault"),
    [
        (Tally(0, 0), Tally(), TERMS, False),
        (Tally(3, 3), Tally(), TERMS, False),
        (Tally(4, 0), Tally(), TERMS, False),
        (Tally(4, 1), Tally(), TERMS, False),
        (Tally(4, 2), Tally(), TERMS, True),
        (Tally(100, 25), Tally(), TERMS, False),
        (Tally(100, 26), Tally(), TERMS, True),
        (Tally(4, 2), Tally(100, 25), TERMS, True),
        (Tally(4, 2), Tally(100, 26), TERMS, False),
        (Tally(4, 4), Tally(1, 1), TERMS, False),
        (Tally(4, 1), Tally(), replace(TERMS, max_error_rate=0), True),
        (Tally(4, 4), Tally(), replace(TERMS, max_error_rate=1), False),
        (Tally(1, 1), Tally(), replace(TERMS, min_requests=1), True),
        (Tally(4, 0, 4), Tally(), TERMS, False),
        (Tally(4, 1, 3), Tally(), TERMS, False),
        (Tally(4, 0, 1), Tally(), STRICT, False),
        (Tally(4, 0, 2), Tally(), STRICT, True),
        (Tally(4, 1, 1), Tally(), STRICT, True),
        (Tally(4, 0, 4), Tally(9, 0, 1), STRICT, False),
        (Tally(4, 2, 2), Tally(9, 0, 1), STRICT, True),
        (Tally(3, 0, 3), Tally(), STRICT, False),
    ],
)
def test_release_is_at_fault_where_more_fail_than_may_and_the_one_before_was_better(
    now: Tally, before: Tally, terms: ProbationTerms, is_at_fault: bool
) -> None:
    assert (fault(now, before, terms) is not None) is is_at_fault


def test_fault_is_told_with_the_figures_of_both() -> None:
    assert fault(Tally(8, 3), Tally(90, 1), replace(TERMS, max_error_rate=0.055)) == (
        "3 of 8 requests failed (at most 5.5% may), 1 of 90 of the release before"
    )


def test_fault_tells_of_infinities_only_where_they_counted() -> None:
    assert fault(Tally(8, 3, 2), Tally(), STRICT) == (
        "3 of 8 requests failed and 2 gave NaN or infinities (at most 25.0% may), 0 of 0 of the release before"
    )
    assert "NaN" not in (fault(Tally(8, 3, 2), Tally(), TERMS) or "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("daemon.lane.probation.time", clock)
    return clock


class Watched:
    """A probation that notes whom it was told to give up, and whether its lock was free then."""

    def __init__(self, terms: ProbationTerms = TERMS, *, has_room: bool = True) -> None:
        self.given_up: list[tuple[Release, str]] = []
        self.probation = Probation(terms, has_room=lambda: has_room)
        self.probation.start(self._note)

    def _note(self, release: Release, why: str) -> None:
        assert self.probation._lock.acquire(blocking=False)
        self.probation._lock.release()
        self.given_up.append((release, why))

    def fail(self, release: Release, times: int = 1) -> None:
        for _ in range(times):
            self.probation.failed(release, "")

    def answer(self, release: Release, outputs: list[Output] = GOOD, *, times: int = 1) -> None:
        for _ in range(times):
            self.probation.answered(release, outputs)


@pytest.fixture
def watched(clock: Clock) -> Watched:
    """Version 2 is on probation after version 1, which nobody had asked."""
    watched = Watched()
    watched.probation.begin(TWO, (ONE,))
    return watched


@pytest.mark.parametrize(
    ("way_back", "seconds", "is_watched"),
    [((ONE,), 60, True), ((ONE,), 0.5, True), ((), 60, False), ((ONE,), 0, False)],
)
def test_release_is_watched_where_there_is_one_to_go_back_to_and_time(
    way_back: tuple[Release, ...], seconds: float, is_watched: bool
) -> None:
    assert Watched(replace(TERMS, seconds=seconds)).probation.begin(TWO, way_back) is is_watched


def test_release_is_watched_for_what_is_left_of_its_time(clock: Clock) -> None:
    watched = Watched()
    assert watched.probation.begin(TWO, (ONE,), seconds=5)
    clock.now += 5
    watched.fail(TWO, 9)
    assert watched.given_up == []
    assert not watched.probation.begin(TWO, (ONE,), seconds=-1)


def test_way_back_leads_on_past_what_has_not_proved_itself(watched: Watched) -> None:
    assert watched.probation.way_back_to(ONE) == (ONE,)
    watched.answer(TWO, times=3)
    assert watched.probation.way_back_to(TWO) == (TWO, ONE)
    watched.probation.begin(THREE, (TWO, ONE))
    assert watched.probation.way_back_from(THREE) == (TWO, ONE)
    assert watched.probation.fallbacks() == {TWO.sha256, ONE.sha256}


def test_way_back_ends_at_what_has_proved_itself(watched: Watched, clock: Clock) -> None:
    watched.answer(TWO, times=4)
    assert watched.probation.way_back_to(TWO) == (TWO,)
    watched.probation.begin(THREE, (TWO,))
    clock.now += 60
    assert watched.probation.way_back_to(THREE) == (THREE,)


def test_model_that_is_forgotten_is_on_no_probation(watched: Watched) -> None:
    watched.probation.forget("default")
    watched.probation.forget("default")
    assert watched.probation.of("default") is None
    assert watched.probation.way_back_from(TWO) == ()


def test_release_that_fails_is_given_up_with_the_figures(watched: Watched) -> None:
    watched.answer(TWO, times=2)
    watched.fail(TWO)
    assert watched.given_up == []
    watched.fail(TWO)
    assert watched.given_up == [(TWO, "2 of 4 requests failed (at most 25.0% may), 0 of 0 of the release before")]


def test_verdict_tells_where_the_last_run_failed_and_nothing_of_what_it_was_given(watched: Watched) -> None:
    watched.fail(TWO, 2)
    watched.probation.failed(TWO, "Reshape node: the input shape {1,99} cannot be reshaped")
    watched.answer(TWO, times=1)
    ((_, why),) = watched.given_up
    assert why.endswith("; the last failed in a Reshape node")
    assert "99" not in why


def test_release_is_given_up_by_an_answer_that_makes_enough_requests(watched: Watched) -> None:
    watched.fail(TWO, 3)
    assert watched.given_up == []
    watched.answer(TWO)
    assert len(watched.given_up) == 1


def test_release_is_given_up_once(watched: Watched) -> None:
    watched.fail(TWO, 50)
    assert len(watched.given_up) == 1


def test_release_without_one_before_is_never_given_up() -> None:
    watched = Watched()
    watched.probation.begin(ONE, ())
    watched.fail(ONE, 50)
    assert watched.given_up == []


def test_runs_of_another_release_or_model_do_not_count(watched: Watched) -> None:
    watched.fail(ONE, 50)
    watched.fail(THREE, 50)
    watched.fail(release_of(2, "other"), 50)
    watched.answer(ONE, STRANGE)
    assert watched.given_up == []
    assert watched.probation.tally("default") == Tally()


def test_every_model_is_watched_by_itself(watched: Watched) -> None:
    other = release_of(5, "other")
    watched.probation.begin(other, (release_of(4, "other"),))
    watched.fail(TWO, 3)
    watched.fail(other, 4)
    assert [release for release, _ in watched.given_up] == [other]
    assert (watched.probation.tally("default"), watched.probation.tally("other")) == (Tally(3, 3), Tally(4, 4))


def test_release_is_held_beside_how_the_one_before_did(clock: Clock) -> None:
    watched = Watched()
    watched.probation.begin(ONE, ())
    watched.answer(ONE)
    watched.fail(ONE)
    watched.probation.begin(TWO, (ONE,))
    watched.fail(TWO, 50)
    assert watched.given_up == []


def test_release_is_not_held_beside_one_that_is_not_the_one_before(clock: Clock) -> None:
    watched = Watched()
    watched.probation.begin(ONE, ())
    watched.fail(ONE, 10)
    watched.probation.begin(THREE, (TWO,))
    watched.fail(THREE, 4)
    assert watched.given_up == [(THREE, "4 of 4 requests failed (at most 25.0% may), 0 of 0 of the release before")]


def test_release_that_took_the_place_of_the_watched_one_starts_anew(watched: Watched) -> None:
    watched.fail(TWO, 3)
    watched.probation.begin(THREE, ())
    assert watched.probation.tally("default") == Tally()
    watched.fail(TWO)
    assert watched.given_up == []


def test_release_is_not_given_up_once_its_time_is_up(watched: Watched, clock: Clock) -> None:
    watched.fail(TWO, 3)
    clock.now += 60
    watched.fail(TWO, 50)
    assert watched.given_up == []


def test_release_is_given_up_until_its_time_is_up(watched: Watched, clock: Clock) -> None:
    clock.now += 59
    watched.fail(TWO, 4)
    assert len(watched.given_up) == 1


def test_release_whose_probation_ended_is_not_given_up(watched: Watched) -> None:
    assert watched.probation.end(TWO)
    watched.fail(TWO, 50)
    assert watched.given_up == []


@pytest.mark.parametrize("release", [ONE, THREE, release_of(2, "other")])
def test_probation_is_ended_for_what_serves_alone(watched: Watched, release: Release) -> None:
    assert not watched.probation.end(release)
    watched.fail(TWO, 4)
    assert len(watched.given_up) == 1


def test_failures_count_on_after_the_probation_for_the_release_that_comes_next(watched: Watched, clock: Clock) -> None:
    clock.now += 60
    watched.fail(TWO, 2)
    watched.answer(TWO)
    assert watched.probation.tally("default") == Tally(3, 2)


def test_tally_counts_what_was_answered_what_failed_and_what_was_strange(watched: Watched) -> None:
    watched.answer(TWO, times=3)
    watched.answer(TWO, STRANGE, times=2)
    watched.fail(TWO)
    assert watched.probation.tally("default") == Tally(6, 1, 2)


def test_model_that_nobody_watches_has_an_empty_tally() -> None:
    assert Watched().probation.tally("default") == Tally()


def test_infinities_give_a_release_up_where_they_count(clock: Clock) -> None:
    watched = Watched(STRICT)
    watched.probation.begin(TWO, (ONE,))
    watched.answer(TWO, times=2)
    watched.answer(TWO, STRANGE, times=2)
    assert watched.given_up == [
        (
            TWO,
            "0 of 4 requests failed and 2 gave NaN or infinities (at most 25.0% may), 0 of 0 of the release before",
        )
    ]


def test_infinities_that_the_release_before_gave_too_give_none_up(clock: Clock) -> None:
    watched = Watched(STRICT)
    watched.probation.begin(ONE, ())
    watched.answer(ONE, STRANGE)
    watched.probation.begin(TWO, (ONE,))
    watched.answer(TWO, STRANGE, times=50)
    assert watched.given_up == []


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


def test_new_infinities_are_warned_of_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.answer(TWO)
    watched.answer(TWO, STRANGE, times=5)
    assert warnings_of(caplog) == ["version 2 of default gives NaN or infinities, which version 1 did not"]
    assert watched.given_up == []


def test_infinities_of_a_first_release_are_warned_of_too(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.probation.begin(ONE, ())
    watched.answer(ONE, STRANGE)
    assert warnings_of(caplog) == [
        "version 1 of default gives NaN or infinities, which no release before it could show"
    ]


def test_infinities_that_the_release_before_gave_too_are_not_warned_of(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched()
    watched.probation.begin(ONE, ())
    watched.answer(ONE, STRANGE)
    caplog.clear()
    watched.probation.begin(TWO, (ONE,))
    watched.answer(TWO, STRANGE)
    assert warnings_of(caplog) == []


def test_infinities_are_looked_for_now_and_then_once_the_probation_is_over(watched: Watched, clock: Clock) -> None:
    clock.now += 60
    watched.answer(TWO, STRANGE, times=5)
    assert watched.probation.tally("default") == Tally(5, 0, 1)
    clock.now += LOOK_SECONDS
    watched.answer(TWO, STRANGE, times=5)
    assert watched.probation.tally("default") == Tally(10, 0, 2)


def test_probation_is_shown_with_what_was_counted_and_what_is_left(watched: Watched, clock: Clock) -> None:
    watched.answer(TWO)
    watched.answer(TWO, STRANGE)
    watched.fail(TWO)
    clock.now += 12.34
    assert watched.probation.of("default") == {
        "seconds_left": 47.7,
        "back_to": 1,
        "requests": 3,
        "failed": 1,
        "non_finite": 1,
    }


def shown_after(act: Any) -> object:
    watched = Watched()
    watched.probation.begin(TWO, (ONE,))
    act(watched)
    return watched.probation.of("default")


def test_probation_that_is_over_is_not_shown(clock: Clock) -> None:
    assert shown_after(lambda watched: watched.probation.end(TWO)) is None
    assert shown_after(lambda watched: watched.fail(TWO, 4)) is None
    assert shown_after(lambda watched: watched.probation.begin(THREE, ())) is None
    assert shown_after(lambda watched: setattr(clock, "now", clock.now + 60)) is None
    assert shown_after(lambda watched: None) is not None


def test_model_that_is_not_watched_has_no_probation_to_show() -> None:
    assert Watched().probation.of("default") is None


def test_way_back_is_from_what_serves_alone(watched: Watched) -> None:
    assert watched.probation.way_back_from(TWO) == (ONE,)
    assert watched.probation.way_back_from(THREE) == ()
    assert watched.probation.way_back_from(release_of(2, "other")) == ()


def test_bytes_that_may_have_to_serve_again_are_those_before_what_is_on_probation(clock: Clock) -> None:
    probation = Watched().probation
    probation.begin(ONE, ())
    assert probation.fallbacks() == set()
    probation.begin(TWO, (ONE,))
    probation.begin(release_of(9, "other"), (release_of(8, "other"),))
    assert probation.fallbacks() == {ONE.sha256, release_of(8).sha256}
    assert probation.end(TWO)
    assert probation.fallbacks() == {release_of(8).sha256}
    clock.now += 60
    assert probation.fallbacks() == set()


def test_bytes_that_are_gone_back_to_are_still_named_once_the_verdict_is_spoken(watched: Watched) -> None:
    watched.fail(TWO, 4)
    assert watched.probation.fallbacks() == {ONE.sha256}


@pytest.mark.parametrize(
    ("keep_previous", "has_room", "may"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_release_before_may_stand_by_where_it_is_wanted_and_there_is_room(
    keep_previous: bool, has_room: bool, may: bool
) -> None:
    watched = Watched(replace(TERMS, keep_previous=keep_previous), has_room=has_room)
    assert watched.probation.may_stand_by() is may


def at_once(work: Callable[[], None]) -> None:
    """The same work by four threads."""
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_requests_of_many_threads_are_all_counted() -> None:
    def work() -> None:
        for _ in range(500):
            probation.answered(TWO, GOOD)
            probation.failed(TWO, "")
            probation.answered(TWO, STRANGE)

    probation = Probation(replace(TERMS, max_error_rate=1), has_room=lambda: True)
    probation.begin(TWO, (ONE,))
    at_once(work)
    assert probation.tally("default") == Tally(6000, 2000, 2000)


def test_release_that_many_threads_see_fail_is_given_up_once() -> None:
    def work() -> None:
        for _ in range(500):
            probation.failed(TWO, "")

    given_up: list[Release] = []
    probation = Probation(TERMS, has_room=lambda: True)
    probation.start(lambda release, _: given_up.append(release))
    probation.begin(TWO, (ONE,))
    at_once(work)
    assert given_up == [TWO]
