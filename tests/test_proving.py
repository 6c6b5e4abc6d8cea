"""The proof: what a model showed by being loaded, run, saved and measured."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from daemon.errors import InferenceFailed, Rejected
from daemon.release import signature_from
from daemon.runtime import Array, Deadlines, Engine, EngineOptions, Output, load_engine
from daemon.runtime.plans import batch_size
from daemon.runtime.sessions import SAVED_MODEL, SAVED_WEIGHTS
from daemon.trial.measuring import LONG_SECONDS as TAKEN_AT_ITS_WORD
from daemon.trial.measuring import REPEATS, ROWS, SIZES, measured
from daemon.trial.proving import COMPILING, LEAST_MEASURE_SECONDS, LOADING, MEASURING, RUNNING, Job, prove
from tests import onnx_models
from tests.fakes import SIGNATURE

OPTIONS = EngineOptions(threads=1)
TIMEOUT_SECONDS = 20.0
LONG_SECONDS = 20.0
"""More than any model here takes to be measured."""

Prove = Callable[..., tuple[Engine, Mapping[str, Any]]]
Load = Callable[[Path], Engine]


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    deadlines = Deadlines()
    yield deadlines
    deadlines.stop()


@pytest.fixture
def load(deadlines: Deadlines) -> Load:
    return lambda path: load_engine(path, OPTIONS, deadlines)


@pytest.fixture
def prove_it(deadlines: Deadlines, tmp_path: Path) -> Prove:
    """Proves the model at a path; with ``compiled``, saves it into ``tmp_path/form``."""

    def prove_it(
        path: Path,
        *,
        compiled: bool = False,
        seconds: float = TIMEOUT_SECONDS,
        measure_seconds: float | None = 0.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> tuple[Engine, Mapping[str, Any]]:
        form = tmp_path / "form"
        form.mkdir()
        job = Job(
            path=path,
            save_to=form if compiled else None,
            timeout_seconds=seconds,
            measure_seconds=measure_seconds,
        )
        return prove(job, OPTIONS, deadlines, tell)

    return prove_it


def first_output(engine: Engine, **inputs: Array) -> Any:
    return engine.run(inputs, timeout_seconds=TIMEOUT_SECONDS)[0]


def measure(
    engine: Engine, inputs: Mapping[str, Array], *, seconds: float = LONG_SECONDS, ran_seconds: float = 0.0
) -> dict[str, Any]:
    return measured(engine, inputs, ran_seconds=ran_seconds, seconds=seconds)


def batches(runs: list[dict[str, object]]) -> list[object]:
    return [run["batch"] for run in runs]


# The proof.


def test_proof_tells_what_the_model_is(prove_it: Prove, load: Load, tmp_path: Path) -> None:
    path = onnx_models.described(tmp_path / "m.onnx", author="tests")
    _, found = prove_it(path)
    expected = load(path)
    assert signature_from(found["signature"]) == expected.signature
    assert found["metadata"] == expected.metadata
    assert found["unguessed"] == ""
    assert found["load_seconds"] > 0
    assert "compiled" not in found


def test_proof_is_of_plain_values(prove_it: Prove, tmp_path: Path) -> None:
    _, found = prove_it(onnx_models.zipmap_like(tmp_path / "m.onnx"), compiled=True, measure_seconds=LONG_SECONDS)
    assert json.loads(json.dumps(found))["batch"]["equals_single"] is True


def test_proof_gives_an_engine_that_runs(prove_it: Prove, tmp_path: Path) -> None:
    engine, _ = prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0))
    assert first_output(engine, input=np.zeros((1, 10), np.float32)).tolist() == [[3.0] * 5]


def test_each_step_is_told_when_it_begins(prove_it: Prove, tmp_path: Path) -> None:
    told: list[str] = []
    prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), compiled=True, tell=told.append)
    assert told == [LOADING, RUNNING, COMPILING, MEASURING]


def test_model_that_does_not_load_is_refused_while_it_is_loaded(prove_it: Prove, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    told: list[str] = []
    with pytest.raises(Rejected) as refusal:
        prove_it(tmp_path / "m.onnx", tell=told.append)
    assert refusal.value.check == "load"
    assert told == [LOADING]


def test_model_that_fails_every_run_is_refused_while_it_runs(prove_it: Prove, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(Rejected) as refusal:
        prove_it(onnx_models.failing(tmp_path / "m.onnx"), tell=told.append)
    assert refusal.value.check == "trial"
    assert told == [LOADING, RUNNING]


def test_model_that_runs_too_long_is_refused(prove_it: Prove, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="a run on synthesised inputs was stopped"):
        prove_it(onnx_models.endless_loop(tmp_path / "m.onnx"), seconds=0.2)


def test_model_whose_inputs_cannot_be_guessed_is_proved_as_far_as_can_be(prove_it: Prove, tmp_path: Path) -> None:
    _, found = prove_it(onnx_models.unguessable(tmp_path / "m.onnx"), measure_seconds=LONG_SECONDS)
    assert "no inputs could be guessed that the model takes: Gather node" in found["unguessed"]
    assert found["runs"] == []
    assert found["batch"] == {"equals_single": None, "reason": "no inputs could be guessed"}


# The compiled form.


def test_compiled_form_that_gives_the_same_is_what_runs(prove_it: Prove, tmp_path: Path) -> None:
    path = onnx_models.mapped_weights(tmp_path / "m.onnx", 4096)
    engine, found = prove_it(path, compiled=True)
    assert found["compiled"].keys() == {"load_seconds", "run_seconds"}
    maps = Path("/proc/self/maps").read_text()
    assert str(tmp_path / "form" / SAVED_WEIGHTS) in maps
    assert f"{path}.data" not in maps  # the original is closed
    assert first_output(engine, x=np.zeros((1, 4096), np.float32)).tolist() == [[1.0] * 4096]


@pytest.mark.parametrize(
    "make",
    [
        onnx_models.greeting,
        onnx_models.zipmap_like,
        onnx_models.sequence_output,
        onnx_models.odd_nests,
        onnx_models.optional_output,
        onnx_models.optional_input,
        onnx_models.no_input,
        onnx_models.odd_numbers,
        lambda path: onnx_models.cast(path, "float32", "bfloat16", ["n"]),
    ],
    ids=[
        "strings",
        "maps",
        "sequence",
        "nested nan",
        "empty optional",
        "default",
        "no input",
        "nan and inf",
        "bfloat16",
    ],
)
def test_compiled_form_holds_for_outputs_of_every_kind(
    prove_it: Prove, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    _, found = prove_it(make(tmp_path / "m.onnx"), compiled=True)
    assert found["compiled"].keys() == {"load_seconds", "run_seconds"}


def test_compiled_form_that_gives_something_else_is_not_used(prove_it: Prove, tmp_path: Path) -> None:
    engine, found = prove_it(onnx_models.noise(tmp_path / "m.onnx"), compiled=True)
    assert found["compiled"] == {"failed": "it does not give what the original gives"}
    assert first_output(engine, x=np.zeros((1, 4), np.float32)).shape == (1, 4)


def meddling(meddle: Callable[[], object]) -> Callable[[str], None]:
    """A ``tell`` that does something to the saved form before it is looked at."""
    return lambda doing: meddle() if doing == COMPILING else None  # type: ignore[return-value]


def test_compiled_form_that_differs_in_one_bit_is_not_used(
    prove_it: Prove, deadlines: Deadlines, tmp_path: Path
) -> None:
    other = onnx_models.constant_model(tmp_path / "other.onnx", float(np.nextafter(np.float32(3), np.float32(4))))
    meddle = meddling(lambda: load_engine(other, OPTIONS, deadlines, save_to=tmp_path / "form"))
    engine, found = prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), compiled=True, tell=meddle)
    assert found["compiled"] == {"failed": "it does not give what the original gives"}
    assert first_output(engine, input=np.zeros((1, 10), np.float32))[0, 0] == 3.0


def cast(path: Path, *, into: str = "int64", source: str = "x", target: str = "y", default: bool = False) -> Path:
    """``source`` float32 [n] → ``target`` of the dtype ``into``; with ``default``, the input may be left out."""
    return onnx_models.save(
        path,
        [helper.make_node("Cast", [source], [target], to=onnx_models.TYPES[into])],
        [onnx_models.value(source, "float32", ["n"])],
        [onnx_models.value(target, into, ["n"])],
        [onnx_models.constant(source, np.zeros(1, np.float32))] if default else [],
    )


@pytest.mark.parametrize(
    "other",
    [{"source": "x2"}, {"target": "y2"}, {"into": "int32"}, {"default": True}],
    ids=lambda other: next(iter(other)),
)
def test_compiled_form_with_another_signature_is_not_used(
    prove_it: Prove, deadlines: Deadlines, tmp_path: Path, other: dict[str, Any]
) -> None:
    path = cast(tmp_path / "other.onnx", **other)
    meddle = meddling(lambda: load_engine(path, OPTIONS, deadlines, save_to=tmp_path / "form"))
    _, found = prove_it(cast(tmp_path / "m.onnx"), compiled=True, tell=meddle)
    assert found["compiled"] == {"failed": "its inputs or outputs are not the original's"}


def test_meddled_form_with_the_same_signature_is_used(prove_it: Prove, deadlines: Deadlines, tmp_path: Path) -> None:
    """Else the tests around prove nothing."""
    path = cast(tmp_path / "other.onnx")
    meddle = meddling(lambda: load_engine(path, OPTIONS, deadlines, save_to=tmp_path / "form"))
    _, found = prove_it(cast(tmp_path / "m.onnx"), compiled=True, tell=meddle)
    assert "failed" not in found["compiled"]


@pytest.mark.parametrize(
    "meddle",
    [lambda form: (form / SAVED_MODEL).write_bytes(b"broken"), shutil.rmtree],
    ids=["broken", "gone"],
)
def test_compiled_form_that_does_not_load_is_not_used(
    prove_it: Prove, tmp_path: Path, meddle: Callable[[Path], object]
) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 3.0)
    engine, found = prove_it(path, compiled=True, tell=meddling(lambda: meddle(tmp_path / "form")))
    assert found["compiled"]["failed"].startswith("it does not load or run: load: ")
    assert first_output(engine, input=np.zeros((1, 10), np.float32))[0, 0] == 3.0


def test_compiled_form_that_does_not_run_is_not_used(prove_it: Prove, deadlines: Deadlines, tmp_path: Path) -> None:
    other = onnx_models.failing(tmp_path / "other.onnx")
    meddle = meddling(lambda: load_engine(other, OPTIONS, deadlines, save_to=tmp_path / "form"))
    engine, found = prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), compiled=True, tell=meddle)
    assert found["compiled"]["failed"].startswith("it does not load or run: Reshape node")
    assert first_output(engine, input=np.zeros((1, 10), np.float32))[0, 0] == 3.0


def test_compiled_form_that_could_not_be_compared_is_not_used(prove_it: Prove, tmp_path: Path) -> None:
    _, found = prove_it(onnx_models.unguessable(tmp_path / "m.onnx"), compiled=True)
    assert "could not be compared with the original" in found["compiled"]["failed"]


class Measuring:
    """Stands in for ``measured``, and remembers what was to be measured."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.ran_seconds = self.seconds = -1.0

    def __call__(self, engine: Engine, inputs: object, *, ran_seconds: float, seconds: float) -> dict[str, object]:
        self.engine, self.ran_seconds, self.seconds = engine, ran_seconds, seconds
        return {}


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    measuring = Measuring()
    monkeypatch.setattr("daemon.trial.proving.measured", measuring)
    return measuring


def test_form_that_runs_is_what_is_measured(prove_it: Prove, tmp_path: Path, measuring: Measuring) -> None:
    engine, found = prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), compiled=True)
    assert measuring.engine is engine
    assert measuring.ran_seconds == found["compiled"]["run_seconds"]


def test_measuring_takes_the_time_that_is_given(prove_it: Prove, tmp_path: Path, measuring: Measuring) -> None:
    prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), measure_seconds=1.5)
    assert measuring.seconds == 1.5


def test_measuring_of_a_model_that_loads_quickly_takes_a_moment(
    prove_it: Prove, tmp_path: Path, measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 1000.0)
    prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), measure_seconds=None)
    assert measuring.seconds == LEAST_MEASURE_SECONDS


def test_measuring_takes_as_long_as_the_load_where_nothing_else_is_said(
    prove_it: Prove, tmp_path: Path, measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.trial.proving.LEAST_MEASURE_SECONDS", 0.0)
    _, found = prove_it(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), measure_seconds=None)
    assert measuring.seconds == found["load_seconds"] > 0


# Measuring.


def test_runs_are_told_by_batch_size(load: Load, tmp_path: Path) -> None:
    engine = load(onnx_models.constant_model(tmp_path / "m.onnx", 3.0))
    found = measure(engine, {"input": np.zeros((1, 10), np.float32)})
    assert batches(found["runs"]) == [1, *SIZES]
    assert all(run["seconds"] > 0 for run in found["runs"])


def test_batch_equals_its_rows_where_each_row_is_its_own(load: Load, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = onnx_models.gemm(tmp_path / "m.onnx", rng.random((64, 8), np.float32), rng.random(8, np.float32))
    found = measure(load(path), {"input": rng.random((1, 64), np.float32)})
    assert found["batch"]["equals_single"] is True
    assert 0 <= found["batch"]["max_difference"] < 1e-3


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (onnx_models.zipmap_like, {"x": np.zeros((1, 2), np.float32)}),
        (onnx_models.greeting, {"x": np.array(["a"], object)}),
        (lambda path: onnx_models.identity(path, "bool", ["n", 2]), {"x": np.zeros((1, 2), bool)}),
        (onnx_models.odd_numbers, {"x": np.zeros((1, 2), np.float32)}),
        (onnx_models.two_inputs, {"a": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)}),
        (lambda path: onnx_models.identity(path, "float32", ["n", 0]), {"x": np.zeros((1, 0), np.float32)}),
    ],
    ids=["maps", "strings", "booleans", "nan and inf", "two inputs", "nothing in a row"],
)
def test_batch_equals_its_rows_for_outputs_of_every_kind(
    load: Load, tmp_path: Path, make: Callable[[Path], Path], inputs: Mapping[str, Array]
) -> None:
    found = measure(load(make(tmp_path / "m.onnx")), inputs)
    assert found["batch"] == {"equals_single": True, "max_difference": 0.0}


def test_optional_input_that_was_left_out_does_not_stand_in_the_way(load: Load, tmp_path: Path) -> None:
    found = measure(load(onnx_models.optional_input(tmp_path / "m.onnx")), {"x": np.zeros(1, np.float32)})
    assert found["batch"]["equals_single"] is True


def test_batch_whose_rows_depend_on_each_other_is_unequal(load: Load, tmp_path: Path) -> None:
    found = measure(load(onnx_models.batch_mean(tmp_path / "m.onnx")), {"x": np.zeros((1, 3), np.float32)})
    assert found["batch"] == {
        "equals_single": False,
        "reason": "a batch of 2 gives other outputs than its rows alone",
    }
    assert batches(found["runs"]) == [1]


def test_batch_of_a_model_with_noise_is_unequal(load: Load, tmp_path: Path) -> None:
    found = measure(load(onnx_models.noise(tmp_path / "m.onnx")), {"x": np.zeros((1, 4), np.float32)})
    assert found["batch"]["equals_single"] is False


def test_batch_that_has_one_answer_for_all_rows_is_unequal(load: Load, tmp_path: Path) -> None:
    found = measure(load(onnx_models.row_count(tmp_path / "m.onnx")), {"x": np.zeros((1, 4), np.float32)})
    assert found["batch"]["equals_single"] is False


def test_batch_that_does_not_run_is_unequal_with_the_reason(load: Load, tmp_path: Path) -> None:
    found = measure(load(onnx_models.single_row(tmp_path / "m.onnx")), {"x": np.zeros((1, 4), np.float32)})
    assert found["batch"]["equals_single"] is False
    assert found["batch"]["reason"].startswith("a batch of 2 does not run: Reshape node")
    assert batches(found["runs"]) == [1]


def test_batch_is_unknown_where_the_first_dimension_is_fixed(load: Load, tmp_path: Path) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx", "float32", [1, 4]))
    found = measure(engine, {"x": np.zeros((1, 4), np.float32)})
    assert found["batch"] == {"equals_single": None, "reason": "input 'x' has no open first dimension"}
    assert batches(found["runs"]) == [1]


def test_batch_is_unknown_where_the_rank_is_open(load: Load, tmp_path: Path) -> None:
    found = measure(load(onnx_models.identity(tmp_path / "m.onnx")), {"x": np.zeros((1, 4), np.float32)})
    assert found["batch"] == {"equals_single": None, "reason": "input 'x' has no open first dimension"}


def test_batch_is_unknown_where_the_model_takes_no_single_row(prove_it: Prove, tmp_path: Path) -> None:
    _, found = prove_it(onnx_models.pairs(tmp_path / "m.onnx"), measure_seconds=LONG_SECONDS)
    assert found["batch"] == {"equals_single": None, "reason": "the model takes no single row"}
    assert found["runs"] == []


def test_batch_is_unknown_where_there_are_no_inputs(load: Load, tmp_path: Path) -> None:
    found = measure(load(onnx_models.no_input(tmp_path / "m.onnx")), {})
    assert found["batch"] == {"equals_single": None, "reason": "the model has no inputs"}
    assert batches(found["runs"]) == [1]


def test_only_single_runs_are_measured_without_a_budget(load: Load, tmp_path: Path) -> None:
    engine = Counted(load(onnx_models.constant_model(tmp_path / "m.onnx", 3.0)))
    found = measure(engine, {"input": np.zeros((1, 10), np.float32)}, seconds=0)
    assert batches(found["runs"]) == [1]
    assert found["batch"] == {
        "equals_single": None,
        "reason": "there was no time for a batch (gate.trial.measure_ms)",
    }
    assert engine.sizes == [1]


def test_different_rows_are_run_alone_and_then_together(load: Load, tmp_path: Path) -> None:
    engine = Counted(load(onnx_models.identity(tmp_path / "m.onnx", "float32", ["n", 4])))
    measure(engine, {"x": np.zeros((1, 4), np.float32)})
    alone = [row.tobytes() for row in engine.seen if len(row) == 1][REPEATS : REPEATS + ROWS]
    assert len(set(alone)) == len(alone) == ROWS
    largest = engine.seen[-1]
    assert len(largest) == SIZES[-1]
    assert [row.tobytes() for row in largest[:ROWS]] == alone


class Counted:
    """An engine that remembers what it was run on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.signature = engine.signature
        self.metadata = engine.metadata
        self.seen: list[Array] = []

    @property
    def sizes(self) -> list[int]:
        return [len(array) for array in self.seen]

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        self.seen += inputs.values()
        return self._engine.run(inputs, timeout_seconds=timeout_seconds)

    def close(self) -> None:
        self._engine.close()


class Scripted:
    """An engine whose runs take what a clock of its own says, and fail from the ``fails_from``th on.

    It gives a column of its input, for batches with ``shift`` added, in the ``form`` that is wanted.
    """

    signature = SIGNATURE
    metadata: Mapping[str, object] = {}

    def __init__(
        self,
        *,
        fails_from: int | None = None,
        seconds_a_row: float = 0.0,
        seconds_a_run: float = 0.0,
        shift: float = 0.0,
        form: Callable[[Array], Output] = lambda rows: rows,
    ) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self._fails_from = fails_from
        self._seconds_a_row = seconds_a_row
        self._seconds_a_run = seconds_a_run
        self._shift = shift
        self._form = form

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        rows = inputs["input"]
        self.sizes.append(len(rows))
        self.now += self._seconds_a_row * len(rows) + self._seconds_a_run
        if self._fails_from is not None and len(self.sizes) >= self._fails_from:
            raise InferenceFailed("it is tired")
        return [self._form(rows[:, :1] + self._shift * (len(rows) > 1))]

    def close(self) -> None:
        """Nothing to let go of."""


ONE_ROW = {"input": np.full((1, 2), 0.5, np.float32)}


@pytest.mark.parametrize(
    ("run", "runs"),
    [(1, []), (REPEATS, []), (REPEATS + 1, [1]), (REPEATS + 2, [1])],
    ids=["first", "again", "row", "second row"],
)
def test_batch_is_unknown_where_the_model_does_not_run_again(run: int, runs: list[int]) -> None:
    found = measure(Scripted(fails_from=run), ONE_ROW)
    assert found["batch"] == {"equals_single": None, "reason": "the model did not run again"}
    assert batches(found["runs"]) == runs


def test_batch_that_fails_when_it_is_repeated_is_told_with_its_one_run() -> None:
    found = measure(Scripted(fails_from=REPEATS + 2 + 2), ONE_ROW)
    assert found["runs"][1]["batch"] == 2
    assert found["runs"][1]["seconds"] >= 0


@pytest.mark.parametrize(("shift", "equals"), [(1e-6, True), (4e-4, True), (2e-3, False)])
def test_difference_that_another_order_of_sums_makes_is_let_through(shift: float, equals: bool) -> None:
    found = measure(Scripted(shift=shift), ONE_ROW)
    assert found["batch"]["equals_single"] is equals
    if equals:
        assert found["batch"]["max_difference"] == pytest.approx(shift, rel=0.1)


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: (rows * 8).astype(np.int64),
        lambda rows: rows > 1,
        lambda rows: rows.astype(str).astype(object),
        lambda rows: [{0: row} for (row,) in rows.tolist()],
        lambda rows: np.where(rows > 1, -60000, 60000).astype(np.float16),
        lambda rows: np.where(rows > 1, np.nan, 1.0),
        lambda rows: np.where(rows > 1, np.inf, 1.0),
        lambda rows: rows[: 1 if len(rows) > 1 else None],
        lambda rows: np.zeros((len(rows), len(rows))),
        lambda rows: np.ones((1, 1)),
        lambda rows: {"rows": len(rows)},
        lambda rows: None,
    ],
    ids=[
        "integers",
        "booleans",
        "strings",
        "maps",
        "float16",
        "nan",
        "inf",
        "one for all",
        "wider",
        "always one",
        "a map",
        "nothing",
    ],
)
def test_batch_that_gives_something_else_is_unequal_in_every_form(form: Callable[[Array], Output]) -> None:
    assert measure(Scripted(shift=1.0, form=form), ONE_ROW)["batch"]["equals_single"] is False


def test_batches_beyond_the_budget_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Scripted(seconds_a_row=1.0)
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    found = measure(engine, ONE_ROW, seconds=30)
    assert batches(found["runs"]) == [1, 2, 4, 8]
    assert [run["seconds"] for run in found["runs"]] == [1.0, 2.0, 4.0, 8.0]
    assert found["batch"]["equals_single"] is True
    assert engine.now <= 30


def test_run_is_not_repeated_where_that_would_leave_no_time_for_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Scripted(seconds_a_row=0.01)
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    found = measure(engine, ONE_ROW, seconds=0.01 * (1 + len(SIZES)), ran_seconds=0.01)
    assert engine.sizes == [1, *[1, 1, 2]]  # once alone, and the batch with its rows
    assert batches(found["runs"]) == [1, 2]


def test_batch_of_a_model_that_takes_as_long_for_many_rows_as_for_one_is_given_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Scripted(seconds_a_run=1.0)
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    found = measure(engine, ONE_ROW, seconds=20)
    assert batches(found["runs"]) == [1, *SIZES]
    assert engine.now <= 20


def test_batch_is_unknown_where_there_is_no_memory_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def concatenate(*_: object) -> Array:
        raise MemoryError

    monkeypatch.setattr(np, "concatenate", concatenate)
    found = measure(Scripted(), ONE_ROW)
    assert found["batch"] == {"equals_single": None, "reason": "there was no memory for a batch"}
    assert batches(found["runs"]) == [1]


def test_long_run_is_taken_at_its_word() -> None:
    engine = Scripted()
    found = measure(engine, ONE_ROW, seconds=0, ran_seconds=TAKEN_AT_ITS_WORD)
    assert found["runs"] == [{"batch": 1, "seconds": TAKEN_AT_ITS_WORD}]
    assert engine.sizes == []


def test_least_of_the_runs_is_what_counts_where_none_are_made_together(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Bursty({1: 5.0, 2: 0.125}, seconds_a_row=0.25)
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    monkeypatch.setattr("daemon.trial.measuring._why_not", lambda *_: "rows cannot be put together")
    assert measure(engine, ONE_ROW, seconds=1000)["runs"] == [{"batch": 1, "seconds": 0.25}]


def test_long_run_is_corrected_by_the_rows_that_are_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Scripted(seconds_a_row=0.03125)
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    assert measure(engine, ONE_ROW, ran_seconds=0.09)["runs"][0] == {"batch": 1, "seconds": 0.03125}


# What else the machine does while a model is measured: the figures are those of a network of 14 MB on an idle machine.

WEIGHTS_SECONDS, ROW_SECONDS = 120e-6, 25e-6
IDLE_RUNS = REPEATS + ROWS + (1 + REPEATS) * len(SIZES)
"""What is run before all is run again."""


def measured_beside(bursts: Mapping[int, float], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    engine = Bursty(bursts, seconds_a_run=WEIGHTS_SECONDS, seconds_a_row=ROW_SECONDS)
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    alone_seconds = WEIGHTS_SECONDS + ROW_SECONDS
    return measure(engine, ONE_ROW, seconds=LEAST_MEASURE_SECONDS, ran_seconds=alone_seconds)


@pytest.mark.parametrize(("runs", "burst_seconds"), [(1, 18e-3), (REPEATS + 1, 4e-3), (2 * REPEATS, 1e-3)])
def test_burst_of_other_work_changes_no_plan_whenever_it_comes(
    runs: int, burst_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = batch_size(measured_beside({}, monkeypatch))
    assert calm == 32
    for first in range(1, IDLE_RUNS + 1):
        found = measured_beside(dict.fromkeys(range(first, first + runs), burst_seconds), monkeypatch)
        assert batch_size(found) == calm, f"a burst at run {first} makes it {found['runs']}"


def test_long_run_is_not_taken_at_its_word_where_half_the_rows_speak_against_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calm = measured_heavy({}, monkeypatch)["runs"]
    assert batches(calm) == [1, *SIZES]
    fourth = REPEATS + 2 + (1 + REPEATS) + 2 + 1  # the first batch of four
    found = measured_heavy({fourth: 0.5}, monkeypatch)["runs"]
    assert [run["seconds"] for run in found] == pytest.approx([run["seconds"] for run in calm])


def measured_heavy(bursts: Mapping[int, float], monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    engine = Bursty(bursts, seconds_a_row=0.01)
    monkeypatch.setattr(time, "perf_counter", lambda: engine.now)
    return measure(engine, ONE_ROW, seconds=20, ran_seconds=0.01)


class Bursty(Scripted):
    """Takes so much longer for some runs, by their number, than it needs."""

    def __init__(self, bursts: Mapping[int, float], **needs: float) -> None:
        super().__init__(**needs)  # type: ignore[arg-type]
        self._bursts = bursts

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        outputs = super().run(inputs, timeout_seconds=timeout_seconds)
        self.now += self._bursts.get(len(self.sizes), 0.0)
        return outputs
