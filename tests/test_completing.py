"""What serves gets the session that it still lacks, a while after it began to serve, and from the same bytes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.errors import Rejected
from daemon.lane.succession import COMPLETE_AFTER_SECONDS
from daemon.release import Release
from daemon.runtime import CoreBudget, Engine
from daemon.runtime.gears import GearedEngine
from tests.deploying_rig import TERMS, DeployingRig
from tests.fakes import WAIT_SECONDS, FakeEngine


class Geared:
    """Makes an engine with one gear of a file that holds a number; the other one is made by ``make``."""

    def __init__(self) -> None:
        self.engines: list[GearedEngine] = []
        self.narrow: list[FakeEngine] = []
        self.make: Callable[[], Engine] = self._narrow

    def __call__(self, path: Path) -> Engine:
        wide = FakeEngine(float(path.read_text()))
        self.engines.append(GearedEngine([(2, wide)], CoreBudget(2), [(1, lambda: self.make())]))
        return self.engines[-1]

    def _narrow(self) -> Engine:
        self.narrow.append(FakeEngine())
        return self.narrow[-1]


@pytest.fixture
def load() -> Geared:
    return Geared()


@pytest.fixture
def rig(tmp_path: Path, load: Geared) -> Iterator[DeployingRig]:
    terms = replace(TERMS, keep_previous=True)
    with DeployingRig(tmp_path, loader=load, probation_terms=terms) as rig:
        yield rig


def is_that(act: object, release: Release) -> bool:
    return getattr(act, "args", None) == (release,) and act.func.__name__ == "_complete"  # type: ignore[attr-defined]


def complete(rig: DeployingRig, release: Release | None = None) -> None:
    """What the lane does about ``release``, by default what serves, when the time has come, now."""
    release = release or rig.holder.release_of("default")
    assert release is not None
    _, waiting = rig.deployer._lane.of_model("default")
    (entry,) = [entry for entry in waiting if is_that(entry.act, release)]
    assert time.monotonic() < entry.due <= time.monotonic() + COMPLETE_AFTER_SECONDS
    rig.deployer._enter("default", entry.act).result(WAIT_SECONDS)
    rig.settle()


def test_release_serves_before_its_engine_is_complete(rig: DeployingRig, load: Geared) -> None:
    rig.deploy(1)
    assert not load.engines[0].is_complete
    complete(rig)
    assert load.engines[0].is_complete
    assert list(load.engines[0].gears)[1:] == load.narrow
    assert load.narrow[0].runs == 1


def test_restored_release_is_completed_as_well(tmp_path: Path, load: Geared) -> None:
    with DeployingRig(tmp_path) as rig:
        rig.deploy(1)
    with DeployingRig(tmp_path, loader=load) as rig:
        (restoring,) = rig.deployer.restore()
        restoring.result(WAIT_SECONDS)
        assert not load.engines[0].is_complete
        complete(rig)
        assert load.engines[0].is_complete


def test_release_that_stands_by_is_completed(rig: DeployingRig, load: Geared) -> None:
    first = rig.deploy(1).release
    rig.deploy(2)
    complete(rig, first)
    assert [engine.is_complete for engine in load.engines] == [True, False]


def test_release_that_is_gone_is_left_alone_without_a_word(
    rig: DeployingRig, load: Geared, caplog: pytest.LogCaptureFixture
) -> None:
    first = rig.deploy(1).release
    rig.deploy(2)
    rig.deploy(3)
    assert first is not None
    rig.store.discard(first.sha256)
    complete(rig, first)
    assert load.narrow == []
    assert caplog.text == ""


def test_bytes_that_were_damaged_meanwhile_are_not_loaded(
    rig: DeployingRig, load: Geared, caplog: pytest.LogCaptureFixture
) -> None:
    release = rig.deploy(1).release
    assert release is not None
    path = rig.store.root / release.stored_as
    path.chmod(0o644)
    path.write_text("7")
    complete(rig)
    assert load.narrow == []
    assert "version 1 of default serves without all its sessions: store entry" in caplog.text
    assert rig.holder.release_of("default") == release


def test_session_that_cannot_be_made_is_done_without(
    rig: DeployingRig, load: Geared, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> Engine:
        raise Rejected("load", "there is no memory")

    load.make = make
    rig.deploy(1)
    complete(rig)
    assert "version 1 of default serves without all its sessions: load: there is no memory" in caplog.text
    assert len(load.engines[0].gears) == 1


def test_every_session_is_closed_at_the_end(rig: DeployingRig, load: Geared) -> None:
    rig.deploy(1)
    complete(rig)
    rig.deploy(2)
    assert rig.deployer.stop()
    closed = [each.closes for engine in load.engines for each in engine.gears]  # type: ignore[attr-defined]
    assert closed == [1, 1, 1]
