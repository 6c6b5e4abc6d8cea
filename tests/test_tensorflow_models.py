"""What TensorFlow Serving tells of models: versions and their states, labels, a signature; and KServe's two fields."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from daemon.lane.probation import ProbationTerms
from daemon.release import Signature, TensorSpec
from daemon.web.access import Tokens
from daemon.web.tensorflow.models_view import DTYPES, metadata_of
from tests import onnx_models
from tests.fakes import release_of
from tests.web_rig import WebRig

PREVIOUS = "no release of model 'default' is loaded beside version 1"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    """Releases stand by for as long as the one that took their place is on probation."""
    terms = ProbationTerms(seconds=60, max_error_rate=0.1, min_requests=10, non_finite="warn", keep_previous=True)
    with WebRig(tmp_path, probation_terms=terms) as rig:
        yield rig


def told(answer: TestResponse) -> Any:
    assert (answer.status_code, answer.content_type) == (200, "application/json"), answer.get_data()
    return answer.get_json()


def status(version: int, state: str = "AVAILABLE") -> dict[str, object]:
    return {"version": str(version), "state": state, "status": {"error_code": "OK", "error_message": ""}}


def test_versions_that_can_be_asked_are_available(rig: WebRig) -> None:
    rig.update(1)
    path = "/v1/models/default"
    assert told(rig.get(path)) == {"model_version_status": [status(1)], "name": "default", "ready": True}
    rig.update(2)
    assert told(rig.get(path))["model_version_status"] == [status(2), status(1)]
    assert told(rig.get(f"{path}/versions/1")) == {"model_version_status": [status(1)]}
    assert told(rig.get(f"{path}/labels/stable")) == {"model_version_status": [status(2)]}
    assert told(rig.get(f"{path}/labels/previous")) == {"model_version_status": [status(1)]}


def test_version_that_was_is_at_its_end(rig: WebRig) -> None:
    for number in (1, 2, 3):
        rig.update(number)
    assert told(rig.get("/v1/models/default/versions/1")) == {"model_version_status": [status(1, "END")]}
    rig.post("/v2/repository/models/default/unload")
    assert told(rig.get("/v1/models/default")) == {
        "model_version_status": [status(3, "END")],
        "name": "default",
        "ready": False,
    }
    assert told(rig.get("/v1/models/default/versions/3")) == {"model_version_status": [status(3, "END")]}


def test_models_that_serve_are_listed(rig: WebRig) -> None:
    assert told(rig.get("/v1/models")) == {"models": []}
    rig.update(1, "zebra")
    rig.update(1, "ant")
    rig.update(2, "ant")
    assert told(rig.get("/v1/models")) == {"models": ["ant", "zebra"]}


@pytest.mark.parametrize(
    ("path", "code", "sentence"),
    [
        ("nobody", "unknown_model", "there is no model 'nobody'"),
        ("nobody/versions/1", "unknown_model", "there is no model 'nobody'"),
        ("nobody/labels/stable", "unknown_model", "there is no model 'nobody'"),
        ("nobody/metadata", "unknown_model", "there is no model 'nobody'"),
        ("default/versions/9", "not_found", "model 'default' has no version 9"),
        ("default/versions/x", "not_found", "there is nothing at"),
        (f"default/versions/{'9' * 30}", "not_found", "model 'default' has no version 999"),
        (f"default/versions/{'9' * 5000}", "not_found", "there is nothing at"),
        ("default/versions/9/metadata", "not_found", "version 9 of model 'default' is not loaded"),
        (
            "default/labels/canary",
            "not_found",
            "model 'default' has no label 'canary': expected 'stable'",
        ),
        ("default/labels/previous", "not_found", PREVIOUS),
        ("default/labels/previous/metadata", "not_found", PREVIOUS),
    ],
)
def test_what_is_not_there_is_404(rig: WebRig, path: str, code: str, sentence: str) -> None:
    rig.update(1)
    answer = rig.get(f"/v1/models/{path}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, code)
    assert answer.get_json()["error"].startswith(sentence)


@pytest.mark.parametrize("path", ["", "/metadata", "/labels/stable"])
def test_model_that_never_served_is_503(rig: WebRig, path: str) -> None:
    answer = rig.get(f"/v1/models/default{path}")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "no_model")


@pytest.mark.parametrize("which", ["", "/versions/1", "/labels/stable"])
@pytest.mark.parametrize("verb", ["predict", "classify"])
def test_predictions_are_asked_for_by_post(rig: WebRig, which: str, verb: str) -> None:
    rig.update(1)
    answer = rig.get(f"/v1/models/default{which}:{verb}")
    assert (answer.status_code, answer.get_json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]
    assert "GET" not in answer.headers["Allow"]


def test_status_is_read_with_a_token_where_one_is_set(tmp_path: Path) -> None:
    with WebRig(tmp_path, tokens=Tokens("", "secret")) as rig:
        for path in ("/v1/models", "/v1/models/default", "/v1/models/default/metadata"):
            assert rig.get(path).status_code == 401
        assert rig.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_version_and_label_say_which_release_answers(rig: WebRig) -> None:
    rig.update(1)
    rig.update(2)
    body = {"instances": [[1] * 10]}

    def asked(which: str) -> float:
        answer = rig.post(f"/v1/models/default{which}:predict", body)
        assert answer.status_code == 200, answer.get_data()
        return float(answer.get_json()["predictions"][0][0])

    assert [asked(which) for which in ("", "/versions/2", "/labels/stable")] == [2, 2, 2]
    assert [asked(which) for which in ("/versions/1", "/labels/previous")] == [1, 1]


# The signature.


def tensor(dtype: str, name: str, *dims: tuple[str, str]) -> dict[str, object]:
    shape = {"dim": [{"size": size, "name": dim} for size, dim in dims], "unknown_rank": False}
    return {"dtype": dtype, "tensor_shape": shape, "name": name}


@pytest.mark.parametrize("which", ["", "/versions/1", "/labels/stable"])
def test_metadata_is_a_signature(rig: WebRig, which: str) -> None:
    rig.update(1)
    assert told(rig.get(f"/v1/models/default{which}/metadata")) == {
        "model_spec": {"name": "default", "signature_name": "", "version": "1"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"input": tensor("DT_FLOAT", "input", ("-1", "batch"), ("10", ""))},
                        "outputs": {"output": tensor("DT_FLOAT", "output", ("-1", "batch"), ("5", ""))},
                        "method_name": "tensorflow/serving/predict",
                    }
                }
            }
        },
    }


def test_metadata_is_of_the_release_that_is_asked_for(rig: WebRig) -> None:
    rig.update(1)
    onnx_models.two_inputs(rig.drop / "two.onnx")
    rig.post("/update_model", {"model_path": "two.onnx"})
    rig.settle()
    inputs = {
        which: set(signature_of(told(rig.get(f"/v1/models/default{which}/metadata")))["inputs"])
        for which in ("", "/labels/previous", "/versions/1")
    }
    assert inputs == {"": {"a", "b"}, "/labels/previous": {"input"}, "/versions/1": {"input"}}


def signature_of(metadata: Any) -> Any:
    return metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]


@pytest.mark.parametrize(
    ("dtype", "told_as"),
    [
        ("float16", "DT_HALF"),
        ("bfloat16", "DT_BFLOAT16"),
        ("float64", "DT_DOUBLE"),
        ("uint8", "DT_UINT8"),
        ("int64", "DT_INT64"),
        ("bool", "DT_BOOL"),
        ("string", "DT_STRING"),
        ("seq(map(int64,tensor(float)))", "DT_VARIANT"),
    ],
)
def test_every_type_has_a_name(dtype: str, told_as: str) -> None:
    spec = TensorSpec("y", dtype, None)
    release = replace(release_of(), signature=Signature(inputs=(), outputs=(spec,)))
    assert signature_of(metadata_of(release))["outputs"] == {
        "y": {"dtype": told_as, "tensor_shape": {"dim": [], "unknown_rank": True}, "name": "y"}
    }
    assert len(DTYPES) == 14
