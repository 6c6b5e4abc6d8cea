"""The spine: what becomes of a wish, what is written down of it, and who may still be served meanwhile."""

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from daemon.errors import NotServing, Rejected, ShuttingDown, SourceChanged, TooLarge, UnknownModel
from daemon.lane import Outcome, RefusedSource, StreamSource, Wish
from daemon.release import Event
from tests.deploying_rig import DeployingRig
from tests.fakes import WAIT_SECONDS


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DeployingRig]:
    with DeployingRig(tmp_path) as rig:
        yield rig


def refusal_of(outcome: Outcome) -> tuple[str, str]:
    assert outcome.kind == "rejected"
    assert outcome.refusal is not None
    return outcome.refusal.check, outcome.refusal.reason


def test_first_deploy_serves_as_version_1(rig: DeployingRig) -> None:
    outcome = rig.deploy(1)
    assert outcome.kind == "live"
    assert outcome.release is not None
    assert outcome.release == rig.holder.release_of("default") == rig.journal.release("default", 1)
    assert (outcome.release.model_path, outcome.release.cause) == ("drop/1.onnx", "dropped")
    assert outcome.sha256 == hashlib.sha256(b"1").hexdigest()
    assert rig.serving() == (1, 1.0)


def test_live_event_carries_the_stages_in_the_order_of_the_way(rig: DeployingRig) -> None:
    rig.deploy(1, settle_seconds=0.25)
    (live,) = rig.events("live")
    assert live.seconds is not None
    parts = ["gate.integrity", "gate.trial", "gate.probation", "gate.signature"]
    assert list(live.seconds) == ["total", "settle", "store", "gate", *parts, "load", "swap"]
    assert live.seconds["settle"] == 0.25
    stages = [stage for stage in live.seconds if stage != "total" and "." not in stage]
    assert live.seconds["total"] >= sum(live.seconds[stage] for stage in stages)
    assert live.seconds["gate"] >= sum(live.seconds[part] for part in parts)


def test_engine_is_loaded_after_the_trial_and_run_once_before_it_serves(rig: DeployingRig) -> None:
    rig.deploy(1)
    assert len(rig.trial.tried) == len(rig.load.engines) == 1
    assert rig.load.engines[0].runs == 1


def test_what_the_trial_refuses_is_never_loaded(rig: DeployingRig) -> None:
    rig.deploy("no number")
    assert len(rig.trial.tried) == 1
    assert rig.load.engines == []


def test_engine_is_loaded_from_the_store_and_not_from_the_drop_directory(rig: DeployingRig) -> None:
    loaded: list[Path] = []
    real = rig.load.__class__.__call__
    rig.load.__class__.__call__ = lambda self, path: loaded.append(path) or real(self, path)  # type: ignore[func-returns-value, method-assign]
    try:
        rig.deploy(1)
    finally:
        rig.load.__class__.__call__ = real  # type: ignore[method-assign]
    assert [path.is_relative_to(rig.store.root) for path in loaded] == [True]


def test_next_deploy_retires_the_one_before_and_frees_it(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deploy(2)
    assert rig.serving() == (2, 2.0)
    assert rig.happened() == [("live", 1), ("live", 2), ("retired", 1)]
    assert [engine.value for engine in rig.load.open_engines] == [2.0]


def test_content_that_serves_is_unchanged_and_loads_nothing(rig: DeployingRig) -> None:
    rig.deploy(1)
    outcome = rig.deploy(1, name="copy.onnx")
    assert (outcome.kind, outcome.release) == ("unchanged", rig.holder.release_of("default"))
    (event,) = rig.events("unchanged")
    assert (event.version, event.model_path) == (1, "drop/copy.onnx")
    assert len(rig.load.engines) == 1


def test_content_of_an_older_release_is_a_new_release(rig: DeployingRig) -> None:
    for content in (1, 2, 1):
        rig.deploy(content)
    assert rig.serving() == (3, 1.0)


def test_same_content_serves_two_models_apart(rig: DeployingRig) -> None:
    rig.deploy(1, model="a")
    assert rig.deploy(1, model="b").kind == "live"
    assert (rig.serving("a"), rig.serving("b")) == ((1, 1.0), (1, 1.0))


def test_rejected_candidate_leaves_what_serves_untouched(rig: DeployingRig) -> None:
    rig.deploy(1)
    outcome = rig.deploy("no number")
    assert refusal_of(outcome) == ("trial", "it holds no number")
    assert rig.serving() == (1, 1.0)
    (event,) = rig.events("rejected")
    assert (event.model_path, event.check, event.reason, event.version, event.cause) == (
        "drop/no number.onnx",
        "trial",
        "it holds no number",
        None,
        "dropped",
    )
    assert event.sha256 == hashlib.sha256(b"no number").hexdigest()
    assert rig.journal.next_version("default") == 2


def test_rejected_candidates_bytes_are_not_kept(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deploy("no number")
    assert rig.store.entries() == {hashlib.sha256(b"1").hexdigest()}


def test_digest_that_was_stated_and_is_another_is_rejected(rig: DeployingRig) -> None:
    check, reason = refusal_of(rig.deploy(1, digests=("0" * 64,)))
    assert check == "integrity"
    assert "0" * 64 in reason
    assert rig.load.engines == []


def test_refusal_from_before_the_lane_is_written_down_like_any_other(rig: DeployingRig) -> None:
    source = RefusedSource(Rejected("structure", "truncated"))
    wish = Wish(model="default", model_path="cut.onnx", cause="updated", source=source)
    assert refusal_of(rig.submit(wish)[0].result(WAIT_SECONDS)) == ("structure", "truncated")
    (event,) = rig.events("rejected")
    assert (event.cause, event.model_path, event.sha256) == ("updated", "cut.onnx", None)


def test_file_that_changed_meanwhile_is_no_verdict(rig: DeployingRig) -> None:
    wish = rig.wish(1)
    (rig.drop / "1.onnx").write_text("22")
    assert isinstance(rig.submit(wish)[0].exception(WAIT_SECONDS), SourceChanged)
    assert rig.events() == []


def test_stream_is_deployed(rig: DeployingRig) -> None:
    source = StreamSource({"": BytesIO(b"7")}, ".onnx", limit_bytes=1)
    wish = Wish(model="default", model_path="sent.onnx", cause="uploaded", source=source)
    assert rig.submit(wish)[0].result(WAIT_SECONDS).kind == "live"
    assert rig.events("live")[0].cause == "uploaded"
    assert rig.serving() == (1, 7.0)


def test_stream_over_its_limit_leaves_nothing(rig: DeployingRig) -> None:
    source = StreamSource({"": BytesIO(b"77")}, ".onnx", limit_bytes=1)
    wish = Wish(model="default", model_path="sent.onnx", cause="uploaded", source=source)
    assert isinstance(rig.submit(wish)[0].exception(WAIT_SECONDS), TooLarge)
    assert (rig.store.entries(), rig.events()) == (set(), [])


def test_old_engine_is_freed_only_after_its_last_lease(rig: DeployingRig) -> None:
    rig.deploy(1)
    with rig.holder.lease("default") as first:
        with rig.holder.lease("default"):
            rig.deploy(2)
        rig.settle()
        assert rig.serving() == (2, 2.0)
        assert not first.engine.closed.is_set()  # type: ignore[attr-defined]
    assert first.engine.closed.wait(WAIT_SECONDS)  # type: ignore[attr-defined]


def test_predictions_go_on_while_a_load_takes_its_time(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.load.held = True
    (future,) = rig.submit(rig.wish(2))
    assert rig.load.loading.wait(WAIT_SECONDS)
    assert rig.serving() == (1, 1.0)
    assert rig.deployer.candidate_of("default") == {"model_path": "drop/2.onnx", "stage": "deploying"}
    rig.load.let_go.set()
    assert future.result(WAIT_SECONDS).kind == "live"
    rig.settle()
    assert rig.deployer.candidate_of("default") is None


def test_release_serves_when_its_future_is_filled(rig: DeployingRig) -> None:
    seen: list[tuple[int, float] | None] = []
    (future,) = rig.submit(rig.wish(1))
    future.add_done_callback(lambda _: seen.append(rig.serving()))
    future.result(WAIT_SECONDS)
    rig.settle()
    assert seen == [(1, 1.0)]


@pytest.fixture
def busy(rig: DeployingRig) -> DeployingRig:
    """A rig whose lane is in a load of model ``a`` until ``let_go``."""
    rig.load.held = True
    rig.submit(rig.wish(0, model="a", name="busy.onnx"))
    assert rig.load.loading.wait(WAIT_SECONDS)
    rig.load.held = False
    return rig


def test_newer_drop_supersedes_those_that_wait_for_its_model(busy: DeployingRig) -> None:
    wishes = [
        busy.wish(content, name=f"{content}.onnx", changed_ns=changed)
        for content, changed in ((1, 10), (3, 30), (2, 20))
    ]
    futures = busy.submit(*wishes)
    busy.load.let_go.set()
    assert [future.result(WAIT_SECONDS).kind for future in futures] == ["superseded", "live", "superseded"]
    assert busy.serving() == (1, 3.0)
    assert [event.model_path for event in busy.events("superseded")] == ["drop/1.onnx", "drop/2.onnx"]
    assert {engine.value for engine in busy.load.engines} == {0.0, 3.0}


def test_deploys_over_http_are_never_skipped(busy: DeployingRig) -> None:
    futures = busy.submit(
        busy.wish(1, cause="updated"),
        busy.wish(2, cause="uploaded"),
        busy.wish(3, changed_ns=9),
        busy.wish(4, cause="updated"),
    )
    busy.load.let_go.set()
    assert [future.result(WAIT_SECONDS).kind for future in futures] == ["live"] * 4
    assert [event.cause for event in busy.events("live") if event.model == "default"] == [
        "updated",
        "uploaded",
        "dropped",
        "updated",
    ]
    assert busy.serving() == (4, 4.0)


def test_two_models_deploy_in_turn(busy: DeployingRig) -> None:
    futures = busy.submit(
        *[busy.wish(number, model="a", name=f"a{number}.onnx", cause="updated") for number in (1, 2, 3)],
        busy.wish(1, model="b", name="b1.onnx", cause="updated"),
    )
    assert busy.deployer.candidate_of("b") == {"model_path": "drop/b1.onnx", "stage": "queued"}
    busy.load.let_go.set()
    for future in futures:
        future.result(WAIT_SECONDS)
    paths = [event.model_path for event in busy.events("live")]
    assert paths == ["drop/busy.onnx", "drop/b1.onnx", "drop/a1.onnx", "drop/a2.onnx", "drop/a3.onnx"]


def test_commit_that_fails_closes_the_engine_and_leaves_what_serves(
    rig: DeployingRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    rig.deploy(1)
    with monkeypatch.context() as patch:
        patch.setattr(rig.journal, "commit", full)
        assert refusal_of(rig.deploy(2))[0] == "internal"
    assert "database or disk is full" in caplog.text
    assert [event.check for event in rig.events("rejected")] == ["internal"]
    assert rig.serving() == (1, 1.0)
    assert [engine.value for engine in rig.load.open_engines] == [1.0]
    assert rig.deploy(3).kind == "live"
    assert rig.serving() == (2, 3.0)


def test_release_is_in_the_journal_before_it_serves(rig: DeployingRig, monkeypatch: pytest.MonkeyPatch) -> None:
    committed: list[bool] = []
    swap = rig.holder.swap

    def swap_and_look(release, engine):  # type: ignore[no-untyped-def]
        committed.append(rig.journal.release("default", release.version) == release)
        return swap(release, engine)

    monkeypatch.setattr(rig.holder, "swap", swap_and_look)
    rig.deploy(1)
    assert committed == [True]


def test_store_that_cannot_be_tidied_costs_no_answer(rig: DeployingRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "sync", broken)
        assert rig.deploy(1).kind == "live"
    assert rig.deploy(2).kind == "live"


def test_pruning_keeps_the_newest_contents_of_each_model(tmp_path: Path) -> None:
    with DeployingRig(tmp_path / "pruned", keep=2) as rig:
        for content in (1, 2, 3, 4):
            rig.deploy(content, model="a")
        rig.deploy(1, model="b")
        kept = {hashlib.sha256(str(content).encode()).hexdigest() for content in (1, 3, 4)}
        assert rig.store.entries() == kept


def test_bytes_of_what_serves_are_kept_however_old(tmp_path: Path) -> None:
    with DeployingRig(tmp_path / "pruned", keep=1) as rig:
        rig.deploy(1)
        for content in ("bad", "worse"):
            rig.deploy(content)
        assert rig.store.entries() == {hashlib.sha256(b"1").hexdigest()}


def test_unload_stops_serving_and_frees_the_engine(rig: DeployingRig) -> None:
    rig.deploy(1)
    assert rig.deployer.unload("default").result(WAIT_SECONDS).version == 1
    rig.settle()
    assert rig.serving() is None
    assert rig.load.open_engines == []
    assert rig.happened() == [("live", 1), ("unloaded", 1), ("retired", 1)]
    with pytest.raises(NotServing), rig.holder.lease("default"):
        pass


def test_unload_of_what_does_not_serve_is_refused(rig: DeployingRig) -> None:
    assert isinstance(rig.deployer.unload("nothing").exception(WAIT_SECONDS), UnknownModel)
    assert rig.events() == []


@pytest.mark.parametrize("content", [1, 2])
def test_file_that_comes_after_an_unload_serves_again(rig: DeployingRig, content: int) -> None:
    rig.deploy(1)
    rig.deployer.unload("default").result(WAIT_SECONDS)
    assert rig.deploy(content).kind == "live"
    assert rig.serving() == (2, float(content))


def test_load_serves_the_newest_release_again_under_its_number(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deploy(2)
    rig.deployer.unload("default").result(WAIT_SECONDS)
    assert rig.deployer.load("default").result(WAIT_SECONDS).version == 2
    assert rig.serving() == (2, 2.0)


def test_load_of_what_serves_changes_nothing(rig: DeployingRig) -> None:
    rig.deploy(1)
    assert rig.deployer.load("default").result(WAIT_SECONDS).version == 1
    assert len(rig.load.engines) == 1


def test_load_of_a_model_that_never_was_leaves_no_trace(rig: DeployingRig) -> None:
    assert isinstance(rig.deployer.load("nothing").exception(WAIT_SECONDS), UnknownModel)
    assert (rig.events(), rig.journal.models()) == ([], set())


def test_stop_frees_every_engine_and_refuses_what_comes(rig: DeployingRig) -> None:
    rig.deploy(1, model="a")
    rig.deploy(2, model="b")
    assert rig.deployer.stop()
    assert rig.load.open_engines == []
    with pytest.raises(ShuttingDown):
        rig.submit(rig.wish(3))


def test_stop_frees_an_engine_whose_lease_comes_back_later(rig: DeployingRig) -> None:
    rig.deploy(1)
    with rig.holder.lease("default"):
        rig.deploy(2)
        assert rig.deployer.stop()
        assert rig.load.open_engines == []


def test_deploys_of_many_threads_are_all_answered_and_the_last_release_serves(rig: DeployingRig) -> None:
    def deploy(number: int) -> None:
        for turn in range(5):
            content = number * 10 + turn
            wish = rig.wish(content, cause="updated")
            outcomes.append(rig.submit(wish)[0].result(WAIT_SECONDS))

    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=deploy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rig.settle()
    versions = sorted(outcome.release.version for outcome in outcomes if outcome.release)
    assert versions == list(range(1, 21))
    serving = rig.serving()
    assert serving is not None
    assert serving[0] == 20
    assert [engine.value for engine in rig.load.open_engines] == [serving[1]]


def test_release_serves_although_the_journal_fails_after_the_swap(
    rig: DeployingRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.deploy(1)

    def fail(events: object, *, durable: bool = False) -> list[Event]:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(rig.journal, "append_all", fail)
        assert rig.deploy(2).kind == "live"
    assert rig.serving() == (2, 2.0)
    assert "the journal could not be told" in caplog.text
    assert rig.deploy(3).kind == "live"
    assert [engine.closed.wait(WAIT_SECONDS) for engine in rig.load.engines[:2]] == [True, True]


def test_good_file_serves_when_a_newer_one_that_overtook_it_is_refused(busy: DeployingRig) -> None:
    futures = busy.submit(busy.wish(1, changed_ns=10), busy.wish("no number", changed_ns=20))
    busy.load.let_go.set()
    assert [future.result(WAIT_SECONDS).kind for future in futures] == ["live", "rejected"]
    assert busy.events("superseded") == []


def test_stated_digest_is_checked_when_the_bytes_serve_already(rig: DeployingRig) -> None:
    rig.deploy(1)
    assert refusal_of(rig.deploy(1, digests=("0" * 64,)))[0] == "integrity"
    assert rig.deploy(1, digests=(hashlib.sha256(b"1").hexdigest(),)).kind == "unchanged"


def test_store_whose_folder_for_arrivals_was_deleted_takes_files_again(rig: DeployingRig) -> None:
    (rig.store.root / "tmp").rmdir()
    assert rig.deploy(1).kind == "live"


def test_bytes_of_every_release_are_made_durable_and_no_others(
    rig: DeployingRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(rig.store, "sync", synced.append)
    for content in (1, "no number", 2, 2):
        rig.deploy(content)
    assert synced == [hashlib.sha256(str(content).encode()).hexdigest() for content in (1, 2)]
