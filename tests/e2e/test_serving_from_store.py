"""The daemon serves from its own store: nothing that happens to a dropped file reaches what serves."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.crowd import ONES, Crowd, Taken, failures
from tests.e2e.rig import Rig
from tests.onnx_models import constant_model, external

ROWS = 4096
"""Inputs of the model with external data: its weights fill pages, so that a mapping of the file would show any harm."""
WIDE = orjson.dumps({"inputs": [[1.0] * ROWS]})
ALL_ONES = str([[1.0] * 5])


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(np.full(path.stat().st_size // 4, 7.0, np.float32).tobytes())


def _replace(path: Path) -> None:
    aside = path.with_suffix(".part")
    aside.write_bytes(b"\xff" * path.stat().st_size)
    aside.replace(path)


def _delete(path: Path) -> None:
    path.unlink()


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    """A daemon that soon gives up on a file that stays incomplete."""
    return new_rig(watch={"incomplete_seconds": 0.3}).start()


@pytest.mark.parametrize("harm", [_truncate, _cut_in_half, _overwrite_in_place, _replace, _delete])
def test_harm_to_a_dropped_file_leaves_answers_unchanged(rig: Rig, harm: Callable[[Path], None]) -> None:
    path = constant_model(rig.drop / "a.onnx", 1.0)
    live = rig.wait_for_event(event="live")
    verdict = "removed" if harm is _delete else "rejected"
    with Crowd(rig.port, clients=2, body=ONES) as crowd:
        harm(path)
        rig.wait_for_event(live["id"], event=verdict)
        crowd.wait_for_more(20)
    _expect_unchanged(crowd.answers, live["sha256"])
    assert rig.get("/models/default").json["version"] == 1


@pytest.mark.parametrize("harm", [_truncate, _cut_in_half, _delete])
def test_harm_to_external_data_leaves_answers_unchanged(rig: Rig, harm: Callable[[Path], None]) -> None:
    path = external(rig.drop / "a.onnx", value_of=1.0, rows=ROWS)
    live = rig.wait_for_event(event="live")
    with Crowd(rig.port, clients=2, body=WIDE) as crowd:
        harm(path.with_name("a.onnx.data"))
        rig.wait_for_event(live["id"], event="rejected")
        crowd.wait_for_more(20)
    _expect_unchanged(crowd.answers, live["sha256"])


def test_external_data_overwritten_in_place_is_a_release_of_its_own(rig: Rig) -> None:
    path = external(rig.drop / "a.onnx", value_of=1.0, rows=ROWS)
    first = rig.wait_for_event(event="live")
    with Crowd(rig.port, clients=2, body=WIDE) as crowd:
        _overwrite_in_place(path.with_name("a.onnx.data"))
        second = rig.wait_for_event(first["id"], event="live")
        crowd.wait_for_more(20)
    assert failures(crowd.answers) == []
    _expect_unchanged([taken for taken in crowd.answers if taken.version == 1], first["sha256"])
    later = [taken for taken in crowd.answers if taken.version == 2]
    assert {taken.sha256 for taken in later} == {second["sha256"]}
    assert {str(taken.body["output"]) for taken in later} == {str([[7.0 * ROWS + 7.0] * 5])}


@pytest.mark.parametrize("harm", [_overwrite_in_place, _truncate])
def test_harm_through_a_hard_link_outside_leaves_answers_unchanged(rig: Rig, harm: Callable[[Path], None]) -> None:
    """The dropped names are gone, so that nothing is an arrival; whoever kept a link still writes the same bytes."""
    path = external(rig.drop / "a.onnx", value_of=1.0, rows=ROWS)
    links = [rig.folder / member.name for member in (path, path.with_name("a.onnx.data"))]
    for link in links:
        os.link(rig.drop / link.name, link)
    live = rig.wait_for_event(event="live")
    for link in links:
        (rig.drop / link.name).unlink()
    rig.wait_for_event(live["id"], event="removed")
    with Crowd(rig.port, clients=2, body=WIDE) as crowd:
        for link in links:
            harm(link)
            crowd.wait_for_more(20)
    _expect_unchanged(crowd.answers, live["sha256"])
    rig.kill()
    rig.start()
    assert str(rig.predict([[1.0] * ROWS]).json["output"]) == ALL_ONES


def test_drop_directory_that_is_removed_leaves_answers_unchanged(rig: Rig) -> None:
    constant_model(rig.drop / "a.onnx", 1.0)
    live = rig.wait_for_event(event="live")
    with Crowd(rig.port, clients=2) as crowd:
        (rig.drop / "a.onnx").unlink()
        rig.drop.rmdir()
        rig.wait_for_event(live["id"], event="watch_lost")
        crowd.wait_for_more(20)
    _expect_unchanged(crowd.answers, live["sha256"])


def _expect_unchanged(answers: list[Taken], sha256: str) -> None:
    assert answers
    assert failures(answers) == []
    assert {taken.sha256 for taken in answers} == {sha256}
    assert {str(taken.body["output"]) for taken in answers} == {ALL_ONES}
