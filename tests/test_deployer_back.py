"""Going back: rollbacks, and what a restart restores, sound or damaged."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from daemon.errors import BreakingSignature, Rejected, ShuttingDown, UnknownModel, UnknownVersion
from daemon.gate import Integrity, SignatureCheck, Subject
from daemon.intake.store import Store
from daemon.release import Candidate, Signature, TensorSpec
from tests.deploying_rig import DeployingRig
from tests.fakes import SIGNATURE, WAIT_SECONDS


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DeployingRig]:
    with DeployingRig(tmp_path) as rig:
        yield rig


def sha256_of(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def damage(store: Store, content: object) -> None:
    """Other bytes of the same length in the store's entry for ``content``."""
    path = store.root / sha256_of(content) / "__model__.onnx"
    path.chmod(0o644)
    path.write_text("9" * len(str(content)))


def deployed(folder: Path, *contents: object, model: str = "default") -> None:
    """A daemon that deployed these and ended."""
    with DeployingRig(folder) as rig:
        for content in contents:
            rig.deploy(content, model=model)


def restored(rig: DeployingRig) -> list[int | None]:
    """Restores as start-up does; the versions that serve now."""
    releases = [future.result(WAIT_SECONDS) for future in rig.deployer.restore()]
    rig.settle()
    return [release.version if release else None for release in releases]


def test_rollback_serves_the_content_before_as_a_new_release(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deploy(2)
    outcome = rig.deployer.rollback("default", None).result(WAIT_SECONDS)
    assert outcome.kind == "live"
    assert outcome.release is not None
    assert (outcome.release.cause, outcome.release.model_path) == ("rolled_back", "drop/1.onnx")
    assert rig.serving() == (3, 1.0)


def test_rollback_is_told_just_before_live(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deploy(2)
    rig.deployer.rollback("default", None).result(WAIT_SECONDS)
    rig.settle()
    step, live, retired = rig.events()[-3:]
    assert [(event.event, event.version) for event in (step, live, retired)] == [
        ("rolled_back", 3),
        ("live", 3),
        ("retired", 2),
    ]
    assert live.id == step.id + 1
    assert step.detail == {"from_version": 2, "to_version": 1}


def test_rollbacks_by_default_go_back_and_forth(rig: DeployingRig) -> None:
    for content in (1, 2, 3):
        rig.deploy(content)
    for expected in (2.0, 3.0, 2.0):
        rig.deployer.rollback("default", None).result(WAIT_SECONDS)
        serving = rig.serving()
        assert serving is not None
        assert serving[1] == expected


def test_rollback_to_a_version_serves_its_content(rig: DeployingRig) -> None:
    for content in (1, 2, 3):
        rig.deploy(content)
    rig.deployer.rollback("default", 1).result(WAIT_SECONDS)
    assert rig.serving() == (4, 1.0)


def test_rollback_to_what_serves_is_unchanged(rig: DeployingRig) -> None:
    rig.deploy(1)
    assert rig.deployer.rollback("default", 1).result(WAIT_SECONDS).kind == "unchanged"
    assert rig.serving() == (1, 1.0)


def test_rollback_to_a_version_that_never_was_is_refused(rig: DeployingRig) -> None:
    rig.deploy(1)
    assert isinstance(rig.deployer.rollback("default", 9).exception(WAIT_SECONDS), UnknownVersion)
    assert rig.serving() == (1, 1.0)


def test_rollback_of_a_model_that_never_was_is_refused(rig: DeployingRig) -> None:
    assert isinstance(rig.deployer.rollback("nothing", None).exception(WAIT_SECONDS), UnknownModel)
    assert rig.journal.models() == set()


def test_rollback_without_an_earlier_content_is_refused(rig: DeployingRig) -> None:
    rig.deploy(1)
    assert isinstance(rig.deployer.rollback("default", None).exception(WAIT_SECONDS), UnknownVersion)


def test_rollback_to_pruned_bytes_is_refused(tmp_path: Path) -> None:
    with DeployingRig(tmp_path / "pruned", keep=1) as rig:
        for content in (1, 2, 3, 4):
            rig.deploy(content)
        error = rig.deployer.rollback("default", 2).exception(WAIT_SECONDS)
        assert isinstance(error, UnknownVersion)
        assert "no longer kept" in str(error)
        assert rig.serving() == (4, 4.0)


def test_rollback_to_damaged_bytes_is_rejected(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deploy(2)
    damage(rig.store, 1)
    outcome = rig.deployer.rollback("default", 1).result(WAIT_SECONDS)
    assert outcome.kind == "rejected"
    assert outcome.refusal is not None
    assert outcome.refusal.check == "store"
    assert rig.serving() == (2, 2.0)


def test_rollback_after_an_unload_serves_again(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deploy(2)
    rig.deployer.unload("default").result(WAIT_SECONDS)
    rig.deployer.rollback("default", 2).result(WAIT_SECONDS)
    assert rig.serving() == (3, 2.0)


def test_restart_serves_the_newest_release_of_every_model_under_its_number(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2)
    deployed(tmp_path, 5, model="other")
    with DeployingRig(tmp_path) as rig:
        assert sorted(version or 0 for version in restored(rig)) == [1, 2]
        assert (rig.serving(), rig.serving("other")) == ((2, 2.0), (1, 5.0))
        (event,) = [event for event in rig.events("restored") if event.model == "default"]
        assert (event.version, event.cause, event.reason, event.sha256) == (2, None, None, sha256_of(2))
        assert event.seconds is not None


def test_restart_warms_the_engine_before_it_serves(tmp_path: Path) -> None:
    deployed(tmp_path, 1)
    with DeployingRig(tmp_path) as rig:
        restored(rig)
        assert [engine.runs for engine in rig.load.engines] == [1]


def test_restart_hashes_a_model_and_what_was_proved_of_it_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(tmp_path, 1)
    both = threading.Barrier(2)
    verify = Store.verify

    def hashing(store: Store, sha256: str) -> Candidate:
        both.wait(WAIT_SECONDS)
        return verify(store, sha256)

    monkeypatch.setattr(Store, "verify", hashing)
    with DeployingRig(tmp_path, look_up=lambda _: both.wait(WAIT_SECONDS)) as rig:
        rig.deployer.restore()[0].result(WAIT_SECONDS)
        assert rig.serving() == (1, 1.0)


def test_restart_with_nothing_to_restore_does_nothing(rig: DeployingRig) -> None:
    assert restored(rig) == []
    assert rig.events() == []


def test_restart_leaves_an_unloaded_model_unloaded(tmp_path: Path) -> None:
    with DeployingRig(tmp_path) as rig:
        rig.deploy(1)
        rig.deployer.unload("default").result(WAIT_SECONDS)
    with DeployingRig(tmp_path) as rig:
        assert restored(rig) == []
        assert rig.serving() is None
        assert rig.deployer.load("default").result(WAIT_SECONDS).version == 1


def test_restart_after_a_load_serves(tmp_path: Path) -> None:
    with DeployingRig(tmp_path) as rig:
        rig.deploy(1)
        rig.deployer.unload("default").result(WAIT_SECONDS)
        rig.deployer.load("default").result(WAIT_SECONDS)
    with DeployingRig(tmp_path) as rig:
        assert restored(rig) == [1]


def test_damaged_bytes_fall_back_to_the_release_before_under_a_new_version(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2)
    with DeployingRig(tmp_path) as rig:
        damage(rig.store, 2)
        assert restored(rig) == [3]
        assert rig.serving() == (3, 1.0)
        (event,) = rig.events("restored")
        assert (event.version, event.sha256) == (3, sha256_of(1))
        assert event.reason is not None
        assert event.reason.startswith("version 2: store entry ")
        assert "damaged" in event.reason


def test_fallback_is_in_the_journal_so_that_the_next_restart_serves_it(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2)
    with DeployingRig(tmp_path) as rig:
        damage(rig.store, 2)
        restored(rig)
    with DeployingRig(tmp_path) as rig:
        assert restored(rig) == [3]
        assert rig.serving() == (3, 1.0)
        assert rig.deploy(4).release == rig.journal.release("default", 4)


def test_fallback_passes_over_every_release_of_the_damaged_content(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2, 3, 2)
    with DeployingRig(tmp_path) as rig:
        damage(rig.store, 2)
        assert restored(rig) == [5]
        assert rig.serving() == (5, 3.0)


def test_missing_bytes_fall_back_too(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2)
    with DeployingRig(tmp_path) as rig:
        rig.store.discard(sha256_of(2))
        restored(rig)
        assert rig.serving() == (3, 1.0)


def test_bytes_that_no_longer_load_fall_back_too(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2)
    with DeployingRig(tmp_path) as rig:
        real = rig.load.__class__.__call__

        def refuse_2(self, path):  # type: ignore[no-untyped-def]
            if path.read_text() == "2":
                raise Rejected("load", "an operator is gone")
            return real(self, path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rig.load.__class__, "__call__", refuse_2)
            restored(rig)
        assert rig.serving() == (3, 1.0)
        assert rig.events("restored")[0].reason == "version 2: an operator is gone"


def test_nothing_intact_is_told_and_the_daemon_goes_on(tmp_path: Path) -> None:
    deployed(tmp_path, 1)
    with DeployingRig(tmp_path) as rig:
        damage(rig.store, 1)
        assert restored(rig) == [None]
        assert rig.serving() is None
        (event,) = rig.events("rejected")
        assert event.check == "store"
        error = rig.deployer.load("default").exception(WAIT_SECONDS)
        assert isinstance(error, Rejected)
        assert rig.deploy(2).kind == "live"


def test_deploys_wait_for_the_restore_that_came_first(tmp_path: Path) -> None:
    deployed(tmp_path, 1)
    with DeployingRig(tmp_path) as rig:
        restoring = rig.deployer.restore()
        (future,) = rig.submit(rig.wish(1, name="again.onnx"))
        assert future.result(WAIT_SECONDS).kind == "unchanged"
        assert restoring[0].done()


def test_restored_bytes_go_through_a_trial_before_they_are_loaded(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2)
    with DeployingRig(tmp_path) as rig:
        restored(rig)
        assert [path.read_text() for path in rig.trial.tried] == ["2"]
        (event,) = rig.events("restored")
        assert event.seconds is not None
        assert list(event.seconds) == ["total", "settle", "store", "gate", "load", "swap"]


def test_bytes_that_the_trial_refuses_at_a_restart_fall_back_and_are_never_loaded(tmp_path: Path) -> None:
    deployed(tmp_path, 1, 2)
    with DeployingRig(tmp_path) as rig:
        rig.trial.refuses = {"2": "killed by SIGSEGV while it was loaded"}
        assert restored(rig) == [3]
        assert rig.serving() == (3, 1.0)
        assert rig.events("restored")[0].reason == "version 2: killed by SIGSEGV while it was loaded"
        assert [engine.value for engine in rig.load.engines] == [1.0]


def test_restore_has_the_trial_alone_prove_what_served_before(tmp_path: Path) -> None:
    class Strict:
        name = "strict"

        def examine(self, subject: Subject) -> Mapping[str, object]:
            raise Rejected(self.name, "a check that is new since then")

    deployed(tmp_path, 1)
    with DeployingRig(tmp_path, checks=(Strict(),)) as rig:
        assert restored(rig) == [1]
        assert rig.serving() == (1, 1.0)


def test_load_after_an_unload_proves_the_bytes_again(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.deployer.unload("default").result(WAIT_SECONDS)
    rig.trial.refuses = {"1": "an operator is gone"}
    error = rig.deployer.load("default").exception(WAIT_SECONDS)
    assert isinstance(error, Rejected)
    assert rig.serving() is None


def test_stop_in_the_middle_of_a_trial_at_a_restart_ends_the_restore(tmp_path: Path) -> None:
    deployed(tmp_path, 1)
    with DeployingRig(tmp_path) as rig:
        rig.trial.held = True
        (restoring,) = rig.deployer.restore()
        assert rig.trial.begun.wait(WAIT_SECONDS)
        assert rig.deployer.stop()
        assert isinstance(restoring.exception(WAIT_SECONDS), ShuttingDown)
        assert rig.load.engines == []
    with DeployingRig(tmp_path) as rig:
        assert restored(rig) == [1]


def test_stop_in_the_middle_of_a_trial_of_a_deploy_is_no_verdict(rig: DeployingRig) -> None:
    rig.deploy(1)
    rig.trial.held = True
    (future,) = rig.submit(rig.wish(2))
    assert rig.trial.begun.wait(WAIT_SECONDS)
    assert rig.deployer.stop()
    assert isinstance(future.exception(WAIT_SECONDS), ShuttingDown)
    assert rig.events("rejected") == []
    assert [engine.value for engine in rig.load.engines] == [1.0]


def test_rollback_needs_no_stated_digest_where_deploys_do(tmp_path: Path) -> None:
    digests = {content: (sha256_of(content),) for content in (1, 2)}
    with DeployingRig(tmp_path, checks=(Integrity(required=True),)) as rig:
        for content, digest in digests.items():
            rig.deploy(content, digests=digest)
        assert rig.deploy(3).kind == "rejected"
        assert rig.deployer.rollback("default", None).result(WAIT_SECONDS).kind == "live"
        assert rig.serving() == (3, 1.0)


def test_rollback_that_a_check_refuses_is_passed_by_force(tmp_path: Path) -> None:
    with DeployingRig(tmp_path, tried_checks=(SignatureCheck("compatible"),)) as rig:
        rig.deploy(1)
        rig.trial.signature = Signature(SIGNATURE.inputs, (TensorSpec("other", "float32", ("batch", 1)),))
        rig.deploy(2, forced=True)
        rig.trial.signature = SIGNATURE
        outcome = rig.deployer.rollback("default", None).result(WAIT_SECONDS)
        assert isinstance(outcome.refusal, BreakingSignature)
        assert rig.serving() == (2, 2.0)
        assert rig.deployer.rollback("default", None, forced=True).result(WAIT_SECONDS).kind == "live"
        assert rig.serving() == (3, 1.0)
        (forced,) = [event for event in rig.events("live") if event.cause == "rolled_back"]
        assert forced.detail["forced"] == [f"signature: {outcome.refusal.reason}"]
