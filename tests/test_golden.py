"""Expected answers: what a file may say, what is refused and in which words, and ONNX's own cases for real."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.gate import Golden, Proofs, Subject, Tolerance, Trial, TrialSettings, golden
from daemon.gate.examples import Given
from daemon.gate.golden import WAYS_ON
from daemon.intake.members import fingerprint
from daemon.intake.store import Store
from daemon.release import Candidate, Signature, TensorSpec
from daemon.runtime import Array, EngineOptions, Output, encode, saved_key
from daemon.trial import WarmParent
from daemon.web.answers import dumps
from tests.fakes import FakeTried, ScriptedTried
from tests.onnx_cases import OnnxCase, is_met_in_process, onnx_cases, spoilt, write_case

TOLERANCE = Tolerance(0.125, 0.0)
BOTH = Signature(
    inputs=(TensorSpec("input", "float32", ("n", 2)), TensorSpec("shift", "float32", (1,), optional=True)),
    outputs=(TensorSpec("label", "int64", ("n",)), TensorSpec("score", "float32", ("n", 1))),
)
ZIPPED = Signature(
    inputs=(TensorSpec("input", "float32", ("n", 2)),),
    outputs=(TensorSpec("odds", "seq(map(int64,tensor(float)))", None), TensorSpec("score", "float32", ("n",))),
)


class Files:
    """A golden folder for the model ``m``, and the check over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "golden" / "m"
        self.beside = folder / "drop"
        self.check = Golden(folder / "golden", TOLERANCE, timeout_seconds=5)
        self.tried: FakeTried = FakeTried(0.5)

    def put(self, name: str = "one.json", text: str | bytes | None = None, **value: object) -> None:
        """A golden file of these keys; by default it is met by a model that answers 0.5."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = text if text is not None else orjson.dumps({"inputs": [[1, 1]], "output": [[0.5]], **value})
        (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def examine(self, *, model: str = "m", beside: Path | None = None) -> dict[str, object]:
        subject = Subject(Candidate("a" * 64, Path("m.onnx"), "a" * 64, 1), model, beside=beside)
        return dict(self.check.examine(subject, self.tried))

    def refused(self, **more: Any) -> Rejected:
        with pytest.raises(Rejected) as caught:
            self.examine(**more)
        assert caught.value.check == "golden"
        return caught.value


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def answering(signature: Signature, *outputs: Output) -> ScriptedTried:
    return ScriptedTried(lambda _: list(outputs), signature)


def test_model_without_a_golden_folder_has_nothing_to_prove(files: Files) -> None:
    assert files.examine() == {}
    assert files.tried.ran == []


def test_golden_folder_that_is_switched_off_is_none(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.put(output=[[9]])
    files.check = Golden(None, TOLERANCE, timeout_seconds=5)
    assert files.examine() == {}


def test_golden_folder_in_whose_place_a_file_lies_is_none(files: Files) -> None:
    files.folder.parent.mkdir()
    files.folder.touch()
    assert files.examine() == {}


def test_golden_folder_that_cannot_be_read_refuses(files: Files) -> None:
    files.folder.parent.mkdir()
    files.folder.symlink_to(files.folder)
    assert files.refused().reason.startswith("golden/m cannot be read: ")


def test_examples_of_another_model_do_not_count(files: Files) -> None:
    files.put(output=[[9]])
    assert files.examine(model="other") == {}


def test_example_that_is_met_is_counted(files: Files) -> None:
    files.put()
    assert files.examine() == {"checked": 1}


def test_example_that_is_missed_refuses_with_the_difference_and_where(files: Files) -> None:
    files.put(inputs=[[1, 1], [2, 2]], output=[[0.5], [1]])
    refusal = files.refused()
    assert refusal.reason == (
        "golden/m/one.json: output 'output' differs by 0.5 at [1][0]: expected 1, found 0.5 (atol 0.125, rtol 0)"
        f"; {WAYS_ON}"
    )
    assert refusal.detail == {"checked": 1}


@pytest.mark.parametrize("inputs", [[[1, 2]], {"input": [[1, 2]]}])
def test_inputs_are_what_a_prediction_takes(files: Files, inputs: object) -> None:
    files.put(inputs=inputs)
    files.examine()
    (ran,) = files.tried.ran
    assert list(ran) == ["input"]
    assert (ran["input"].dtype.name, ran["input"].tolist()) == ("float32", [[1, 2]])


def test_first_output_is_output_and_any_is_in_outputs(files: Files) -> None:
    files.tried = answering(BOTH, np.array([3]), np.array([[0.25]], np.float32))
    files.put("1.json", output=[3])
    files.put("2.json", output=[3], outputs={"score": [[0.25]]})
    files.put("3.json", text='{"inputs": [[1, 1]], "outputs": {"score": [[0.25]], "label": [3]}}')
    assert files.examine() == {"checked": 3}


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ({"output": [4]}, "output 'label' expected 4, found 3 at [0]"),
        ({"outputs": {"label": [4]}}, "output 'label' expected 4, found 3 at [0]"),
        ({"output": [3], "outputs": {"score": [[1]]}}, "output 'score' differs by 0.75 at [0][0]"),
        ({"output": [3], "outputs": {"label": [4]}}, "output 'label' expected 4"),
        ({"output": [4], "outputs": {"score": [[9]]}}, "output 'score' differs by 8.75"),
    ],
)
def test_output_that_is_missed_is_named_the_worst_one_of_several(
    files: Files, expected: Mapping[str, object], said: str
) -> None:
    files.tried = answering(BOTH, np.array([3]), np.array([[0.25]], np.float32))
    files.put(text=orjson.dumps({"inputs": [[1, 1]], **expected}))
    assert said in files.refused().reason


@pytest.mark.parametrize(
    ("given", "is_met"),
    [
        ({}, False),
        ({"atol": 0.25}, False),
        ({"atol": 0.5}, True),
        ({"rtol": 0.25}, False),
        ({"rtol": 0.375}, True),  # with the default 0.125 beside it
        ({"rtol": 0.375, "atol": 0}, False),
        ({"rtol": 0.5, "atol": 0}, True),
    ],
)
def test_tolerance_is_the_files_where_it_gives_one(files: Files, given: Mapping[str, Any], is_met: bool) -> None:
    files.put(output=[[1]], **given)
    if is_met:
        assert files.examine() == {"checked": 1}
    else:
        assert "differs by 0.5" in files.refused().reason


@pytest.mark.parametrize(("given", "is_met"), [({}, False), ({"atol": 1}, True)])
def test_whole_numbers_must_be_equal_unless_the_file_gives_a_tolerance(
    files: Files, given: Mapping[str, Any], is_met: bool
) -> None:
    files.check = Golden(files.folder.parent, Tolerance(1e9, 1e9), timeout_seconds=5)
    files.tried = answering(BOTH, np.array([3]), np.zeros((1, 1), np.float32))
    files.put(output=[4], **given)
    if is_met:
        assert files.examine() == {"checked": 1}
    else:
        assert "expected 4, found 3" in files.refused().reason


def pasted(signature: Signature, outputs: list[Output]) -> bytes:
    """The answer to a prediction as a client gets it, with the inputs beside."""
    values = encode(outputs, signature)
    names = (spec.name for spec in signature.outputs)
    answer = {"output": values[0], "model_path": "model_drop/x.onnx", "model": "m", "version": 3}
    return dumps({**answer, "outputs": dict(zip(names, values, strict=True)), "inputs": [[1, 1]]})


@pytest.mark.parametrize(
    ("signature", "outputs"),
    [
        (BOTH, [np.array([3, 2**60]), np.array([[0.1], [np.nan]], np.float32)]),
        (BOTH, [np.array([], np.int64), np.empty((0, 1), np.float32)]),
        (ZIPPED, [[{3: 0.1, 7: 0.9}, {3: float("nan"), 7: 1.0}], np.array([np.inf, -np.inf], np.float32)]),
        (ZIPPED, [[], np.array([], np.float32)]),
    ],
)
def test_answer_may_be_pasted_as_it_came(files: Files, signature: Signature, outputs: list[Output]) -> None:
    files.tried = answering(signature, *outputs)
    files.put(text=pasted(signature, outputs))
    assert files.examine() == {"checked": 1}


def test_pasted_answer_is_missed_by_a_model_that_gives_another(files: Files) -> None:
    outputs: list[Output] = [[{3: 0.25, 7: 0.75}], np.array([1], np.float32)]
    files.put(text=pasted(ZIPPED, outputs))
    files.tried = answering(ZIPPED, [{3: 0.75, 7: 0.25}], np.array([1], np.float32))
    assert "output 'odds' at [0]: at ['3']: differs by 0.5: expected 0.25, found 0.75" in files.refused().reason


def test_largest_difference_of_several_files_is_told_and_how_many_are_missed(files: Files) -> None:
    files.put("a.json", output=[[1]])
    files.put("b.json", output=[[3]])
    files.put("c.json", output=[[2]])
    files.put("d.json")
    refusal = files.refused()
    assert refusal.reason == (
        "golden/m/b.json: output 'output' differs by 2.5 at [0][0]: expected 3, found 0.5 (atol 0.125, rtol 0)"
        f"; 3 of 4 examples are missed; {WAYS_ON}"
    )
    assert refusal.detail == {"checked": 4}


def test_file_that_misses_two_outputs_is_one_example(files: Files) -> None:
    files.tried = answering(BOTH, np.array([3]), np.array([[0.25]], np.float32))
    files.put("a.json", output=[4], outputs={"score": [[9]]})
    files.put("b.json", output=[3])
    assert "; 1 of 2 examples are missed; " in files.refused().reason


def test_answer_of_a_refusal_is_told_apart_from_a_prediction(files: Files) -> None:
    files.put("a.json", error="input 'x': expected float32", code="invalid_input")
    assert (
        files.refused().reason
        == "golden/m/a.json: it holds the answer that a request was refused with, not a prediction"
    )


def test_run_that_times_out_is_the_last(files: Files) -> None:
    """Each of a thousand more could take as long, and nothing else is deployed meanwhile."""

    def answer(_: Mapping[str, Array]) -> list[Output]:
        raise RunTimeout("stopped at its deadline")

    files.tried = ScriptedTried(answer)
    for name in ("a.json", "b.json", "c.json"):
        files.put(name)
    assert "the run failed: stopped at its deadline" in files.refused().reason
    assert len(files.tried.ran) == 1


@pytest.mark.parametrize("error", [InferenceFailed("an operator gave up"), InvalidInput("an operator gave up")])
def test_run_that_fails_is_the_worst_miss(files: Files, error: Exception) -> None:
    def answer(inputs: Mapping[str, Array]) -> list[Output]:
        if inputs["input"][0, 0] == 2:
            raise error
        return [np.array([[0.5]], np.float32)]

    files.tried = ScriptedTried(answer)
    files.put("a.json", output=[[1e9]])
    files.put("b.json", inputs=[[2, 2]])
    assert files.refused().reason == (
        f"golden/m/b.json: the run failed: an operator gave up; 2 of 2 examples are missed; {WAYS_ON}"
    )


def test_candidate_whose_process_dies_is_refused_by_the_trial(files: Files) -> None:
    def die(_: object) -> list[Output]:
        raise Rejected("trial", "killed by SIGSEGV")

    files.tried = ScriptedTried(die)
    files.put()
    with pytest.raises(Rejected) as caught:
        files.examine()
    assert caught.value.check == "trial"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read: "),
        ("{", "cannot be read: "),
        ('{"inputs": [[NaN, 1]], "output": [[0.5]]}', "cannot be read: "),
        (b"\xff", "cannot be read: "),
        ("[]", "expected an object with 'inputs' and 'output' or 'outputs'"),
        ("5", "expected an object with 'inputs' and 'output' or 'outputs'"),
        ('{"output": [[0.5]]}', "there are no 'inputs'"),
        ('{"inputs": [[1, 1]]}', "there is neither 'output' nor 'outputs'"),
        ('{"inputs": [[1, 1]], "outputs": {}}', "there is neither 'output' nor 'outputs'"),
        ('{"inputs": [[1, 1]], "outputs": [[0.5]]}', "expected 'outputs' as an object by name"),
        ('{"inputs": [[1, 1]], "outputs": {"z": 1}}', "the model has no output 'z', only 'output'"),
        ('{"inputs": [[1, 1, 1]], "output": [[0.5]]}', "the model does not take its inputs: input 'input': expected"),
        ('{"inputs": {"z": 1}, "output": [[0.5]]}', "the model does not take its inputs: unknown input 'z'"),
        ('{"inputs": [["a", "b"]], "output": [[0.5]]}', "the model does not take its inputs: input 'input': expected"),
        (
            '{"inputs": [[1, 1]], "output": [[0.5]], "tol": 1}',
            "unknown key 'tol', expected atol, inputs, output, outputs, rtol",
        ),
        ('{"inputs": [[1, 1]], "output": [[0.5]], "atol": -1}', "atol is -1, expected a number from 0 on"),
        ('{"inputs": [[1, 1]], "output": [[0.5]], "rtol": "1"}', "rtol is '1', expected a number from 0 on"),
        ('{"inputs": [[1, 1]], "output": [[0.5]], "atol": true}', "atol is True, expected a number from 0 on"),
        ('{"inputs": [[1, 1]], "output": [[0.5]], "atol": null}', "atol is None, expected a number from 0 on"),
    ],
)
def test_file_that_cannot_be_checked_refuses_and_says_what_is_wrong(files: Files, text: str | bytes, said: str) -> None:
    files.put(text=text)
    assert files.refused().reason.startswith(f"golden/m/one.json{' ' if said.startswith('cannot') else ': '}{said}")


def test_folder_that_is_called_like_a_file_refuses(files: Files) -> None:
    (files.folder / "x.json").mkdir(parents=True)
    assert files.refused().reason == "golden/m/x.json is no file"


def test_link_that_leads_nowhere_refuses(files: Files) -> None:
    files.folder.mkdir(parents=True)
    (files.folder / "x.json").symlink_to("nothing")
    assert files.refused().reason == "golden/m/x.json cannot be read: No such file or directory"


def test_pipe_that_nobody_writes_refuses_and_is_not_waited_for(files: Files) -> None:
    files.folder.mkdir(parents=True)
    os.mkfifo(files.folder / "x.json")
    assert files.refused().reason == "golden/m/x.json is no file"


def test_file_that_is_too_large_refuses_unread(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "MOST_BYTES", 3 << 20)
    files.put(text=b" " * ((3 << 20) + 1))
    assert files.refused().reason == "golden/m/one.json is larger than 3 MB"


def test_too_many_files_refuse(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "MOST_FILES", 2)
    for number in range(3):
        files.put(f"{number}.json")
    assert files.refused().reason == "there are 3 files in golden/m, expected 2 at most"


def test_odd_name_is_escaped_in_the_reason(files: Files) -> None:
    files.put("a\nb.json", output=[[1]])
    assert files.refused().reason.startswith("golden/m/a\\nb.json: ")


@pytest.mark.parametrize("name", [".hidden.json", "notes.txt", "one.json.part", "one.JSON~"])
def test_hidden_files_and_those_of_other_endings_are_left_alone(files: Files, name: str) -> None:
    files.put(name, output=[[9]])
    assert files.examine() == {}


def test_files_are_read_anew_for_every_candidate(files: Files) -> None:
    assert files.examine() == {}
    files.put(output=[[1]])
    assert "differs by 0.5" in files.refused().reason
    files.put()
    assert files.examine() == {"checked": 1}
    (files.folder / "one.json").unlink()
    assert files.examine() == {}


def with_test_data(files: Files, **outputs: float) -> None:
    """Folders of ONNX's beside the model, by name, each with what it expects for the output."""
    tried = ScriptedTried(lambda _: [np.array([[0.5]], np.float32)])
    for name, value in outputs.items():
        (files.beside / name).mkdir(parents=True)
        tried.test_data[name] = ({"input": np.ones((1, 2), np.float32)}, {"output": np.array([[value]], np.float32)})
    files.tried = tried


def test_test_data_beside_the_model_that_is_met_is_counted(files: Files) -> None:
    with_test_data(files, test_data_set_0=0.5, test_data_set_1=0.625)
    assert files.examine(beside=files.beside) == {"checked": 2}
    assert [ran["input"].tolist() for ran in files.tried.ran] == [[[1, 1]]] * 2


def test_test_data_that_is_missed_refuses_by_its_folder(files: Files) -> None:
    with_test_data(files, test_data_set_0=0.5, test_data_set_1=1)
    assert files.refused(beside=files.beside).reason == (
        "test_data_set_1: output 'output' differs by 0.5 at [0][0]: expected 1, found 0.5 (atol 0.125, rtol 0)"
        f"; 1 of 2 examples are missed; {WAYS_ON}"
    )


def test_test_data_counts_beside_files(files: Files) -> None:
    with_test_data(files, test_data_set_0=0.5)
    files.put()
    assert files.examine(beside=files.beside) == {"checked": 2}


def test_test_data_that_cannot_be_read_refuses(files: Files) -> None:
    (files.beside / "test_data_set_7").mkdir(parents=True)
    assert files.refused(beside=files.beside).reason == "there is no test data in test_data_set_7"


@pytest.mark.parametrize("name", ["data", "test_data", ".test_data_set_0"])
def test_folders_of_other_names_are_no_test_data(files: Files, name: str) -> None:
    (files.beside / name).mkdir(parents=True)
    assert files.examine(beside=files.beside) == {}


def test_file_that_is_called_like_test_data_is_none(files: Files) -> None:
    files.beside.mkdir()
    (files.beside / "test_data_set_0").touch()
    assert files.examine(beside=files.beside) == {}


def test_model_that_came_from_no_folder_has_no_test_data(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    (files.beside / "test_data_set_0").mkdir(parents=True)
    monkeypatch.chdir(files.beside)
    assert files.examine(beside=None) == {}


def test_folder_that_is_gone_by_now_has_no_test_data(files: Files) -> None:
    assert files.examine(beside=files.beside) == {}


# From here on for real: the model is run, and its test data read, in a trial's process.


class Trials:
    """Real trials, each in a process of its own, over a store."""

    def __init__(self, folder: Path, parent: WarmParent) -> None:
        options = EngineOptions(providers=("CPUExecutionProvider",), threads=1)
        settings = TrialSettings(
            timeout_seconds=30,
            measure_seconds=0,
            nice=0,
            threads=1,
            memory_bytes=None,
            reserve_bytes=0,
            compile="off",
        )
        self._store = Store(folder / "store")
        self._trial = Trial(
            parent,
            Proofs(saved_key(options)),
            settings,
            options,
            examples=lambda _: Given([], [], []),
            headroom=lambda: None,
            meanwhile=lambda: None,
        )
        self._check = Golden(None, Tolerance(1e-5, 1e-3), timeout_seconds=10)

    def verdicts(self, *folders: Path) -> list[str]:
        """What the check says of the model in the first folder with the test data of each: why not, empty if it passes.

        Raises Rejected where the trial refuses the model.
        """
        path = folders[0] / "model.onnx"
        candidate = self._store.ingest([("", path, fingerprint(path))], ".onnx")
        found: list[str] = []
        with self._trial.of(Subject(candidate, "default")) as tried:
            for folder in folders:
                try:
                    assert self._check.examine(Subject(candidate, "m", beside=folder), tried) == {"checked": 1}
                    found.append("")
                except Rejected as refusal:
                    found.append(f"{refusal.check}: {refusal.reason}")
        return found


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    parent = WarmParent()
    parent.start()
    yield Trials(tmp_path_factory.mktemp("trials"), parent)
    parent.stop()


def prove_all(trials: Trials, folder: Path, cases: Sequence[OnnxCase]) -> tuple[int, int]:
    """How many cases that ONNX Runtime meets in this process pass the check, and how many are refused once spoilt.

    A trial that could not guess inputs, or a model that no request can feed, never comes to the check.
    """
    passed, refused, untried, wrong = 0, 0, list[str](), list[str]()
    for case in cases:
        if not is_met_in_process(case):
            continue
        folders = [write_case(folder / case.name / "met", case)]
        if (other := spoilt(case.outputs)) is not None:
            folders.append(write_case(folder / case.name / "missed", case, other))
        try:
            met, *missed = trials.verdicts(*folders)
        except Rejected as refusal:
            untried.append(f"{case.name}: {refusal.reason}")
            continue
        passed += not met
        refused += sum(verdict.startswith("golden: test_data_set_0: output ") for verdict in missed)
        wrong += [f"{case.name}: {met}"] if met else []
        wrong += [f"{case.name} was spoilt and passes" for verdict in missed if not verdict]
    assert wrong == []
    known = re.compile("no run on synthesised inputs succeeded|expected a tensor of one of")
    assert [each for each in untried if not known.search(each)] == []
    return passed, refused


def test_onnxs_own_cases_pass_as_they_do_in_process_and_are_refused_when_one_element_is_another(
    trials: Trials, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, refused = prove_all(trials, tmp_path, onnx_cases(seed=3, modules=45, each=2))
    with capsys.disabled():
        print(f"[{passed} of ONNX's cases pass, {refused} of them spoilt are refused]", end=" ")
    assert passed >= 60
    assert refused >= passed - 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_of_onnxs_own_cases_pass_as_they_do_in_process_and_are_refused_when_one_element_is_another(
    trials: Trials, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, refused = prove_all(trials, tmp_path, onnx_cases(seed=0))
    with capsys.disabled():
        print(f"[{passed} of ONNX's cases pass, {refused} of them spoilt are refused]", end=" ")
    assert passed >= 1000
    assert refused >= 0.95 * passed
