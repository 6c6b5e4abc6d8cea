"""Every refusal that the OpenAPI document shows is one that is sent, word for word."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from werkzeug.test import TestResponse

from daemon.api import FAILURE, RequestLimits, refusal_of
from daemon.config import Settings
from daemon.errors import InferenceFailed
from daemon.gate import SignatureCheck
from daemon.http.values import Admission, too_large
from daemon.runtime import Deadlines, EngineOptions, load_engine
from daemon.runtime.deadlines import spoken
from daemon.web.access import Tokens
from daemon.web.openapi.refusals import responses
from tests.onnx_models import constant_model, counted_loop, failing, zipmap_like
from tests.web_rig import WebRig

CLASSROOM = Path(__file__).parents[1] / "examples" / "models" / "deploy.onnx"
EXAMPLES: dict[str, dict[str, Any]] = {
    f"{status} {code}": example["value"]
    for status, response in responses().items()
    for code, example in response["content"]["application/json"]["examples"].items()  # type: ignore[index]
}
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.9"}
SETTINGS = Settings()
MIB = 1 << 20


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    """The classroom's model serves, and its clients are kept; nobody may wait for events."""
    with WebRig(tmp_path, waiting_clients=0, tried_checks=(SignatureCheck("compatible"),)) as rig:
        shutil.copy(CLASSROOM, rig.drop)
        assert rig.post("/update_model", {"model_path": "deploy.onnx"}).status_code == 200
        yield rig


def deployed(rig: WebRig, path: Path) -> str:
    """The name of a model of its own that the file at ``path`` serves as now."""
    answer = rig.post("/update_model", {"model_path": path.name, "model": path.stem})
    assert answer.status_code == 200
    return path.stem


def wider(rig: WebRig) -> TestResponse:
    constant_model(rig.drop / "wide.onnx", 2, inputs=11)
    return rig.post("/update_model", {"model_path": "wide.onnx"})


def mapping_as_file(rig: WebRig) -> TestResponse:
    model = deployed(rig, zipmap_like(rig.drop / "maps.onnx"))
    body = {"inputs": [[1, 1, 1]]}
    return rig.post(f"/models/{model}/predict", body, headers={"Accept": "application/x-npz"})


ASKED: dict[str, Callable[[WebRig], TestResponse]] = {
    "400 invalid_json": lambda rig: rig.post("/predict", []),
    "400 invalid_input": lambda rig: rig.post("/predict", {"inputs": [[1, 2, 3]]}),
    "400 bad_request": lambda rig: rig.get("/models/default/releases?limit=many"),
    "403 forbidden": lambda rig: rig.post("/update_model", {"model_path": "deploy.onnx"}, environ_base=ELSEWHERE),
    "404 unknown_model": lambda rig: rig.get("/models/digits"),
    "404 not_found": lambda rig: rig.post("/models/default/rollback", {"version": 99}),
    "406 not_acceptable": mapping_as_file,
    "409 breaking_signature": wider,
    "415 unsupported_media_type": lambda rig: rig.post("/predict", b"an image", content_type="image/png"),
    "422 rejected": lambda rig: rig.put("/models/default/upload", b"hello, this is no model\n"),
    "503 overloaded": lambda rig: rig.get("/events?after=1000&wait=1"),
}
APART = {
    "401 unauthorized",
    "413 too_large",
    "500 inference_failed",
    "500 internal_error",
    "503 no_model",
    "504 timeout",
}
"""What other tests here are about."""


def told(answer: TestResponse) -> tuple[str, Any]:
    value = answer.get_json()
    return f"{answer.status_code} {value['code']}", value


@pytest.mark.parametrize("name", ASKED)
def test_refusal_is_the_example_of_it(rig: WebRig, name: str) -> None:
    assert told(ASKED[name](rig)) == (name, EXAMPLES[name])


def test_no_example_is_left_out() -> None:
    assert ASKED.keys() | APART == EXAMPLES.keys()


def test_refusal_without_a_token_and_without_a_release_is_the_example_of_it(tmp_path: Path) -> None:
    with WebRig(tmp_path, tokens=Tokens("adm", "")) as rig:
        for name, answer in (("401 unauthorized", rig.get("/models")), ("503 no_model", rig.predict())):
            assert told(answer) == (name, EXAMPLES[name])


def test_refusal_of_a_long_run_is_the_example_of_it_but_for_the_deadline(rig: WebRig) -> None:
    model = deployed(rig, counted_loop(rig.drop / "loop.onnx"))
    name, value = told(rig.post(f"/models/{model}/predict", {"inputs": {"rounds": 10**15, "x": [1]}}))
    assert name == "504 timeout"
    ended = value["error"].replace(spoken(1), spoken(SETTINGS.runtime.timeout_seconds))
    assert {**value, "error": ended} == EXAMPLES[name]


def test_refusal_of_a_large_body_is_the_example_of_it() -> None:
    limits = RequestLimits(max_body_bytes=int(SETTINGS.server.max_body_mb * MIB), max_upload_bytes=1, waiting_clients=1)
    limit, setting = limits.of_body("/predict")
    error = too_large(Admission(limit, setting=setting), announced=70_000_000)
    name = f"{error.status} {error.code}"
    assert {"error": error.error, "code": error.code} == EXAMPLES[name]


def test_failure_of_a_run_is_the_example_of_it(tmp_path: Path) -> None:
    deadlines = Deadlines()
    engine = load_engine(failing(tmp_path / "failing.onnx"), options=EngineOptions(threads=1), deadlines=deadlines)
    with pytest.raises(InferenceFailed) as caught:
        engine.run({"input": np.ones((1, 10), np.float32)}, timeout_seconds=5)
    engine.close()
    deadlines.stop()
    status, value, _ = refusal_of(caught.value)
    assert (status, value) == (500, EXAMPLES["500 inference_failed"])


def test_failure_of_the_daemon_is_the_example_of_it() -> None:
    assert EXAMPLES["500 internal_error"] == FAILURE
