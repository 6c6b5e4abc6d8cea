"""The model repository: what the index tells, and loads and unloads with what their bodies may ask for."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from daemon.api import RequestLimits
from daemon.lane.probation import ProbationTerms
from daemon.web.access import Tokens
from daemon.web.open_inference import shortening
from tests import onnx_models
from tests.fakes import WAIT_SECONDS
from tests.onnx_models import constant_model
from tests.web_rig import LIMIT_BYTES, WebRig

STANDING_BY = ProbationTerms(seconds=60, max_error_rate=0.1, min_requests=10, non_finite="warn", keep_previous=True)
MOST_BYTES = 16 * LIMIT_BYTES
LOAD, UNLOAD, INDEX = "/v2/repository/models/m/load", "/v2/repository/models/m/unload", "/v2/repository/index"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path, probation_terms=STANDING_BY) as rig:
        yield rig


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return constant_model(tmp_path / "made" / "x.onnx", 4.0).read_bytes()


def index_of(rig: WebRig, body: object = None) -> list[dict[str, Any]]:
    answer = rig.post(INDEX, body)
    assert answer.status_code == 200
    rows: list[dict[str, Any]] = answer.get_json()
    return rows


def bring(rig: WebRig, files: Mapping[str, object], config: object = "{}", path: str = LOAD) -> TestResponse:
    """A load with ``files``, of which bytes are sent as base64."""
    encoded = {
        name: base64.b64encode(each).decode() if isinstance(each, bytes) else each for name, each in files.items()
    }
    return rig.post(path, {"parameters": {"config": config, **encoded}})


def refusal_of(answer: TestResponse) -> tuple[int, str]:
    """The status and the code; the sentence is there, and tells nothing of the insides."""
    told = answer.get_json()
    assert isinstance(told["error"], str)
    assert "Traceback" not in told["error"]
    return answer.status_code, told["code"]


def test_index_of_nothing_has_the_default_model(rig: WebRig) -> None:
    assert index_of(rig) == [{"name": "default", "state": "UNAVAILABLE", "reason": "there is no release"}]


def test_index_has_every_version_that_is_loaded(rig: WebRig) -> None:
    rig.update(1)
    rig.update(2)
    rig.update(3, model="ant")
    assert index_of(rig, {}) == [
        {"name": "ant", "version": "1", "state": "READY", "reason": ""},
        {"name": "default", "version": "1", "state": "READY", "reason": ""},
        {"name": "default", "version": "2", "state": "READY", "reason": ""},
    ]


def test_index_says_why_a_model_does_not_serve(rig: WebRig) -> None:
    rig.update(1, model="ant")
    rig.post("/v2/repository/models/ant/unload")
    (rig.drop / "bad.onnx").write_bytes(b"<html>")
    rig.post("/update_model", {"model_path": "bad.onnx", "model": "bee"})
    rows = {row["name"]: row for row in index_of(rig)}
    assert rows["ant"] == {"name": "ant", "state": "UNAVAILABLE", "reason": "unloaded"}
    assert rows["bee"]["state"] == "UNAVAILABLE"
    assert rows["bee"]["reason"].startswith("rejected by structure: ")
    assert index_of(rig, {"ready": True}) == []
    assert len(index_of(rig, {"ready": False})) == 3


def test_index_says_what_is_on_its_way(rig: WebRig) -> None:
    let_go = threading.Event()
    rig.deployer._enter("other", lambda: let_go.wait(WAIT_SECONDS))
    futures = rig.deployer.submit([rig.lower.wish(1, name="next.onnx")])
    (row,) = index_of(rig)
    let_go.set()
    futures[0].result(WAIT_SECONDS)
    assert row == {"name": "default", "state": "LOADING", "reason": "drop/next.onnx: queued"}


@pytest.mark.parametrize("body", [None, {}, {"parameters": {}}, {"parameters": {"config": "{}"}}, b" {} "])
def test_load_without_files_serves_the_newest_release_again(rig: WebRig, body: object) -> None:
    rig.update(1, model="m")
    sha256 = rig.get("/models/m").get_json()["sha256"]
    rig.post(UNLOAD)
    answer = rig.post(LOAD, body)
    assert (answer.status_code, answer.get_json()) == (200, {"model": "m", "version": 1, "sha256": sha256})
    assert rig.predict("/models/m/predict").get_json()["version"] == 1


def test_load_of_a_model_that_never_was_is_404(rig: WebRig) -> None:
    assert refusal_of(rig.post(LOAD)) == (404, "unknown_model")
    assert refusal_of(rig.post(UNLOAD)) == (404, "unknown_model")


def test_load_with_a_file_deploys_it_as_an_upload(rig: WebRig, content: bytes) -> None:
    answer = bring(rig, {"file:1/model.onnx": content})
    assert answer.status_code == 200
    assert answer.get_json() == {"model": "m", "version": 1, "sha256": answer.headers["X-Model-SHA256"]}
    assert rig.predict("/models/m/predict").get_json()["output"] == [[4.0] * 5]
    (live,) = rig.lower.events("live")
    assert (live.cause, live.model_path, live.sha256) == ("uploaded", "model.onnx", answer.get_json()["sha256"])


def test_file_needs_no_configuration_and_may_have_another_name(rig: WebRig, content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    answer = rig.post(LOAD, {"parameters": {"file:7/my model.ONNX": encoded}})
    assert answer.status_code == 200
    assert rig.get("/models/m").get_json()["model_path"] == "my model.ONNX"


def test_long_file_comes_whole(rig: WebRig, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortening, "LONG_BYTES", 64)
    answer = bring(rig, {"file:1/model.onnx": content}, config=json.dumps({"name": "m"}))
    assert answer.status_code == 200
    assert rig.predict("/models/m/predict").get_json()["output"] == [[4.0] * 5]


def test_external_data_comes_with_the_model_that_names_it(rig: WebRig, tmp_path: Path) -> None:
    path = onnx_models.external(tmp_path / "made" / "model.onnx", value_of=6.0)
    data = (tmp_path / "made" / "model.onnx.data").read_bytes()
    answer = bring(rig, {"file:1/model.onnx.data": data, "file:1/model.onnx": path.read_bytes()})
    assert answer.status_code == 200, answer.get_json()
    assert rig.predict("/models/m/predict").get_json()["output"] == [[6.0] * 5]
    dropped = rig.post("/update_model", {"model_path": "../made/model.onnx"})
    assert dropped.status_code == 403  # it is outside; its identity is what a drop of it would have
    (rig.drop / "model.onnx").write_bytes(path.read_bytes())
    (rig.drop / "model.onnx.data").write_bytes(data)
    again = rig.post("/update_model", {"model_path": "model.onnx"}).get_json()
    assert again["sha256"] == answer.get_json()["sha256"]


def test_external_data_that_did_not_come_is_told(rig: WebRig, tmp_path: Path) -> None:
    path = onnx_models.external(tmp_path / "made" / "model.onnx")
    answer = bring(rig, {"file:1/model.onnx": path.read_bytes()})
    assert refusal_of(answer) == (422, "rejected")
    assert "'model.onnx.data' did not come with it" in answer.get_json()["reason"]


def test_file_that_the_model_does_not_name_is_refused(rig: WebRig, content: bytes) -> None:
    answer = bring(rig, {"file:1/model.onnx": content, "file:1/labels.txt": b"cat"})
    assert refusal_of(answer) == (422, "rejected")
    assert "'labels.txt'" in answer.get_json()["reason"]
    assert rig.holder.release_of("m") is None


def test_configuration_says_which_file_is_the_model(rig: WebRig, content: bytes) -> None:
    config = json.dumps(
        {"name": "m", "backend": "onnxruntime", "default_model_filename": "a.onnx", "max_batch_size": 8}
    )
    answer = bring(rig, {"file:1/a.onnx": content, "file:1/model.onnx": b"stray"}, config)
    assert refusal_of(answer) == (422, "rejected")
    assert "'model.onnx'" in answer.get_json()["reason"]
    assert bring(rig, {"file:1/a.onnx": content}, config).status_code == 200


def test_bytes_that_are_no_model_are_rejected_and_leave_what_serves(rig: WebRig) -> None:
    rig.update(1, model="m")
    assert refusal_of(bring(rig, {"file:1/model.onnx": b"<html>"})) == (422, "rejected")
    assert rig.predict("/models/m/predict").get_json()["version"] == 1
    assert [event.event for event in rig.lower.events("rejected")] == ["rejected"]


def test_files_larger_than_an_upload_are_413(rig: WebRig) -> None:
    answer = bring(rig, {"file:1/model.onnx": bytes(MOST_BYTES), "file:1/model.onnx.data": b"x"})
    assert refusal_of(answer) == (413, "too_large")
    assert rig.lower.store.entries() == set()


def test_body_larger_than_such_files_would_be_is_413(rig: WebRig) -> None:
    body = b'{"parameters": {"file:1/model.onnx": "' + b"A" * (3 << 20) + b'"}}'
    assert refusal_of(rig.post(LOAD, body)) == (413, "too_large")


def test_files_of_just_the_limit_come_through_to_the_gate(rig: WebRig) -> None:
    answer = bring(rig, {"file:1/model.onnx": bytes(MOST_BYTES)})
    assert refusal_of(answer) == (422, "rejected")


def test_limits_of_bodies_are_by_what_they_are_for() -> None:
    limits = RequestLimits(max_body_bytes=10, max_upload_bytes=3000, waiting_clients=1)
    assert limits.of_body("/predict") == limits.of_body("/v2/models/m/load/infer") == limits.of_body(UNLOAD)
    assert limits.of_body("/predict") == (10, "server.max_body_mb")
    assert limits.of_body("/models/m/upload") == (3000, "server.max_upload_mb")
    most, setting = limits.of_body(LOAD)
    assert (4000 <= most <= 4000 + (1 << 20) + 8, setting) == (True, "server.max_upload_mb")


def test_body_is_read_from_its_beginning_by_pieces(rig: WebRig, content: bytes) -> None:
    class Lazy(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= 1 << 20
            return super().read(size)

    body = json.dumps({"parameters": {"file:1/model.onnx": base64.b64encode(content).decode()}}).encode()
    answer = rig.app.test_client().post(LOAD, input_stream=Lazy(body), content_length=len(body))
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [None, {}, {"parameters": {}}, {"parameters": {"unload_dependents": True}}])
def test_unload_stops_serving(rig: WebRig, body: object) -> None:
    rig.update(1, model="m")
    answer = rig.post(UNLOAD, body)
    assert (answer.status_code, answer.get_json()["version"]) == (200, 1)
    assert rig.predict("/models/m/predict").status_code == 503


def test_load_and_unload_want_the_admin_token(tmp_path: Path, content: bytes) -> None:
    with WebRig(tmp_path, tokens=Tokens("secret", "")) as rig:
        assert refusal_of(bring(rig, {"file:1/model.onnx": content})) == (401, "unauthorized")
        assert refusal_of(rig.post(UNLOAD)) == (401, "unauthorized")
        assert refusal_of(rig.post(INDEX)) == (401, "unauthorized")
        bearer = {"Authorization": "Bearer secret"}
        assert rig.post(INDEX, headers=bearer).status_code == 200
        assert refusal_of(rig.post(LOAD, headers=bearer)) == (404, "unknown_model")
