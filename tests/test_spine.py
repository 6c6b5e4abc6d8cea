"""The spine, as settings want it: the checks in their order, and every limit where it belongs."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemon.config import Settings, load
from daemon.gate import Gate, ReplayLimits
from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.spine import Spine, build_spine
from tests.fakes import release_of


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as undo:
        yield undo


def settings_of(folder: Path, text: str = "") -> Settings:
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path)


def built(folder: Path, undo: ExitStack, text: str = "") -> Spine:
    holder = ModelHolder()
    undo.callback(holder.close)
    journal = Journal(folder / "journal.sqlite3")
    undo.callback(journal.close)
    return build_spine(settings_of(folder, text), holder, journal, undo)


def gate_of(spine: Spine) -> Gate:
    return spine.deployer._preparation._gate


def test_checks_are_made_in_the_order_that_the_docs_give(tmp_path: Path, undo: ExitStack) -> None:
    gate = gate_of(built(tmp_path, undo))
    before, after = [check.name for check in gate._before], [check.name for check in gate._after]
    names = [*before, gate._trial.name, *after]
    assert names == ["integrity", "structure", "memory", "trial", "probation", "signature", "golden", "replay"]
    docs = (Path(__file__).parent.parent / "docs" / "gate.md").read_text("utf-8")
    assert [line.split("`")[1] for line in docs.splitlines() if line.startswith("| `")][: len(names)] == names


def test_only_what_comes_after_the_trial_can_be_forced(tmp_path: Path, undo: ExitStack) -> None:
    assert gate_of(built(tmp_path, undo))._passable == {"probation", "signature", "golden", "replay"}


def test_every_limit_of_the_replay_is_a_setting_and_arrives(tmp_path: Path, undo: ExitStack) -> None:
    limits = {name: (number + 1) / 16 for number, name in enumerate(ReplayLimits.__slots__)}
    lines = "".join(f"    {name}: {value}\n" for name, value in limits.items())
    replay = gate_of(built(tmp_path, undo, f"gate:\n  replay:\n{lines}"))._after[-1]
    assert replay._limits == ReplayLimits(**limits)  # type: ignore[attr-defined]


def test_golden_files_are_looked_for_beside_the_config_file(tmp_path: Path, undo: ExitStack) -> None:
    golden = gate_of(built(tmp_path, undo, "gate: {golden: {dir: answers}}"))._after[2]
    assert golden._folder == tmp_path / "answers"  # type: ignore[attr-defined]


def test_golden_folder_that_is_empty_text_is_none(tmp_path: Path, undo: ExitStack) -> None:
    golden = gate_of(built(tmp_path, undo, "gate: {golden: {dir: ''}}"))._after[2]
    assert golden._folder is None  # type: ignore[attr-defined]


def test_ring_and_probation_are_as_the_settings_want_them(tmp_path: Path, undo: ExitStack) -> None:
    text = "gate: {replay: {requests: 0}}\nprobation: {seconds: 5, keep_previous: false}"
    spine = built(tmp_path, undo, text)
    assert not spine.ring.wants("m")
    assert (spine.probation.seconds, spine.probation.may_stand_by()) == (5, False)


def test_probation_tells_the_deployer_whom_to_give_up(tmp_path: Path, undo: ExitStack) -> None:
    spine = built(tmp_path, undo, "probation: {min_requests: 1}")
    spine.probation.begin(release_of(2), (release_of(1),))
    spine.probation.failed(release_of(2), "")
    running, waiting = spine.deployer._lane.of_model("default")
    assert running is None
    assert [entry.urgent for entry in waiting] == [True]
