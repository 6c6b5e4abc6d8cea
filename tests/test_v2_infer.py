"""What a client of the Open Inference Protocol is answered, form by form."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from werkzeug.test import Client, TestResponse

from daemon.errors import AT_ONCE, HandOver
from daemon.web.answers import LARGE_BYTES
from tests import onnx_models
from tests.v2_wire import outputs_of, request
from tests.web_rig import WebRig

INFER = "/v2/models/default/infer"
HEADER = "Inference-Header-Content-Length"
TEN = np.arange(10, dtype=np.float32).reshape(1, 10)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    """``default`` takes ten numbers and gives five; other models are whatever a test makes of them."""
    with WebRig(tmp_path_factory.mktemp("rig")) as rig:
        weights = np.arange(50, dtype=np.float32).reshape(10, 5)
        deploy(rig, onnx_models.gemm(rig.drop / "gemm.onnx", weights, np.zeros(5, np.float32)))
        rig.predictor._max_body_bytes = 1 << 20
        yield rig


def deploy(rig: WebRig, path: Path, model: str = "default") -> str:
    """Deploys it; the path to ask it at."""
    assert rig.post("/update_model", {"model_path": path.name, "model": model}).status_code == 200
    return f"/v2/models/{model}/infer"


def ten(**more: Any) -> dict[str, Any]:
    """A request as JSON; ``more`` of its only input."""
    entry = {"name": "input", "shape": [1, 10], "datatype": "FP32", "data": list(range(10))}
    return {"inputs": [{**entry, **more}]}


def found(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return outputs_of(answer.get_data(), dict(answer.headers))


def refused(answer: TestResponse) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == 400, answer.get_data()
    told = answer.get_json()
    assert told["code"] in ("invalid_input", "invalid_json", "bad_request")
    return str(told["error"])


WANTED = TEN @ np.arange(50, dtype=np.float32).reshape(10, 5)


# JSON.


def test_answer_has_the_forms_of_the_protocol(rig: WebRig) -> None:
    answer = rig.post(INFER, ten())
    assert answer.get_json() == {
        "model_name": "default",
        "model_version": "1",
        "outputs": [{"name": "output", "datatype": "FP32", "shape": [1, 5], "data": WANTED.ravel().tolist()}],
    }
    assert (answer.content_type, answer.headers.get(HEADER)) == ("application/json", None)
    assert answer.headers["X-Model-Version"] == "1"


def test_id_is_given_back_when_there_is_one(rig: WebRig) -> None:
    assert rig.post(INFER, {**ten(), "id": 'a "quoted" one, ü'}).get_json()["id"] == 'a "quoted" one, ü'
    assert rig.post(INFER, {**ten(), "id": ""}).get_json()["id"] == ""
    assert "id" not in rig.post(INFER, {**ten(), "id": None}).get_json()
    assert "the id of the request is a number, expected a string" in refused(rig.post(INFER, {**ten(), "id": 7}))


def test_version_that_serves_can_be_asked_and_one_that_is_not_loaded_cannot(rig: WebRig) -> None:
    assert rig.post("/v2/models/default/versions/1/infer", ten()).get_json()["model_version"] == "1"
    answer = rig.post("/v2/models/default/versions/2/infer", ten())
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    assert rig.post("/v2/models/nobody/infer", ten()).get_json()["code"] == "unknown_model"


@pytest.mark.parametrize("data", [list(range(10)), [list(range(10))]], ids=["flat", "nested"])
def test_data_may_be_flat_or_nested(rig: WebRig, data: list[Any]) -> None:
    assert found(rig.post(INFER, ten(data=data)))["output"] == pytest.approx(WANTED)


@pytest.mark.parametrize("rows", [1, 40, 300])
@pytest.mark.parametrize("nested", [False, True])
def test_large_requests_are_read_as_small_ones(rig: WebRig, rows: int, nested: bool) -> None:
    values = np.random.default_rng(rows).random((rows, 10), np.float32)
    data = values.tolist() if nested else values.ravel().tolist()
    told = found(rig.post(INFER, {**ten(shape=[rows, 10], data=data), "id": "x", "outputs": [{"name": "output"}]}))
    exactly = rig.post("/predict", {"inputs": values.tolist()}).get_json()["output"]
    assert told["output"].tolist() == np.array(exactly, np.float32).tolist()


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        ({"data": [0] * 9}, "input 'input': expected 10 elements, as its shape [1, 10] says, got 9"),
        ({"data": [[0] * 5] * 2}, "expected a flat list, or lists of shape [1, 10], got [2, 5]"),
        ({"data": [[0] * 9, [0]]}, "expected lists of equal length, got 9 and 1 elements"),
        ({"data": [0] * 9 + [None]}, "expected numbers, got null at [9]"),
        ({"data": [0] * 9 + ["1"]}, "expected numbers, got a string at [9]"),
        ({"data": [0] * 9 + [True]}, "expected numbers, got a boolean at [9]"),
        ({"data": [0] * 9 + [1e39]}, "expected finite float32, got 1e+39 at [9]"),
        ({"data": {"0": 1}}, "expected numbers, got an object"),
        ({"data": None}, "input 'input' has no data"),
        ({"shape": [1, 9], "data": [0] * 9}, "expected float32 [batch, 10], got shape [1, 9]"),
        ({"shape": [10]}, "expected float32 [batch, 10], got shape [10]"),
        ({"shape": [-1, 10]}, "expected whole numbers from 0 on in the shape, got -1"),
        ({"shape": [1.0, 10]}, "expected whole numbers from 0 on in the shape, got 1.0"),
        ({"shape": [True, 10]}, "expected whole numbers from 0 on in the shape, got True"),
        ({"shape": "1,10"}, "expected a list of at most 32 numbers as shape, got 1,10"),
        ({"shape": None}, "expected a list of at most 32 numbers as shape, got None"),
        ({"shape": [1] * 33}, "expected a list of at most 32 numbers as shape"),
        ({"shape": [2**62, 10]}, "expected at most 576460752303423488 elements"),
        ({"shape": [2**62, 0]}, "expected at most 576460752303423488 elements"),
        ({"datatype": "FP64"}, "expected datatype FP32, got FP64"),
        ({"datatype": None}, "expected datatype FP32, got null"),
        ({"datatype": ["FP32"]}, "expected datatype FP32, got a list"),
        ({"name": "other"}, "unknown input 'other': expected 'input'"),
        ({"name": 1}, "expected a string as the name of an input, found a number"),
        ({"parameters": []}, "the parameters of input 'input' are a list, expected an object"),
        ({"parameters": {"x": {}}}, "parameter 'x' of input 'input' is an object, expected a string, a number or a"),
        ({"parameters": {"binary_data_size": 40}}, "has both data and binary_data_size"),
        ({"parameters": {"binary_data_size": "40"}}, "'binary_data_size' of an input is '40', expected a whole number"),
        ({"data": None, "parameters": {"binary_data_size": 40}}, f"binary data needs the header {HEADER}"),
        ({"parameters": {"shared_memory_region": "r"}}, "shared memory is not supported here"),
    ],
)
def test_input_that_is_wrong_is_refused_with_a_sentence(rig: WebRig, spoilt: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(rig.post(INFER, ten(**spoilt)))
    large = {**ten(**spoilt), "parameters": {"padding": "x" * LARGE_BYTES}}
    assert sentence in refused(rig.post(INFER, large))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not JSON"),
        (b"[]", "the body is a JSON array; expected an object"),
        (b"{}", "expected a list 'inputs', found nothing"),
        (b'{"inputs": {}}', "expected a list 'inputs', found an object"),
        (b'{"inputs": [1]}', "expected objects in 'inputs', found a number"),
        (b'{"inputs": []}', "input 'input' is missing: expected 'input'"),
        (orjson.dumps({"inputs": ten()["inputs"] * 2}), "input 'input' is given twice"),
        (orjson.dumps({**ten(), "outputs": {"a": 1}}), "'outputs' is an object, expected a list"),
        (orjson.dumps({**ten(), "outputs": ["output"]}), "expected objects with a string 'name' in 'outputs'"),
        (orjson.dumps({**ten(), "outputs": [{"name": "z"}]}), "unknown output 'z': expected 'output'"),
        (orjson.dumps({**ten(), "outputs": [{"name": "output"}] * 2}), "an output is asked for twice in 'outputs'"),
        (orjson.dumps({**ten(), "parameters": {"binary_data_output": 1}}), "is 1, expected true or false"),
        (orjson.dumps({**ten(), "parameters": {"sequence_id": 3}}), "sequences are not supported here"),
        (orjson.dumps({**ten(), "parameters": {"timeout": -1}}), "parameter 'timeout' of the request is -1"),
        (orjson.dumps({**ten(), "parameters": {"timeout": True}}), "parameter 'timeout' of the request is True"),
        (b'{"inputs": ' + b"[" * 5000, "the body is not JSON"),
    ],
)
def test_request_that_is_wrong_is_refused_with_a_sentence(rig: WebRig, body: bytes, sentence: str) -> None:
    assert sentence in refused(rig.post(INFER, body))


def test_parameters_that_nobody_here_knows_are_taken(rig: WebRig) -> None:
    parameters = {"priority": 1, "triton_x": "y", "sequence_id": 0, "headers": True, "timeout": 0}
    assert found(rig.post(INFER, {**ten(parameters={"mine": 1.5}), "parameters": parameters}))


def test_parameters_that_are_null_are_not_given(rig: WebRig) -> None:
    nulls = {"binary_data_output": None, "timeout": None, "sequence_id": None, "mine": None}
    outputs = [{"name": "output", "parameters": {"binary_data": None, "classification": None}}]
    entry = ten(parameters={"binary_data_size": None, "shared_memory_region": None})
    answer = rig.post(INFER, {**entry, "parameters": nulls, "outputs": outputs})
    assert found(answer)["output"] == pytest.approx(WANTED)
    assert found(rig.post(INFER, {**ten(parameters=None), "parameters": None, "outputs": None}))


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "application/json; charset=x"],
)
def test_content_type_does_not_matter_where_the_body_may_be_json(rig: WebRig, kind: str) -> None:
    assert found(rig.post(INFER, ten(), content_type=kind))
    head = orjson.dumps({"inputs": [{"name": "input", "shape": [1, 10], "datatype": "FP32"}]})
    answer = rig.post(INFER, head + TEN.tobytes(), headers={HEADER: str(len(head))}, content_type=kind)
    assert found(answer)["output"] == pytest.approx(WANTED)


@pytest.mark.parametrize("header", [{}, {HEADER: "0"}])
@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data; boundary=x", "Image/PNG", "text/csv", "application/x-npy", "application/x-npz", "audio/wav"],
)
def test_content_type_of_another_form_is_refused(rig: WebRig, kind: str, header: dict[str, str]) -> None:
    answer = rig.post(INFER, TEN.tobytes() if header else ten(), headers=header, content_type=kind)
    kind = kind.partition(";")[0].lower()
    expected = "application/json, application/octet-stream or none"
    assert answer.status_code == 415
    assert answer.get_json() == {
        "error": f"found content type {kind}, expected {expected}",
        "code": "unsupported_media_type",
    }


# Every datatype, scalars, and tensors without an element.

VALUES: dict[str, tuple[str, list[Any]]] = {
    "bool": ("BOOL", [True, False, 1, 0]),
    "uint8": ("UINT8", [0, 255]),
    "uint16": ("UINT16", [0, 65535]),
    "uint32": ("UINT32", [0, 2**32 - 1]),
    "uint64": ("UINT64", [0, 2**64 - 1]),
    "int8": ("INT8", [-128, 127]),
    "int16": ("INT16", [-(2**15), 2**15 - 1]),
    "int32": ("INT32", [-(2**31), 2**31 - 1]),
    "int64": ("INT64", [-(2**63), 2**63 - 1]),
    "float16": ("FP16", [0.5, -2]),
    "float32": ("FP32", [0.1, 3e38]),
    "float64": ("FP64", [0.1, 1e300]),
    "bfloat16": ("BF16", [0.5, -2]),
    "string": ("BYTES", ["", "ü \x00 x"]),
}


@pytest.mark.parametrize("dtype", VALUES)
def test_every_datatype_goes_both_ways_in_json_and_in_binary(rig: WebRig, dtype: str) -> None:
    datatype, values = VALUES[dtype]
    path = deploy(rig, onnx_models.identity(rig.drop / "x.onnx", dtype), "x")
    numpy_type = {"bfloat16": "float32", "string": "object"}.get(dtype, dtype)
    for shape in ([len(values)], [1, len(values), 1], [], [0], [2, 0, 3]):
        array = np.array(values[: int(np.prod(shape))], numpy_type).reshape(shape)
        for sent_so in (False, True):
            for told_so in (False, True):
                body, headers = request(
                    {"x": (array, datatype)}, binary=sent_so, parameters={"binary_data_output": told_so}
                )
                answer = rig.post(path, body, headers=headers)
                told = found(answer)["y"]
                assert (told.shape, told.tolist()) == (array.shape, array.tolist())
                assert (HEADER in answer.headers) == (told_so and array.size > 0)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("int8", 128, "expected int8 from -128 to 127, got 128 at [0]"),
        ("uint64", -1, "expected uint64 from 0 to 18446744073709551615, got -1 at [0]"),
        ("uint8", -1, "expected uint8 from 0 to 255, got -1 at [0]"),
        ("int32", 1.0, "expected whole numbers, got 1.0 at [0]"),
        ("bool", 2, "expected true, false, 0 or 1, got 2 at [0]"),
        ("float16", 70000, "expected finite float16, got 70000 at [0]"),
        ("bfloat16", 3.4e38, "expected finite bfloat16, got 3.4e+38 at [0]"),
        ("string", 1, "expected strings, got a number at [0]"),
    ],
)
def test_number_out_of_range_is_refused(rig: WebRig, dtype: str, value: object, expected: str) -> None:
    path = deploy(rig, onnx_models.identity(rig.drop / "x.onnx", dtype), "x")
    entry = {"name": "x", "shape": [1], "datatype": VALUES[dtype][0], "data": [value]}
    assert expected in refused(rig.post(path, {"inputs": [entry]}))


def test_scalar_may_be_bare(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.identity(rig.drop / "x.onnx"), "x")
    for data in (2.5, [2.5]):
        answer = rig.post(path, {"inputs": [{"name": "x", "shape": [], "datatype": "FP32", "data": data}]})
        assert answer.get_json()["outputs"][0] == {"name": "y", "datatype": "FP32", "shape": [], "data": [2.5]}


def test_what_is_no_number_is_null_in_json_and_itself_in_binary(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.identity(rig.drop / "x.onnx"), "x")
    odd = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    body, headers = request({"x": (odd, "FP32")}, binary=True)
    assert rig.post(path, body, headers=headers).get_json()["outputs"][0]["data"] == [None, None, None, 1.0]
    body, headers = request({"x": (odd, "FP32")}, binary=True, parameters={"binary_data_output": True})
    assert found(rig.post(path, body, headers=headers))["y"].tobytes() == odd.tobytes()


# Outputs.


def test_outputs_are_those_that_are_asked_for_in_that_order(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.two_inputs(rig.drop / "pair.onnx"), "pair")
    tensors = {name: (np.array([2, 3], np.float32), "FP32") for name in ("a", "b")}
    for wanted in (["product"], ["product", "sum"], []):
        body, headers = request(tensors, outputs=[{"name": name} for name in wanted])
        assert list(found(rig.post(path, body, headers=headers))) == (wanted or ["sum", "product"])


@pytest.mark.parametrize("sent_so", [False, True, ["a"], ["b"]])
def test_each_input_and_each_output_may_be_in_either_form(rig: WebRig, sent_so: bool | list[str]) -> None:
    path = deploy(rig, onnx_models.two_inputs(rig.drop / "pair.onnx"), "pair")
    tensors = {"b": (np.array([2, 3], np.float32), "FP32"), "a": (np.array([4, 5], np.float32), "FP32")}
    for default in (None, False, True):
        for asked in ({}, {"sum": True}, {"sum": False, "product": True}):
            outputs = [
                {"name": name, **({"parameters": {"binary_data": asked[name]}} if name in asked else {})}
                for name in ("sum", "product")
            ]
            parameters = {} if default is None else {"binary_data_output": default}
            body, headers = request(tensors, binary=sent_so, outputs=outputs, parameters=parameters)
            answer = rig.post(path, body, headers=headers)
            assert {name: told.tolist() for name, told in found(answer).items()} == {"sum": [6, 8], "product": [8, 15]}
            is_binary = any(asked.get(name, bool(default)) for name in ("sum", "product"))
            kind = "application/octet-stream" if is_binary else "application/json"
            assert (answer.content_type, HEADER in answer.headers) == (kind, is_binary)


def test_input_with_a_default_may_be_left_out(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.optional_input(rig.drop / "o.onnx"), "o")
    body, headers = request({"x": (np.array([1], np.float32), "FP32")})
    assert found(rig.post(path, body, headers=headers))["y"].tolist() == [6]


# Binary.


def binary(rig: WebRig, blob: bytes, *, header: str | None = None, **more: Any) -> TestResponse:
    """Asks with ten numbers in binary; ``header`` instead of the right one."""
    entry = {"name": "input", "shape": [1, 10], "datatype": "FP32", **more}
    head = orjson.dumps({"inputs": [entry]})
    return rig.post(INFER, head + blob, headers={HEADER: header or str(len(head))})


def test_size_may_be_left_out_where_it_follows_from_the_shape(rig: WebRig) -> None:
    assert found(binary(rig, TEN.tobytes()))["output"] == pytest.approx(WANTED)


@pytest.mark.parametrize(
    ("data", "more", "sentence"),
    [
        (b"\0" * 39, {}, "input 'input': expected 40 bytes of binary data, got 39"),
        (b"\0" * 41, {}, "the body has 1 bytes more than its JSON and its inputs take"),
        (
            b"\0" * 40,
            {"parameters": {"binary_data_size": 36}},
            "as its shape [1, 10] says, got a binary_data_size of 36",
        ),
        (b"\0" * 40, {"parameters": {"binary_data_size": -4}}, "expected a whole number from 0 on"),
        (b"\0" * 40, {"shape": [2**58, 10]}, "expected at most 576460752303423488 elements"),
        (b"\0" * 40, {"data": [0] * 10}, "the body has 40 bytes more than its JSON and its inputs take"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(rig: WebRig, data: bytes, more: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(binary(rig, data, **more))


@pytest.mark.parametrize("header", ["-1", "x", "1.5", "+9", " ", "9" * 30, "4294967296", "²"])
def test_header_that_is_no_length_is_refused(rig: WebRig, header: str) -> None:
    assert HEADER in refused(binary(rig, TEN.tobytes(), header=header))


def test_body_without_json_is_the_only_input(rig: WebRig) -> None:
    answer = rig.post(INFER, TEN.tobytes(), headers={HEADER: "0"})
    assert answer.content_type == "application/octet-stream"
    assert found(answer)["output"] == pytest.approx(WANTED)
    two = rig.post(INFER, TEN.tobytes() * 2, headers={HEADER: "0"})
    assert found(two)["output"].shape == (2, 5)
    assert "expected a multiple of 40 bytes, got 41" in refused(rig.post(INFER, b"\0" * 41, headers={HEADER: "0"}))


@pytest.mark.parametrize(
    ("dtype", "shape", "size", "becomes"),
    [
        ("float32", [2, 3], 24, (2, 3)),
        ("float32", [None, None], 24, (1, 6)),
        ("int8", [None, 3, None], 6, (1, 3, 2)),
        ("string", [None], 6, (1,)),
        ("string", [None, 1], 6, (1, 1)),
        ("float32", [2, 3], 20, "expected 24 bytes, got 20"),
        ("float32", [None, 3, None, None], 24, "2 of its dimensions are open"),
        ("float32", [2, None, None], 24, "2 of its dimensions are open"),
        ("float32", None, 24, "its shape is not known"),
        ("string", [2], 6, "expected string [2], got shape [1]"),
    ],
)
def test_shape_of_a_body_without_json_follows_from_the_model(
    rig: WebRig, dtype: str, shape: list[int | None] | None, size: int, becomes: object
) -> None:
    dims = None if shape is None else [f"d{index}" if dim is None else dim for index, dim in enumerate(shape)]
    path = deploy(rig, onnx_models.identity(rig.drop / "x.onnx", dtype, dims), "x")
    answer = rig.post(path, bytes(range(1, size + 1)), headers={HEADER: "0"})
    if isinstance(becomes, str):
        assert becomes in refused(answer)
    else:
        assert found(answer)["y"].shape == becomes


def test_body_without_json_is_for_a_model_of_one_input(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.two_inputs(rig.drop / "pair.onnx"), "pair")
    assert "this one has 2" in refused(rig.post(path, b"\0" * 8, headers={HEADER: "0"}))


# What is no tensor.


def test_sequence_of_maps_is_a_table_with_labels(rig: WebRig) -> None:
    for keys, labels in (("int64", [3, 7]), ("string", ["nein", "já"])):
        path = deploy(rig, onnx_models.zipmap_like(rig.drop / f"{keys}.onnx", keys=keys), keys)
        body, headers = request({"x": (np.array([[0.1, 0.9], [0.7, 0.3]], np.float32), "FP32")})
        output = rig.post(path, body, headers=headers).get_json()["outputs"][1]
        told = orjson.loads(output["parameters"]["labels"])
        assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 2])
        rows = [dict(zip(told, row, strict=True)) for row in (output["data"][:2], output["data"][2:])]
        assert rows == [dict(zip(labels, row, strict=True)) for row in ([0.1, 0.9], [0.7, 0.3])]
        body, headers = request(
            {"x": (np.array([[0.1, 0.9]], np.float32), "FP32")},
            outputs=[{"name": "probabilities", "parameters": {"classification": 1}}],
        )
        (best,) = found(rig.post(path, body, headers=headers))["probabilities"].ravel()
        assert best == f"0.900000:{told.index(labels[1])}:{labels[1]}"


def test_sequence_of_tensors_is_one_tensor(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.sequence_output(rig.drop / "s.onnx"), "s")
    body, headers = request({"x": (np.array([1, 2], np.float32), "FP32")}, parameters={"binary_data_output": True})
    assert found(rig.post(path, body, headers=headers))["parts"].tolist() == [[1, 2], [2, 4]]


def test_empty_optional_is_left_out(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.optional_output(rig.drop / "m.onnx"), "m")
    body, headers = request({"x": (np.array([1, 2], np.float32), "FP32")})
    assert list(found(rig.post(path, body, headers=headers))) == ["y"]


# Classes.


def test_classification_gives_the_greatest_of_each_row(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.identity(rig.drop / "x.onnx"), "x")
    rows = np.array([[0.1, 0.7, 0.2], [3, np.nan, 3]], np.float32)
    for binary_data in (False, True):
        outputs = [{"name": "y", "parameters": {"classification": 2, "binary_data": binary_data}}]
        body, headers = request({"x": (rows, "FP32")}, binary=True, outputs=outputs)
        told = found(rig.post(path, body, headers=headers))["y"]
        assert told.tolist() == [["0.700000:1", "0.200000:2"], ["3.000000:0", "3.000000:2"]]


@pytest.mark.parametrize("classification", [0, -1, "2", 1.5, True])
def test_classification_is_a_number_from_one_on(rig: WebRig, classification: object) -> None:
    outputs = [{"name": "output", "parameters": {"classification": classification}}]
    assert "'classification' of output 'output' is" in refused(rig.post(INFER, {**ten(), "outputs": outputs}))


def test_strings_have_no_greatest(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.identity(rig.drop / "x.onnx", "string"), "x")
    body, _ = request(
        {"x": (np.array(["a"], object), "BYTES")}, outputs=[{"name": "y", "parameters": {"classification": 1}}]
    )
    assert "output 'y' is string, expected numbers where a classification is asked for" in refused(rig.post(path, body))


# Packed bodies.


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_request_is_read_and_its_header_counts_what_is_unpacked(rig: WebRig, encoding: str, pack: Any) -> None:
    body, headers = request({"input": (TEN, "FP32")}, binary=True)
    answer = rig.post(INFER, pack(body), headers={**headers, "Content-Encoding": encoding})
    assert found(answer)["output"] == pytest.approx(WANTED)


def test_request_that_unpacks_to_more_than_a_body_may_have_is_refused(rig: WebRig) -> None:
    body = gzip.compress(bytes(2 << 20))
    answer = rig.post(INFER, body, headers={"Content-Encoding": "gzip", HEADER: "0"})
    assert (answer.status_code, answer.get_json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(("encoding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
@pytest.mark.parametrize("told_so", [False, True])
def test_answer_is_packed_where_the_client_asks_and_it_is_worth_it(
    rig: WebRig, encoding: str, unpack: Any, told_so: bool
) -> None:
    rows = np.ones((200, 10), np.float32)
    body, headers = request({"input": (rows, "FP32")}, binary=True, parameters={"binary_data_output": told_so})
    answer = rig.post(INFER, body, headers={**headers, "Accept-Encoding": encoding})
    assert answer.headers["Content-Encoding"] == encoding
    assert int(answer.headers["Content-Length"]) == len(answer.get_data()) < 2000
    assert outputs_of(unpack(answer.get_data()), dict(answer.headers))["output"].shape == (200, 5)
    shouted = rig.post(INFER, body, headers={**headers, "Accept-Encoding": encoding.upper()})
    assert shouted.headers["Content-Encoding"] == encoding
    small = rig.post(INFER, ten(), headers={"Accept-Encoding": encoding})
    assert "Content-Encoding" not in small.headers
    plain = rig.post(INFER, body, headers={**headers, "Accept-Encoding": f"{encoding};q=0, br"})
    assert "Content-Encoding" not in plain.headers


# Time.


@pytest.mark.parametrize("more", [{"Accept-Encoding": "gzip"}, {}])
def test_what_takes_time_is_handed_over_where_all_wait_for_it(rig: WebRig, more: dict[str, str]) -> None:
    """A large answer that is to be packed, and a run with a deadline of its own."""
    rows = np.ones((8000, 10), np.float32)
    parameters = {"binary_data_output": True} if more else {"timeout": 1_000_000}
    body, headers = request({"input": (rows, "FP32")}, binary=True, parameters=parameters)
    door = Client(rig.app.wsgi_app)
    with pytest.raises(HandOver):
        door.post(INFER, data=body, headers={**headers, **more}, environ_base={AT_ONCE: True})
    assert door.post(INFER, data=body, headers={**headers, **more}).status_code == 200


def test_answers_that_take_time_to_pack_are_run_and_noted_once(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(rig, onnx_models.identity(rig.drop / "again.onnx", "float32", ["n", "m"]), "again")
    rig.settle()
    body, headers = request(
        {"x": (np.ones((200, 100), np.float32), "FP32")}, binary=True, parameters={"binary_data_output": True}
    )
    runs: list[None] = []
    with rig.holder.lease("again") as serving:
        real = serving.engine.run

        def counted(*given: Any, **more: Any) -> Any:
            runs.append(None)
            return real(*given, **more)

        monkeypatch.setattr(serving.engine, "run", counted)
    for accepted in ["gzip"] * 30 + ["identity"] * 5:
        ask_as_a_front_does(rig, "/v2/models/again/infer", body, {**headers, "Accept-Encoding": accepted})
    assert rig.lower.probation.tally("again").requests == 35
    (row,) = rig.predictor.counting.of("again")
    assert (row.totals.answered, row.totals.runs, row.totals.failed) == (35, 35, {})
    assert len(runs) == 36, "the first is run again, as nobody could know"
    small, headers = request({"x": (np.ones((1, 1), np.float32), "FP32")}, binary=True)
    assert not ask_as_a_front_does(rig, "/v2/models/again/infer", small, {**headers, "Accept-Encoding": "gzip"})


def test_longer_bodies_are_packed_at_once_again_where_their_answers_are_short(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.identity(rig.drop / "short.onnx", "float32", ["n", "m"]), "short")
    rig.settle()
    tensors = {"x": (np.ones((200, 100), np.float32), "FP32")}
    kinds = [{"binary_data_output": True}, {"binary_data_output": True, "x": "y"}]
    long, headers = request(tensors, binary=True, parameters=kinds[0])
    assert ask_as_a_front_does(rig, path, long, {**headers, "Accept-Encoding": "gzip"})
    outputs = [{"name": "y", "parameters": {"classification": 1}}]
    short, headers = request(tensors, binary=True, parameters=kinds[1], outputs=outputs)
    handed = [ask_as_a_front_does(rig, path, short, {**headers, "Accept-Encoding": "gzip"}) for _ in range(3)]
    assert handed == [True, False, False]


def ask_as_a_front_does(rig: WebRig, path: str, body: bytes, headers: dict[str, str]) -> bool:
    """Whether it was handed over, and answered by another thread then."""
    door = Client(rig.app.wsgi_app)
    try:
        answer = door.post(path, data=body, headers=headers, environ_base={AT_ONCE: True})
    except HandOver:
        assert door.post(path, data=body, headers=headers).status_code == 200
        return True
    assert answer.status_code == 200
    return False


def test_run_takes_no_longer_than_the_client_waits(rig: WebRig) -> None:
    path = deploy(rig, onnx_models.counted_loop(rig.drop / "loop.onnx"), "loop")
    tensors: dict[str, tuple[Any, str]] = {
        "rounds": (np.array(10_000_000, np.int64), "INT64"),
        "x": (np.array([1], np.float32), "FP32"),
    }
    body, headers = request(tensors, binary=True, parameters={"timeout": 20_000})
    answer = rig.post(path, body, headers=headers)
    assert (answer.status_code, answer.get_json()["code"]) == (504, "timeout")
    assert "deadline of 20 ms" in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (b'{"inputs": ', "are not JSON: "),
        (b"[]", "are a JSON array; expected an object"),
    ],
)
def test_json_before_the_binary_data_that_is_none_names_the_header(rig: WebRig, part: bytes, sentence: str) -> None:
    answer = rig.post(INFER, part + bytes(40), headers={HEADER: str(len(part))})
    begin = f"the first {len(part)} bytes, which Inference-Header-Content-Length names, "
    assert refused(answer).startswith(begin + sentence)
