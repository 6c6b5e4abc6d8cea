"""Ready, and every reason not to be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.web.readiness import Readiness
from tests.fakes import FakeEngine, release_of


class Desk:
    """A readiness with a real holder and journal; ``fault`` is the watcher's."""

    def __init__(self, folder: Path) -> None:
        self.holder = ModelHolder()
        self.journal = Journal(folder / "journal.sqlite3")
        self.fault: str | None = None
        self.readiness = Readiness(self.holder, self.journal, lambda: self.fault, default_model="default")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.holder.close()
    desk.journal.close()


def test_starting_is_not_ready(desk: Desk) -> None:
    assert desk.readiness.faults() == ["the daemon is starting"]


def test_settled_without_any_release_is_ready(desk: Desk) -> None:
    desk.readiness.settle()
    assert desk.readiness.faults() == []


def test_default_model_that_had_a_release_must_serve(desk: Desk) -> None:
    desk.readiness.settle()
    desk.journal.commit(release_of())
    assert desk.readiness.faults() == ["model 'default' does not serve"]
    desk.holder.swap(release_of(), FakeEngine())
    assert desk.readiness.faults() == []
    desk.holder.retire("default")
    assert desk.readiness.faults() == ["model 'default' does not serve"]


def test_other_models_do_not_count(desk: Desk) -> None:
    desk.readiness.settle()
    desk.journal.commit(release_of(model="other"))
    assert desk.readiness.faults() == []


def test_dead_watcher_is_told_beside_the_rest(desk: Desk) -> None:
    desk.fault = "the watcher is not running"
    assert desk.readiness.faults() == ["the daemon is starting", "the watcher is not running"]


def test_stopping_is_not_ready_for_that_reason_alone(desk: Desk) -> None:
    desk.readiness.settle()
    desk.fault = "the watcher is not running"
    desk.readiness.stop()
    assert desk.readiness.is_stopping
    assert desk.readiness.faults() == ["the daemon is stopping"]
