"""Triton's own client against a real daemon: every call but infer that the server says it has, and those it has not."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.e2e.proc import peak_bytes, reset_peak, resident_bytes
from tests.e2e.rig import Rig
from tests.onnx_models import big, constant_model, external

pytestmark = pytest.mark.both_fronts

MIB = 1 << 20
_numbers = count(1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon that takes models of 100 MiB, but other bodies of one only."""
    settings = {"server": {"max_body_mb": 1, "max_upload_mb": 100}, "gate": {"trial": {"measure_ms": 20}}}
    rig = Rig(tmp_path_factory.mktemp("open-inference"), settings, front=front).start()
    yield rig
    rig.kill()


@pytest.fixture
def client(shared: Rig) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{shared.port}") as client:
        yield client


@pytest.fixture
def model() -> str:
    """A model's name that no other test has."""
    return f"model-{next(_numbers)}"


def content_of(tmp_path: Path, value: float) -> bytes:
    return constant_model(tmp_path / f"{value}.onnx", value).read_bytes()


def rows_of(client: InferenceServerClient, model: str) -> list[dict[str, Any]]:
    return [row for row in client.get_model_repository_index() if row["name"] == model]


def test_server_is_alive_and_ready_and_tells_its_name(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "modeldrop"


def test_model_is_loaded_from_the_client_described_and_unloaded(
    shared: Rig, client: InferenceServerClient, model: str, tmp_path: Path
) -> None:
    client.load_model(model, config="{}", files={"file:1/model.onnx": content_of(tmp_path, 1.0)})
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1")
    assert not client.is_model_ready(model, "2")
    assert client.get_model_metadata(model) == client.get_model_metadata(model, "1")
    assert client.get_model_metadata(model)["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 10]}]
    config = client.get_model_config(model, "1")
    assert (config["name"], config["backend"]) == (model, "onnxruntime")
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert rows_of(client, model) == [{"name": model, "version": "1", "state": "READY", "reason": ""}]
    client.unload_model(model, unload_dependents=True)
    assert not client.is_model_ready(model)
    assert rows_of(client, model) == [{"name": model, "state": "UNAVAILABLE", "reason": "unloaded"}]
    client.load_model(model)
    assert shared.predict(model=model).json["output"] == [[1.0] * 5]
    assert client.is_model_ready(model, "1")


def test_release_that_stands_by_is_ready_beside_the_next(
    client: InferenceServerClient, model: str, tmp_path: Path
) -> None:
    for value in (2.0, 3.0):
        client.load_model(
            model, config=json.dumps({"name": model}), files={"file:1/m.onnx": content_of(tmp_path, value)}
        )
    assert [row["version"] for row in rows_of(client, model)] == ["1", "2"]
    assert client.is_model_ready(model, "1")
    assert client.get_model_metadata(model, "1")["versions"] == ["1", "2"]


def test_model_with_external_data_comes_in_files(
    shared: Rig, client: InferenceServerClient, model: str, tmp_path: Path
) -> None:
    path = external(tmp_path / "model.onnx", value_of=5.0)
    data = (tmp_path / "model.onnx.data").read_bytes()
    files = {"file:1/model.onnx": path.read_bytes(), "file:1/model.onnx.data": data}
    client.load_model(model, config="{}", files=files)
    assert shared.predict(model=model).json["output"] == [[5.0] * 5]


def test_large_model_costs_the_daemon_no_memory_on_its_way(
    shared: Rig, client: InferenceServerClient, model: str, tmp_path: Path
) -> None:
    content = big(tmp_path / "big.onnx", 60).read_bytes()
    before = resident_bytes(shared.pid)
    reset_peak(shared.pid)
    with pytest.raises(InferenceServerException, match=r"'other\.bin' came with it"):  # before anything is loaded
        client.load_model(model, config="{}", files={"file:1/model.onnx": content, "file:1/other.bin": b"x"})
    assert peak_bytes(shared.pid) - before < 30 * MIB
    assert not client.is_model_ready(model)


def test_bad_model_is_refused_with_the_reason_and_what_serves_goes_on(
    shared: Rig, client: InferenceServerClient, model: str, tmp_path: Path
) -> None:
    client.load_model(model, config="{}", files={"file:1/model.onnx": content_of(tmp_path, 6.0)})
    with pytest.raises(InferenceServerException, match="not an ONNX model") as refused:
        client.load_model(model, config="{}", files={"file:1/model.onnx": b"hello"})
    assert refused.value.status() == "422"
    assert shared.predict(model=model).json["version"] == 1


def test_unknown_model_is_refused_with_a_sentence(client: InferenceServerClient) -> None:
    for ask in (client.load_model, client.unload_model, client.get_model_metadata, client.get_model_config):
        with pytest.raises(InferenceServerException, match="there is no model 'nothing'"):
            ask("nothing")
    assert not client.is_model_ready("nothing")


def test_body_over_the_limits_is_refused_before_it_is_read(shared: Rig) -> None:
    load = shared.post("/v2/repository/models/m/load", b"x", headers={"Content-Length": str(200 * MIB)})
    index = shared.post("/v2/repository/index", b"x", headers={"Content-Length": str(2 * MIB)})
    assert (load.status, index.status) == (413, 413)


def test_statistics_are_of_a_model_a_version_or_all(
    shared: Rig, client: InferenceServerClient, model: str, tmp_path: Path
) -> None:
    for value, requests in ((7.0, 3), (8.0, 2)):
        client.load_model(model, config="{}", files={"file:1/m.onnx": content_of(tmp_path, value)})
        for _ in range(requests):
            assert shared.predict(model=model).status == 200
    shared.post(f"/models/{model}/predict", {"inputs": [[1.0]]})
    every, last = client.get_inference_statistics(), client.get_inference_statistics(model, "2")
    own = client.get_inference_statistics(model)["model_stats"]
    assert [(row["version"], row["inference_count"]) for row in own] == [("1", 3), ("2", 2)]
    assert last["model_stats"] == own[1:]
    assert [row for row in every["model_stats"] if row["name"] == model] == own
    assert [last["model_stats"][0]["inference_stats"][name]["count"] for name in ("success", "fail")] == [2, 1]


def test_log_settings_are_seen_and_changed(shared: Rig, client: InferenceServerClient) -> None:
    assert client.get_log_settings()["log_verbose_level"] == 0
    assert client.update_log_settings({"log_verbose_level": 1})["log_verbose_level"] == 1
    assert client.update_log_settings({"log_verbose_level": 0}) == client.get_log_settings()
    assert "the log's level is DEBUG from here on, it was INFO" in shared.log


def test_calls_that_the_server_does_not_have_are_refused_with_a_sentence(client: InferenceServerClient) -> None:
    for ask in (
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        client.get_trace_settings,
        client.update_trace_settings,
        client.unregister_system_shared_memory,
    ):
        with pytest.raises(InferenceServerException, match="there is nothing at /v2/") as refused:
            ask()
        assert refused.value.status() == "404"
