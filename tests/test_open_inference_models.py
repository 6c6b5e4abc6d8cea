"""What the Open Inference Protocol tells of the server and of models: names, shapes, versions, readiness."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from daemon import __version__
from daemon.lane.probation import ProbationTerms
from daemon.release import Signature, TensorSpec
from daemon.web.open_inference.models import config_of, metadata_of
from daemon.web.open_inference.server import EXTENSIONS
from tests import onnx_models
from tests.fakes import release_of
from tests.web_rig import WebRig

PAGE = Path(__file__).resolve().parent.parent / "docs" / "open-inference.md"
STANDING_BY = ProbationTerms(seconds=60, max_error_rate=0.1, min_requests=10, non_finite="warn", keep_previous=True)
INDEPENDENT = {"batch": {"equals_single": True}, "runs": [{"batch": 1, "seconds": 1e-3}, {"batch": 8, "seconds": 2e-3}]}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path, probation_terms=STANDING_BY) as rig:
        yield rig


def json_of(answer: TestResponse) -> Any:
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    return answer.get_json()


def deploy(rig: WebRig, path: Path) -> None:
    assert rig.post("/update_model", {"model_path": path.name}).status_code == 200


def configured(inputs: list[TensorSpec], outputs: list[TensorSpec], **trial: object) -> dict[str, Any]:
    """The configuration of a release of that signature, where at most 16 rows are run together."""
    release = replace(release_of(), signature=Signature(tuple(inputs), tuple(outputs)), trial=trial)
    return config_of(release, 16)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_tells_its_name_and_what_it_has(rig: WebRig, path: str) -> None:
    told = json_of(rig.get(path))
    assert (told["name"], told["version"]) == ("modeldrop", __version__)
    assert {"model_repository", "model_configuration"} <= set(told["extensions"])
    assert not {"trace", "sequence", "generate", "system_shared_memory"} & set(told["extensions"])


def test_page_names_every_path_and_every_extension(rig: WebRig) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rules = [rule.rule for rule in rig.app.url_map.iter_rules() if rule.rule.startswith("/v2/")]
    paths = {re.sub("<version>|<int:version>", "N", rule.replace("<model>", "NAME")) for rule in rules}
    assert len(paths) > 15
    assert [path for path in paths if f"`{path}`" not in page] == []
    assert [name for name in EXTENSIONS if f"`{name}`" not in page] == []


def test_server_lives_and_is_ready_or_not(rig: WebRig) -> None:
    assert json_of(rig.get("/v2/health/live")) == {"live": True}
    assert json_of(rig.get("/v2/health/ready")) == {"ready": True}
    rig.faults.append("the daemon is stopping")
    answer = rig.get("/v2/health/ready")
    assert (answer.status_code, answer.get_json()) == (503, {"ready": False})
    assert rig.get("/v2/health/live").status_code == 200


def test_model_is_described(rig: WebRig) -> None:
    rig.update(1)
    expected = {
        "name": "default",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 10]}],
        "outputs": [{"name": "output", "datatype": "FP32", "shape": [-1, 5]}],
    }
    assert json_of(rig.get("/v2/models/default")) == expected
    assert json_of(rig.get("/v2/models/default/versions/1")) == expected


def test_release_that_stands_by_is_told_beside_the_one_that_serves(rig: WebRig) -> None:
    rig.update(1)
    deploy(rig, onnx_models.identity(rig.drop / "other.onnx", "int64", ["n"]))
    now, before = (json_of(rig.get(f"/v2/models/default{where}")) for where in ("", "/versions/1"))
    assert now["versions"] == before["versions"] == ["1", "2"]
    assert [now["inputs"][0]["datatype"], before["inputs"][0]["datatype"]] == ["INT64", "FP32"]
    told = rig.get("/v2/models/default/versions/7").get_json()["error"]
    assert told == "version 7 of model 'default' is not loaded: version 2 serves and version 1 stands by"
    for version in (1, 2):
        assert json_of(rig.get(f"/v2/models/default/versions/{version}/ready")) == {"name": "default", "ready": True}
    assert json_of(rig.get("/v2/models/default/versions/1/config"))["input"][0]["data_type"] == "TYPE_FP32"
    assert json_of(rig.get("/v2/models/default/config"))["input"][0]["data_type"] == "TYPE_INT64"


@pytest.mark.parametrize("what", ["", "/config", "/versions/1", "/versions/1/config"])
def test_model_that_does_not_serve_is_503(rig: WebRig, what: str) -> None:
    rig.update(1)
    rig.post("/v2/repository/models/default/unload")
    answer = rig.get(f"/v2/models/default{what}")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "no_model")
    answer = rig.get("/v2/models/default/ready")
    assert (answer.status_code, answer.get_json()) == (503, {"name": "default", "ready": False})


def test_maps_are_rows_of_numbers(rig: WebRig) -> None:
    deploy(rig, onnx_models.zipmap_like(rig.drop / "zip.onnx"))
    outputs = json_of(rig.get("/v2/models/default"))["outputs"]
    assert {"name": "probabilities", "datatype": "FP32", "shape": [-1, -1]} in outputs


@pytest.mark.parametrize(
    ("dtype", "datatype", "data_type"),
    [("string", "BYTES", "TYPE_STRING"), ("bool", "BOOL", "TYPE_BOOL"), ("bfloat16", "BF16", "TYPE_BF16")],
)
def test_datatypes_have_a_name_for_metadata_and_one_for_the_configuration(
    dtype: str, datatype: str, data_type: str
) -> None:
    spec = TensorSpec("x", dtype, (2, None, "n"))
    release = replace(release_of(), signature=Signature((spec,), (spec,)))
    assert metadata_of(release, [release])["inputs"] == [{"name": "x", "datatype": datatype, "shape": [2, -1, -1]}]
    assert config_of(release, 16)["output"] == [{"name": "x", "data_type": data_type, "dims": [2, -1, -1]}]


def test_configuration_has_full_shapes_where_rows_are_not_proved_independent() -> None:
    config = configured([TensorSpec("x", "float32", (None, 3))], [TensorSpec("y", "float32", (None,))])
    assert config["max_batch_size"] == 0
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 3], "optional": False}]
    assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}]
    assert "dynamic_batching" not in config


def test_configuration_leaves_the_rows_out_where_they_are() -> None:
    inputs = [TensorSpec("x", "float32", ("batch", 3))]
    config = configured(inputs, [TensorSpec("y", "float32", (None,))], **INDEPENDENT)
    assert config["max_batch_size"] == 16
    assert config["input"][0]["dims"] == [3]
    assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}]
    assert config["dynamic_batching"] == {"preferred_batch_size": [8]}


@pytest.mark.parametrize("shape", [(1, 3), (), None])
def test_configuration_has_full_shapes_where_one_input_has_no_open_rows(shape: tuple[int, ...] | None) -> None:
    inputs = [TensorSpec("x", "float32", ("batch", 3)), TensorSpec("w", "float32", shape, optional=True)]
    config = configured(inputs, [TensorSpec("y", "float32", (None,))], **INDEPENDENT)
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (0, [-1, 3])
    assert [each["optional"] for each in config["input"]] == [False, True]
    assert "dynamic_batching" not in config


def test_configuration_has_no_batches_where_there_are_none() -> None:
    spec = TensorSpec("x", "float32", ("batch", 3))
    release = replace(release_of(), signature=Signature((spec,), (spec,)), trial=INDEPENDENT)
    config = config_of(release, 1)
    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
