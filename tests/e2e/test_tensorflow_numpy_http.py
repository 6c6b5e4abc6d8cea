"""A real daemon answers a client of TensorFlow Serving and one that sends NumPy's files, by both fronts."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from tests import onnx_models
from tests.e2e.rig import Rig

pytestmark = pytest.mark.both_fronts

NPY, NPZ = "application/x-npy", "application/x-npz"
WEIGHTS = (np.arange(50) / 8).reshape(10, 5).astype(np.float32)
BIAS = np.arange(5, dtype=np.float32)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    rig = Rig(tmp_path_factory.mktemp("tensorflow"), {"server": {"max_body_mb": 1}}, front=front)
    onnx_models.gemm(rig.drop / "gemm.onnx", WEIGHTS, BIAS)
    onnx_models.two_inputs(rig.drop / "two" / "m.onnx")
    rig.start()
    yield rig
    rig.kill()


class TensorFlowClient:
    """What tutorials of TensorFlow Serving do with ``requests``."""

    def __init__(self, rig: Rig, model: str) -> None:
        self._address = f"http://127.0.0.1:{rig.port}/v1/models/{model}"

    def state(self) -> str:
        answer = requests.get(self._address, timeout=10)
        answer.raise_for_status()
        return str(answer.json()["model_version_status"][0]["state"])

    def signature(self) -> Any:
        answer = requests.get(f"{self._address}/metadata", timeout=10)
        answer.raise_for_status()
        return answer.json()["metadata"]["signature_def"]["signature_def"]["serving_default"]

    def predict(self, which: str = "", **request: Any) -> Any:
        answer = requests.post(f"{self._address}{which}:predict", json=request, timeout=10)
        answer.raise_for_status()
        return answer.json()


def test_client_of_tensorflow_serving_is_answered(rig: Rig) -> None:
    client = TensorFlowClient(rig, "default")
    assert client.state() == "AVAILABLE"
    (name,) = client.signature()["inputs"]
    rows = np.random.default_rng(0).random((300, 10), np.float32)
    by_row = client.predict(signature_name="serving_default", instances=rows.tolist())["predictions"]
    by_name = client.predict("/versions/1", instances=[{name: row} for row in rows.tolist()])["predictions"]
    by_column = client.predict("/labels/stable", inputs={name: rows.tolist()})["outputs"]
    np.testing.assert_allclose(by_row, rows @ WEIGHTS + BIAS, rtol=1e-5)
    assert by_row == by_name == by_column
    pair = TensorFlowClient(rig, "two").predict(instances=[{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    assert pair == {"predictions": [{"sum": 3.0, "product": 2.0}, {"sum": 7.0, "product": 12.0}]}


def test_client_of_tensorflow_serving_is_told_what_is_wrong(rig: Rig) -> None:
    address = f"http://127.0.0.1:{rig.port}/v1/models"
    answer = requests.post(f"{address}/default:predict", json={"instances": [[1]]}, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    answer = requests.post(f"{address}/half:predict", json={"instances": [1]}, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (404, "there is no model 'half'")


def test_files_of_numpy_go_both_ways(rig: Rig) -> None:
    rows = np.random.default_rng(0).random((1000, 10))
    file = io.BytesIO()
    np.save(file, rows)
    sent, expected = file.getvalue(), (rows.astype(np.float32) @ WEIGHTS + BIAS)
    answer = rig.post("/predict", sent, headers={"Content-Type": NPY, "Accept": NPY})
    assert (answer.status, answer.headers["Content-Type"]) == (200, NPY)
    given = np.load(io.BytesIO(answer.body), allow_pickle=False)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected, rtol=1e-5)
    in_json = rig.post("/predict", sent, headers={"Content-Type": NPY}).json["output"]
    np.testing.assert_allclose(in_json, expected, rtol=1e-5)

    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(3), b=np.ones(3))
    answer = rig.post("/models/two/predict", file.getvalue(), headers={"Content-Type": NPZ, "Accept": NPZ})
    with np.load(io.BytesIO(answer.body), allow_pickle=False) as outputs:
        assert {name: outputs[name].tolist() for name in outputs} == {"sum": [1, 2, 3], "product": [0, 1, 2]}


def test_files_that_are_none_disturb_nothing(rig: Rig) -> None:
    bomb = io.BytesIO()
    np.savez_compressed(bomb, input=np.zeros((1 << 22, 10), np.float32))
    assert len(bomb.getvalue()) < 1 << 20
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], object))
    for body, kind, status in ((bomb.getvalue(), NPZ, 413), (pickled.getvalue(), NPY, 400), (b"PK", NPZ, 400)):
        answer = rig.post("/predict", body, headers={"Content-Type": kind})
        assert answer.status == status, answer.body
        assert answer.headers["Content-Type"] == "application/json"
    assert rig.predict().status == 200
