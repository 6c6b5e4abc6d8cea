"""A model in several sessions: each run takes the one that fits the cores that are free."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from daemon.errors import Rejected, RunTimeout
from daemon.runtime import Array, CoreBudget, Deadlines, EngineOptions, Gearbox, Output, gears_of, waits_for_cores
from daemon.runtime.gears import GearedEngine
from tests import onnx_models
from tests.fakes import WAIT_SECONDS, FakeEngine

INPUTS = {"input": np.zeros((1, 1), np.float32)}
LONG = {"runs": [{"batch": 1, "seconds": 0.03}], "batch": {"equals_single": None}}
SHORT = {"runs": [{"batch": 1, "seconds": 0.00001}], "batch": {"equals_single": None}}


class Held(FakeEngine):
    """Says that it began, and ends when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.may_end = threading.Event(), threading.Event()
        self.timeout_seconds = 0.0

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        self.timeout_seconds = timeout_seconds
        self.began.set()
        assert self.may_end.wait(WAIT_SECONDS)
        return super().run(inputs, timeout_seconds=timeout_seconds)


def test_lonely_run_is_wide_and_one_beside_it_waits_for_a_core_and_is_narrow() -> None:
    wide, narrow, other = Held(), Held(), Held()
    budget = CoreBudget(2)
    engine = GearedEngine([(2, wide), (1, narrow)], budget)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(engine.run, INPUTS, timeout_seconds=WAIT_SECONDS)
        assert wide.began.wait(WAIT_SECONDS)
        busy = pool.submit(GearedEngine([(1, other)], budget).run, INPUTS, timeout_seconds=WAIT_SECONDS)
        second = pool.submit(engine.run, INPUTS, timeout_seconds=WAIT_SECONDS)
        assert not other.began.is_set()
        wide.may_end.set()
        assert other.began.wait(WAIT_SECONDS)
        assert narrow.began.wait(WAIT_SECONDS)
        for held in (other, narrow):
            held.may_end.set()
        for run in (first, busy, second):
            assert len(run.result(WAIT_SECONDS)) == 1
    assert (wide.runs, narrow.runs) == (1, 1)


def test_wait_for_a_core_is_part_of_the_time() -> None:
    budget = CoreBudget(1)
    engine = GearedEngine([(1, FakeEngine())], budget)
    with budget.claim(1, timeout_seconds=1), pytest.raises(RunTimeout):
        engine.run(INPUTS, timeout_seconds=0.01)
    held = Held()
    held.may_end.set()
    GearedEngine([(1, held)], budget).run(INPUTS, timeout_seconds=5)
    assert 4 < held.timeout_seconds <= 5


def test_run_of_a_model_with_a_wide_session_alone_waits_for_all_of_its_cores() -> None:
    wide, other = Held(), Held()
    budget = CoreBudget(2)
    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(GearedEngine([(1, other)], budget).run, INPUTS, timeout_seconds=WAIT_SECONDS)
        assert other.began.wait(WAIT_SECONDS)
        run = pool.submit(GearedEngine([(2, wide)], budget).run, INPUTS, timeout_seconds=WAIT_SECONDS)
        assert not wide.began.wait(0.05), "there was one core"
        wide.may_end.set()
        other.may_end.set()
        for each in (busy, run):
            assert len(each.result(WAIT_SECONDS)) == 1


def test_closing_closes_every_gear() -> None:
    wide, narrow = FakeEngine(), FakeEngine()
    engine = GearedEngine([(2, wide), (1, narrow)], CoreBudget(2))
    assert list(gears_of(engine)) == [wide, narrow]
    assert list(gears_of(wide)) == [wide]
    assert engine.signature is wide.signature
    assert engine.metadata is wide.metadata
    engine.close()
    assert (wide.closes, narrow.closes) == (1, 1)


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    deadlines = Deadlines()
    yield deadlines
    deadlines.stop()


def gearbox(deadlines: Deadlines, threads: int = 0, cores: int = 4) -> Gearbox:
    return Gearbox(
        EngineOptions(providers=("CPUExecutionProvider",), threads=threads), deadlines, CoreBudget(cores), cores
    )


def test_model_gets_the_gears_that_its_trial_speaks_for(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    ten = {"input": np.zeros((1, 10), np.float32)}
    for trial, number, waits in ((LONG, 2, True), (SHORT, 1, False), ({}, 1, True)):
        engine = gearbox(deadlines).load(path, trial)
        assert len(gears_of(engine)) == number
        assert waits_for_cores(engine) is waits
        for each in (engine, *gears_of(engine)):
            assert each.run(ten, timeout_seconds=5)[0].tolist() == [[2.5] * 5]  # type: ignore[union-attr]
        engine.close()


def test_large_model_is_not_had_twice(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    engine = gearbox(deadlines).load(path, {**LONG, "memory": {"resident_bytes": 1 << 30}})
    assert len(gears_of(engine)) == 1
    engine.close()


def test_threads_of_the_settings_are_what_every_model_gets(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    engine = gearbox(deadlines, threads=3).load(path, LONG)
    assert isinstance(engine, GearedEngine)
    assert engine._widest == 3
    engine.close()


def test_model_that_does_not_load_is_rejected_whatever_gears_it_was_to_have(
    tmp_path: Path, deadlines: Deadlines
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(Rejected):
        gearbox(deadlines).load(path, LONG)
