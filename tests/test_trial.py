"""The check that tries a candidate: real candidates in real processes, what is made of their ends, and what is kept."""

import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.errors import Rejected
from daemon.gate import Proof, Proofs, Subject, Trial, TrialSettings
from daemon.gate.examples import Given
from daemon.gate.trial import FILE_FACTOR, LEAST_MEMORY_BYTES, MOST_LOG_BYTES, TRIES
from daemon.gate.trial import GRACE_SECONDS as TELLING_SECONDS
from daemon.gate.tried import GRACE_SECONDS, LOAD_SECONDS, InProcess, Ran
from daemon.intake.members import MADE_FOLDER, fingerprint
from daemon.intake.store import Store
from daemon.release import Candidate
from daemon.runtime import Array, EngineOptions, Headroom
from daemon.runtime.sessions import SAVED_MODEL, SAVED_WEIGHTS
from daemon.trial import Ended, Interrupted, Lost, Overdue, TrialProcess, TrialTerms, WarmParent
from daemon.trial.proving import COMPILING, LOADING, MEASURING, RUNNING
from daemon.trial.wire import nothing
from tests import onnx_models
from tests.fakes import SIGNATURE
from tests.trial_acts import acting, odd_parent

MB = 1 << 20
WAIT_SECONDS = 20.0
SETTINGS = TrialSettings(
    timeout_seconds=WAIT_SECONDS,
    measure_seconds=0,
    nice=0,
    threads=1,
    memory_bytes=256 * MB,
    reserve_bytes=10 * MB,
    compile="off",
)
ROW = {"input": np.zeros((1, 10), np.float32)}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmParent]:
    """A warm parent for all tests, whose trials do what a "model" says."""
    parent = odd_parent(tmp_path_factory.mktemp("odd"))
    yield parent
    parent.stop()


class Watched(WarmParent):
    """Forks from another warm parent, and remembers it; the first forks fail as told, or give what they are to give."""

    def __init__(self, parent: WarmParent) -> None:
        super().__init__()
        self._parent = parent
        self.terms: list[TrialTerms] = []
        self.pids: list[int] = []
        self.failures: list[Exception] = []
        self.processes: list[TrialProcess] = []

    def fork(self, terms: TrialTerms, meanwhile: Callable[[], None] = nothing) -> TrialProcess:
        self.terms.append(terms)
        if self.failures:
            raise self.failures.pop(0)
        if self.processes:
            return self.processes.pop(0)
        process = self._parent.fork(terms, meanwhile)
        self.pids.append(process.pid)
        return process


class Rig:
    """A trial over a real store, and everything that it is made of."""

    def __init__(self, folder: Path, parent: WarmParent) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        self.parent = Watched(parent)
        self.proofs = Proofs("key")
        self.settings = SETTINGS
        self.headroom: Headroom | None = None
        self.given = Given([], [], [])
        self.meanwhile: Callable[[], None] = nothing

    def trial(self, **settings: Any) -> Trial:
        return Trial(
            self.parent,
            self.proofs,
            replace(self.settings, **settings),
            EngineOptions(providers=("CPUExecutionProvider",)),
            examples=lambda _: self.given,
            headroom=lambda: self.headroom,
            meanwhile=lambda: self.meanwhile(),
        )

    def candidate(self, make: Callable[[Path], Path] | bytes) -> Candidate:
        """What the store makes of a model that ``make`` writes, or of bytes."""
        path = self.folder / "drop" / "m.onnx"
        path.parent.mkdir(exist_ok=True)
        if isinstance(make, bytes):
            path.write_bytes(make)
        else:
            make(path)
        parts = [("", path, fingerprint(path))]
        data = path.with_name("m.onnx.data")
        if data.exists():
            parts.append((data.name, data, fingerprint(data)))
        return self.store.ingest(parts, ".onnx")

    def proof(self, make: Callable[[Path], Path] | bytes | Candidate, **settings: Any) -> Proof:
        candidate = make if isinstance(make, Candidate) else self.candidate(make)
        with self.trial(**settings).of(Subject(candidate, "default")) as tried:
            return tried.proof

    def refusal(self, make: Callable[[Path], Path] | bytes | Candidate, **settings: Any) -> str:
        with pytest.raises(Rejected) as refusal:
            self.proof(make, **settings)
        assert refusal.value.check == "trial"
        assert str(self.folder) not in refusal.value.reason
        return refusal.value.reason

    def made(self, candidate: Candidate) -> list[str]:
        folder = candidate.path.parent / MADE_FOLDER
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []

    def left(self) -> list[int]:
        """The trials' processes that still run."""
        return [pid for pid in self.parent.pids if is_running(pid)]


def is_running(pid: int) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([pidfd], [], [], 0)[0]
    finally:
        os.close(pidfd)


@pytest.fixture
def rig(tmp_path: Path, odd: WarmParent) -> Rig:
    return Rig(tmp_path, odd)


def three(path: Path) -> Path:
    return onnx_models.constant_model(path, 3.0)


def act(do: str, **more: object) -> bytes:
    return acting({"do": do, **more})


# A candidate that comes through.


def test_candidate_is_proved_and_can_be_run(rig: Rig) -> None:
    with rig.trial().of(Subject(rig.candidate(three), "default")) as tried:
        assert [spec.name for spec in tried.proof.signature.outputs] == ["output"]
        ran = tried.run(ROW, timeout_seconds=WAIT_SECONDS)
        assert len(rig.parent.pids) == 1
    assert (ran.failed, np.asarray(ran.outputs[0]).tolist()) == ("", [[3.0] * 5])
    assert ran.seconds > 0


def test_proof_tells_what_was_measured(rig: Rig) -> None:
    proof = rig.proof(three, measure_seconds=WAIT_SECONDS)
    assert list(proof.trial) == ["load_seconds", "compiled", "memory", "runs", "batch"]
    runs: Any = proof.trial["runs"]
    assert [run["batch"] for run in runs] == [1, 2, 4, 8, 16, 32]
    assert proof.trial["batch"] == {"equals_single": True, "max_difference": 0.0}
    assert proof.metadata["providers"] == ["CPUExecutionProvider"]


def test_candidate_that_could_not_be_guessed_inputs_for_is_proved_with_a_warning(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    proof = rig.proof(onnx_models.unguessable)
    assert "no inputs could be guessed" in str(proof.trial["unguessed"])
    assert "proves little: no inputs could be guessed" in caplog.text


def test_other_model_can_be_run_beside_the_candidate(rig: Rig, tmp_path: Path) -> None:
    other = onnx_models.constant_model(tmp_path / "other.onnx", 5.0)
    with rig.trial().of(Subject(rig.candidate(three), "default")) as tried:
        tried.load("live", other)
        values = [tried.run(ROW, timeout_seconds=WAIT_SECONDS, on=name).outputs[0] for name in ("candidate", "live")]
    assert [np.asarray(value)[0, 0] for value in values] == [3.0, 5.0]


def test_process_is_gone_after_the_trial(rig: Rig) -> None:
    with rig.trial().of(Subject(rig.candidate(three), "default")):
        assert rig.left() == rig.parent.pids
    assert rig.left() == []


def test_process_is_gone_when_a_later_check_refuses(rig: Rig) -> None:
    with pytest.raises(Rejected, match="golden"), rig.trial().of(Subject(rig.candidate(three), "default")):
        raise Rejected("golden", "it misses one")
    assert rig.left() == []


# Known candidates.


def test_candidate_is_proved_once(rig: Rig) -> None:
    candidate = rig.candidate(three)
    proof = rig.proof(candidate)
    assert rig.proof(candidate) is proof
    assert len(rig.parent.terms) == 1


def test_candidate_is_known_after_a_restart(rig: Rig) -> None:
    candidate = rig.candidate(three)
    proof = rig.proof(candidate)
    rig.proofs.seal()
    rig.proofs = Proofs("key")
    assert rig.proof(candidate) == proof
    assert len(rig.parent.terms) == 1


def test_candidate_is_proved_again_on_another_machine(rig: Rig) -> None:
    candidate = rig.candidate(three)
    rig.proof(candidate)
    rig.proofs.seal()
    rig.proofs = Proofs("other")
    rig.proof(candidate)
    assert len(rig.parent.terms) == 2


def test_refused_candidate_is_tried_again(rig: Rig) -> None:
    candidate = rig.candidate(b"no model")
    assert rig.refusal(candidate) == rig.refusal(candidate)
    assert len(rig.parent.terms) == 2


@pytest.mark.parametrize("choice", ["off", "on"])
def test_known_candidate_is_run_in_a_process_that_starts_when_it_is_needed(rig: Rig, choice: str) -> None:
    candidate = rig.candidate(three)
    rig.proof(candidate, compile=choice)
    with rig.trial(compile=choice).of(Subject(candidate, "default")) as tried:
        assert len(rig.parent.terms) == 1
        for _ in range(2):
            assert np.asarray(tried.run(ROW, timeout_seconds=WAIT_SECONDS).outputs[0])[0, 0] == 3.0
        assert len(rig.parent.terms) == 2
    assert rig.left() == []


def test_known_candidate_whose_form_does_not_load_is_run_as_it_came(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    candidate = rig.candidate(three)
    proof = rig.proof(candidate, compile="on")
    with rig.proofs.making(candidate.path) as form:
        (form / SAVED_MODEL).write_bytes(b"broken")
        rig.proofs.keep(candidate.path, proof, form)
    with rig.trial(compile="on").of(Subject(candidate, "default")) as tried:
        assert np.asarray(tried.run(ROW, timeout_seconds=WAIT_SECONDS).outputs[0])[0, 0] == 3.0
    assert "a compiled form did not load, so the model is loaded as it came" in caplog.text
    assert rig.proofs.known(candidate.path) is None


def test_known_candidate_that_does_not_load_any_more_is_refused(rig: Rig) -> None:
    candidate = rig.candidate(three)
    rig.proof(candidate)
    candidate.path.chmod(0o600)
    candidate.path.write_bytes(b"broken")
    with (
        rig.trial().of(Subject(candidate, "default")) as tried,
        pytest.raises(Rejected, match="Protobuf parsing failed") as refusal,
    ):
        tried.run(ROW, timeout_seconds=WAIT_SECONDS)
    assert refusal.value.check == "trial"
    assert rig.left() == []


# Compiling.


def test_candidate_is_compiled_when_it_is_asked_for(rig: Rig) -> None:
    candidate = rig.candidate(lambda path: onnx_models.mapped_weights(path, 4096))
    proof = rig.proof(candidate, compile="on")
    compiled = proof.trial["compiled"]
    assert isinstance(compiled, Mapping)
    assert list(compiled) == ["load_seconds"]
    assert rig.proofs.form_of(candidate.path) == candidate.path.parent / MADE_FOLDER / "key" / SAVED_MODEL
    assert rig.made(candidate) == ["key", f"key/{SAVED_WEIGHTS}", f"key/{SAVED_MODEL}"]


@pytest.mark.parametrize(
    ("choice", "told"),
    [("off", "off: gate.trial.compile"), ("auto", "off: a small model loads as quickly as it came")],
)
def test_candidate_that_is_not_compiled_says_why(rig: Rig, choice: str, told: str) -> None:
    candidate = rig.candidate(three)
    assert rig.proof(candidate, compile=choice).trial["compiled"] == told
    assert rig.proofs.form_of(candidate.path) is None
    assert len(rig.parent.terms) == 1


def test_candidate_whose_form_gives_something_else_is_proved_without(rig: Rig) -> None:
    candidate = rig.candidate(onnx_models.noise)
    assert rig.proof(candidate, compile="on").trial["compiled"] == "failed: it does not give what the original gives"
    assert rig.proofs.form_of(candidate.path) is None
    assert rig.made(candidate) == ["key"]
    assert len(rig.parent.terms) == 1  # the process that has the original loaded is good enough


FAILURES: dict[str, dict[str, object]] = {
    "crash while it is loaded": {"do": "abort", "doing": LOADING},
    "crash while it is compiled": {"do": "abort", "doing": COMPILING},
    "crash while the form is measured": {"do": "abort", "doing": MEASURING},
    "refusal": {"do": "answer", "answer": {"refused": "there is no space left on the disk"}},
    "too little memory": {"do": "eat", "bytes": 1 << 40},
}


@pytest.mark.parametrize("failure", FAILURES)
def test_candidate_that_does_not_come_through_compiling_is_proved_without(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    instead = str(three(tmp_path / "instead.onnx"))
    candidate = rig.candidate(acting({**FAILURES[failure], "instead": instead}))
    with rig.trial(compile="on").of(Subject(candidate, "default")) as tried:
        told = str(tried.proof.trial["compiled"])
        assert np.asarray(tried.run(ROW, timeout_seconds=WAIT_SECONDS).outputs[0])[0, 0] == 3.0
    assert told.startswith("failed: ")
    assert f"the compiled form of {candidate.sha256[:8]} was not made" in caplog.text
    assert rig.made(candidate) == ["key"]
    assert len(rig.parent.terms) == 2
    assert rig.left() == []


def test_candidate_that_hangs_while_it_is_compiled_is_proved_without(rig: Rig, tmp_path: Path) -> None:
    candidate = rig.candidate(act("hang", doing=COMPILING, instead=str(three(tmp_path / "instead.onnx"))))
    assert str(rig.proof(candidate, compile="on", timeout_seconds=0.2).trial["compiled"]).startswith("failed: ")


def test_candidate_that_crashes_while_it_runs_is_not_tried_again_without(rig: Rig) -> None:
    reason = rig.refusal(act("abort", doing=RUNNING), compile="on")
    assert reason == "killed by SIGABRT while it ran for the first time"
    assert len(rig.parent.terms) == 1


def test_candidate_that_is_bad_with_and_without_compiling_is_refused_for_itself(rig: Rig) -> None:
    candidate = rig.candidate(act("abort", doing=LOADING))
    assert rig.refusal(candidate, compile="on") == "killed by SIGABRT while it was loaded"
    assert rig.made(candidate) == []
    assert len(rig.parent.terms) == 2


def test_form_that_a_lost_process_left_is_made_again(rig: Rig) -> None:
    candidate = rig.candidate(lambda path: onnx_models.mapped_weights(path, 4096))
    real = rig.proofs.making

    @contextmanager
    def making(model_file: Path) -> Iterator[Path]:
        with real(model_file) as folder:
            (folder / SAVED_MODEL).write_bytes(b"half a graph")
            (folder / SAVED_WEIGHTS).write_bytes(b"half of the weights")
            yield folder

    rig.proofs.making = making  # type: ignore[method-assign]
    assert isinstance(rig.proof(candidate, compile="on").trial["compiled"], Mapping)


# What is given to be tried first.


def test_model_that_takes_no_guess_is_proved_by_what_is_given(rig: Rig) -> None:
    assert "no run on synthesised inputs succeeded" in rig.refusal(onnx_models.six_to_rows_of_three)
    fitting = {"input": np.zeros((6,), np.float32)}
    for given in (Given([fitting], [], []), Given([], [[0.0] * 6], []), Given([], [{"input": [0.0] * 6}], [])):
        rig.given = given
        assert "unguessed" not in rig.proof(onnx_models.six_to_rows_of_three).trial
        rig.proofs.distrust(rig.candidate(onnx_models.six_to_rows_of_three).path)


def test_model_is_proved_by_test_data_beside_it(rig: Rig) -> None:
    folder = rig.folder / "test_data_set_0"
    folder.mkdir()
    tensor = onnx_models.constant("input", np.zeros((6,), np.float32))
    (folder / "input_0.pb").write_bytes(tensor.SerializeToString())
    rig.given = Given([], [], [str(folder)])
    assert "unguessed" not in rig.proof(onnx_models.six_to_rows_of_three).trial


def test_what_is_given_and_does_not_fit_says_nothing_of_the_model(rig: Rig) -> None:
    odd: list[Mapping[str, Array]] = [{"another": np.zeros(3, np.float32)}, {"input": np.zeros((1, 3), np.float32)}]
    rig.given = Given(odd, [None, "text", {"input": "text"}], [str(rig.folder / "nowhere")])
    assert rig.proof(three).signature.outputs


def test_nothing_of_what_is_given_is_told_where_nothing_runs(rig: Rig) -> None:
    rig.given = Given([{"x": np.array([987654], np.int64)}], [{"x": [987654]}], [])
    assert "987654" not in str(rig.proof(onnx_models.gather).trial)
    rig.given = Given([{"input": np.full((7,), 987654, np.float32)}], [[987654.0] * 7], [])
    assert "987654" not in rig.refusal(onnx_models.six_to_rows_of_three)


# Refusals.


@pytest.mark.parametrize(
    ("do", "how"),
    [("abort", "killed by SIGABRT"), ("fall", "killed by SIGSEGV"), ("exit_with", "ended with exit code 5")],
)
def test_candidate_that_ends_its_process_is_refused_with_how(rig: Rig, do: str, how: str) -> None:
    assert rig.refusal(act(do, code=5, doing=LOADING)) == f"{how} while it was loaded"
    assert rig.left() == []


def test_candidate_that_hangs_is_refused_with_the_limit(rig: Rig) -> None:
    reason = rig.refusal(act("hang", doing=MEASURING), timeout_seconds=0.2)
    assert reason == "it did not finish within 0.2 seconds while it was measured (gate.trial.timeout_seconds)"
    assert rig.left() == []


def test_candidate_whose_run_never_ends_is_refused(rig: Rig) -> None:
    assert "a run on synthesised inputs was stopped after" in rig.refusal(onnx_models.endless_loop, timeout_seconds=0.3)


def test_candidate_that_takes_too_much_memory_is_refused_with_the_limit(rig: Rig) -> None:
    reason = rig.refusal(lambda path: onnx_models.memory_bomb(path, 1 << 40))
    assert reason.startswith("it ran out of the 256 MB that a trial may take (gate.trial.memory_mb): ")


def test_candidate_that_does_not_load_is_refused_with_what_the_library_says(rig: Rig) -> None:
    assert "protobuf parsing failed" in rig.refusal(b"no model").lower()


def test_candidate_that_fails_every_run_is_refused_with_what_the_library_says(rig: Rig) -> None:
    assert "no run on synthesised inputs succeeded: Reshape node" in rig.refusal(onnx_models.failing)


def test_store_is_left_out_of_what_is_said(rig: Rig) -> None:
    candidate = rig.candidate(b"no model")
    candidate.path.unlink()
    assert str(rig.store.root) not in rig.refusal(candidate)


def proof_record() -> dict[str, Any]:
    spec = {"name": "x", "dtype": "float32", "shape": [None, "n", 3], "optional": False}
    return {
        "signature": {"inputs": [spec], "outputs": [spec]},
        "metadata": {},
        "load_seconds": 0.5,
        "unguessed": "",
        "memory": {"peak_bytes": 1, "resident_bytes": 1},
        "runs": [{"batch": 1, "seconds": 0.5}],
        "batch": {"equals_single": None, "reason": "it is odd"},
    }


def test_answer_that_makes_sense_is_taken(rig: Rig) -> None:
    """Else the next test proves nothing."""
    assert rig.proof(act("answer", answer=proof_record())).trial["load_seconds"] == 0.5


@pytest.mark.parametrize("answer", [{}, {"signature": 5}, {**proof_record(), "runs": {"a": 1}}], ids=["1", "2", "3"])
def test_answer_that_makes_no_sense_is_refused_and_nothing_kept(rig: Rig, answer: dict[str, Any]) -> None:
    candidate = rig.candidate(act("answer", answer=answer))
    assert rig.refusal(candidate) == "its process gave an answer that cannot be read"
    assert rig.proofs.known(candidate.path) is None
    assert rig.left() == []


@pytest.mark.parametrize("answer", [[], "text", None])
def test_answer_that_is_no_mapping_is_refused(rig: Rig, answer: object) -> None:
    reason = rig.refusal(act("answer", answer=answer))
    assert reason == "its process answered with no mapping while it was loaded"


# Lost and interrupted processes.


def test_lost_process_is_no_fault_of_the_candidate(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.parent.failures = [Lost()]
    assert rig.proof(three).signature.outputs
    assert "lost through no fault of the model; trying again" in caplog.text


def test_candidate_whose_process_is_lost_each_time_is_refused(rig: Rig) -> None:
    rig.parent.failures = [Lost()] * TRIES
    assert rig.refusal(three) == f"the process of its trial was lost {TRIES} times"


def test_candidate_is_proved_although_the_warm_parent_is_killed_meanwhile(tmp_path: Path) -> None:
    parent = WarmParent()
    parent.start()
    assert parent._process is not None
    victims = [parent._process.pid]
    rig = Rig(tmp_path, parent)
    rig.meanwhile = lambda: os.kill(victims.pop(), signal.SIGKILL) if victims else None
    try:
        assert rig.proof(lambda path: onnx_models.chain(path, 10_000)).signature.outputs
        assert victims == []
        assert len(rig.parent.terms) == 2
    finally:
        parent.stop()


def test_trial_is_interrupted_when_the_daemon_stops(tmp_path: Path) -> None:
    parent = odd_parent(tmp_path / "odd")
    rig = Rig(tmp_path, parent)
    rig.meanwhile = parent.stop
    try:
        with pytest.raises(Interrupted):
            rig.proof(act("hang"))
        assert rig.left() == []
    finally:
        parent.stop()


def test_others_are_looked_after_while_a_candidate_is_tried(rig: Rig) -> None:
    class Enough(Exception):
        pass

    calls: list[int] = []

    def meanwhile() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Enough

    rig.meanwhile = meanwhile
    with pytest.raises(Enough):
        rig.proof(act("hang"))
    assert rig.left() == []


# What a process may take.


def terms_of(rig: Rig, size_bytes: int = 0, **settings: Any) -> TrialTerms:
    """Those of the first process, which is lost before it begins."""
    rig.parent.failures = [Interrupted("never begun")]
    candidate = replace(rig.candidate(three), size_bytes=size_bytes)
    with pytest.raises(Interrupted):
        rig.proof(candidate, **settings)
    return rig.parent.terms[0]


def test_process_may_take_the_memory_that_is_set(rig: Rig) -> None:
    rig.headroom = Headroom(1 << 40, 1 << 40, "this machine")
    assert terms_of(rig, memory_bytes=77 * MB).memory_bytes == 77 * MB


@pytest.mark.parametrize(
    ("available", "memory_bytes"),
    [
        (1000 * MB, 990 * MB),
        (LEAST_MEMORY_BYTES + 10 * MB, LEAST_MEMORY_BYTES),
        (0, LEAST_MEMORY_BYTES),
    ],
)
def test_process_may_take_what_is_available_but_for_what_is_kept_back(
    rig: Rig, available: int, memory_bytes: int
) -> None:
    rig.headroom = Headroom(available, 1 << 40, "this machine")
    assert terms_of(rig, memory_bytes=None).memory_bytes == memory_bytes


def test_process_may_take_any_memory_where_nobody_knows_what_there_is(rig: Rig) -> None:
    assert terms_of(rig, memory_bytes=None).memory_bytes == 1 << 40


def test_process_may_write_next_to_nothing_unless_it_compiles(rig: Rig) -> None:
    assert terms_of(rig, 1000 * MB, compile="off").file_bytes == MOST_LOG_BYTES


def test_process_may_write_some_times_the_model_when_it_compiles(rig: Rig) -> None:
    assert terms_of(rig, 1000 * MB, compile="on").file_bytes >= FILE_FACTOR * 1000 * MB


def test_process_is_as_nice_as_is_set(rig: Rig) -> None:
    assert terms_of(rig, nice=13).nice == 13


@pytest.mark.parametrize(("measure", "seconds"), [(None, 3), (0, 0), (0.25, 0.25)])
def test_process_has_the_time_that_is_set_to_answer(rig: Rig, measure: float | None, seconds: float) -> None:
    process = FakeProcess(proof_record())
    rig.parent.processes = [process]
    rig.proof(three, timeout_seconds=3, measure_seconds=measure)
    assert process.seconds == [3 + TELLING_SECONDS]
    assert process.more_seconds == {COMPILING: 3, MEASURING: seconds}
    assert (process.asked[0]["seconds"], process.asked[0]["measure_seconds"]) == (3, measure)


def test_process_runs_as_many_threads_as_are_set_and_the_providers_that_serve(rig: Rig) -> None:
    process = FakeProcess(proof_record())
    rig.parent.processes = [process]
    rig.proof(three, threads=5)
    assert (process.asked[0]["threads"], process.asked[0]["providers"]) == (5, ["CPUExecutionProvider"])


# A candidate at hand, by itself.


class FakeProcess(TrialProcess):
    """Answers what it is told to, in order; what is an exception is raised."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []
        self.seconds: list[float] = []
        self.more_seconds: Mapping[str, float] | None = None
        self.is_closed = False

    def ask(
        self, what: Mapping[str, object], *, seconds: float, doing: str, more_seconds: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        assert not self.is_closed
        self.more_seconds = more_seconds
        self.asked.append(what)
        self.seconds.append(seconds)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        self.is_closed = True


class Starts:
    """Gives one process after the other; what is an exception is raised."""

    def __init__(self, *processes: FakeProcess | Exception) -> None:
        self.left = list(processes)

    def __call__(self) -> TrialProcess:
        process = self.left.pop(0)
        if isinstance(process, Exception):
            raise process
        return process


PROOF = Proof(SIGNATURE, {})
GOOD = {"outputs": [np.ones((1, 1), np.float32)], "seconds": 0.25}


def in_process(*processes: FakeProcess | Exception, running: FakeProcess | None = None) -> InProcess:
    return InProcess(PROOF, Starts(*processes), lambda path: {"path": str(path), "saved": False}, running=running)


def run(tried: InProcess, on: str = "candidate") -> Ran:
    return tried.run({"input": np.zeros((1, 2), np.float32)}, timeout_seconds=3, on=on)


def refusal_of(act: Callable[[], object], check: str = "trial") -> str:
    with pytest.raises(Rejected) as refusal:
        act()
    assert refusal.value.check == check
    return refusal.value.reason


def test_run_gives_outputs_and_seconds() -> None:
    process = FakeProcess(GOOD)
    ran = run(in_process(running=process))
    assert (ran.outputs, ran.seconds, ran.failed) == (GOOD["outputs"], 0.25, "")
    assert process.seconds == [3 + GRACE_SECONDS]
    assert {name: process.asked[0][name] for name in ("do", "on", "seconds")} == {
        "do": "run",
        "on": "candidate",
        "seconds": 3,
    }


def test_run_that_failed_is_told_with_its_kind_and_reason() -> None:
    ran = run(in_process(running=FakeProcess({"failed": "InvalidInput", "reason": "too wide"})))
    assert ran == Ran([], failed="InvalidInput", reason="too wide")


def test_process_is_started_once() -> None:
    tried = in_process(FakeProcess(GOOD, GOOD))
    assert [run(tried).seconds for _ in range(2)] == [0.25, 0.25]


def test_process_that_ends_refuses_the_candidate_and_is_closed() -> None:
    process = FakeProcess(Ended("killed by SIGSEGV", "it ran on an example"))
    assert refusal_of(lambda: run(in_process(running=process))) == "killed by SIGSEGV while it ran on an example"
    assert process.is_closed


def test_process_that_is_overdue_refuses_the_candidate_and_is_closed() -> None:
    process = FakeProcess(Overdue("it ran on an example"))
    assert (
        refusal_of(lambda: run(in_process(running=process))) == "no answer within 4 seconds while it ran on an example"
    )
    assert process.is_closed


def test_process_is_started_again_after_it_ended() -> None:
    tried = in_process(FakeProcess(GOOD), running=FakeProcess(Ended("killed by SIGSEGV", "it ran")))
    refusal_of(lambda: run(tried))
    assert run(tried).seconds == 0.25


def test_lost_process_is_started_again_and_asked_again() -> None:
    lost, next_one = FakeProcess(Lost()), FakeProcess(GOOD)
    assert run(in_process(next_one, running=lost)).seconds == 0.25
    assert lost.is_closed
    assert next_one.asked == lost.asked


def test_process_that_is_lost_while_it_starts_is_started_again() -> None:
    assert run(in_process(Lost(), FakeProcess(GOOD))).seconds == 0.25


@pytest.mark.parametrize("second", [Lost(), FakeProcess(Lost())], ids=["while it starts", "while it runs"])
def test_process_that_is_lost_twice_refuses_the_candidate(second: FakeProcess | Exception) -> None:
    tried = in_process(second, running=FakeProcess(Lost()))
    assert refusal_of(lambda: run(tried)) == "its process was lost twice while it ran on an example"


def test_process_that_is_started_again_has_the_other_models_too() -> None:
    again = FakeProcess({}, GOOD)
    tried = in_process(again, running=FakeProcess({}, Lost()))
    tried.load("live", Path("/store/live"))
    assert run(tried, on="live").seconds == 0.25
    assert [(asked["do"], asked.get("as", asked.get("on"))) for asked in again.asked] == [
        ("load", "live"),
        ("run", "live"),
    ]
    assert again.asked[0]["path"] == "/store/live"


def test_other_model_that_did_not_load_is_not_loaded_again() -> None:
    again = FakeProcess(GOOD)
    tried = in_process(again, running=FakeProcess({"refused": "no"}, Lost()))
    refusal_of(lambda: tried.load("live", Path("/store/live")))
    assert run(tried).seconds == 0.25


def test_other_models_have_time_to_load() -> None:
    process = FakeProcess({})
    in_process(running=process).load("live", Path("/store/live"))
    assert process.seconds == [LOAD_SECONDS]


def test_interruption_is_passed_on() -> None:
    with pytest.raises(Interrupted):
        run(in_process(Interrupted()))


def test_what_cannot_be_done_is_refused() -> None:
    process = FakeProcess({"refused": "KeyError: 'live'"})
    assert refusal_of(lambda: run(in_process(running=process))) == "KeyError: 'live'"


def test_test_data_is_given_by_name() -> None:
    process = FakeProcess({"inputs": {"input": [1]}, "outputs": {"output": [2]}})
    inputs, outputs = in_process(running=process).read_test_data(Path("/drop/test_data_set_0"))
    assert (list(inputs), list(outputs)) == (["input"], ["output"])
    assert process.asked == [{"do": "read", "folder": "/drop/test_data_set_0"}]


def test_test_data_that_cannot_be_read_is_refused_by_golden() -> None:
    tried = in_process(running=FakeProcess({"refused": "it is no tensor"}))
    assert refusal_of(lambda: tried.read_test_data(Path("/x")), "golden") == "it is no tensor"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"outputs": [1]},
        {"outputs": 5, "seconds": 0.5},
        {"outputs": None, "seconds": 0.5},
        {"outputs": [1], "seconds": "soon"},
        {"outputs": [1], "seconds": None},
        {"outputs": [], "seconds": 0.5},
        {"outputs": [1, 2], "seconds": 0.5},
    ],
    ids=str,
)
def test_run_that_makes_no_sense_refuses_the_candidate(answer: dict[str, Any]) -> None:
    tried = in_process(running=FakeProcess(answer))
    assert refusal_of(lambda: run(tried)) == "its process gave an answer that cannot be read"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"inputs": {}},
        {"inputs": 5, "outputs": {}},
        {"inputs": {}, "outputs": [1]},
        {"inputs": {}, "outputs": {"x": 1}},
    ],
    ids=str,
)
def test_test_data_that_makes_no_sense_refuses_the_candidate(answer: dict[str, Any]) -> None:
    tried = in_process(running=FakeProcess(answer))
    assert refusal_of(lambda: tried.read_test_data(Path("/x"))) == "its process gave an answer that cannot be read"


def test_close_may_be_called_again_and_without_a_process() -> None:
    process = FakeProcess()
    tried = in_process(running=process)
    tried.close()
    assert process.is_closed
    tried.close()
    in_process().close()
