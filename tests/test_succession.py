"""Probation through the real deployer: a release that fails is given up, and what stood by serves again."""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.errors import InferenceFailed, ShuttingDown
from daemon.gate import Memory, SignatureCheck, Subject, Tried
from daemon.holder import Serving
from daemon.lane import Outcome
from daemon.lane.probation import ProbationTerms
from daemon.release import Event, Release, Signature, TensorSpec
from daemon.runtime import Headroom
from daemon.web.dialects.plain import PLAIN
from daemon.web.predicting import Predictor
from tests.deploying_rig import TERMS, DeployingRig
from tests.fakes import SIGNATURE, WAIT_SECONDS, FakeEngine, FakeLoader, asked

STANDING_BY = replace(TERMS, min_requests=4, max_error_rate=0.25, keep_previous=True)
BODY = b'{"inputs": [[1, 1]]}'


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DeployingRig]:
    with DeployingRig(tmp_path, probation_terms=STANDING_BY) as rig:
        yield rig


@pytest.fixture
def tried(rig: DeployingRig) -> DeployingRig:
    """Version 2 is on probation, and version 1 stands by."""
    rig.deploy(1)
    rig.deploy(2)
    return rig


def sha256_of(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def serves(rig: DeployingRig, model: str = "default") -> Release:
    release = rig.holder.release_of(model)
    assert release is not None
    return release


def fail(rig: DeployingRig, release: Release | None = None) -> None:
    """As many runs of ``release``, by default of what serves, fail as give it up; waits for all that follows."""
    for _ in range(STANDING_BY.min_requests):
        rig.probation.failed(release or serves(rig), "")
    rig.settle()


def opened(rig: DeployingRig) -> list[float]:
    """What the engines that nobody closed would answer, in the order in which they were loaded."""
    return [engine.value for engine in rig.load.open_engines]


def refusal_of(outcome: Outcome) -> tuple[str, str]:
    assert outcome.kind == "rejected"
    assert outcome.refusal is not None
    return outcome.refusal.check, outcome.refusal.reason


def ended_by_itself(rig: DeployingRig, release: Release) -> None:
    """What the lane does when the time of ``release`` is up, now."""
    _, waiting = rig.deployer._lane.of_model(release.model)
    acts = [entry.act for entry in waiting if entry.act.args == (release,)]  # type: ignore[attr-defined]
    assert len(acts) == 1
    rig.deployer._enter(release.model, acts[0]).result(WAIT_SECONDS)
    rig.settle()


def waits_for(rig: DeployingRig, wanted: Callable[[Event], bool], *, after: int = 0) -> Event:
    """The first event that is ``wanted``, which may be on its way."""
    for _ in range(100):
        for event in rig.journal.wait(after, None, WAIT_SECONDS):
            if wanted(event):
                return event
            after = event.id
    pytest.fail("it did not happen")


def test_release_before_stands_by_during_probation(tried: DeployingRig) -> None:
    assert tried.serving() == (2, 2.0)
    assert opened(tried) == [1.0, 2.0]
    assert tried.happened() == [("live", 1), ("live", 2), ("retired", 1)]


def test_release_that_fails_is_given_up_by_a_swap_without_a_load(tried: DeployingRig) -> None:
    fail(tried)
    assert tried.serving() == (3, 1.0)
    assert len(tried.load.engines) == 2
    assert tried.load.engines[0].runs == 1  # its first warming, and none since
    assert opened(tried) == [1.0]


def test_giving_up_is_told_with_its_cause_and_figures(tried: DeployingRig) -> None:
    fail(tried)
    step, live, retired = tried.events()[-3:]
    assert [(event.event, event.version) for event in (step, live, retired)] == [
        ("rolled_back", 3),
        ("live", 3),
        ("retired", 2),
    ]
    assert live.id == step.id + 1
    assert (step.cause, live.cause) == ("probation", "probation")
    assert step.reason == (
        "version 2 failed its probation: 4 of 4 requests failed (at most 25.0% may), 0 of 0 of the release before"
    )
    assert step.detail == {"from_version": 2, "from_sha256": sha256_of(2), "to_version": 1}
    assert (live.sha256, live.model_path) == (sha256_of(1), "drop/1.onnx")
    assert live.seconds is not None
    assert set(live.seconds) == {"total", "settle", "swap"}


def test_release_that_serves_again_is_a_new_one_in_the_journal(tried: DeployingRig) -> None:
    fail(tried)
    release = serves(tried)
    assert release == tried.journal.release("default", 3)
    first = tried.journal.release("default", 1)
    assert first is not None
    assert release == replace(first, version=3, cause="probation", instead_of=2, time=release.time)


def test_release_that_serves_again_is_not_given_up_for_the_one_that_failed(tried: DeployingRig) -> None:
    fail(tried)
    fail(tried)
    assert tried.serving() == (3, 1.0)
    assert tried.probation.of("default") is None


def test_bytes_that_failed_are_refused_from_then_on(tried: DeployingRig) -> None:
    fail(tried)
    outcome = tried.deploy(2, name="again.onnx")
    assert refusal_of(outcome) == (
        "probation",
        "these bytes failed their probation as version 2; deploy it with force to try it again",
    )
    assert tried.serving() == (3, 1.0)
    (event,) = tried.events("rejected")
    assert (event.check, event.sha256, event.model_path) == ("probation", sha256_of(2), "drop/again.onnx")


def test_bytes_that_failed_for_one_model_may_serve_another(tried: DeployingRig) -> None:
    fail(tried)
    assert tried.deploy(2, model="other").kind == "live"


def test_bytes_that_failed_are_deployed_by_force_and_the_event_says_so(tried: DeployingRig) -> None:
    fail(tried)
    assert tried.deploy(2, forced=True).kind == "live"
    assert tried.serving() == (4, 2.0)
    assert tried.events("live")[-1].detail == {
        "forced": ["probation: these bytes failed their probation as version 2; deploy it with force to try it again"]
    }


def test_bytes_that_came_through_by_force_are_refused_no_more(tried: DeployingRig) -> None:
    fail(tried)
    tried.deploy(2, forced=True)
    tried.deploy(3)
    assert tried.deploy(2).kind == "live"


def test_bytes_that_were_forced_and_failed_again_are_refused_again(tried: DeployingRig) -> None:
    fail(tried)
    tried.deploy(2, forced=True)
    fail(tried)
    assert tried.serving() == (5, 1.0)
    assert "as version 4;" in refusal_of(tried.deploy(2))[1]


def test_rollback_passes_over_bytes_that_failed(rig: DeployingRig) -> None:
    for content in (7, 1, 2):
        rig.deploy(content)
    fail(rig)
    rig.deployer.rollback("default", None).result(WAIT_SECONDS)
    assert rig.serving() == (5, 7.0)


def test_rollback_to_the_version_that_failed_is_refused_unless_it_is_forced(tried: DeployingRig) -> None:
    fail(tried)
    assert refusal_of(tried.deployer.rollback("default", 2).result(WAIT_SECONDS))[0] == "probation"
    assert tried.deployer.rollback("default", 2, forced=True).result(WAIT_SECONDS).kind == "live"
    assert tried.serving() == (4, 2.0)


@pytest.mark.parametrize("why", ["no room", "not wanted"])
def test_release_before_is_loaded_again_where_it_could_not_stand_by(tmp_path: Path, why: str) -> None:
    terms = replace(STANDING_BY, keep_previous=why != "not wanted")
    with DeployingRig(tmp_path, probation_terms=terms, has_room=lambda: why != "no room") as rig:
        rig.deploy(1)
        rig.deploy(2)
        assert opened(rig) == [2.0]
        fail(rig)
        assert rig.serving() == (3, 1.0)
        assert len(rig.load.engines) == 3
        assert rig.load.engines[2].runs == 1
        assert opened(rig) == [1.0]
        assert "load" in (rig.events("live")[-1].seconds or {})


def test_release_before_is_loaded_again_where_memory_was_freed_meanwhile(tried: DeployingRig) -> None:
    tried.deployer._enter("", tried.adoption.free_up).result(WAIT_SECONDS)
    assert opened(tried) == [2.0]
    fail(tried)
    assert tried.serving() == (3, 1.0)
    assert len(tried.load.engines) == 3


def test_release_that_fails_stays_where_the_one_before_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with DeployingRig(tmp_path, probation_terms=replace(STANDING_BY, keep_previous=False)) as rig:
        rig.deploy(1)
        rig.deploy(2)
        path = rig.store.root / sha256_of(1) / "__model__.onnx"
        path.chmod(0o644)
        path.write_text("7")
        fail(rig)
        assert rig.serving() == (2, 2.0)
        assert rig.events("rolled_back") == []
        (said,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
        damaged = f"store entry {sha256_of(1)} is damaged: its bytes now hash to {sha256_of(7)}"
        assert said == f"version 1 of default cannot be gone back to: {damaged}"


def test_release_that_fails_stays_where_the_journal_cannot_be_written(
    tried: DeployingRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(tried.journal, "commit", full)
        fail(tried)
    assert tried.serving() == (2, 2.0)
    assert opened(tried) == [2.0]
    assert "database or disk is full" in caplog.text
    assert tried.deploy(3).kind == "live"


def test_first_release_has_none_to_be_given_up_for(rig: DeployingRig) -> None:
    rig.deploy(1)
    fail(rig)
    assert rig.serving() == (1, 1.0)


def test_release_is_not_given_up_for_one_that_failed_as_well(rig: DeployingRig) -> None:
    rig.deploy(1)
    fail(rig)
    rig.deploy(2)
    fail(rig)
    assert rig.serving() == (2, 2.0)


def test_next_deploy_takes_over_who_is_on_probation_and_who_stands_by(tried: DeployingRig) -> None:
    tried.deploy(3)
    assert opened(tried) == [2.0, 3.0]
    fail(tried)
    assert tried.serving() == (4, 2.0)
    assert opened(tried) == [2.0]


def test_end_of_an_older_probation_ends_no_newer_one(tried: DeployingRig) -> None:
    second = serves(tried)
    tried.deploy(3)
    ended_by_itself(tried, second)
    assert opened(tried) == [2.0, 3.0]
    fail(tried)
    assert tried.serving() == (4, 2.0)


def test_end_of_probation_frees_what_stood_by(tried: DeployingRig) -> None:
    ended_by_itself(tried, serves(tried))
    assert opened(tried) == [2.0]
    fail(tried)
    assert tried.serving() == (2, 2.0)


def test_probation_ends_by_itself_when_its_time_is_up(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, probation_terms=replace(STANDING_BY, seconds=0.05)) as rig:
        rig.deploy(1)
        rig.deploy(2)
        assert rig.load.engines[0].closed.wait(WAIT_SECONDS)
        fail(rig)
        assert rig.serving() == (2, 2.0)


def test_probation_of_no_seconds_watches_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, probation_terms=replace(STANDING_BY, seconds=0)) as rig:
        rig.deploy(1)
        rig.deploy(2)
        assert opened(rig) == [2.0]
        fail(rig)
        assert rig.serving() == (2, 2.0)


def test_unload_during_probation_frees_both(tried: DeployingRig, caplog: pytest.LogCaptureFixture) -> None:
    second = serves(tried)
    tried.deployer.unload("default").result(WAIT_SECONDS)
    tried.settle()
    assert opened(tried) == []
    fail(tried, second)  # runs that were under way when it was unloaded
    assert tried.serving() is None
    assert [event.event for event in tried.events()][-2:] == ["unloaded", "retired"]
    assert caplog.records == []


def test_probation_goes_on_after_an_unload_and_a_load(tried: DeployingRig) -> None:
    tried.deployer.unload("default").result(WAIT_SECONDS)
    assert tried.probation.of("default") is None
    tried.deployer.load("default").result(WAIT_SECONDS)
    fail(tried)
    assert tried.serving() == (3, 1.0)


def test_rollback_during_probation_serves_the_engine_that_stands_by(tried: DeployingRig) -> None:
    tried.deployer.rollback("default", None).result(WAIT_SECONDS)
    tried.settle()
    assert tried.serving() == (3, 1.0)
    assert [(engine.value, engine.closed.is_set()) for engine in tried.load.engines] == [(1.0, False), (2.0, False)]
    fail(tried)
    assert tried.serving() == (4, 2.0)


def test_next_engine_is_loaded_when_what_stood_by_is_freed(
    tried: DeployingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_at_load: list[list[float]] = []
    load = tried.load.__class__.__call__

    def looking(loader: FakeLoader, path: Path) -> FakeEngine:
        open_at_load.append(opened(tried))
        return load(loader, path)

    monkeypatch.setattr(FakeLoader, "__call__", looking)
    tried.deploy(3)
    assert open_at_load == [[2.0]]
    assert opened(tried) == [2.0, 3.0]


def test_what_stands_by_stays_where_the_next_is_refused(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, probation_terms=STANDING_BY, tried_checks=(SignatureCheck("exact"),)) as rig:
        rig.deploy(1)
        rig.deploy(2)
        rig.trial.signature = Signature(SIGNATURE.inputs, (TensorSpec("other", "float32", ("batch", 1)),))
        assert rig.deploy(3).kind == "rejected"
        assert opened(rig) == [1.0, 2.0]


def test_rollback_frees_nothing_for_an_engine_that_stands_by(tmp_path: Path) -> None:
    room = Headroom(0, 1, "its cgroup")
    held: list[DeployingRig] = []
    memory = Memory(lambda: room, factor=1, reserve_bytes=0, free_up=lambda: held[0].adoption.free_up())
    with DeployingRig(tmp_path, probation_terms=STANDING_BY, checks=(memory,)) as rig:
        held.append(rig)
        room = Headroom(1 << 30, 1 << 30, "its cgroup")
        rig.deploy(1)
        rig.deploy(2)
        room = Headroom(0, 1, "its cgroup")
        assert rig.deployer.rollback("default", None).result(WAIT_SECONDS).kind == "live"
        assert len(rig.load.engines) == 2


def test_deploy_of_other_bytes_than_stand_by_loads_them(tried: DeployingRig) -> None:
    tried.deploy(3)
    tried.settle()
    assert [(engine.value, engine.closed.is_set()) for engine in tried.load.engines] == [
        (1.0, True),
        (2.0, False),
        (3.0, False),
    ]


def test_late_failures_of_what_was_replaced_give_nobody_up(tried: DeployingRig) -> None:
    second = serves(tried)
    tried.deploy(3)
    fail(tried, second)
    assert tried.serving() == (3, 3.0)


def test_release_that_was_replaced_before_its_giving_up_had_its_turn_is_left_alone(
    tried: DeployingRig, caplog: pytest.LogCaptureFixture
) -> None:
    second = serves(tried)
    tried.deploy(3)
    tried.deployer._succession.give_up(second, "it failed")
    tried.settle()
    assert tried.serving() == (3, 3.0)
    assert tried.events("rolled_back") == []
    assert caplog.records == []


def test_giving_up_does_not_wait_for_another_models_trial(tried: DeployingRig) -> None:
    tried.trial.held = True
    (other,) = tried.submit(tried.wish(9, model="other"))
    assert tried.trial.begun.wait(WAIT_SECONDS)
    after = tried.journal.last_id()
    for _ in range(STANDING_BY.min_requests):
        tried.probation.failed(serves(tried), "")
    waits_for(tried, lambda event: event.event == "live" and event.cause == "probation", after=after)
    assert tried.serving() == (3, 1.0)
    assert not other.done()
    tried.trial.let_go.set()
    assert other.result(WAIT_SECONDS).kind == "live"
    tried.settle()
    assert opened(tried) == [1.0, 9.0]


def test_giving_up_in_the_middle_of_the_same_models_trial_comes_before_that_deploy(tried: DeployingRig) -> None:
    tried.trial.held = True
    (next_one,) = tried.submit(tried.wish(3))
    assert tried.trial.begun.wait(WAIT_SECONDS)
    after = tried.journal.last_id()
    for _ in range(STANDING_BY.min_requests):
        tried.probation.failed(serves(tried), "")
    waits_for(tried, lambda event: event.event == "live" and event.cause == "probation", after=after)
    tried.trial.let_go.set()
    outcome = next_one.result(WAIT_SECONDS)
    tried.settle()
    assert outcome.release is not None
    assert outcome.release.version == 4
    assert tried.serving() == (4, 3.0)
    assert opened(tried) == [1.0, 3.0]
    assert [release.version for release in tried.journal.releases("default")] == [4, 3, 2, 1]


class Beside:
    """A check that notes beside what it was to look at a candidate."""

    name = "beside"

    def __init__(self) -> None:
        self.versions: list[int | None] = []

    def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:
        self.versions.append(subject.serving.version if subject.serving else None)
        return {}


def test_candidate_is_looked_at_again_beside_what_serves_after_a_giving_up(tmp_path: Path) -> None:
    beside = Beside()
    with DeployingRig(tmp_path, probation_terms=STANDING_BY, tried_checks=[beside]) as rig:
        rig.deploy(1)
        rig.deploy(2)
        rig.trial.held = True
        (next_one,) = rig.submit(rig.wish(3))
        assert rig.trial.begun.wait(WAIT_SECONDS)
        after = rig.journal.last_id()
        for _ in range(STANDING_BY.min_requests):
            rig.probation.failed(serves(rig), "")
        waits_for(rig, lambda event: event.event == "live" and event.cause == "probation", after=after)
        rig.trial.let_go.set()
        next_one.result(WAIT_SECONDS)
    assert beside.versions == [None, 1, 2, 3]


def test_stop_during_probation_frees_what_stands_by(tried: DeployingRig) -> None:
    assert tried.deployer.stop()
    assert opened(tried) == []


def test_stop_before_a_giving_up_had_its_turn_leaves_nothing(tried: DeployingRig) -> None:
    tried.trial.held = True
    tried.trial.meanwhile = lambda: None  # nobody looks after what is urgent any more
    (other,) = tried.submit(tried.wish(9, model="other"))
    assert tried.trial.begun.wait(WAIT_SECONDS)
    for _ in range(STANDING_BY.min_requests):
        tried.probation.failed(serves(tried), "")
    assert tried.deployer.stop()
    assert isinstance(other.exception(WAIT_SECONDS), ShuttingDown)
    assert opened(tried) == []
    assert tried.events("rolled_back") == []


def test_release_that_fails_after_the_stop_is_nobodys_business(tried: DeployingRig) -> None:
    second = serves(tried)
    assert tried.deployer.stop()
    for _ in range(STANDING_BY.min_requests):
        tried.probation.failed(second, "")
    assert tried.events("rolled_back") == []


def test_restart_serves_what_was_gone_back_to_and_knows_what_failed(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, probation_terms=STANDING_BY) as rig:
        rig.deploy(1)
        rig.deploy(2)
        fail(rig)
    with DeployingRig(tmp_path, probation_terms=STANDING_BY) as rig:
        (restoring,) = rig.deployer.restore()
        restoring.result(WAIT_SECONDS)
        assert rig.serving() == (3, 1.0)
        assert refusal_of(rig.deploy(2))[0] == "probation"


def restarted_without(folder: Path, *lost: object) -> tuple[int, float] | None:
    """What serves after a restart once the stored bytes of these contents are gone."""
    with DeployingRig(folder, probation_terms=STANDING_BY) as rig:
        for content in lost:
            rig.store.discard(sha256_of(content))
        (restoring,) = rig.deployer.restore()
        restoring.result(WAIT_SECONDS)
        return rig.serving()


def test_restart_that_must_fall_back_passes_over_bytes_that_failed(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, probation_terms=STANDING_BY) as rig:
        for content in (0, 1, 2):
            rig.deploy(content)
        fail(rig)
    assert restarted_without(tmp_path, 1) == (5, 0.0)


def test_restart_that_has_nothing_else_serves_bytes_that_failed(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, probation_terms=STANDING_BY) as rig:
        for content in (1, 2):
            rig.deploy(content)
        fail(rig)
    assert restarted_without(tmp_path, 1) == (4, 2.0)


def restored(folder: Path, *contents: float, terms: ProbationTerms = STANDING_BY) -> DeployingRig:
    """A daemon that was stopped after it had deployed ``contents``, and started again."""
    with DeployingRig(folder, probation_terms=STANDING_BY) as rig:
        for content in contents:
            rig.deploy(content)
    return DeployingRig(folder, probation_terms=terms)


def test_restart_goes_on_with_a_probation(tmp_path: Path) -> None:
    with restored(tmp_path, 1, 2) as rig:
        (restoring,) = rig.deployer.restore()
        restoring.result(WAIT_SECONDS)
        shown = rig.probation.of("default")
        assert shown is not None
        assert shown["back_to"] == 1
        fail(rig)
        assert rig.serving() == (3, 1.0)


def test_restart_after_a_probation_watches_nothing(tmp_path: Path) -> None:
    with restored(tmp_path, 1, 2, terms=replace(STANDING_BY, seconds=1e-6)) as rig:
        (restoring,) = rig.deployer.restore()
        restoring.result(WAIT_SECONDS)
        fail(rig)
        assert rig.serving() == (2, 2.0)


def test_restored_first_release_has_none_to_be_given_up_for(tmp_path: Path) -> None:
    with restored(tmp_path, 1) as rig:
        (restoring,) = rig.deployer.restore()
        restoring.result(WAIT_SECONDS)
        fail(rig)
        assert rig.serving() == (1, 1.0)


def test_way_back_leads_on_past_a_release_that_did_not_prove_itself(rig: DeployingRig) -> None:
    for content in (1, 2, 3):
        rig.deploy(content)
    fail(rig)
    assert rig.serving() == (4, 2.0)
    assert rig.probation.of("default") is not None
    fail(rig)
    assert rig.serving() == (5, 1.0)
    fail(rig)
    assert rig.serving() == (5, 1.0)


def test_lease_that_outlasts_a_swap_and_the_way_back_keeps_its_engine(rig: DeployingRig) -> None:
    rig.deploy(1)
    with rig.holder.lease("default") as first:
        rig.deploy(2)
        fail(rig)
        assert rig.serving() == (3, 1.0)
        assert not engine_of(first).closed.is_set()
    rig.settle()
    assert opened(rig) == [1.0]


def engine_of(serving: Serving) -> FakeEngine:
    assert isinstance(serving.engine, FakeEngine)
    return serving.engine


def test_what_stood_by_is_freed_only_after_its_last_lease(rig: DeployingRig) -> None:
    rig.deploy(1)
    with rig.holder.lease("default") as first:
        rig.deploy(2)
        ended_by_itself(rig, serves(rig))
        assert not engine_of(first).closed.is_set()
    assert engine_of(first).closed.wait(WAIT_SECONDS)


def test_engine_of_the_failing_release_is_freed_only_after_its_last_lease(tried: DeployingRig) -> None:
    with tried.holder.lease("default") as second:
        fail(tried)
        assert tried.serving() == (3, 1.0)
        assert not engine_of(second).closed.is_set()
    assert engine_of(second).closed.wait(WAIT_SECONDS)


def test_memory_is_freed_of_all_that_stands_by(tried: DeployingRig) -> None:
    tried.deploy(5, model="other")
    tried.deploy(6, model="other")
    assert opened(tried) == [1.0, 2.0, 5.0, 6.0]

    def free_up() -> list[float]:
        tried.adoption.free_up()
        return opened(tried)  # at once: whoever asked for it is short of memory now

    assert tried.deployer._enter("", free_up).result(WAIT_SECONDS) == [2.0, 6.0]


def test_every_engine_is_closed_once(tried: DeployingRig) -> None:
    fail(tried)
    for content in (3, 4):
        tried.deploy(content)
    ended_by_itself(tried, serves(tried))
    assert tried.deployer.stop()
    assert [engine.closes for engine in tried.load.engines] == [1, 1, 1, 1]


@pytest.mark.parametrize("keep_previous", [True, False])
def test_bytes_that_may_have_to_serve_again_stay_in_the_store_for_as_long(tmp_path: Path, keep_previous: bool) -> None:
    terms = replace(STANDING_BY, keep_previous=keep_previous)
    with DeployingRig(tmp_path, probation_terms=terms, keep=1) as rig:
        rig.deploy(1)
        rig.deploy(2)
        assert rig.store.entries() == {sha256_of(1), sha256_of(2)}
        ended_by_itself(rig, serves(rig))
        assert rig.store.entries() == {sha256_of(2)}


def test_release_that_serves_again_is_restored_though_only_one_content_is_kept(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, probation_terms=STANDING_BY, keep=1) as rig:
        rig.deploy(1)
        rig.deploy(2)
        fail(rig)
    with DeployingRig(tmp_path, probation_terms=STANDING_BY, keep=1) as rig:
        (restoring,) = rig.deployer.restore()
        restoring.result(WAIT_SECONDS)
        assert rig.serving() == (3, 1.0)


def test_model_that_starts_to_fail_after_some_requests_is_given_up_and_then_nobody_fails(tried: DeployingRig) -> None:
    predictor = Predictor(
        tried.holder,
        probation=tried.probation,
        ring=tried.ring,
        knows=lambda _: True,
        default_model="default",
        timeout_seconds=1,
        max_body_bytes=1000,
        max_batch=1,
    )
    tried.load.engines[1].fails_from = tried.load.engines[1].runs + 11  # after ten good answers
    failed = 0
    for _ in range(30):
        try:
            predictor.answer(PLAIN, asked(BODY))
        except InferenceFailed:
            failed += 1
            tried.settle()
    assert failed == 4  # of 14 requests, more than a quarter
    assert tried.serving() == (3, 1.0)
    (step,) = tried.events("rolled_back")
    assert step.reason == (
        "version 2 failed its probation: 4 of 14 requests failed (at most 25.0% may), 0 of 0 of the release before"
    )
