"""The application as a client meets it: predictions, health, and one JSON form for everything that goes wrong."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from werkzeug.test import TestResponse

from daemon import errors
from daemon.api import STATUS, refusal_of
from daemon.errors import ModeldropError
from daemon.release import Event
from daemon.web.access import Tokens
from daemon.web.routes import class_of
from tests import onnx_models
from tests.web_rig import LIMIT_BYTES, WebRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path) as rig:
        yield rig


def refused(answer: TestResponse) -> tuple[int, str]:
    """Status and code of an answer that is a refusal as the contract wants it."""
    assert answer.content_type == "application/json"
    value = answer.get_json()
    assert isinstance(value["error"], str)
    assert value["error"]
    assert "Traceback" not in value["error"]
    return answer.status_code, value["code"]


def serve(rig: WebRig, path: Path, model: str = "default") -> None:
    answer = rig.post("/update_model", {"model_path": path.name, "model": model})
    assert answer.status_code == 200, answer.text


def test_prediction_answers_with_output_and_release_in_body_and_headers(rig: WebRig) -> None:
    sha256 = rig.update(1.5).get_json()["sha256"]
    answer = rig.predict()
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.get_json() == {
        "output": [[1.5] * 5],
        "model_path": "1.5.onnx",
        "model": "default",
        "version": 1,
    }
    assert (answer.headers["X-Model-Name"], answer.headers["X-Model-Version"]) == ("default", "1")
    assert answer.headers["X-Model-SHA256"] == sha256


def test_named_model_is_predicted_under_its_name(rig: WebRig) -> None:
    rig.update(1)
    rig.update(2, model="other")
    assert rig.predict("/models/other/predict").get_json()["output"][0][0] == 2
    assert rig.predict("/models/default/predict").get_json()["output"][0][0] == 1


def test_inputs_go_by_name_too(rig: WebRig) -> None:
    rig.update(1)
    answer = rig.post("/predict", {"inputs": {"input": [[1] * 10, [2] * 10]}})
    assert answer.get_json()["output"] == [[1] * 5, [1] * 5]


def test_model_of_several_outputs_gives_all_by_name_and_the_first_as_output(rig: WebRig) -> None:
    serve(rig, onnx_models.two_inputs(rig.drop / "two.onnx"))
    value = rig.post("/predict", {"inputs": {"a": [2, 3], "b": [4, 5]}}).get_json()
    assert value["output"] == [6, 8]
    assert value["outputs"] == {"sum": [6, 8], "product": [8, 15]}


def test_inputs_with_a_default_may_be_left_out(rig: WebRig) -> None:
    serve(rig, onnx_models.optional_input(rig.drop / "optional.onnx"))
    assert rig.post("/predict", {"inputs": [1]}).get_json()["output"] == [6]
    assert rig.post("/predict", {"inputs": {"x": [1], "offset": [1]}}).get_json()["output"] == [2]


def test_nan_and_infinities_are_null(rig: WebRig) -> None:
    zeros = np.zeros((10, 3), np.float32)
    bias = np.array([np.nan, np.inf, -np.inf], np.float32)
    serve(rig, onnx_models.gemm(rig.drop / "odd.onnx", zeros, bias))
    assert rig.predict().get_json()["output"] == [[None, None, None]]


@pytest.mark.parametrize("keys", ["int64", "string"])
def test_sequence_of_maps_is_a_list_of_objects(rig: WebRig, keys: str) -> None:
    serve(rig, onnx_models.zipmap_like(rig.drop / "zipmap.onnx", keys=keys))
    value = rig.post("/predict", {"inputs": [[0.25, 0.75]]}).get_json()
    first, second = ("3", "7") if keys == "int64" else ("nein", "já")
    assert value["outputs"]["probabilities"] == [{first: 0.25, second: 0.75}]


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream", "odd"],
)
def test_body_is_read_as_json_whatever_it_is_called(rig: WebRig, content_type: str | None) -> None:
    rig.update(1)
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert rig.post("/predict", {"inputs": [[1] * 10]}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=x", "image/png", "application/x-protobuf", "text/csv"]
)
def test_body_of_a_form_that_cannot_be_json_is_refused(rig: WebRig, content_type: str) -> None:
    rig.update(1)
    answer = rig.post("/predict", {"inputs": [[1] * 10]}, headers={"Content-Type": content_type})
    assert refused(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"null", "invalid_json"),
        (b'"inputs"', "invalid_json"),
        (b"\xff", "invalid_json"),
        (b'{"inputs": [[NaN]]}', "invalid_json"),
        (b'{"inputs": [[Infinity]]}', "invalid_json"),
        (b"[" * 3000, "invalid_json"),
        (b"{}", "invalid_input"),
        (b'{"input": [[1]]}', "invalid_input"),
        (b'{"inputs": null}', "invalid_input"),
        (b'{"inputs": [["1","1","1","1","1","1","1","1","1","1"]]}', "invalid_input"),
        (b'{"inputs": [[true,1,1,1,1,1,1,1,1,1]]}', "invalid_input"),
        (b'{"inputs": [[1,2],[3]]}', "invalid_input"),
        (b'{"inputs": [[1,2]]}', "invalid_input"),
        (b'{"inputs": {"nothing": [[1]]}}', "invalid_input"),
        (b'{"inputs": {}}', "invalid_input"),
    ],
)
def test_wrong_body_is_400_with_a_sentence(rig: WebRig, body: bytes, code: str) -> None:
    rig.update(1)
    assert refused(rig.post("/predict", body)) == (400, code)


def test_wrong_input_is_told_by_name_with_what_was_expected_and_what_came(rig: WebRig) -> None:
    rig.update(1)
    sentence = rig.post("/predict", {"inputs": [[1, 2]]}).get_json()["error"]
    assert sentence == "input 'input': expected float32 [batch, 10], got shape [1, 2]"


def test_input_that_the_runtime_blames_is_400(rig: WebRig) -> None:
    serve(rig, onnx_models.gather(rig.drop / "gather.onnx"))
    assert refused(rig.post("/predict", {"inputs": [99]})) == (400, "invalid_input")


def test_run_that_fails_is_500_and_says_no_more_than_it_must(rig: WebRig) -> None:
    rig.update(1)
    with rig.holder.lease("default") as serving:
        engine = serving.engine
    engine.close()
    answer = rig.predict()
    assert refused(answer) == (500, "inference_failed")
    assert str(rig.folder) not in answer.text


def test_run_beyond_its_deadline_is_504(rig: WebRig) -> None:
    serve(rig, onnx_models.counted_loop(rig.drop / "loop.onnx"))
    answer = rig.post("/predict", {"inputs": {"rounds": 10**12, "x": [0]}})
    assert refused(answer) == (504, "timeout")


def test_body_over_the_limit_is_413(rig: WebRig) -> None:
    assert refused(rig.post("/predict", b" " * (LIMIT_BYTES + 1))) == (413, "too_large")
    assert refused(rig.post("/predict", b" " * LIMIT_BYTES)) != (413, "too_large")


def test_default_model_before_its_first_release_is_503(rig: WebRig) -> None:
    answer = rig.predict()
    assert refused(answer) == (503, "no_model")
    assert answer.headers["Retry-After"] == "1"


def test_model_whose_candidates_were_all_rejected_is_503(rig: WebRig) -> None:
    rig.journal.append(Event(event="rejected", model="other", check="load", reason="no"))
    assert refused(rig.predict("/models/other/predict")) == (503, "no_model")


def test_unloaded_model_is_503(rig: WebRig) -> None:
    rig.update(1, model="other")
    assert rig.post("/v2/repository/models/other/unload").status_code == 200
    assert refused(rig.predict("/models/other/predict")) == (503, "no_model")


@pytest.mark.parametrize("name", ["nothing", "a%20b", "..", "x" * 500])
def test_model_that_never_was_is_404(rig: WebRig, name: str) -> None:
    assert refused(rig.predict(f"/models/{name}/predict")) == (404, "unknown_model")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("POST", "/models/a/b/predict"),
        ("POST", "//predict"),
        ("POST", "/predict/"),
        ("GET", "/models/a//releases"),
        ("GET", "/static/x"),
    ],
)
def test_other_path_is_404_in_json(rig: WebRig, method: str, path: str) -> None:
    assert refused(rig.ask(method, path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("DELETE", "/models", "GET"),
        ("GET", "/update_model", "POST"),
        ("POST", "/models/m/upload", "PUT"),
        ("BREW", "/events", "GET"),
    ],
)
def test_wrong_method_is_405_in_json_and_says_which_is_right(rig: WebRig, method: str, path: str, allowed: str) -> None:
    answer = rig.ask(method, path)
    assert refused(answer) == (405, "method_not_allowed")
    assert allowed in answer.headers["Allow"]


def test_unforeseen_error_is_500_without_a_word_and_one_traceback_in_the_log(
    rig: WebRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("secret: /etc/shadow")

    monkeypatch.setattr(rig.holder, "lease", fail)
    answer = rig.predict()
    assert refused(answer) == (500, "internal_error")
    assert "secret" not in answer.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].exc_info is not None


def test_every_error_of_the_house_that_a_request_can_meet_has_its_status() -> None:
    inside = {
        errors.ModeldropError,
        errors.ConfigError,
        errors.StartupError,
        errors.StoreDamaged,  # becomes Rejected, or a fallback
        errors.SourceChanged,  # is tried again, then Rejected
    }
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ModeldropError)}
    assert kinds - inside == set(STATUS)


def test_error_without_a_status_is_500() -> None:
    assert refusal_of(errors.StoreDamaged("bytes"))[0] == 500


def test_welcome_is_text_to_whoever_does_not_ask_for_html(rig: WebRig) -> None:
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}, {"Accept": "text/plain"}):
        answer = rig.get("/", headers=headers)
        assert (answer.status_code, answer.text) == (200, "欢迎 <b>")
        assert answer.content_type == "text/plain; charset=utf-8"


def test_welcome_is_a_page_to_a_browser_and_escaped(rig: WebRig) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = rig.get("/", headers={"Accept": accept})
    assert answer.content_type == "text/html; charset=utf-8"
    assert "<h1>欢迎 &lt;b&gt;</h1>" in answer.text


def test_health_is_200_and_readiness_follows_the_faults(rig: WebRig) -> None:
    assert rig.get("/readyz").get_json() == {"ready": True, "reasons": []}
    rig.faults.append("the watcher is not running")
    answer = rig.get("/readyz")
    assert (answer.status_code, answer.get_json()) == (503, {"ready": False, "reasons": rig.faults})
    assert rig.get("/healthz").status_code == 200


def test_every_route_stands_in_the_class_that_the_contract_gives_it(rig: WebRig) -> None:
    classes = {rule.rule: class_of(rule.rule).value for rule in rig.app.url_map.iter_rules()}
    assert classes == {
        "/": "open",
        "/healthz": "open",
        "/readyz": "open",
        "/predict": "predict",
        "/models/<model>/predict": "predict",
        "/v2/models/<model>/infer": "predict",
        "/v2/models/<model>/versions/<int:version>/infer": "predict",
        "/models": "read",
        "/models/<model>": "read",
        "/models/<model>/releases": "read",
        "/events": "read",
        "/openapi.json": "read",
        "/metrics": "read",
        "/docs": "open",
        "/docs/<name>": "open",
        "/update_model": "admin",
        "/models/<model>/upload": "admin",
        "/models/<model>/rollback": "admin",
        "/ping": "open",
        "/health": "open",
        "/version": "open",
        "/invocations": "predict",
        "/models/<model>/invocations": "predict",
        "/models/<model>/invoke": "predict",
        "/v2": "open",
        "/v2/health/live": "open",
        "/v2/health/ready": "open",
        "/v2/models/<model>": "read",
        "/v2/models/<model>/versions/<version>": "read",
        "/v2/models/<model>/ready": "read",
        "/v2/models/<model>/versions/<version>/ready": "read",
        "/v2/models/<model>/config": "read",
        "/v2/models/<model>/versions/<version>/config": "read",
        "/v2/repository/index": "read",
        "/v2/models/stats": "read",
        "/v2/models/<model>/stats": "read",
        "/v2/models/<model>/versions/<version>/stats": "read",
        "/v2/logging": "admin",
        "/v2/repository/models/<model>/load": "admin",
        "/v2/repository/models/<model>/unload": "admin",
        "/v1/models/<model>:predict": "predict",
        "/v1/models/<model>/versions/<int:version>:predict": "predict",
        "/v1/models/<model>/labels/<label>:predict": "predict",
        "/v1/models": "read",
        "/v1/models/<name:model>": "read",
        "/v1/models/<name:model>/versions/<int:version>": "read",
        "/v1/models/<name:model>/labels/<name:label>": "read",
        "/v1/models/<name:model>/metadata": "read",
        "/v1/models/<name:model>/versions/<int:version>/metadata": "read",
        "/v1/models/<name:model>/labels/<name:label>/metadata": "read",
        "/v1/models/<name:model>:<any(classify, regress):verb>": "read",
        "/v1/models/<name:model>/versions/<int:version>:<any(classify, regress):verb>": "read",
        "/v1/models/<name:model>/labels/<name:label>:<any(classify, regress):verb>": "read",
    }


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path, tokens=Tokens("adm", "pre")) as rig:
        yield rig


@pytest.mark.parametrize(
    ("method", "path", "opens"),
    [
        ("POST", "/predict", {"adm", "pre"}),
        ("POST", "/models/m/predict", {"adm", "pre"}),
        ("GET", "/models", {"adm", "pre"}),
        ("GET", "/events", {"adm", "pre"}),
        ("POST", "/update_model", {"adm"}),
        ("PUT", "/models/m/upload", {"adm"}),
        ("POST", "/models/m/rollback", {"adm"}),
        ("POST", "/v2/repository/models/m/load", {"adm"}),
    ],
)
def test_tokens_are_asked_for_by_the_application(guarded: WebRig, method: str, path: str, opens: set[str]) -> None:
    for token in ("adm", "pre", "wrong"):
        answer = guarded.ask(method, path, b"", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code != 401) == (token in opens)
    answer = guarded.ask(method, path, b"")
    assert refused(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_open_routes_ask_for_no_token(guarded: WebRig) -> None:
    assert [guarded.get(path).status_code for path in ("/", "/healthz", "/readyz")] == [200] * 3


def test_admin_route_without_a_token_refuses_other_machines_and_pages(rig: WebRig) -> None:
    body = {"model_path": rig.model_file(1).name}
    far = rig.post("/update_model", body, environ_base={"REMOTE_ADDR": "203.0.113.9"})
    assert refused(far) == (403, "forbidden")
    assert refused(rig.post("/update_model", body, headers={"Host": "evil.example"})) == (403, "forbidden")
    assert refused(rig.post("/update_model", body, headers={"Origin": "http://evil.example"})) == (403, "forbidden")
    form = rig.post("/update_model", body, headers={"Content-Type": "text/plain"})
    assert refused(form) == (415, "unsupported_media_type")
    assert rig.journal.models() == set()
