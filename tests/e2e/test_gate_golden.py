"""Expected answers: a candidate that misses one does not serve, unless somebody forces it."""

import itertools
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from tests.e2e.arrivals import made
from tests.e2e.rig import Answer, Rig
from tests.onnx_models import constant_model, gather, gemm, identity, two_inputs, zipmap_like

_NUMBERS = itertools.count(1)
ONES = [[1.0] * 10]
ONNX_CASES = [
    Path(case.model_dir)
    for kind in ("simple", "pytorch-operator")
    for case in load_model_tests(kind=kind)
    if case.model_dir
]
"""Folders of ONNX's own, each with a ``model.onnx`` and its ``test_data_set_0``."""


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon for all tests of this module, each of which has a model of its own."""
    parents = {str(case.parent) for case in ONNX_CASES}
    rig = Rig(tmp_path_factory.mktemp("judge"), {"deploy": {"allowed_dirs": ["offered", *sorted(parents)]}}).start()
    yield rig
    rig.kill()


@dataclass(frozen=True)
class Subject:
    """A model of that name, and what is expected of it."""

    rig: Rig
    name: str = field(default_factory=lambda: f"model-{next(_NUMBERS)}")

    def expect(self, example: object, file: str = "a.json") -> None:
        """Puts an example into the model's golden folder."""
        content = example if isinstance(example, bytes) else orjson.dumps(example)
        (made(self.rig.folder / "golden" / self.name) / file).write_bytes(content)

    def upload(self, path: Path, query: str = "") -> Answer:
        address = f"/models/{self.name}/upload?filename={path.name}{query}"
        return self.rig.request("PUT", address, path.read_bytes())

    def missed(self, path: Path) -> str:
        """The reason for which ``golden`` refuses the file."""
        answer = self.upload(path)
        assert (answer.status, answer.json["check"]) == (422, "golden"), answer.body
        return str(answer.json["reason"])

    def path(self, value: float) -> Path:
        """A model that answers ``value``."""
        return constant_model(self.rig.folder / "made" / f"{value}.onnx", value)


@pytest.fixture
def subject(judge: Rig) -> Subject:
    return Subject(judge)


# golden/NAME/*.json


def test_example_that_is_put_there_counts_from_then_on(subject: Subject) -> None:
    assert subject.upload(subject.path(1.0)).status == 200
    subject.expect({"inputs": ONES, "output": [[1.0] * 5]})
    assert subject.missed(subject.path(2.0)).startswith(f"golden/{subject.name}/a.json: ")
    subject.expect({"inputs": ONES, "output": [[2.0] * 5]})
    assert subject.upload(subject.path(2.0)).json["version"] == 2
    (subject.rig.folder / "golden" / subject.name / "a.json").unlink()
    assert subject.upload(subject.path(3.0)).json["version"] == 3


def test_miss_names_the_largest_difference_and_where_it_is(subject: Subject) -> None:
    subject.expect({"inputs": [ONES[0]] * 2, "output": [[1, 1, 1, 1, 1], [1, 1, 1.5, 4.25, 1]]})
    assert subject.missed(subject.path(1.0)) == (
        f"golden/{subject.name}/a.json: output 'output' differs by 3.25 at [1][3]: expected 4.25, found 1 "
        "(atol 1e-05, rtol 0.001); mend the model or what is expected of it, or deploy it with force"
    )


def test_miss_of_several_examples_names_the_worst_and_counts(subject: Subject) -> None:
    for number, value in enumerate((1.0, 9.0, 3.0)):
        subject.expect({"inputs": ONES, "output": [[value] * 5]}, f"{number}.json")
    reason = subject.missed(subject.path(1.0))
    assert f"golden/{subject.name}/1.json: output 'output' differs by 8 " in reason
    assert "; 2 of 3 examples are missed; " in reason


def test_miss_is_told_by_event_log_and_catalogue_and_what_serves_stays(subject: Subject) -> None:
    subject.upload(subject.path(1.0))
    subject.expect({"inputs": ONES, "output": [[1.0] * 5]})
    before = subject.rig.last_id()
    reason = subject.missed(subject.path(2.0))
    event = subject.rig.wait_for_event(before, event="rejected", model=subject.name)
    assert (event["check"], event["reason"]) == ("golden", reason)
    assert event["seconds"]["gate.golden"] > 0
    assert subject.rig.get(f"/models/{subject.name}").json["rejected"]["check"] == "golden"
    assert f"check=golden reason=\"golden/{subject.name}/a.json: output 'output' differs by 1 " in subject.rig.log
    assert subject.rig.predict(model=subject.name).json["output"] == [[1.0] * 5]


@pytest.mark.parametrize(
    ("tolerance", "passes"),
    [
        ({}, False),
        ({"atol": 0.2}, False),
        ({"atol": 0.3}, True),
        ({"rtol": 0.1}, False),
        ({"rtol": 0.2}, True),
        ({"atol": 0.1, "rtol": 0.1}, True),
    ],
)
def test_difference_within_the_tolerance_of_the_file_passes(
    subject: Subject, tolerance: dict[str, float], passes: bool
) -> None:
    subject.expect({"inputs": ONES, "output": [[1.75] * 5], **tolerance})
    assert subject.upload(subject.path(2.0)).status == (200 if passes else 422)


def test_examples_of_another_model_do_not_count(subject: Subject) -> None:
    Subject(subject.rig).expect({"inputs": ONES, "output": [[1.0] * 5]})
    assert subject.upload(subject.path(2.0)).status == 200


def test_answer_pasted_as_it_came_is_an_example(subject: Subject) -> None:
    subject.upload(subject.path(1.0))
    subject.expect({**subject.rig.predict(model=subject.name).json, "inputs": ONES})
    assert "differs by 1 " in subject.missed(subject.path(2.0))
    again = gemm(subject.rig.folder / "again.onnx", np.zeros((10, 5), np.float32), np.full(5, 1.0005, np.float32))
    assert subject.upload(again).status == 200


def test_example_by_names_of_several_inputs_and_outputs_counts(subject: Subject) -> None:
    path = two_inputs(subject.rig.folder / "two.onnx")
    subject.expect({"inputs": {"a": [2], "b": [3]}, "outputs": {"sum": [5], "product": [7]}})
    assert "output 'product' differs by 1 at [0]: expected 7, found 6" in subject.missed(path)
    subject.expect({"inputs": {"a": [2], "b": [3]}, "output": [5], "outputs": {"product": [6]}})
    assert subject.upload(path).status == 200


def test_example_of_labels_and_maps_counts(subject: Subject) -> None:
    path = zipmap_like(subject.rig.folder / "zipmap.onnx", keys="string")
    good = {"inputs": [[0.25, 0.75]], "output": [1], "outputs": {"probabilities": [{"nein": 0.25, "já": 0.75}]}}
    subject.expect({**good, "output": [0]})
    assert "output 'label' expected 0, found 1 at [0]" in subject.missed(path)
    subject.expect({**good, "outputs": {"probabilities": [{"nein": 0.25, "já": 0.5}]}})
    assert re.search(r"'probabilities' at \[0\]: at \['já'\]: differs by 0.25", subject.missed(path))
    subject.expect(good)
    assert subject.upload(path).status == 200


def test_null_in_an_example_stands_for_what_is_not_a_number(subject: Subject) -> None:
    weights = np.zeros((10, 5), np.float32)
    path = gemm(subject.rig.folder / "nan.onnx", weights, np.array([np.nan, 1, 1, 1, np.inf], np.float32))
    subject.expect({"inputs": ONES, "output": [[1, 1, 1, 1, None]]})
    assert "differs by inf at [0][0]: expected 1, found nan" in subject.missed(path)
    subject.expect({"inputs": ONES, "output": [[None, 1, 1, 1, None]]})
    assert subject.upload(path).status == 200


@pytest.mark.parametrize(
    ("example", "says"),
    [
        (b"{", "cannot be read: "),
        (b"[1, 2]", "expected an object with 'inputs' and 'output' or 'outputs'"),
        ({"output": [[1.0] * 5]}, "there are no 'inputs'"),
        ({"inputs": ONES}, "there is neither 'output' nor 'outputs'"),
        ({"inputs": ONES, "outputs": [1]}, "expected 'outputs' as an object by name"),
        ({"inputs": ONES, "outputs": {"other": [1]}}, "the model has no output 'other', only 'output'"),
        ({"inputs": [[1.0]], "output": [[1.0] * 5]}, "the model does not take its inputs: "),
        ({"inputs": ONES, "output": [[1.0] * 5], "attol": 1}, "unknown key 'attol', expected atol, inputs"),
        ({"inputs": ONES, "output": [[1.0] * 5], "atol": -1}, "atol is -1, expected a number from 0 on"),
        ({"inputs": ONES, "output": [[1.0] * 4]}, "expected the shape [1, 4], found [1, 5]"),
        ({"inputs": ONES, "output": [[1.0] * 5, [1.0]]}, "what is expected is no tensor: "),
        ({"inputs": ONES, "output": "a"}, "expected the shape [], found [1, 5]"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_example_that_cannot_be_checked_refuses(subject: Subject, example: object, says: str) -> None:
    subject.expect(example)
    reason = subject.missed(subject.path(1.0))
    assert reason.startswith(f"golden/{subject.name}/a.json")
    assert says in reason


def test_run_of_an_example_that_fails_refuses(subject: Subject) -> None:
    subject.expect({"inputs": [3, 10], "output": [3, 10]})
    assert "a.json: the run failed: " in subject.missed(gather(subject.rig.folder / "gather.onnx"))


def test_rollback_that_misses_an_example_is_refused_unless_forced(subject: Subject) -> None:
    for value in (1.0, 2.0):
        assert subject.upload(subject.path(value)).status == 200
    subject.expect({"inputs": ONES, "output": [[2.0] * 5]})
    rollback = f"/models/{subject.name}/rollback"
    refused = subject.rig.post(rollback)
    assert (refused.status, refused.json["check"]) == (422, "golden")
    assert subject.rig.predict(model=subject.name).json["version"] == 2
    forced = subject.rig.post(rollback, {"force": True})
    assert (forced.status, forced.json["version"]) == (200, 3)


def test_what_serves_is_restored_whatever_is_expected_of_it_by_then(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "rig").start()
    try:
        subject = Subject(rig, "default")
        subject.upload(subject.path(1.0))
        subject.expect({"inputs": ONES, "output": [[2.0] * 5]})
        rig.kill()
        rig.start()
        assert rig.predict().json["output"] == [[1.0] * 5]
    finally:
        rig.kill()


def test_folder_of_examples_is_where_the_settings_say(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "rig", {"gate": {"golden": {"dir": "expected", "atol": 0.5, "rtol": 0}}}).start()
    try:
        subject = Subject(rig, "default")
        subject.expect({"inputs": ONES, "output": [[9.0] * 5]})
        assert subject.upload(subject.path(1.0)).status == 200, "golden/ is not the folder"
        shutil.copytree(rig.folder / "golden", rig.folder / "expected")
        assert "(atol 0.5, rtol 0)" in subject.missed(subject.path(9.6))
        assert subject.upload(subject.path(9.4)).status == 200
    finally:
        rig.kill()


# test_data_set_*


def test_no_onnx_case_misses_its_own_test_data(judge: Rig) -> None:
    judged, missed = 0, []
    for case in ONNX_CASES:
        asked = {"model_path": f"{case}/model.onnx", "model": "onnx", "dry_run": True}
        answer = judge.post("/update_model", asked).json
        golden = [check for check in answer["checks"] if check["check"] == "golden"]
        judged += len([check for check in golden if check.get("findings") == {"checked": 1}])
        missed += [(case.name, check["reason"]) for check in golden if not check["passed"]]
    assert missed == []
    assert judged > len(ONNX_CASES) // 2, "some need operators that are gone, but not most of them"


def _spoil(folder: Path, by: float) -> None:
    """Adds to the last element of the expected output."""
    path = folder / "test_data_set_0" / "output_0.pb"
    tensor = onnx.TensorProto.FromString(path.read_bytes())
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[-1] += by
    path.write_bytes(numpy_helper.from_array(array, tensor.name).SerializeToString())


@pytest.mark.parametrize("case", ["test_operator_exp", "test_operator_maxpool", "test_sign_model"])
def test_dropped_model_that_misses_its_test_data_is_rejected(judge: Rig, case: str) -> None:
    (folder,) = [each for each in ONNX_CASES if each.name == case]
    aside = judge.drop / f".{case}"
    shutil.copytree(folder, aside)
    _spoil(aside, 3.0)
    aside.rename(judge.drop / case)
    rejected = judge.wait_for_event(event="rejected", model=case)
    assert rejected["check"] == "golden"
    assert re.match(r"test_data_set_0: output '.+' differs by 3(\.0\d*)? at \[.*\]: expected ", rejected["reason"])


def test_dropped_model_with_its_test_data_is_live_and_told_of_without_noise(judge: Rig) -> None:
    (folder,) = [each for each in ONNX_CASES if each.name == "test_operator_exp"]
    shutil.copytree(folder, judge.drop / ".aside")
    (judge.drop / ".aside").rename(judge.drop / "tested")
    judge.wait_for_event(event="live", model="tested")
    assert "test_data_set_0" not in "".join(line for line in judge.log.splitlines() if " tested" in line)


def test_test_data_that_cannot_be_read_refuses(judge: Rig) -> None:
    aside = made(judge.drop / ".unreadable")
    identity(aside / "x.onnx", "float32", [1])
    data = made(aside / "test_data_set_0")
    (data / "input_0.pb").write_bytes(b"\xff\xff\xff")
    aside.rename(judge.drop / "unreadable")
    rejected = judge.wait_for_event(event="rejected", model="unreadable")
    assert rejected["check"] == "golden"
    assert "test_data_set_0/input_0.pb" in rejected["reason"]


def test_difference_of_any_size_is_told_by_a_finite_number(subject: Subject) -> None:
    subject.expect({"inputs": ONES, "output": [[1e30] * 5]})
    assert "differs by 1e+30" in subject.missed(subject.path(1.0))
