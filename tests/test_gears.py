"""A model in several sessions: each run takes the one that fits the cores that are free."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from daemon.errors import Rejected, RunTimeout
from daemon.runtime import (
    Array,
    CoreBudget,
    Deadlines,
    Engine,
    EngineOptions,
    Gearbox,
    Output,
    complete,
    is_complete,
    runs_abreast,
    waits_for_cores,
)
from daemon.runtime.deadlines import overdue
from daemon.runtime.gearbox import CHEAP_BYTES
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


class Late(FakeEngine):
    """Is stopped when its time is up."""

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        raise overdue(timeout_seconds)


def test_deadline_that_is_told_is_the_one_that_was_asked_for() -> None:
    engine = GearedEngine([(1, Late())], CoreBudget(1))
    with pytest.raises(RunTimeout, match=r"^the run was stopped at its deadline of 20 ms$"):
        engine.run(INPUTS, timeout_seconds=0.02)


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
    assert list(engine.gears) == [wide, narrow]
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
    options = EngineOptions(providers=("CPUExecutionProvider",), threads=threads)
    return Gearbox(options, deadlines, CoreBudget(cores), cores, most_runs=8)


def test_model_gets_the_gears_that_its_trial_speaks_for(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    ten = {"input": np.zeros((1, 10), np.float32)}
    for trial, number, waits in ((LONG, 3, True), (SHORT, 1, False), ({}, 1, True)):
        engine = gearbox(deadlines).load(path, trial)
        assert is_complete(engine) is (number == 1)
        complete(engine, lambda _: None)
        assert is_complete(engine)
        gears = engine.gears if isinstance(engine, GearedEngine) else [engine]
        assert len(gears) == number
        assert waits_for_cores(engine) is waits
        for each in (engine, *gears):
            assert each.run(ten, timeout_seconds=5)[0].tolist() == [[2.5] * 5]  # type: ignore[union-attr]
        engine.close()


def test_widest_gear_is_made_first(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    engine = gearbox(deadlines).load(path, LONG)
    assert isinstance(engine, GearedEngine)
    assert [threads for threads, _ in engine._engines] == [4]
    engine.complete(lambda _: None)
    assert [threads for threads, _ in engine._engines] == [4, 2, 1]
    engine.close()


def test_large_model_is_not_had_twice(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    engine = gearbox(deadlines).load(path, {**LONG, "memory": {"resident_bytes": 1 << 30}})
    assert isinstance(engine, GearedEngine)
    assert engine.is_complete
    assert len(engine.gears) == 1
    engine.close()


def test_model_has_as_many_sessions_as_there_is_memory_for(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    for resident_bytes, widths in ((CHEAP_BYTES // 2, [4, 2, 1]), (CHEAP_BYTES, [4, 1])):
        engine = gearbox(deadlines).load(path, {**LONG, "memory": {"resident_bytes": resident_bytes}})
        complete(engine, lambda _: None)
        assert isinstance(engine, GearedEngine)
        assert [threads for threads, _ in engine._engines] == widths
        engine.close()


@pytest.mark.parametrize(
    ("widths", "cores", "number"),
    [((2, 1), 2, 1), ((4, 2, 1), 4, 2), ((16, 4, 2), 16, 4), ((64, 16, 8), 64, 4), ((16,), 16, 1), ((4,), 16, 4)],
)
def test_as_many_runs_are_made_side_by_side_as_get_a_gear_of_several_threads(
    widths: tuple[int, ...], cores: int, number: int
) -> None:
    engine = GearedEngine([(threads, FakeEngine()) for threads in widths], CoreBudget(cores))
    assert runs_abreast(engine) == number
    assert runs_abreast(FakeEngine()) == 1


def test_run_takes_the_threads_of_the_only_gear_until_the_other_is_there() -> None:
    wide, narrow, budget = FakeEngine(), FakeEngine(), CoreBudget(2)
    engine = GearedEngine([(2, wide)], budget, [(1, lambda: narrow)])
    with budget.claim(1, timeout_seconds=1), pytest.raises(RunTimeout):
        engine.run(INPUTS, timeout_seconds=0.01)
    engine.complete(lambda _: None)
    with budget.claim(1, timeout_seconds=1):
        engine.run(INPUTS, timeout_seconds=0.01)
    assert (wide.runs, narrow.runs) == (0, 1)


def test_gear_to_come_is_warm_before_a_run_may_take_it() -> None:
    wide, narrow, budget = FakeEngine(), FakeEngine(), CoreBudget(2)
    engine = GearedEngine([(2, wide)], budget, [(1, lambda: narrow)])
    seen: list[int] = []

    def warm(gear: Engine) -> None:
        with budget.claim(2, timeout_seconds=1), pytest.raises(RunTimeout):
            gear.run(INPUTS, timeout_seconds=0.01)  # it waits for a core like everybody
        gear.run(INPUTS, timeout_seconds=1)
        seen.append(len(engine.gears))

    engine.complete(warm)
    assert seen == [1]
    assert narrow.runs == 1
    assert list(engine.gears) == [wide, narrow]


def test_gear_that_comes_after_the_end_is_closed() -> None:
    wide, narrow, never = FakeEngine(), FakeEngine(), FakeEngine()
    engine = GearedEngine([(4, wide)], CoreBudget(4), [(2, lambda: narrow), (1, lambda: never)])
    engine.complete(lambda _: engine.close())
    assert (wide.closes, narrow.closes, never.closes) == (1, 1, 0)
    assert list(engine.gears) == [wide]
    assert engine.is_complete


def test_gear_that_cannot_be_warmed_is_closed_and_done_without() -> None:
    wide, narrow = FakeEngine(), FakeEngine()
    engine = GearedEngine([(2, wide)], CoreBudget(2), [(1, lambda: narrow)])

    def warm(_: Engine) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.complete(warm)
    assert narrow.closes == 1
    assert engine.is_complete
    assert list(engine.gears) == [wide]


def test_gear_that_cannot_be_made_is_done_without() -> None:
    def make() -> Engine:
        raise Rejected("load", "the file is gone")

    narrow = FakeEngine()
    engine = GearedEngine([(4, FakeEngine())], CoreBudget(4), [(2, make), (1, lambda: narrow)])
    with pytest.raises(Rejected, match="the file is gone"):
        complete(engine, lambda _: None)
    assert is_complete(engine)
    assert list(engine.gears)[1:] == [narrow], "the others are made"
    assert len(engine.run(INPUTS, timeout_seconds=1)) == 1


def test_threads_of_the_settings_are_what_every_model_gets(tmp_path: Path, deadlines: Deadlines) -> None:
    path = onnx_models.constant_model(tmp_path / "m.onnx", 2.5)
    engine = gearbox(deadlines, threads=3).load(path, LONG)
    assert isinstance(engine, GearedEngine)
    assert [threads for threads, _ in engine._engines] == [3]
    assert engine.is_complete
    engine.close()


def test_model_that_does_not_load_is_rejected_whatever_gears_it_was_to_have(
    tmp_path: Path, deadlines: Deadlines
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(Rejected):
        gearbox(deadlines).load(path, LONG)
