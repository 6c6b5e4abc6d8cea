"""Inputs made from a signature alone, and the verdict of a first run."""

import math
from collections.abc import Callable, Mapping
from itertools import count

import numpy as np
import pytest

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.release import Dim, Signature, TensorSpec
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.port import Output
from daemon.runtime.synthesis import LARGEST_BYTES, attempts, first_run


def synthesise(signature: Signature, *, seed: int = 0) -> dict[str, Array]:
    """The first of ``attempts``."""
    return next(attempts(signature, seed=seed))


def spec(dtype: str = "float32", shape: tuple[Dim, ...] | None = None, *, name: str = "x") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def signature(*inputs: TensorSpec) -> Signature:
    return Signature(inputs, (spec(name="y"),))


class FakeEngine:
    """Answers every run with what ``verdict`` does."""

    def __init__(self, made: Signature, verdict: Callable[[Mapping[str, Array]], None]) -> None:
        self.signature = made
        self.metadata: Mapping[str, object] = {}
        self.runs: list[Mapping[str, Array]] = []
        self.timeouts: list[float] = []
        self._verdict = verdict

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        self.runs.append(inputs)
        self.timeouts.append(timeout_seconds)
        self._verdict(inputs)
        return []

    def close(self) -> None:
        """Nothing to free."""


def takes(inputs: Mapping[str, Array]) -> None:
    """A model that takes everything."""


def fails(inputs: Mapping[str, Array]) -> None:
    raise InferenceFailed("division by zero")


def blames_input(inputs: Mapping[str, Array]) -> None:
    raise InvalidInput("index out of range")


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_made_as_it_travels(dtype: str) -> None:
    array = synthesise(signature(spec(dtype, (2, 3))))["x"]
    assert array.dtype == DTYPES[dtype].numpy
    assert array.shape == (2, 3)


def test_values_are_plausible() -> None:
    made = synthesise(signature(spec("int64", (100,), name="i"), spec("float32", (100,), name="f")))
    assert set(made["i"].tolist()) == {0, 1}
    assert 0 <= made["f"].min() < made["f"].max() < 1
    assert set(synthesise(signature(spec("string", (3,))))["x"].tolist()) == {"a"}


def test_open_dimensions_are_one_at_first() -> None:
    assert synthesise(signature(spec(shape=("batch", 3, None))))["x"].shape == (1, 3, 1)


def test_unknown_rank_is_a_scalar_at_first() -> None:
    assert synthesise(signature(spec()))["x"].shape == ()


def test_optional_inputs_are_left_out() -> None:
    made = synthesise(signature(spec(), TensorSpec("o", "float32", (1,), optional=True)))
    assert list(made) == ["x"]


def test_same_seed_gives_the_same_values() -> None:
    one, same, other = (synthesise(signature(spec(shape=(9,))), seed=seed)["x"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_model_without_inputs_gets_one_empty_attempt() -> None:
    assert list(attempts(signature())) == [{}]


def test_fixed_shape_gets_one_attempt() -> None:
    assert [made["x"].shape for made in attempts(signature(spec(shape=(4, 2))))] == [(4, 2)]


def test_open_shape_gets_larger_attempts_later() -> None:
    shapes = [made["x"].shape for made in attempts(signature(spec(shape=("b", 3, "h", "w"))))]
    assert shapes == [(1, 3, 1, 1), (8, 3, 8, 8), (1, 3, 32, 32), (1, 3, 224, 224)]


def test_unknown_rank_gets_several_ranks() -> None:
    assert {made["x"].ndim for made in attempts(signature(spec()))} == {0, 1, 2, 4}


def test_attempts_are_bounded_when_open_dimensions_multiply() -> None:
    for made in attempts(signature(spec(shape=("a", "b", "c", "d", "e")))):
        assert made["x"].nbytes <= LARGEST_BYTES


def test_fixed_dimensions_are_kept_when_they_are_heavier_than_the_bound() -> None:
    shape = (LARGEST_BYTES // 1024 + 1, 1024)
    assert [made["x"].shape for made in attempts(signature(spec("bool", shape)))] == [shape]


def test_first_run_gives_the_inputs_that_ran() -> None:
    def takes_vectors(inputs: Mapping[str, Array]) -> None:
        if inputs["x"].ndim != 1:
            fails(inputs)

    engine = FakeEngine(signature(spec()), takes_vectors)
    taken = first_run(engine, timeout_seconds=5.0).inputs
    assert taken is not None
    assert taken["x"].shape == (1,)
    assert len(engine.runs) == 2


def test_first_run_rejects_when_every_run_fails() -> None:
    engine = FakeEngine(signature(spec(shape=("batch",))), fails)
    with pytest.raises(Rejected, match="division by zero") as caught:
        first_run(engine, timeout_seconds=5.0)
    assert caught.value.check == "trial"
    assert len(engine.runs) > 1


def test_first_run_rejects_when_one_failure_is_not_the_inputs() -> None:
    verdicts = count()
    engine = FakeEngine(signature(spec()), lambda inputs: (fails if next(verdicts) == 1 else blames_input)(inputs))
    with pytest.raises(Rejected, match="division by zero"):
        first_run(engine, timeout_seconds=5.0)


def test_first_run_passes_and_says_why_when_only_the_inputs_are_blamed() -> None:
    found = first_run(FakeEngine(signature(spec()), blames_input), timeout_seconds=5.0)
    assert found.inputs is None
    assert "index out of range" in found.why


def test_first_run_rejects_at_once_when_a_run_takes_too_long() -> None:
    def takes_for_ever(inputs: Mapping[str, Array]) -> None:
        raise RunTimeout("stopped")

    engine = FakeEngine(signature(spec()), takes_for_ever)
    with pytest.raises(Rejected, match="stopped after 5 seconds"):
        first_run(engine, timeout_seconds=5.0)
    assert len(engine.runs) == 1


def test_first_run_gives_all_attempts_one_deadline() -> None:
    engine = FakeEngine(signature(spec()), blames_input)
    first_run(engine, timeout_seconds=5.0)
    assert engine.timeouts == sorted(engine.timeouts, reverse=True)
    assert len(set(engine.timeouts)) > 1
    assert math.isclose(engine.timeouts[0], 5.0, abs_tol=0.5)


def test_first_run_does_not_hide_a_defect() -> None:
    def breaks(inputs: Mapping[str, Array]) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        first_run(FakeEngine(signature(spec()), breaks), timeout_seconds=5.0)


def test_first_run_accepts_a_model_that_runs_at_first() -> None:
    engine = FakeEngine(signature(spec(shape=("batch", 10))), takes)
    taken = first_run(engine, timeout_seconds=5.0).inputs
    assert taken is engine.runs[0]
