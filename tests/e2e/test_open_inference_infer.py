"""Triton's own client runs models on a real daemon, in every form that it has."""

import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests import onnx_models
from tests.e2e.rig import Rig

pytestmark = pytest.mark.both_fronts

WEIGHTS = np.arange(50, dtype=np.float32).reshape(10, 5) % 7
ROWS = np.arange(20, dtype=np.float32).reshape(2, 10)
WANTED = ROWS @ WEIGHTS
DTYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
    "BYTES": "string", "BF16": "bfloat16",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon whose ``default`` takes rows of ten; there are others for what it has not."""
    settings = {"gate": {"trial": {"measure_ms": 20}}, "server": {"max_body_mb": 64}}
    rig = Rig(tmp_path_factory.mktemp("infer"), settings, front=front).start()
    models = {
        "default": onnx_models.gemm(rig.drop / "gemm.onnx", WEIGHTS, np.zeros(5, np.float32)),
        "pair": onnx_models.two_inputs(rig.folder / "pair.onnx"),
        "scores": onnx_models.zipmap_like(rig.folder / "scores.onnx"),
        "loop": onnx_models.counted_loop(rig.folder / "loop.onnx"),
        **{name: onnx_models.identity(rig.folder / f"{name}.onnx", dtype) for name, dtype in DTYPES.items()},
    }
    for model, path in models.items():
        body = path.read_bytes()
        answer = rig.request("PUT", f"/models/{model}/upload?filename={path.name}", body)
        assert answer.status == 200, answer.body
    yield rig
    rig.kill()


@pytest.fixture
def client(shared: Rig) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{shared.port}", concurrency=4) as client:
        yield client


def tensor(name: str, array: Any, datatype: str = "FP32", *, binary: bool = True) -> InferInput:
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("asked", [None, True, False])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_rows_are_answered_in_every_form(
    client: InferenceServerClient, binary: bool, asked: bool | None, packed: str | None
) -> None:
    rows = np.tile(ROWS, (40, 1))
    found = client.infer(
        "default",
        [tensor("input", rows, binary=binary)],
        model_version="1",
        outputs=None if asked is None else [InferRequestedOutput("output", binary_data=asked)],
        request_id="mine",
        priority=1,
        timeout=5_000_000,
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
        parameters={"note": "anything"},
    )
    assert np.array_equal(found.as_numpy("output"), np.tile(WANTED, (40, 1)))
    told = found.get_response()
    assert (told["model_name"], told["model_version"], told["id"]) == ("default", "1", "mine")
    assert ("data" in found.get_output("output")) == (asked is False)


def test_answer_is_packed_on_the_wire(shared: Rig) -> None:
    body, length = InferenceServerClient.generate_request_body([tensor("input", np.tile(ROWS, (40, 1)))])
    headers = {"Inference-Header-Content-Length": str(length), "Accept-Encoding": "gzip"}
    answer = shared.post("/v2/models/default/infer", body, headers=headers)
    assert answer.headers["Content-Encoding"] == "gzip"
    stated = int(answer.headers["Inference-Header-Content-Length"])
    found = InferenceServerClient.parse_response_body(answer.body, header_length=stated, content_encoding="gzip")
    assert np.array_equal(found.as_numpy("output"), np.tile(WANTED, (40, 1)))
    assert len(gzip.decompress(answer.body)) > len(answer.body)


def test_bodies_that_are_made_and_read_by_hand(shared: Rig) -> None:
    for binary in (True, False):
        outputs = [InferRequestedOutput("output", binary_data=binary)]
        body, length = InferenceServerClient.generate_request_body([tensor("input", ROWS, binary=binary)], outputs)
        headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
        answer = shared.post("/v2/models/default/infer", body, headers=headers)
        stated = answer.headers["Inference-Header-Content-Length"]
        found = InferenceServerClient.parse_response_body(answer.body, header_length=stated and int(stated))
        assert np.array_equal(found.as_numpy("output"), WANTED)


def test_many_at_once(client: InferenceServerClient) -> None:
    asked = [client.async_infer("default", [tensor("input", ROWS + number)]) for number in range(20)]
    for number, each in enumerate(asked):
        assert np.array_equal(each.get_result().as_numpy("output"), (ROWS + number) @ WEIGHTS)


def test_each_input_and_output_in_its_own_form(client: InferenceServerClient) -> None:
    a, b = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    found = client.infer(
        "pair",
        [tensor("b", b, binary=False), tensor("a", a)],
        outputs=[InferRequestedOutput("product", binary_data=False), InferRequestedOutput("sum")],
    )
    assert (found.as_numpy("sum").tolist(), found.as_numpy("product").tolist()) == ([4, 6], [3, 8])
    assert client.infer("pair", [tensor("a", a), tensor("b", b)], outputs=[]).as_numpy("sum").tolist() == [4, 6]
    some = client.infer("pair", [tensor("a", a), tensor("b", b)], outputs=[InferRequestedOutput("sum")])
    assert some.as_numpy("product") is None


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype(client: InferenceServerClient, datatype: str) -> None:
    numpy_type = {"BYTES": "object", "BF16": "float32"}.get(datatype, DTYPES[datatype])
    values = ["", "ü", b"x" * 300] if datatype == "BYTES" else [0, 1, 1]
    for shape in ((3,), (1, 3, 1), (), (0,), (2, 0)):
        array = np.array(values[: int(np.prod(shape))], numpy_type).reshape(shape)
        for binary in (True, False) if datatype != "BF16" else (True,):
            outputs = [InferRequestedOutput("y", binary_data=binary)]
            told = client.infer(datatype, [tensor("x", array, datatype, binary=binary)], outputs=outputs).as_numpy("y")
            assert told.shape == shape
            texts = [each.encode() if isinstance(each, str) else each for each in array.ravel().tolist()]
            found = [each.encode() if isinstance(each, str) else each for each in told.ravel().tolist()]
            assert found == texts


def test_classes_with_their_labels(client: InferenceServerClient) -> None:
    rows = np.array([[0.25, 0.75], [0.5, 0.125]], np.float32)
    for binary in (True, False):
        outputs = [InferRequestedOutput("probabilities", binary_data=binary, class_count=1)]
        found = client.infer("scores", [tensor("x", rows)], outputs=outputs).as_numpy("probabilities")
        texts = [each if isinstance(each, str) else each.decode() for each in found.ravel().tolist()]
        assert (found.shape, texts) == ((2, 1), ["0.750000:1:7", "0.500000:0:3"])
    plain = client.infer("scores", [tensor("x", rows)])
    assert np.array_equal(plain.as_numpy("probabilities"), rows)
    assert json.loads(plain.get_output("probabilities")["parameters"]["labels"]) == [3, 7]


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        ({"inputs": [tensor("other", ROWS)]}, "400", "unknown input 'other'"),
        ({"inputs": [tensor("input", ROWS.astype(np.float64), "FP64")]}, "400", "expected datatype FP32, got FP64"),
        ({"inputs": [tensor("input", ROWS[:, :9])]}, "400", "got shape [2, 9]"),
        ({"outputs": [InferRequestedOutput("z")]}, "400", "unknown output 'z'"),
        ({"sequence_id": 7, "sequence_start": True}, "400", "sequences are not supported here"),
        ({"model_version": "99"}, "404", "version 99 of model 'default' is not loaded"),
        ({"model_name": "nobody"}, "404", "there is no model 'nobody'"),
    ],
)
def test_what_is_wrong_is_told_by_the_client(
    client: InferenceServerClient, asked: dict[str, Any], status: str, sentence: str
) -> None:
    given = {"model_name": "default", "inputs": [tensor("input", ROWS)], **asked}
    with pytest.raises(InferenceServerException) as raised:
        client.infer(**given)
    assert raised.value.status() == status
    assert sentence in raised.value.message()


def test_shared_memory_is_refused(client: InferenceServerClient) -> None:
    shared_one = InferInput("input", [2, 10], "FP32")
    shared_one.set_shared_memory("region", 80)
    with pytest.raises(InferenceServerException, match="shared memory is not supported here"):
        client.infer("default", [shared_one])


def test_run_that_takes_longer_than_the_client_waits_is_stopped(client: InferenceServerClient) -> None:
    inputs = [
        tensor("rounds", np.array(50_000_000, np.int64), "INT64"),
        tensor("x", np.array([1], np.float32)),
    ]
    with pytest.raises(InferenceServerException, match=r"stopped at its deadline of 50 ms"):
        client.infer("loop", inputs, timeout=50_000)


def test_large_tensors_pass_both_ways_beside_others(shared: Rig, client: InferenceServerClient) -> None:
    large = np.random.default_rng(1).random(10 << 20, np.float32)  # 40 MB
    body, length = InferenceServerClient.generate_request_body([tensor("x", large)])
    headers = {"Inference-Header-Content-Length": str(length)}
    other = threading.Thread(target=shared.post, args=("/v2/models/FP32/infer", body), kwargs={"headers": headers})
    other.start()
    assert np.array_equal(client.infer("FP32", [tensor("x", large)]).as_numpy("y"), large)
    assert np.array_equal(client.infer("default", [tensor("input", ROWS)]).as_numpy("output"), WANTED)
    other.join()


def test_raw_body_is_the_only_input(shared: Rig) -> None:
    answer = shared.post("/v2/models/default/infer", ROWS.tobytes(), headers={"Inference-Header-Content-Length": "0"})
    stated = int(answer.headers["Inference-Header-Content-Length"])
    found = InferenceServerClient.parse_response_body(answer.body, header_length=stated)
    assert np.array_equal(found.as_numpy("output"), WANTED)
