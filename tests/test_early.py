"""A start looks ahead: what the journal says is to be restored is hashed, in that order, whatever state it is in."""

from collections.abc import Sequence
from pathlib import Path

from daemon.config import load
from daemon.early import look_ahead
from daemon.history import Journal
from daemon.history.standing import glance
from daemon.intake.ahead import Ahead
from daemon.release import Event
from tests.fakes import release_of


class Noting(Ahead):
    """Notes what it is to hash."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Path] = []

    def begin(self, model_files: Sequence[Path]) -> None:
        self.begun += model_files


def looked_ahead(folder: Path) -> list[str]:
    """What is hashed before a start in ``folder``, relative to its store."""
    config = folder / "config.yaml"
    config.write_text("state_dir: state\n")
    with Noting() as ahead:
        look_ahead(load(config), ahead)
    return [str(path.relative_to(folder / "state/store")) for path in ahead.begun]


def test_what_stands_is_hashed_in_the_order_of_names(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state/journal.sqlite3")
    releases = [release_of(1, "b"), release_of(2, "b"), release_of(3, "a"), release_of(4, "gone")]
    for release in releases:
        journal.commit(release)
    journal.append(Event(event="unloaded", model="gone", version=4))
    expected = [releases[2].stored_as, releases[1].stored_as]
    assert looked_ahead(tmp_path) == expected, "another has the journal open"
    journal.close()
    assert looked_ahead(tmp_path) == expected


def test_first_start_has_nothing_to_hash(tmp_path: Path) -> None:
    assert looked_ahead(tmp_path) == []
    assert not (tmp_path / "state").exists(), "nothing is made before the state is locked"


def test_journal_that_cannot_be_read_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    for content in (b"no database " * 100, b""):
        path.write_bytes(content)
        assert glance(path) == {}
