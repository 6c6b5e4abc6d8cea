"""Adopting: an engine is warmed by what requests look like, and a compiled form is preferred as long as it loads."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout, UnknownVersion
from daemon.gate import Proofs
from daemon.holder import ModelHolder, Serving
from daemon.lane import Stages
from daemon.lane.adopt import WARMING_SECONDS, Adoption
from daemon.lane.loading import Loading
from daemon.runtime import Array, CoreBudget, Engine, Output
from daemon.runtime.gears import GearedEngine
from tests.deploying_rig import DeployingRig
from tests.fakes import FakeEngine, release_of

RELEASE = release_of(3)


def sent(value: float, *, rows: int = 1) -> dict[str, Array]:
    """A request whose input says ``value``."""
    return {"input": np.full((rows, 2), value, np.float32)}


class Recording(FakeEngine):
    """Notes the first number of every input; ``refuses`` says what some of them raise."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []
        self.refuses: dict[float, Exception] = {}

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        number = float(inputs["input"].ravel()[0])
        self.seen.append(number)
        if number in self.refuses:
            raise self.refuses[number]
        return super().run(inputs, timeout_seconds=timeout_seconds)


class Clock:
    """What warming takes for the time; it is later by ``step`` whenever it is asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def engine() -> Recording:
    return Recording()


@pytest.fixture
def holder() -> Iterator[ModelHolder]:
    holder = ModelHolder()
    yield holder
    holder.close()


def warmed(holder: ModelHolder, engine: Engine, *recent: float, in_haste: bool = False) -> object:
    """The engine of a release whose model had these requests of late."""

    def requests_of(model: str) -> Sequence[Mapping[str, Array]]:
        assert model == RELEASE.model
        return [sent(value, rows=number + 1) for number, value in enumerate(recent)]

    adoption = Adoption(holder, Path("store"), lambda _: engine, recent=requests_of, timeout_seconds=5)
    return adoption.warm_engine(RELEASE, Stages(), in_haste=in_haste)


def test_engine_is_warmed_by_the_newest_recent_request_of_each_shape(holder: ModelHolder, engine: Recording) -> None:
    recent = [sent(7), sent(8, rows=3), sent(9), sent(10, rows=3), sent(11, rows=2)]
    adoption = Adoption(holder, Path("store"), lambda _: engine, recent=lambda _: recent, timeout_seconds=5)
    assert adoption.warm_engine(RELEASE, Stages()) is engine
    assert engine.seen == [7, 8, 11]


def test_engine_is_warmed_by_made_up_inputs_where_there_were_no_requests(
    holder: ModelHolder, engine: Recording
) -> None:
    warmed(holder, engine)
    (number,) = engine.seen
    assert 0 <= number < 1


def test_engine_is_run_once_in_haste(holder: ModelHolder, engine: Recording) -> None:
    warmed(holder, engine, 7, 8, 9, in_haste=True)
    assert engine.seen == [7]


def test_engine_whose_runs_claim_cores_is_not_run_in_haste(holder: ModelHolder, engine: Recording) -> None:
    geared = GearedEngine([(2, engine)], CoreBudget(2))
    warmed(holder, geared, 7, in_haste=True)
    assert engine.seen == []
    warmed(holder, geared, 7)
    assert engine.seen == [7]


def test_gear_to_come_is_made_and_warmed_when_its_release_serves(holder: ModelHolder, engine: Recording) -> None:
    narrow = Recording()
    geared = GearedEngine([(2, engine)], CoreBudget(2), [(1, lambda: narrow)])
    adoption = Adoption(holder, Path("store"), lambda _: geared, recent=lambda _: [sent(7)], timeout_seconds=5)
    adoption.publish(RELEASE, adoption.warm_engine(RELEASE, Stages()), Stages())
    adoption.complete(release_of(4))
    assert not geared.is_complete, "another release was meant"
    adoption.complete(RELEASE)
    assert list(geared.gears) == [engine, narrow]
    assert narrow.seen == [7]


def test_nothing_is_made_for_a_model_that_does_not_serve(holder: ModelHolder) -> None:
    made: list[str] = []

    def make() -> FakeEngine:
        made.append("narrow")
        return FakeEngine()

    geared = GearedEngine([(2, FakeEngine())], CoreBudget(2), [(1, make)])
    adoption = Adoption(holder, Path("store"), lambda _: geared, recent=lambda _: (), timeout_seconds=5)
    adoption.publish(RELEASE, adoption.warm_engine(RELEASE, Stages()), Stages())
    adoption.retire(RELEASE.model)
    adoption.complete(RELEASE)
    assert made == []


@pytest.mark.parametrize("error", [InvalidInput("no"), InferenceFailed("no"), RunTimeout("no")])
def test_engine_is_warmed_by_made_up_inputs_where_no_request_ran(
    holder: ModelHolder, engine: Recording, error: Exception
) -> None:
    engine.refuses = {7: error, 8: error}
    warmed(holder, engine, 7, 8)
    assert engine.seen[:2] == [7, 8]
    assert engine.runs == 1


def test_request_that_does_not_run_is_passed_over_without_a_word(
    holder: ModelHolder, engine: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    engine.refuses = {7: InvalidInput("hunter2 is no word")}
    warmed(holder, engine, 7, 8)
    assert engine.seen == [7, 8]
    assert caplog.text == ""


def test_warming_ends_when_its_time_is_up(
    holder: ModelHolder, engine: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("daemon.lane.adopt.time", clock)
    clock.step = WARMING_SECONDS * 0.4
    warmed(holder, engine, *range(10))  # it is asked once at the start and once after each
    assert engine.seen == [0, 1, 2]


def test_one_request_is_run_however_slow(
    holder: ModelHolder, engine: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("daemon.lane.adopt.time", clock)
    clock.step = WARMING_SECONDS * 10
    warmed(holder, engine, 7, 8)
    assert engine.seen == [7]


def test_engine_that_cannot_be_warmed_is_warned_of_and_taken(
    holder: ModelHolder, engine: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    engine.fails_from = 1
    assert warmed(holder, engine, 7) is engine
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith("version 3 of default could not be warmed: ")
    assert not engine.closed.is_set()


def test_engine_is_closed_where_warming_fails_as_nobody_foresaw(holder: ModelHolder, engine: Recording) -> None:
    engine.refuses = {7: ZeroDivisionError()}
    with pytest.raises(ZeroDivisionError):
        warmed(holder, engine, 7)
    assert engine.closed.is_set()


def test_engine_is_loaded_from_the_releases_place_in_the_store(holder: ModelHolder, engine: Recording) -> None:
    loaded: list[Path] = []

    def load(path: Path) -> FakeEngine:
        loaded.append(path)
        return engine

    Adoption(holder, Path("store"), load, recent=lambda _: (), timeout_seconds=5).warm_engine(RELEASE, Stages())
    assert loaded == [Path("store") / RELEASE.stored_as]


def test_load_that_is_refused_comes_through(holder: ModelHolder) -> None:
    def load(_: Path) -> FakeEngine:
        raise Rejected("load", "an operator is gone")

    adoption = Adoption(holder, Path("store"), load, recent=lambda _: (), timeout_seconds=5)
    with pytest.raises(Rejected, match="an operator is gone"):
        adoption.warm_engine(RELEASE, Stages())


def test_deploy_warms_by_what_its_model_was_asked_of_late(tmp_path: Path) -> None:
    asked: list[str] = []

    def requests_of(model: str) -> Sequence[Mapping[str, Array]]:
        asked.append(model)
        return [sent(7), sent(8)]

    with DeployingRig(tmp_path, recent=requests_of) as rig:
        rig.deploy(1, model="m")
        assert asked == ["m"]
        assert rig.load.engines[0].runs == 1


class Forms(Proofs):
    """Proofs that know of one compiled form, until it is distrusted."""

    def __init__(self, form: Path | None) -> None:
        super().__init__("key")
        self.form = form
        self.distrusted: list[Path] = []

    def form_of(self, model_file: Path) -> Path | None:
        return self.form

    def distrust(self, model_file: Path) -> None:
        self.distrusted.append(model_file)


MODEL, FORM = Path("store/x/__model__.onnx"), Path("store/x/__made__/key/model.onnx")


def loaded_by(proofs: Proofs, *, map_fails: bool = False, load_fails: bool = False) -> list[tuple[str, Path]]:
    """How and from where the engine was loaded; the loads that were tried, in order."""
    tried: list[tuple[str, Path]] = []

    def act(how: str, path: Path, fails: bool) -> FakeEngine:
        tried.append((how, path))
        if fails:
            raise Rejected("load", f"it cannot be {how}")
        return FakeEngine()

    loading = Loading(
        proofs,
        lambda path, _trial: act("loaded", path, load_fails),
        lambda path, _trial: act("mapped", path, map_fails),
    )
    if load_fails:
        with pytest.raises(Rejected, match="it cannot be loaded"):
            loading(MODEL)
    else:
        assert isinstance(loading(MODEL), FakeEngine)
    return tried


def test_compiled_form_is_mapped_where_there_is_one() -> None:
    proofs = Forms(FORM)
    assert loaded_by(proofs) == [("mapped", FORM)]
    assert proofs.distrusted == []


def test_model_is_loaded_as_it_came_where_there_is_no_form() -> None:
    assert loaded_by(Forms(None)) == [("loaded", MODEL)]


def test_form_that_cannot_be_mapped_is_distrusted_and_the_model_loaded_as_it_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    proofs = Forms(FORM)
    assert loaded_by(proofs, map_fails=True) == [("mapped", FORM), ("loaded", MODEL)]
    assert proofs.distrusted == [MODEL]
    assert [(record.levelno, "it cannot be mapped" in record.message) for record in caplog.records] == [
        (logging.WARNING, True)
    ]


def test_model_that_cannot_be_loaded_as_it_came_is_refused() -> None:
    assert loaded_by(Forms(FORM), map_fails=True, load_fails=True) == [("mapped", FORM), ("loaded", MODEL)]


# What stands by.


def standing_by(holder: ModelHolder, tmp_path: Path) -> Adoption:
    """Version 2 serves, version 1 stands by."""
    adoption = Adoption(holder, tmp_path, lambda _: FakeEngine(), recent=lambda _: (), timeout_seconds=1)
    for version in (1, 2):
        retired = adoption.publish(release_of(version), FakeEngine(), Stages())
    assert retired is not None
    adoption.stand_by(retired)
    return adoption


def test_engine_that_stands_by_is_recalled_and_lent_no_more(holder: ModelHolder, tmp_path: Path) -> None:
    adoption = standing_by(holder, tmp_path)
    assert adoption.recall(release_of(1)) is not None
    with pytest.raises(UnknownVersion), holder.lease("default", 1):
        pass


def test_engine_that_is_lent_by_its_version_is_not_recalled(holder: ModelHolder, tmp_path: Path) -> None:
    adoption = standing_by(holder, tmp_path)
    with holder.lease("default", 1):
        assert adoption.recall(release_of(1)) is None


def test_engine_that_is_lent_as_it_is_recalled_is_not(
    holder: ModelHolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adoption = standing_by(holder, tmp_path)
    lease = holder.lease("default", 1)
    stand_down = holder.stand_down

    def lent_before(model: str) -> object:
        lease.__enter__()
        return stand_down(model)

    monkeypatch.setattr(holder, "stand_down", lent_before)
    assert adoption.recall(release_of(1)) is None
    monkeypatch.undo()
    lease.__exit__(None, None, None)
    assert adoption.recall(release_of(1)) is not None


def test_engine_that_is_dismissed_while_lent_is_closed_after_its_last_lease(
    holder: ModelHolder, tmp_path: Path
) -> None:
    adoption = standing_by(holder, tmp_path)
    with holder.lease("default", 1) as lent:
        adoption.dismiss("default")
        adoption.free_drained()
        assert not engine_of(lent).closed.is_set()
    adoption.free_drained()
    assert engine_of(lent).closed.is_set()


def engine_of(serving: Serving) -> FakeEngine:
    assert isinstance(serving.engine, FakeEngine)
    return serving.engine
