"""Where the inputs come from that a candidate is tried on first."""

import json
from pathlib import Path

import numpy as np

from daemon.gate import Examples, RequestRing, Subject
from daemon.gate.examples import MOST
from daemon.release import Candidate
from tests.fakes import release_of


def ring_of(*values: float, model: str = "default") -> RequestRing:
    ring = RequestRing(most=10, per_second=1e9, most_bytes=1 << 20)
    for value in values:
        ring.offer(release_of(model=model), {"input": np.array([value])}, [np.array([value])])
    return ring


def subject_in(folder: Path | None = None) -> Subject:
    return Subject(Candidate("a" * 64, Path("m.onnx"), "b" * 64, 1), "default", beside=folder)


def test_golden_inputs_are_given_as_json_has_them_a_few_of_them(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    for number in range(MOST + 2):
        (tmp_path / "default" / f"{number}.json").write_text(json.dumps({"inputs": [number], "output": [1]}))
    assert Examples(tmp_path, ring_of()).of(subject_in()).plain == [[number] for number in range(MOST)]


def test_folders_of_test_data_beside_the_file_are_given(tmp_path: Path) -> None:
    (tmp_path / "test_data_set_0").mkdir()
    (tmp_path / "other").mkdir()
    given = Examples(None, ring_of()).of(subject_in(tmp_path))
    assert (given.folders, given.plain, given.arrays) == ([str(tmp_path / "test_data_set_0")], [], [])


def test_newest_requests_for_the_model_are_given(tmp_path: Path) -> None:
    given = Examples(None, ring_of(1.0, 2.0, 3.0)).of(subject_in(tmp_path))
    assert [arrays["input"].tolist() for arrays in given.arrays] == [[3.0], [2.0]][:MOST]
    assert Examples(None, ring_of(1.0, model="another")).of(subject_in()).arrays == []


def test_golden_file_that_cannot_be_read_is_left_to_the_golden_check(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "bad.json").write_text("no json")
    given = Examples(tmp_path, ring_of(1.0)).of(subject_in())
    assert (given.plain, len(given.arrays)) == ([], 1)
