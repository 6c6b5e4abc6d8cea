"""Predictions from outside: every form of input and output, every refusal, and that all of them are JSON."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests import onnx_models
from tests.e2e.conftest import NewRig
from tests.e2e.rig import ROOT, Answer, Rig
from tests.onnx_models import constant, save, value

pytestmark = pytest.mark.both_fronts

FLOATS = ["float16", "float32", "float64", "bfloat16"]
WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FOREVER = 10**12


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon that serves a model of every kind, each under the name of its kind; runs are stopped after a second."""
    rig = Rig(
        tmp_path_factory.mktemp("predicting"),
        {"server": {"max_body_mb": 1}, "runtime": {"timeout_seconds": 1}},
        front=front,
    )
    _make_models(rig)
    rig.start()
    yield rig
    rig.kill()


def _make_models(rig: Rig) -> None:
    onnx_models.constant_model(rig.drop / "default.onnx", 1.5)
    onnx_models.two_inputs(rig.drop / "two" / "m.onnx")
    onnx_models.optional_input(rig.drop / "optional" / "m.onnx")
    onnx_models.no_input(rig.drop / "none" / "m.onnx")
    onnx_models.gather(rig.drop / "gather" / "m.onnx")
    onnx_models.counted_loop(rig.drop / "loop" / "m.onnx")
    onnx_models.zipmap_like(rig.drop / "zipmap" / "m.onnx")
    onnx_models.zipmap_like(rig.drop / "zipmap-text" / "m.onnx", keys="string")
    onnx_models.sequence_output(rig.drop / "sequence" / "m.onnx")
    for dtype in [*FLOATS, *WHOLE, "bool", "string"]:
        onnx_models.identity(rig.drop / dtype / "m.onnx", dtype, ["n"])
    onnx_models.identity(rig.drop / "scalar" / "m.onnx", "float32", [])
    save(
        rig.drop / "reciprocal" / "m.onnx",
        [helper.make_node("Div", ["x", "zero"], ["y"])],
        [value("x", "float32", ["n"])],
        [value("y", "float32", ["n"])],
        [constant("zero", np.zeros(1, np.float32))],
    )
    save(  # one row is what the trial runs; with more than one, ONNX Runtime blames the node
        rig.drop / "one-row" / "m.onnx",
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [value("x", "float32", ["n"])],
        [value("y", "float32", [1])],
        [constant("shape", np.array([1], np.int64))],
    )


def _expect_refused(answer: Answer, status: int, code: str, *words: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/json"
    for word in words:
        assert word in answer.json["error"]
    assert b"Traceback" not in answer.body
    assert str(ROOT).encode() not in answer.body


def test_answer_has_the_form_of_the_contract(shared: Rig) -> None:
    answer = shared.predict()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {
        "output": [[1.5] * 5],
        "model_path": "model_drop/default.onnx",
        "model": "default",
        "version": 1,
    }
    serving = shared.get("/models/default").json
    assert answer.headers["X-Model-Name"] == "default"
    assert answer.headers["X-Model-Version"] == "1"
    assert answer.headers["X-Model-SHA256"] == serving["sha256"]


def test_default_model_answers_under_its_name_too(shared: Rig) -> None:
    assert shared.predict(model="default").json == shared.predict().json


@pytest.mark.parametrize("inputs", [[[1] * 10], {"input": [[1.0] * 10]}, [[0.5] * 10] * 7])
def test_input_may_be_named_or_not_and_of_any_batch(shared: Rig, inputs: Any) -> None:
    rows = len(inputs["input"] if isinstance(inputs, dict) else inputs)
    assert shared.predict(inputs).json["output"] == [[1.5] * 5] * rows


@pytest.mark.parametrize(
    "content_type",
    [None, "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "application/garbage"],
)
def test_body_is_json_whatever_most_content_types_say(shared: Rig, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = shared.post("/predict", json.dumps({"inputs": [[1.0] * 10]}).encode(), headers=headers)
    assert answer.status == 200


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "image/png", "text/csv"])
def test_content_type_that_json_cannot_be_is_415(shared: Rig, content_type: str) -> None:
    answer = shared.post("/predict", b"{}", headers={"Content-Type": content_type})
    _expect_refused(answer, 415, "unsupported_media_type", content_type.partition(";")[0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_come_back_as_they_went(shared: Rig, dtype: str) -> None:
    assert shared.predict([0.5, -2, 0], dtype).json["output"] == [0.5, -2.0, 0.0]


@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_come_back_at_their_limits(shared: Rig, dtype: str) -> None:
    limits = np.iinfo(dtype)
    numbers = [int(limits.min), 0, int(limits.max)]
    assert shared.predict(numbers, dtype).json["output"] == numbers
    beyond = shared.post(f"/models/{dtype}/predict", f'{{"inputs": [{int(limits.max) + 1}]}}'.encode())
    _expect_refused(beyond, 400, "invalid_input", "'x'")


def test_booleans_and_strings_come_back_as_they_went(shared: Rig) -> None:
    assert shared.predict([True, False, 1, 0], "bool").json["output"] == [True, False, True, False]
    texts = ["", "a", "欢迎", "\x00\n\"'", "🦆"]
    assert shared.predict(texts, "string").json["output"] == texts


def test_scalar_and_empty_tensors_are_taken(shared: Rig) -> None:
    assert shared.predict(2.5, "scalar").json["output"] == 2.5
    assert shared.predict([], "float32").json["output"] == []


def test_several_outputs_come_by_name_too(shared: Rig) -> None:
    body = shared.predict({"a": [1, 2], "b": [3, 4]}, "two").json
    assert body["output"] == [4.0, 6.0]
    assert body["outputs"] == {"sum": [4.0, 6.0], "product": [3.0, 8.0]}
    assert "outputs" not in shared.predict().json


def test_input_with_a_default_may_be_left_out(shared: Rig) -> None:
    assert shared.predict({"x": [1.0]}, "optional").json["output"] == [6.0]
    assert shared.predict({"x": [1.0], "offset": [1.0]}, "optional").json["output"] == [2.0]


def test_model_without_inputs_takes_an_empty_object(shared: Rig) -> None:
    assert shared.predict({}, "none").json["output"] == [1.0, 2.0]


@pytest.mark.parametrize(("model", "keys"), [("zipmap", ["3", "7"]), ("zipmap-text", ["nein", "já"])])
def test_sequence_of_maps_is_a_list_of_objects(shared: Rig, model: str, keys: list[str]) -> None:
    body = shared.predict([[0.25, 0.75], [0.5, 0.25]], model).json
    assert body["output"] == [1, 0]
    first, second = keys
    assert body["outputs"]["probabilities"] == [{first: 0.25, second: 0.75}, {first: 0.5, second: 0.25}]


def test_sequence_of_tensors_is_a_list(shared: Rig) -> None:
    assert shared.predict([1.0], "sequence").json["output"] == [[1.0], [2.0]]


def test_nan_and_infinities_become_null(shared: Rig) -> None:
    answer = shared.predict([1.0, -1.0, 0.0], "reciprocal")
    assert (answer.status, answer.json["output"]) == (200, [None, None, None])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"inputs",
        b"[1]",
        b"3",
        b"null",
        b'{"inputs": [[NaN]]}',
        b'{"inputs": [[Infinity]]}',
        b'{"inputs": "\xff"}',
    ],
)
def test_what_is_no_json_object_is_400_invalid_json(shared: Rig, body: bytes) -> None:
    _expect_refused(shared.post("/predict", body), 400, "invalid_json")


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        ("default", {}, ["'inputs'"]),
        ("default", {"input": [[1.0] * 10]}, ["'inputs'", "'input'"]),
        ("default", {"inputs": [[1.0] * 9]}, ["'input'", "10", "9"]),
        ("default", {"inputs": [1.0] * 10}, ["'input'", "[10]"]),
        ("default", {"inputs": [[1.0] * 10, [1.0]]}, ["'input'", "10", "1"]),
        ("default", {"inputs": [["1"] * 10]}, ["'input'", "numbers", "a string"]),
        ("default", {"inputs": [[True] * 10]}, ["'input'", "numbers", "a boolean"]),
        ("default", {"inputs": [[None] * 10]}, ["'input'", "null"]),
        ("default", {"inputs": None}, ["'input'"]),
        ("default", {"inputs": {"other": [[1.0] * 10]}}, ["'other'", "'input'"]),
        ("default", {"inputs": {}}, ["'input'"]),
        ("default", {"inputs": [[1e39] * 10]}, ["'input'", "finite"]),
        ("two", {"inputs": [1.0]}, ["'a'", "'b'"]),
        ("two", {"inputs": {"a": [1.0]}}, ["'b'"]),
        ("int64", {"inputs": [1.5]}, ["'x'", "whole numbers", "1.5"]),
        ("bool", {"inputs": [2]}, ["'x'", "2"]),
        ("string", {"inputs": [1]}, ["'x'", "strings"]),
        ("gather", {"inputs": [99]}, []),
    ],
)
def test_input_that_does_not_fit_is_400_and_says_why(shared: Rig, model: str, body: object, words: list[str]) -> None:
    _expect_refused(shared.post(f"/models/{model}/predict", body), 400, "invalid_input", *words)


def test_deep_nesting_is_400_and_harmless(shared: Rig) -> None:
    body = b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = shared.post("/predict", body)
    assert (answer.status, answer.json["code"]) in [(400, "invalid_json"), (400, "invalid_input")]
    assert shared.predict().status == 200


def test_run_that_fails_is_500_and_the_next_one_works(shared: Rig) -> None:
    _expect_refused(shared.predict([1.0, 2.0], "one-row"), 500, "inference_failed")
    assert shared.predict([1.0], "one-row").json["output"] == [1.0]


def test_run_beyond_its_time_is_504_and_the_next_one_works(shared: Rig) -> None:
    _expect_refused(shared.predict({"rounds": FOREVER, "x": [0.0]}, "loop"), 504, "timeout")
    assert shared.predict({"rounds": 2, "x": [0.0]}, "loop").json["output"] == [2.0]


@pytest.mark.parametrize("model", ["nobody", "..", "a%20b", "x" * 200])
def test_model_that_never_was_is_404(shared: Rig, model: str) -> None:
    answer = shared.predict(model=model)
    assert (answer.status, answer.json["code"]) in [(404, "unknown_model"), (404, "not_found")]


def test_default_model_before_its_first_release_is_503(rig: Rig) -> None:
    answer = rig.predict()
    _expect_refused(answer, 503, "no_model")
    assert rig.get("/readyz").status == 200


def test_model_whose_candidates_were_all_rejected_is_503(rig: Rig) -> None:
    assert rig.request("PUT", "/models/hopeless/upload", b"no model").status == 422
    _expect_refused(rig.predict(model="hopeless"), 503, "no_model")


@pytest.mark.parametrize(
    "path", ["/nowhere", "/predict/x", "/models/default/nothing", "/models/a/b/predict", "/favicon.ico"]
)
def test_path_that_is_none_is_404(shared: Rig, path: str) -> None:
    _expect_refused(shared.post(path, {}), 404, "not_found", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("DELETE", "/models/default", "GET"),
        ("POST", "/models/default/upload", "PUT"),
        ("PUT", "/update_model", "POST"),
        ("POST", "/events", "GET"),
    ],
)
def test_method_that_is_none_is_405_and_names_the_right_one(shared: Rig, method: str, path: str, allowed: str) -> None:
    answer = shared.request(method, path)
    _expect_refused(answer, 405, "method_not_allowed")
    assert allowed in answer.headers["Allow"]


def test_body_over_the_limit_is_413(shared: Rig) -> None:
    answer = shared.post("/predict", b" " * ((1 << 20) + 1))
    _expect_refused(answer, 413, "too_large", str(1 << 20))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        pytest.param(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            marks=pytest.mark.no_granian("the chunks count, and the connection ends"),
        ),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
)
def test_refusals_of_the_http_layer_are_json_too(shared: Rig, front: str, request_bytes: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        response = HTTPResponse(connection)
        response.begin()
        text = response.read()
    if front == "granian" and not text:  # hyper answers by itself what it cannot read
        assert response.status in {501: {400}, 431: {414, 431}}.get(status, {status})
        return
    body = json.loads(text)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/json"
    assert body["code"]
    assert body["error"]


def test_more_requests_than_may_wait_are_503_with_retry_after(new_rig: NewRig) -> None:
    rig = new_rig(server={"threads": 1, "max_queued": 1}, runtime={"timeout_seconds": 1})
    onnx_models.counted_loop(rig.drop / "loop.onnx")
    rig.start()
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(rig.predict, {"rounds": FOREVER, "x": [0.0]}) for _ in range(6)]
        answers = [each.result(30) for each in asked]
    turned_away = [answer for answer in answers if answer.status == 503]
    assert turned_away
    for answer in turned_away:
        _expect_refused(answer, 503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
    assert {answer.status for answer in answers} == {503, 504}
    assert rig.predict({"rounds": 1, "x": [0.0]}).status == 200


def test_welcome_is_text_but_for_who_asks_for_html(shared: Rig) -> None:
    plain = shared.get("/")
    assert (plain.status, plain.body.decode()) == (200, "欢迎参加蓝桥杯")
    assert plain.headers["Content-Type"].startswith("text/plain")
    page = shared.get("/", headers={"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert "欢迎参加蓝桥杯" in page.body.decode()
