"""Predictions that are made together are, byte for byte, what Flask's view answers to each of them alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, EnvironBuilder

from daemon.errors import TOGETHER, HandOver, InferenceFailed, RunTimeout
from daemon.runtime import CoreBudget
from daemon.runtime.gears import GearedEngine
from daemon.web.access import Tokens
from daemon.web.door import PredictDoor, PredictGrouping
from daemon.web.faces import QUICK_SECONDS, face_of
from tests import onnx_models
from tests.web_rig import LIMIT_BYTES, WebRig

Answer = tuple[int, bytes, dict[str, str]]


@pytest.fixture(autouse=True)
def batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every release is taken for one that is best run in batches of eight."""
    monkeypatch.setattr("daemon.web.faces.batch_size", lambda _trial: 8)


def write(rig: WebRig, number: int) -> str:
    """A model whose every weight is whole, so that it gives the same bits whatever is run beside a row."""
    weights = np.arange(50, dtype=np.float32).reshape(10, 5) % (7 + number)
    return onnx_models.gemm(rig.drop / f"{number}.onnx", weights, np.full(5, number, np.float32)).name


def deploy(rig: WebRig, number: int) -> None:
    assert rig.post("/update_model", {"model_path": write(rig, number)}).status_code == 200


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path) as rig:
        deploy(rig, 1)
        yield rig


class Asked:
    """One request that is made together with others, in its two halves."""

    def __init__(self, rig: WebRig, body: bytes, group: object, **more: Any) -> None:
        self._door = cast(Callable[..., Any], rig.app.wsgi_app)
        self._environ = EnvironBuilder(**{"path": "/predict", "method": "POST", "data": body, **more}).get_environ()
        self._told: list[Any] = []
        self._pieces = self._door({**self._environ, "wsgi.input": BytesIO(body), TOGETHER: group}, self._start)
        assert self._told == [], "nothing is answered before all have joined"
        self._body = body

    def answer(self) -> Answer:
        try:
            text = b"".join(self._pieces)
        except HandOver:
            self._told.clear()
            text = b"".join(self._door({**self._environ, "wsgi.input": BytesIO(self._body)}, self._start))
        ((status, headers),) = self._told
        return int(status[:3]), text, dict(headers)

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self._told.append((status, headers))


def alone(rig: WebRig, body: bytes, **more: Any) -> Answer:
    """What Flask's own view answers."""
    door = rig.app.wsgi_app
    assert isinstance(door, PredictDoor)
    answer = Client(door._behind).post("/predict", data=body, **more)
    return answer.status_code, answer.get_data(), dict(answer.headers)


def together(rig: WebRig, bodies: list[bytes]) -> list[Answer]:
    grouping = PredictGrouping(rig.predictor, threads=8)
    with grouping.together("default") as group:
        asked = [Asked(rig, body, group) for body in bodies]
        return [each.answer() for each in asked]


ROWS = st.lists(st.lists(st.integers(-9, 9), min_size=10, max_size=10), min_size=0, max_size=5)
BODIES = st.one_of(
    ROWS.map(lambda rows: orjson.dumps({"inputs": rows})),
    ROWS.map(lambda rows: orjson.dumps({"inputs": {"input": rows}})),
    st.sampled_from(
        [
            b"{",
            b'{"inputs": [[1, 2]]}',
            b'{"inputs": [["a"]]}',
            b'{"inputs": {"z": 1}}',
            b"[]",
            b"x" * (LIMIT_BYTES + 1),
            orjson.dumps({"inputs": [[1e39] * 10]}),
            orjson.dumps({"inputs": [[1.0] * 10] * 30}),
        ]
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(BODIES, min_size=1, max_size=12), min_size=1, max_size=3), st.data())
def test_each_gets_what_it_gets_alone_with_errors_and_swaps_in_between(
    rig: WebRig, groups: list[list[bytes]], data: st.DataObject
) -> None:
    for bodies in groups:
        assert together(rig, bodies) == [alone(rig, body) for body in bodies]
        if data.draw(st.booleans()):
            deploy(rig, data.draw(st.integers(2, 4)))


def test_one_run_answers_all(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    with rig.holder.lease("default") as serving:
        run = serving.engine.run

        def counted(inputs: Any, **more: Any) -> Any:
            rows.append(len(inputs["input"]))
            return run(inputs, **more)

        monkeypatch.setattr(serving.engine, "run", counted)
    answers = together(rig, [orjson.dumps({"inputs": [[number] * 10]}) for number in range(6)])
    assert [status for status, _, _ in answers] == [200] * 6
    assert rows == [6]


class Slowed:
    """What serves, whose runs take 0.06 seconds a row by a clock of its own; ``ran`` are the rows of each run."""

    def __init__(self, rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[int] = []
        self._now = 0.0
        with rig.holder.lease("default") as serving:
            self._run = serving.engine.run
            monkeypatch.setattr(serving.engine, "run", self.run)
        monkeypatch.setattr("daemon.web.runs.perf_counter", lambda: self._now)

    def pass_by(self, seconds: float) -> None:
        self._now += seconds

    def run(self, inputs: Any, *, timeout_seconds: float) -> Any:
        rows = len(inputs["input"])
        self.ran.append(rows)
        self._now += min(0.06 * rows, timeout_seconds)
        if 0.06 * rows > timeout_seconds:
            raise RunTimeout("it is not over")
        return self._run(inputs, timeout_seconds=1)


EIGHT = [orjson.dumps({"inputs": [[number] * 10]}) for number in range(8)]


def test_batch_has_as_many_rows_as_may_be_waited_for_by_what_runs_took(
    rig: WebRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed = Slowed(rig, monkeypatch)
    answers = together(rig, EIGHT[:1]) + together(rig, EIGHT)
    assert [status for status, _, _ in answers] == [200] * 9
    assert slowed.ran == [1, 3, 3, 2], "the trial's plan of eight would take 0.48 seconds"


def test_wait_for_cores_says_nothing_of_how_long_runs_take(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    slowed = Slowed(rig, monkeypatch)

    class Busy(CoreBudget):
        @contextmanager
        def claim(self, *widths: int, timeout_seconds: float) -> Iterator[int]:
            slowed.pass_by(0.4)
            with super().claim(*widths, timeout_seconds=timeout_seconds) as cores:
                yield cores

    with rig.holder.lease("default") as serving:
        monkeypatch.setattr(serving, "engine", GearedEngine([(1, serving.engine)], Busy(1)))
    answers = together(rig, EIGHT[:1]) + together(rig, EIGHT)
    assert [status for status, _, _ in answers] == [200] * 9
    assert slowed.ran == [1, 3, 3, 2]


def test_batch_that_is_given_up_is_made_smaller_the_next_time(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    slowed = Slowed(rig, monkeypatch)
    assert [status for status, _, _ in together(rig, EIGHT)] == [200] * 8
    assert slowed.ran == [8, *[1] * 8], "each of them is run again alone, once"
    assert [status for status, _, _ in together(rig, EIGHT)] == [200] * 8
    assert slowed.ran[9:] == [3, 3, 2]


def test_batch_that_is_given_up_tells_enough_by_itself(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    slowed = Slowed(rig, monkeypatch)
    with PredictGrouping(rig.predictor, threads=8).together("default") as group:
        for each in [Asked(rig, body, group) for body in EIGHT]:
            with pytest.raises(HandOver):
                b"".join(each._pieces)
    together(rig, EIGHT)
    assert slowed.ran == [8, 3, 3, 2]


def test_prediction_without_company_tells_how_long_one_takes(rig: WebRig) -> None:
    with rig.holder.lease("default") as serving:
        face = face_of(serving)
    face.took(1.0)
    before = face.seconds
    together(rig, EIGHT[:2])
    assert face.seconds == before
    together(rig, EIGHT[:1])
    assert 0 < face.seconds < before


def test_one_run_answers_whatever_language_they_speak(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [np.full((1, 10), number, np.float32) for number in range(3)]
    file = BytesIO()
    np.save(file, rows[1])
    asked: list[tuple[bytes, dict[str, Any]]] = [
        (orjson.dumps({"inputs": rows[0].tolist()}), {}),
        (file.getvalue(), {"content_type": "application/x-npy", "headers": {"Accept": "application/x-npy"}}),
        (orjson.dumps({"instances": rows[2].tolist()}), {"path": "/v1/models/default:predict"}),
    ]
    runs = []
    with rig.holder.lease("default") as serving:
        run = serving.engine.run

        def counted(inputs: Any, **more: Any) -> Any:
            runs.append(len(inputs["input"]))
            return run(inputs, **more)

        monkeypatch.setattr(serving.engine, "run", counted)
    with PredictGrouping(rig.predictor, threads=8).together("default") as group:
        begun = [Asked(rig, body, group, **more) for body, more in asked]
        (in_json, _), (in_file, kind), (by_row, _) = [each.answer()[1:] for each in begun]
    assert runs == [3]
    expected: Any = run({"input": np.concatenate(rows)}, timeout_seconds=1)[0]
    assert orjson.loads(in_json)["output"] == expected[:1].tolist()
    assert kind["Content-Type"] == "application/x-npy"
    assert np.load(BytesIO(in_file)).tolist() == expected[1:2].tolist()
    assert orjson.loads(by_row) == {"predictions": expected[2:].tolist()}


def test_group_answers_by_the_release_that_served_when_it_formed(rig: WebRig) -> None:
    grouping = PredictGrouping(rig.predictor, threads=8)
    body = orjson.dumps({"inputs": [[1] * 10]})
    with grouping.together("default") as group:
        asked = [Asked(rig, body, group) for _ in range(3)]
        deploy(rig, 2)
        answers = [each.answer() for each in asked]
    assert [headers["X-Model-Version"] for _, _, headers in answers] == ["1"] * 3
    assert alone(rig, body)[2]["X-Model-Version"] == "2"


def test_run_that_fails_for_all_is_counted_once_for_each(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InferenceFailed("an operator gave up")

    with rig.holder.lease("default") as serving:
        monkeypatch.setattr(serving.engine, "run", fail)
    before = rig.lower.probation.tally("default").failed
    answers = together(rig, [orjson.dumps({"inputs": [[1] * 10]}) for _ in range(3)])
    assert [status for status, _, _ in answers] == [500] * 3
    assert rig.lower.probation.tally("default").failed == before + 3


def test_member_without_a_token_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    with WebRig(tmp_path, tokens=Tokens("", "secret")) as rig:
        deploy(rig, 1)
        body = orjson.dumps({"inputs": [[1] * 10]})
        with PredictGrouping(rig.predictor, threads=8).together("default") as group:
            asked = [
                Asked(rig, body, group, headers={"Authorization": f"Bearer {token}"})
                for token in ("secret", "wrong", "secret")
            ]
            assert [each.answer()[0] for each in asked] == [200, 401, 200]


def test_batches_that_take_long_are_run_side_by_side_by_half_of_the_threads_at_most(
    rig: WebRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: list[Any] = []
    monkeypatch.setattr("daemon.runtime.plans._seconds", lambda _trial: dict(seconds))
    with rig.holder.lease("default") as serving:
        monkeypatch.setattr(
            serving, "engine", GearedEngine([(16, serving.engine), (4, serving.engine)], CoreBudget(16))
        )
    grouping = PredictGrouping(rig.predictor, threads=8)
    assert grouping.abreast("default") == 1
    seconds.append((1, 0.05))
    assert grouping.abreast("default") == 4
    assert grouping.abreast("nobody") == 1
    assert PredictGrouping(rig.predictor, threads=4).abreast("default") == 2
    assert PredictGrouping(rig.predictor, threads=1).abreast("default") == 1


def test_what_is_run_in_batches_is_never_so_quick_that_it_waits_for_no_company(rig: WebRig) -> None:
    with rig.holder.lease("default") as serving:
        face = face_of(serving)
    for _ in range(99):
        face.took(1e-6)
    assert face.seconds < QUICK_SECONDS
    assert rig.predictor.expected_seconds("default") == QUICK_SECONDS
    face.batch_size = 1
    assert rig.predictor.expected_seconds("default") == face.seconds


def test_only_predictions_of_what_pays_go_together(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    grouping = PredictGrouping(rig.predictor, threads=8)
    assert grouping.kind_of("POST", "/predict") == grouping.kind_of("POST", "/models/default/predict") == "default"
    assert grouping.most("default") == 8
    assert grouping.kind_of("GET", "/predict") is None
    assert grouping.kind_of("POST", "/update_model") is None
    assert grouping.kind_of("POST", "/models/nobody/predict") is None
    with grouping.together("nobody") as group:
        assert group is None
    monkeypatch.setattr("daemon.web.faces.batch_size", lambda _trial: 1)
    deploy(rig, 3)
    assert grouping.kind_of("POST", "/predict") is None
    with grouping.together("default") as group:
        assert group is None
