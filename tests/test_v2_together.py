"""Requests in several languages share a batch, and each is answered as it is alone."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from daemon.errors import TOGETHER, HandOver
from daemon.web.door import PredictGrouping
from tests import onnx_models
from tests.v2_wire import request
from tests.web_rig import WebRig

INFER = "/v2/models/default/infer"
HEADER = "Inference-Header-Content-Length"

Request = tuple[str, bytes, dict[str, str]]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebRig]:
    """A release that is taken for one best run in batches of eight; its weights are whole, so that no bit differs."""
    monkeypatch.setattr("daemon.web.faces.batch_size", lambda _trial: 8)
    with WebRig(tmp_path) as rig:
        weights = np.arange(50, dtype=np.float32).reshape(10, 5) % 7
        path = onnx_models.gemm(rig.drop / "gemm.onnx", weights, np.full(5, 1, np.float32))
        assert rig.post("/update_model", {"model_path": path.name}).status_code == 200
        yield rig


def plain(row: int) -> Request:
    return "/predict", orjson.dumps({"inputs": [[row] * 10]}), {}


def v2(row: int, *, binary: bool = False, told_so: bool = False, rows: int = 1, **more: Any) -> Request:
    array = np.full((rows, 10), row, np.float32)
    parameters = {"binary_data_output": told_so, **more}
    return INFER, *request({"input": (array, "FP32")}, binary=binary, parameters=parameters, id=str(row))


class Environment:
    """A request to the door, as the fronts make it, alone or with others."""

    def __init__(self, rig: WebRig, asked: Request) -> None:
        path, self._body, headers = asked
        builder = EnvironBuilder(path=path, method="POST", data=self._body, headers=[*headers.items()])
        self._environ = builder.get_environ()
        self._app: Any = rig.app.wsgi_app
        self._told: list[Any] = []

    def begin(self, **marks: object) -> Any:
        self._told.clear()
        return self._app(
            {**self._environ, "wsgi.input": BytesIO(self._body), **marks}, lambda *told: self._told.append(told)
        )

    def alone(self) -> tuple[bytes, str, dict[str, str]]:
        return self.end(self.begin())

    def end(self, pieces: Any) -> tuple[bytes, str, dict[str, str]]:
        body = b"".join(pieces)
        ((status, headers),) = self._told
        return body, status, dict(headers)


def together(rig: WebRig, asked: list[Request]) -> list[Any]:
    with PredictGrouping(rig.predictor, threads=8).together("default") as group:
        environments = [Environment(rig, each) for each in asked]
        begun: list[Any] = []
        for each in environments:
            try:
                begun.append(each.begin(**{TOGETHER: group}))
            except HandOver:
                begun.append(None)
        answers = []
        for each, pieces in zip(environments, begun, strict=True):
            try:
                answers.append(each.alone() if pieces is None else each.end(pieces))
            except HandOver:
                answers.append(each.alone())
        return answers


@pytest.fixture
def runs(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each run has."""
    rows: list[int] = []
    with rig.holder.lease("default") as serving:
        run = serving.engine.run

        def counted(inputs: Any, **more: Any) -> Any:
            rows.append(len(inputs["input"]))
            return run(inputs, **more)

        monkeypatch.setattr(serving.engine, "run", counted)
    return rows


def test_all_languages_and_forms_are_answered_by_one_run(rig: WebRig, runs: list[int]) -> None:
    asked = [plain(1), v2(2), v2(3, binary=True), v2(4, told_so=True), v2(5, binary=True, told_so=True, rows=2)]
    answers = together(rig, asked)
    assert runs == [6]
    assert answers == [Environment(rig, each).alone() for each in asked]
    assert [status for _, status, _ in answers] == ["200 OK"] * 5


def test_request_with_a_deadline_of_its_own_is_run_alone(rig: WebRig, runs: list[int]) -> None:
    together(rig, [plain(1), v2(2, timeout=5_000_000), v2(3)])
    assert sorted(runs) == [1, 2]


REQUESTS = st.one_of(
    st.builds(plain, st.integers(-9, 9)),
    st.builds(v2, st.integers(-9, 9), binary=st.booleans(), told_so=st.booleans(), rows=st.integers(0, 9)),
    st.sampled_from([(INFER, b"{", {}), ("/predict", b"{}", {}), (INFER, b"{}x", {HEADER: "2"})]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, min_size=1, max_size=10))
def test_each_gets_what_it_gets_alone(rig: WebRig, asked: list[Request]) -> None:
    assert together(rig, asked) == [Environment(rig, each).alone() for each in asked]
