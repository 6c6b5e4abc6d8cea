"""What the Open Inference Protocol's pages refuse, and how: the right status, a sentence, and nothing disturbed."""

import base64
import logging
from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from daemon.release import Event
from tests.onnx_models import constant_model
from tests.web_rig import WebRig

LOAD, UNLOAD, INDEX = "/v2/repository/models/m/load", "/v2/repository/models/m/unload", "/v2/repository/index"
LOGGING = "/v2/logging"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    """One for all: the models ``default`` and ``m`` serve their first version."""
    with WebRig(tmp_path_factory.mktemp("refusals")) as rig:
        rig.update(1)
        rig.update(1, model="m")
        yield rig


@pytest.fixture
def rig(shared: WebRig) -> Iterator[WebRig]:
    """As it was before, whatever was asked: nothing has happened, and what served serves."""
    before = _events(shared)
    yield shared
    assert _events(shared) == before
    assert shared.predict("/models/m/predict").get_json()["version"] == 1


def _events(rig: WebRig) -> list[Event]:
    return rig.lower.events()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model in base64."""
    return base64.b64encode(constant_model(tmp_path_factory.mktemp("made") / "x.onnx", 4.0).read_bytes()).decode()


def refusal_of(answer: TestResponse) -> tuple[int, str]:
    """The status and the code; the sentence is there, and tells nothing of the insides."""
    told = answer.get_json()
    assert isinstance(told["error"], str)
    assert "Traceback" not in told["error"]
    return answer.status_code, told["code"]


@pytest.mark.parametrize("body", [{"ready": 1}, {"ready": None}, {"reddy": True}, [], b"x", b"null", {"ready": "true"}])
def test_index_refuses_what_it_does_not_know(rig: WebRig, body: object) -> None:
    assert refusal_of(rig.post(INDEX, body))[0] == 400


@pytest.mark.parametrize(
    "name",
    [
        "file:model.onnx",
        "file:1/",
        "file:/model.onnx",
        "file:x/model.onnx",
        "file:-1/model.onnx",
        "file:1/../model.onnx",
        "file:../1/model.onnx",
        "file:1/2/model.onnx",
        "file:1//model.onnx",
        "file:1/..",
        "file:1/.",
        "file:1/a\\model.onnx",
        "file:1/a\x00.onnx",
        "file:1/C:model.onnx",
        "file:1/__model__.onnx",
        "file:1/__made__",
        "file:1/" + "a" * 300 + ".onnx",
        "file:1/" + "é" * 130 + ".onnx",
        "file:" + "1" * 30 + "/model.onnx",
        "file:²/model.onnx",
    ],
)
def test_any_path_but_a_bare_name_in_a_version_is_refused(rig: WebRig, content: str, name: str) -> None:
    answer = rig.post(LOAD, {"parameters": {name: content, "file:1/model.onnx": content}})
    assert refusal_of(answer) == (400, "bad_request")


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"[]",
        b"null",
        b'{"parameters"',
        b'"',
        {"parameter": {}},
        {"parameters": []},
        {"parameters": None},
        {"parameters": {"file": "QUFB"}},
        {"parameters": {"confg": "{}"}},
        {"parameters": {"config": None}},
        {"parameters": {"config": {}}},
        {"parameters": {"config": 1}},
        {"parameters": {"config": ""}},
        {"parameters": {"config": "[]"}},
        {"parameters": {"config": "{"}},
        {"parameters": {"config": '{"name": "other"}'}},
        {"parameters": {"config": '{"name": ["m"]}'}},
        {"parameters": {"config": '{"backend": "python"}'}},
        {"parameters": {"config": '{"backend": ["onnxruntime"]}'}},
        {"parameters": {"config": '{"platform": "tensorrt_plan"}'}},
        {"parameters": {"config": "x" * 70_000}},
        {"parameters": {"file:1/model.onnx": 7}},
        {"parameters": {"file:1/model.onnx": None}},
        {"parameters": {"file:1/model.onnx": ["QUFB"]}},
        {"parameters": {"file:1/model.onnx": "QUF"}},
        {"parameters": {"file:1/model.onnx": "no base64"}},
        {"parameters": {"file:1/model.txt": "QUFB"}},
        {"parameters": {"file:1/model.onnx": "QUFB", "file:01/model.onnx": "QUFB"}},
        {"parameters": {"file:1/model.onnx": "QUFB", "file:2/model.onnx.data": "QUFB"}},
        {"parameters": {"file:1/a.onnx": "QUFB", "file:1/b.onnx": "QUFB"}},
        {"parameters": {"file:1/model.onnx": "QUFB", "config": '{"default_model_filename": "a.onnx"}'}},
        {"parameters": {"file:1/model.onnx": "QUFB", "config": '{"default_model_filename": [1]}'}},
        {"parameters": {"file:1/m.onnx": "QUFB", **{f"file:1/{number}.data": "QUFB" for number in range(100)}}},
    ],
)
def test_load_refuses_what_is_malformed(rig: WebRig, body: object) -> None:
    assert refusal_of(rig.post(LOAD, body))[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        [],
        {"unload_dependents": True},
        {"parameters": True},
        {"parameters": {"unload_dependents": "true"}},
        {"parameters": {"x": 1}},
    ],
)
def test_unload_refuses_what_is_malformed(rig: WebRig, body: object) -> None:
    assert refusal_of(rig.post(UNLOAD, body))[0] == 400


def test_refusal_of_a_long_configuration_tells_its_length(rig: WebRig) -> None:
    answer = rig.post(LOAD, {"parameters": {"config": "x" * 70_000}})
    assert answer.get_json()["error"] == "config: expected a short text of JSON, found one of 70000 bytes"


def test_load_refuses_a_name_that_no_model_can_have(rig: WebRig, content: str) -> None:
    answer = rig.post("/v2/repository/models/.hidden/load", {"parameters": {"file:1/model.onnx": content}})
    assert refusal_of(answer) == (400, "bad_request")


def test_form_cannot_load_or_unload(rig: WebRig) -> None:
    assert refusal_of(rig.post(LOAD, b"{}", content_type="text/plain")) == (415, "unsupported_media_type")


@pytest.mark.parametrize("what", ["", "/ready", "/config"])
@pytest.mark.parametrize("version", ["7", "0", "x", "-1", "1.0", "²", "9" * 5000, "%0A1", "%D9%A1"])
def test_version_that_is_not_loaded_is_404(rig: WebRig, version: str, what: str) -> None:
    answer = rig.get(f"/v2/models/default/versions/{version}{what}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    assert "version" in answer.get_json()["error"]


@pytest.mark.parametrize("what", ["", "/ready", "/config", "/versions/1", "/versions/1/ready", "/versions/1/config"])
def test_model_that_never_was_is_404(rig: WebRig, what: str) -> None:
    answer = rig.get(f"/v2/models/nothing{what}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "unknown_model")


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/default", "/v2/models/default/config", "/v2"])
def test_other_methods_are_405(rig: WebRig, path: str) -> None:
    answer = rig.post(path)
    assert (answer.status_code, answer.get_json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]
    assert rig.ask("HEAD", path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v2/trace/setting",
        "/v2/models/default/trace/setting",
        "/v2/systemsharedmemory/status",
        "/v2/systemsharedmemory/region/r/status",
        "/v2/cudasharedmemory/status",
        "/v2/models/default/generate",
    ],
)
def test_extension_that_is_not_there_is_404(rig: WebRig, path: str) -> None:
    answer = rig.get(path)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        [],
        {"log_level": "info"},
        {"log_info": None},
        {"log_info": 1},
        {"log_info": "true"},
        {"log_verbose_level": -1},
        {"log_verbose_level": True},
        {"log_verbose_level": 1.5},
        {"log_verbose_level": 1, "log_info": False},
        {"log_info": True, "log_warning": False},
        {"log_warning": True, "log_error": False},
        {"log_file": "/etc/passwd"},
        {"log_format": "ISO8601"},
    ],
)
def test_what_no_level_is_is_refused_and_changes_nothing(
    rig: WebRig, body: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert refusal_of(rig.post(LOGGING, body))[0] == 400
        assert logging.getLogger().level == logging.INFO


def test_refusal_of_another_file_for_the_log_tells_that_it_is_fixed(rig: WebRig) -> None:
    told = rig.post(LOGGING, {"log_file": "/etc/passwd"}).get_json()["error"]
    assert told == "log_file: expected 'logs/daemon.log', which is fixed, found '/etc/passwd'"
