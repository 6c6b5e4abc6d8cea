"""TensorFlow Serving's predict requests: both forms, base64, what TensorFlow Serving refuses, and its answers."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from werkzeug.test import TestResponse

from daemon.runtime.nesting import MAX_RANK
from daemon.web.answers import LARGE_BYTES
from daemon.web.tensorflow import requests
from tests import onnx_models
from tests.onnx_models import save, value
from tests.web_rig import LIMIT_BYTES, WebRig


def bytes_output(path: Path) -> Path:
    """``x`` string → ``image_bytes`` and ``text``, both the same."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["image_bytes"]), helper.make_node("Identity", ["x"], ["text"])],
        [value("x", "string")],
        [value("image_bytes", "string"), value("text", "string")],
    )


def unlike_rows(path: Path) -> Path:
    """``x`` float32 [n] → ``y``, the same, and ``total``, a scalar."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0)],
        [value("x", "float32", ["n"])],
        [value("y", "float32", ["n"]), value("total", "float32", [])],
    )


def unlike_lengths(path: Path) -> Path:
    """``x`` float32 [n] → ``y``, the same, and ``total``, of one row."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("ReduceSum", ["x"], ["total"], keepdims=1)],
        [value("x", "float32", ["n"])],
        [value("y", "float32", ["n"]), value("total", "float32", [1])],
    )


def mixed_inputs(path: Path) -> Path:
    """``tag`` string [n] and ``signal`` float32 [n, 2] → the same, as ``out_tag`` and ``out_signal``."""
    return save(
        path,
        [helper.make_node("Identity", ["tag"], ["out_tag"]), helper.make_node("Identity", ["signal"], ["out_signal"])],
        [value("tag", "string", ["n"]), value("signal", "float32", ["n", 2])],
        [value("out_tag", "string", ["n"]), value("out_signal", "float32", ["n", 2])],
    )


KINDS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64"]
KINDS += ["uint8", "uint16", "uint32", "uint64", "bool", "string"]


def every_type(path: Path) -> Path:
    """An input [n] of each of ``KINDS`` → an output, the same."""
    return save(
        path,
        [helper.make_node("Identity", [kind], [f"{kind}-out"]) for kind in KINDS],
        [value(kind, kind, ["n"]) for kind in KINDS],
        [value(f"{kind}-out", kind, ["n"]) for kind in KINDS],
    )


MODELS: dict[str, Any] = {
    "two": onnx_models.two_inputs,
    "optional": onnx_models.optional_input,
    "nothing": onnx_models.no_input,
    "strings": onnx_models.strings,
    "floats": onnx_models.identity,
    "zipmap": onnx_models.zipmap_like,
    "bytes": bytes_output,
    "unlike": unlike_rows,
    "lengths": unlike_lengths,
    "mixed": mixed_inputs,
    "types": every_type,
    "pairs": onnx_models.pairs,
    "sequence": onnx_models.sequence_output,
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    with WebRig(tmp_path_factory.mktemp("tensorflow")) as rig:
        for name, make in MODELS.items():
            make(rig.drop / f"{name}.onnx")
            assert rig.post("/update_model", {"model_path": f"{name}.onnx", "model": name}).status_code == 200
            rig.settle()
        yield rig


def ask(rig: WebRig, model: str, body: object, **more: Any) -> TestResponse:
    return rig.post(f"/v1/models/{model}:predict", body, **more)


def answered(rig: WebRig, model: str, body: object) -> Any:
    answer = ask(rig, model, body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json"), answer.get_data()
    return answer.get_json()


def refused(answer: TestResponse) -> str:
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_input"), answer.get_data()
    return str(answer.get_json()["error"])


@pytest.mark.parametrize(
    ("model", "body", "told"),
    [
        ("floats", {"instances": [1.0, 2.0, 5.0]}, {"predictions": [1.0, 2.0, 5.0]}),
        ("floats", {"instances": [[[1, 2]], [[3, 4]]]}, {"predictions": [[[1.0, 2.0]], [[3.0, 4.0]]]}),
        ("floats", {"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}, {"predictions": [[1.0, 2.0], [3.0, 4.0]]}),
        ("floats", {"signature_name": "any", "more": 1, "instances": [1]}, {"predictions": [1.0]}),
        ("floats", {"inputs": [[1, 2]]}, {"outputs": [[1.0, 2.0]]}),
        ("floats", {"inputs": 3.5}, {"outputs": 3.5}),
        ("floats", {"inputs": {"x": 3.5}}, {"outputs": 3.5}),
        ("floats", {"inputs": {"x": [1], "other": "passed over"}}, {"outputs": [1.0]}),
        ("floats", {"inputs": []}, {"outputs": []}),
        ("strings", {"instances": ["foo", "bär"]}, {"predictions": ["foo", "bär"]}),
        ("optional", {"instances": [1.0]}, {"predictions": [6.0]}),
        ("optional", {"inputs": {"x": [1.0], "offset": [2.0]}}, {"outputs": [3.0]}),
        ("nothing", {"inputs": {}}, {"outputs": [1.0, 2.0]}),
        (
            "two",
            {"instances": [{"a": 1, "b": 3}, {"b": 4, "a": 0.1}]},
            {"predictions": [{"sum": 4.0, "product": 3.0}, {"sum": 4.1, "product": 0.4}]},
        ),
        (
            "two",
            {"inputs": {"a": [1, 2], "b": [3, 4]}},
            {"outputs": {"sum": [4.0, 6.0], "product": [3.0, 8.0]}},
        ),
        (
            "mixed",
            {"instances": [{"tag": "foo", "signal": [1, 2]}, {"tag": {"b64": "YmFy"}, "signal": [3, 0.1]}]},
            {
                "predictions": [
                    {"out_tag": "foo", "out_signal": [1.0, 2.0]},
                    {"out_tag": "bar", "out_signal": [3.0, 0.1]},
                ]
            },
        ),
        (
            "zipmap",
            {"instances": [[0.25, 0.75]]},
            {"predictions": [{"label": 1, "probabilities": {"3": 0.25, "7": 0.75}}]},
        ),
        ("unlike", {"inputs": [1, 2]}, {"outputs": {"y": [1.0, 2.0], "total": 3.0}}),
    ],
)
def test_request_is_answered_in_its_form(rig: WebRig, model: str, body: object, told: object) -> None:
    assert answered(rig, model, body) == told


@pytest.mark.parametrize(
    "coded", ["w6TDtg==", "w6TDtg", "w6TD\n tg==", "", "YQ", "YQ="]
)  # fmt: skip
def test_base64_is_written_out(rig: WebRig, coded: str) -> None:
    text = base64.b64decode(re.sub(r"\s", "", coded) + "==").decode()
    told = answered(rig, "strings", {"instances": [[{"b64": coded}, "plain"], ["b64", {"b64": coded}]]})
    assert told == {"predictions": [[text, "plain"], ["b64", text]]}
    assert answered(rig, "strings", {"inputs": {"b64": coded}}) == {"outputs": text}
    assert answered(rig, "strings", {"inputs": {"x": [{"b64": coded}]}}) == {"outputs": [text]}


def test_output_named_so_is_told_in_base64(rig: WebRig) -> None:
    text = {"b64": base64.b64encode("ä".encode()).decode()}
    told = answered(rig, "bytes", {"instances": [["ä"], [text]]})
    assert told == {"predictions": [{"image_bytes": [text], "text": ["ä"]}] * 2}
    assert answered(rig, "bytes", {"inputs": "ä"}) == {"outputs": {"image_bytes": text, "text": "ä"}}


@pytest.mark.parametrize(
    ("model", "body", "sentence"),
    [
        ("floats", {}, "expected one of the keys 'instances' and 'inputs', found an empty object"),
        ("floats", {"instance": [1]}, "expected one of the keys 'instances' and 'inputs', found 'instance'"),
        ("floats", {"instances": [1], "inputs": [1]}, "expected one of the keys 'instances' and 'inputs', found both"),
        ("floats", {"instances": [1], "signature_name": 1}, "signature_name: expected a string, got a number"),
        ("floats", {"instances": []}, "instances: expected a list with an element for each row, got an empty one"),
        ("floats", {"instances": 1}, "instances: expected a list with an element for each row, got a number"),
        ("floats", {"instances": {"x": [1]}}, "instances: expected a list with an element for each row, got an object"),
        ("floats", {"instances": ["1"]}, "input 'x': expected numbers, got a string at [0]"),
        ("floats", {"instances": [None]}, "input 'x': expected numbers, got null at [0]"),
        ("floats", {"instances": [True]}, "input 'x': expected numbers, got a boolean at [0]"),
        ("floats", {"instances": [{"b64": "YQ=="}]}, "input 'x': expected numbers, got an object at [0]"),
        ("floats", {"instances": [1, {"x": 1}]}, "input 'x': expected numbers, got an object at [1]"),
        ("floats", {"instances": [{"x": 1}, 1]}, "instances[1]: expected an object like the first, got a number"),
        ("floats", {"instances": [{"x": 1}, {"y": 1}]}, "instances[1]: expected the inputs 'x' as in the first"),
        ("floats", {"instances": [{"x": 1}, {}]}, "instances[1]: expected the inputs 'x' as in the first, got no"),
        ("floats", {"instances": [{"x": 1}, {"b64": "YQ"}]}, "instances[1]: expected the inputs 'x' as in the first"),
        ("floats", {"instances": [{"y": 1}]}, "unknown input 'y': expected 'x'"),
        ("floats", {"instances": [[1], [1, 2]]}, "input 'x': expected lists of equal length, got 1 and 2"),
        ("floats", {"instances": [{"x": [1]}, {"x": 1}]}, "input 'x': expected a list like its siblings, got a"),
        ("floats", {"inputs": {"y": 1}}, "input 'x' is missing: expected 'x'"),
        ("floats", {"inputs": None}, "input 'x': expected numbers, got null"),
        ("two", {"instances": [1]}, "expected inputs by name, 'a', 'b', got a value without one"),
        ("two", {"instances": [{"a": 1}]}, "input 'b' is missing: expected 'a', 'b'"),
        ("two", {"inputs": [1]}, "expected inputs by name, 'a', 'b', got a value without one"),
        ("strings", {"instances": [{"b64": "/w=="}]}, "input 'x': expected base64 of text in UTF-8, got other"),
        ("strings", {"instances": ["a", {"b64": "a-_b"}]}, "input 'x': expected base64, got 'a-_b' at [1]"),
        ("strings", {"instances": [{"b64": "YWJj----"}]}, "input 'x': expected base64, got 'YWJj----' at [0]"),
        ("strings", {"inputs": {"b64": "A"}}, "input 'x': expected base64, got 'A'"),
        ("strings", {"inputs": {"x": [{"b64": "é"}]}}, "input 'x': expected base64, got 'é' at [0]"),
        ("strings", {"inputs": {"x": [{"b64": 1}]}}, "input 'x': expected strings, got an object at [0]"),
        ("strings", {"instances": [["a", {"b64": "YQ"}], ["a"]]}, "input 'x': expected lists of equal length"),
    ],
)  # fmt: skip
def test_request_that_does_not_fit_is_told(rig: WebRig, model: str, body: object, sentence: str) -> None:
    assert refused(ask(rig, model, body)).startswith(sentence)


@pytest.mark.parametrize("depth", [MAX_RANK + 1, 1000])
def test_lists_are_nested_only_so_deep(rig: WebRig, depth: int) -> None:
    for model, inner in (("floats", b"1"), ("strings", b'{"b64": "YQ=="}')):
        body = b'{"instances": ' + b"[" * depth + inner + b"]" * depth + b"}"
        assert refused(ask(rig, model, body)) == "input 'x': expected at most 32 levels of lists, got more"


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "", 400, "invalid_json"),
        (b"[1]", "", 400, "invalid_json"),
        (b'{"instances": [NaN]}', "", 400, "invalid_json"),
        (b'{"instances": [1.0]', "application/json", 400, "invalid_json"),
        (b'{"instances": [1.0]}', "application/x-npy", 415, "unsupported_media_type"),
        (b'{"instances": [1.0]}', "multipart/form-data", 415, "unsupported_media_type"),
        (b'{"instances": [1.0]}', "text/plain", 200, None),
        (b" " * (LIMIT_BYTES + 1), "", 413, "too_large"),
    ],
)
def test_body_that_cannot_be_read_is_refused(
    rig: WebRig, body: bytes, kind: str, status: int, code: str | None
) -> None:
    answer = ask(rig, "floats", body, headers={"Content-Type": kind} if kind else {})
    assert (answer.status_code, answer.get_json().get("code")) == (status, code)


def test_outputs_that_are_no_rows_are_told_in_column_form_alone(rig: WebRig) -> None:
    answer = ask(rig, "unlike", {"instances": [1, 2]})
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    assert answer.get_json()["error"] == "output 'total' has no rows: ask for it in column form, with 'inputs'"
    answer = ask(rig, "lengths", {"instances": [1, 2]})
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    assert answer.get_json()["error"] == (
        "output 'total' has 1 row for 2 instances: ask for it in column form, with 'inputs'"
    )
    assert answered(rig, "lengths", {"instances": [1]}) == {"predictions": [{"y": 1.0, "total": 1.0}]}


@pytest.mark.parametrize(
    ("model", "instances", "told"),
    [
        ("pairs", [1.0] * 8, "output 'y' has 1 row for 8 instances"),
        ("pairs", [1.0] * 16, "output 'y' has 2 rows for 16 instances"),
        ("sequence", [1.0, 2.0], "output 'parts' has no rows"),
    ],
)
def test_predictions_are_as_many_as_the_instances(rig: WebRig, model: str, instances: Any, told: str) -> None:
    answer = ask(rig, model, {"instances": instances})
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")
    assert answer.get_json()["error"].startswith(told)
    assert answer.get_json()["error"].endswith(": ask for it in column form, with 'inputs'")
    assert ask(rig, model, {"inputs": instances}).status_code == 200


def test_instances_without_inputs_are_no_rows(rig: WebRig) -> None:
    said = "instances: the instances have no inputs, so there are no rows: ask in column form, with 'inputs'"
    assert refused(ask(rig, "nothing", {"instances": [{}, {}]})) == said


VALUE_OF: dict[str, st.SearchStrategy[Any]] = {
    **{kind: st.integers(-999, 999).map(lambda number: number / 8) for kind in KINDS[:3]},
    **{
        kind: st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max))
        for kind in KINDS
        if kind.strip("uint").isdecimal()
    },
    "bool": st.booleans(),
    "string": st.text(max_size=3),
}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries(VALUE_OF), min_size=1, max_size=3))
def test_every_type_comes_back_in_both_forms(rig: WebRig, rows: list[dict[str, Any]]) -> None:
    told = answered(rig, "types", {"instances": rows})
    assert told == {"predictions": [{f"{kind}-out": row[kind] for kind in KINDS} for row in rows]}
    columns = {kind: [row[kind] for row in rows] for kind in KINDS}
    told = answered(rig, "types", {"inputs": columns})
    assert told == {"outputs": {f"{kind}-out": columns[kind] for kind in KINDS}}


def test_infinities_are_null(rig: WebRig) -> None:
    assert answered(rig, "two", {"inputs": {"a": [3e38], "b": [3e38]}})["outputs"]["product"] == [None]


def test_answer_says_which_release_gave_it(rig: WebRig) -> None:
    answer = ask(rig, "floats", {"instances": [1]})
    assert answer.headers["X-Model-Name"] == "floats"
    assert answer.headers["X-Model-Version"] == "1"


@pytest.mark.parametrize(
    ("path", "code", "sentence"),
    [
        ("/v1/models/nobody:predict", "unknown_model", "there is no model 'nobody'"),
        ("/v1/models/a:b:predict", "unknown_model", "there is no model 'a:b'"),
        ("/v1/models/two/versions/9:predict", "not_found", "version 9 of model 'two' is not loaded"),
        ("/v1/models/two/labels/previous:predict", "not_found", "no release of model 'two' is loaded beside version 1"),
        (
            "/v1/models/two/labels/canary:predict",
            "not_found",
            "model 'two' has no label 'canary': expected",
        ),
        ("/v1/models/two/labels/live:predict", "not_found", "model 'two' has no label 'live'"),
        ("/v1/models/nobody/labels/canary:predict", "unknown_model", "there is no model 'nobody'"),
        ("/v1/models/two/versions/x:predict", "not_found", "there is nothing at"),
        ("/v1/models/two:classify", "not_found", "model 'two' has no signature for classify: ask it to predict"),
        ("/v1/models/two/versions/1:regress", "not_found", "model 'two' has no signature for regress"),
        ("/v1/models/two/labels/stable:regress", "not_found", "model 'two' has no signature for regress"),
        ("/v1/models/two:explain", "not_found", "there is nothing at /v1/models/two:explain"),
        ("/v1/models/nobody:classify", "unknown_model", "there is no model 'nobody'"),
    ],
)
def test_what_is_not_there_is_404(rig: WebRig, path: str, code: str, sentence: str) -> None:
    answer = rig.post(path, {"inputs": {"a": [1], "b": [1]}})
    assert (answer.status_code, answer.get_json()["code"]) == (404, code)
    assert answer.get_json()["error"].startswith(sentence)


# Large bodies go a shorter way to the same.

NUMBERS = st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-9, 9), st.booleans())
VALUES = st.one_of(
    st.lists(NUMBERS, max_size=4),
    st.lists(st.lists(NUMBERS, min_size=2, max_size=2), max_size=4),
    st.lists(st.fixed_dictionaries({"x": NUMBERS}), max_size=3),
    st.dictionaries(st.sampled_from(["x", "y", "b64"]), st.lists(NUMBERS, max_size=2), max_size=2),
    st.recursive(NUMBERS | st.text('[]"', max_size=2), lambda inner: st.lists(inner, max_size=2), max_leaves=6),
)
KEYS = st.sampled_from([["instances"], ["inputs"], ["instances", "inputs"], ["instances", "signature_name"]])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES, keys=KEYS)
def test_large_body_is_read_as_a_small_one(
    rig: WebRig, monkeypatch: pytest.MonkeyPatch, value: object, keys: list[str]
) -> None:
    body = orjson.dumps(dict.fromkeys(keys, value))
    answers = []
    for least in (0, 1 << 30):
        monkeypatch.setattr(requests, "LARGE_BYTES", least)
        answer = ask(rig, "floats", body)
        answers.append((answer.status_code, answer.get_data()))
    assert answers[0] == answers[1]


def test_large_rows_take_the_shorter_way(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "read_object", None)
    rows = np.arange(500.0).reshape(250, 2).tolist()
    assert len(orjson.dumps(rows)) > LARGE_BYTES
    assert answered(rig, "floats", orjson.dumps({"instances": rows})) == {"predictions": rows}
    assert answered(rig, "floats", orjson.dumps({"inputs": rows})) == {"outputs": rows}
