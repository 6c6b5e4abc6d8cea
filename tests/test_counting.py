"""Every request to run a model is counted once, under the release that it came to, and with what became of it."""

import gc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import pytest
from werkzeug.test import EnvironBuilder

from daemon.errors import (
    ARRIVED,
    AT_ONCE,
    TOGETHER,
    HandOver,
    InferenceFailed,
    InvalidInput,
    InvalidJson,
    NotServing,
    RunTimeout,
    TooLarge,
    UnknownModel,
    UnknownVersion,
    UnsupportedMediaType,
)
from daemon.web.asking import Asked, Target
from daemon.web.counting import Counted
from daemon.web.dialects.plain import PLAIN
from daemon.web.door import PredictGrouping
from daemon.web.faces import Face, face_of
from daemon.web.totals import Totals
from tests.fakes import FakeEngine, release_of
from tests.web_rig import LIMIT_BYTES, WebRig

GOOD = b'{"inputs": [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]}'
TWO_ROWS = b'{"inputs": [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]}'


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path) as rig:
        rig.update(1.0)
        yield rig


def rows(rig: WebRig) -> list[tuple[str, int, int, dict[str, int]]]:
    """Model, version, answers and failures by class, of all that was counted."""
    return [(*place(row), row.totals.answered, failures(row.totals)) for row in rig.predictor.counting.all()]


def place(row: Counted) -> tuple[str, int]:
    return (row.release.model, row.release.version) if row.release else ("", 0)


def failures(totals: Totals) -> dict[str, int]:
    return {kind if isinstance(kind, str) else kind.__name__: count for kind, count in totals.failed.items()}


def test_answer_counts_for_its_release(rig: WebRig) -> None:
    for _ in range(3):
        assert rig.predict().status_code == 200
    assert rows(rig) == [("default", 1, 3, {})]


def test_answer_of_flasks_view_counts_the_same(rig: WebRig) -> None:
    door = cast(Any, rig.app.wsgi_app)
    status: list[str] = []
    environ = EnvironBuilder(path="/predict", method="POST", data=GOOD).get_environ()
    b"".join(door._behind(environ, lambda told, _headers, _info=None: status.append(told)))
    assert status == ["200 OK"]
    assert rows(rig) == [("default", 1, 1, {})]


@pytest.mark.parametrize(
    ("body", "kind", "more"),
    [
        (b"{", InvalidJson, {}),
        (b'{"inputs": [[1]]}', InvalidInput, {}),
        (b"x", UnsupportedMediaType, {"content_type": "image/png"}),
    ],
)
def test_mistake_counts_for_the_release_that_found_it(
    rig: WebRig, body: bytes, kind: type, more: dict[str, Any]
) -> None:
    assert rig.post("/predict", body, **more).status_code >= 400
    assert rows(rig) == [("default", 1, 0, {kind.__name__: 1})]


def test_request_that_comes_to_no_release_counts_for_none(rig: WebRig) -> None:
    assert rig.predict("/models/other/predict").status_code == 404
    assert rig.post("/predict", b" " * (LIMIT_BYTES + 1)).status_code == 413
    assert rows(rig) == [("", 0, 0, {UnknownModel.__name__: 1, TooLarge.__name__: 1})]


def test_model_without_a_release_is_told_apart(tmp_path: Path) -> None:
    with WebRig(tmp_path) as rig:
        assert rig.predict().status_code == 503
        assert rows(rig) == [("", 0, 0, {NotServing.__name__: 1})]


def test_version_that_is_not_loaded_counts_for_none(rig: WebRig) -> None:
    asked = Asked(Target("default", 7), {"wsgi.input": BytesIO(GOOD)})
    with pytest.raises(UnknownVersion):
        rig.predictor.answer(PLAIN, asked)
    assert rows(rig) == [("", 0, 0, {UnknownVersion.__name__: 1})]


@pytest.mark.parametrize("failure", [InferenceFailed("no"), RunTimeout("late"), ValueError("a surprise")])
def test_failed_run_counts_for_its_release(rig: WebRig, failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.holder.lease("default") as serving:
        monkeypatch.setattr(serving.engine, "run", _raiser(failure))
    assert rig.predict().status_code >= 500
    assert rows(rig) == [("default", 1, 0, {type(failure).__name__: 1})]


def test_request_that_is_handed_over_does_not_count_yet(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.holder.lease("default") as serving, monkeypatch.context() as patched:
        patched.setattr(serving.engine, "run", _raiser(RunTimeout("late")))
        with pytest.raises(HandOver):
            rig.predictor.answer(PLAIN, Asked(Target(), {"wsgi.input": BytesIO(GOOD), AT_ONCE: True}))
    assert rows(rig) == [("default", 1, 0, {})]
    assert rig.predictor.counting.of("default")[0].totals.in_flight == 0


def test_figures_go_with_their_release(rig: WebRig) -> None:
    rig.predict()
    rig.update(2.0)
    assert rows(rig) == []
    rig.predict()
    assert rows(rig) == [("default", 2, 1, {})]


def test_counts_begin_anew_when_a_model_is_loaded_again(rig: WebRig) -> None:
    assert [rig.predict().status_code for _ in range(3)] == [200] * 3
    assert rig.post("/v2/repository/models/default/unload").status_code == 200
    assert rows(rig) == []
    assert rig.post("/v2/repository/models/default/load").status_code == 200
    assert rows(rig) == []
    assert rig.predict().status_code == 200
    assert rows(rig) == [("default", 1, 1, {})]


def test_what_is_unloaded_leaves_nothing_behind(rig: WebRig) -> None:
    gc.collect()
    before = sum(isinstance(each, Face) for each in gc.get_objects())
    for number in range(1000):
        model = f"m{number}"
        rig.holder.swap(release_of(model=model), FakeEngine())
        with rig.holder.lease(model) as serving:
            face_of(serving).tongue(PLAIN)
    assert len(rig.predictor.counting.all()) == 1000
    for number in range(1000):
        rig.holder.retire(f"m{number}")
    del serving
    gc.collect()
    assert sum(isinstance(each, Face) for each in gc.get_objects()) == before
    assert rig.predictor.counting.all() == []


def test_release_keeps_its_figures_until_it_stands_by(rig: WebRig) -> None:
    rig.predict()
    retired = rig.holder.swap(release_of(2), FakeEngine())
    assert retired is not None
    with rig.holder.lease("default") as serving:
        face_of(serving).tongue(PLAIN)  # as a request of the new release does, before the old one stands by
    rig.holder.stand_by(retired)
    assert rows(rig) == [("default", 1, 1, {}), ("default", 2, 0, {})]


def test_models_are_told_by_name(rig: WebRig) -> None:
    rig.update(3.0, "b")
    rig.update(4.0, "a")
    for model in ("b", "default", "a"):
        rig.predict(f"/models/{model}/predict")
    assert [row[0] for row in rows(rig)] == ["a", "b", "default"]
    assert [place(row) for row in rig.predictor.counting.of("b")] == [("b", 1)]
    assert rig.predictor.counting.of("nobody") == []


def test_rows_are_counted_where_their_number_is_open(rig: WebRig) -> None:
    rig.post("/predict", GOOD)
    rig.post("/predict", TWO_ROWS)
    totals = rig.predictor.counting.of("default")[0].totals
    assert [totals.rows, totals.runs, sorted(totals.sizes)] == [3, 2, [1, 2]]


def test_time_before_the_answer_was_begun_is_the_queues(rig: WebRig) -> None:
    fields = {"wsgi.input": BytesIO(GOOD), ARRIVED: perf_counter() - 5.0}
    rig.predictor.answer(PLAIN, Asked(Target(), fields))
    totals = rig.predictor.counting.of("default")[0].totals
    assert 5.0 <= totals.seconds["queue"].total < 6.0
    parts = sum(spread.total for spread in totals.seconds.values())
    assert totals.whole.total == pytest.approx(parts)


def test_request_is_in_flight_while_it_runs(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    with rig.holder.lease("default") as serving:
        run = serving.engine.run

        def looked(*args: Any, **more: Any) -> Any:
            seen.append(rig.predictor.counting.of("default")[0].totals.in_flight)
            return run(*args, **more)

        monkeypatch.setattr(serving.engine, "run", looked)
    rig.predict()
    assert seen == [1]
    assert rig.predictor.counting.of("default")[0].totals.in_flight == 0


class TestTogether:
    """Requests that are answered together are counted one by one, and their run once."""

    @pytest.fixture(autouse=True)
    def batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("daemon.web.faces.batch_size", lambda _trial: 8)

    def joined(self, rig: WebRig, group: object, body: bytes) -> Any:
        environ = EnvironBuilder(path="/predict", method="POST", data=body).get_environ()
        told = cast(Any, rig.app.wsgi_app)(
            {**environ, "wsgi.input": BytesIO(body), TOGETHER: group, ARRIVED: perf_counter() - 3.0},
            lambda _status, _headers: None,
        )
        return lambda: b"".join(told)

    def test_each_counts_and_the_run_once(self, rig: WebRig) -> None:
        with PredictGrouping(rig.predictor, threads=8).together("default") as group:
            answers = [self.joined(rig, group, body) for body in (GOOD, TWO_ROWS, GOOD)]
            assert rig.predictor.counting.of("default")[0].totals.in_flight == 3
            for answer in answers:
                answer()
        totals = rig.predictor.counting.of("default")[0].totals
        assert [totals.answered, totals.rows, totals.runs, totals.in_flight] == [3, 4, 1, 0]
        assert totals.sizes[4].runs == 1
        assert totals.seconds["infer"].total == pytest.approx(3 * totals.sizes[4].infer)
        assert 9.0 <= totals.seconds["queue"].total < 12.0
        assert totals.whole.total == pytest.approx(sum(spread.total for spread in totals.seconds.values()))

    def test_mistake_of_one_is_its_own(self, rig: WebRig) -> None:
        with PredictGrouping(rig.predictor, threads=8).together("default") as group:
            for answer in [self.joined(rig, group, body) for body in (GOOD, b"{", GOOD)]:
                answer()
        assert rows(rig) == [("default", 1, 2, {InvalidJson.__name__: 1})]

    def test_member_that_is_handed_over_does_not_count_yet(self, rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
        with rig.holder.lease("default") as serving:
            monkeypatch.setattr(serving.engine, "run", _raiser(InferenceFailed("no")))
        with PredictGrouping(rig.predictor, threads=8).together("default") as group:
            for answer in [self.joined(rig, group, GOOD) for _ in range(2)]:
                with pytest.raises(HandOver):
                    answer()
        assert rows(rig) == [("default", 1, 0, {})]


def _raiser(failure: Exception) -> Any:
    def run(*_args: object, **_more: object) -> None:
        raise failure

    return run
