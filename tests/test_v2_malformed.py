"""Whatever is sent to infer, it is an answer or a refusal that says why, and nothing else is disturbed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import onnx_models
from tests.v2_wire import request
from tests.web_rig import WebRig

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    """``default`` of ten numbers, ``pair`` of two inputs, ``texts`` of strings, ``scores`` with maps,
    ``open`` of two dimensions that clients choose."""
    with WebRig(tmp_path_factory.mktemp("rig")) as rig:
        rig.update(1.5)
        models = {
            "pair": onnx_models.two_inputs(rig.drop / "pair.onnx"),
            "texts": onnx_models.strings(rig.drop / "texts.onnx"),
            "scores": onnx_models.zipmap_like(rig.drop / "scores.onnx"),
            "open": onnx_models.identity(rig.drop / "open.onnx", "float32", ["n", "m"]),
        }
        for model, path in models.items():
            rig.post("/update_model", {"model_path": path.name, "model": model})
        yield rig


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 70), st.floats(), st.text(max_size=3))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=8,
)
NAMES = st.one_of(st.sampled_from(["input", "a", "b", "x", "output", "sum", "y", "label", "probabilities"]), ANYTHING)
PARAMETERS = st.one_of(
    st.dictionaries(
        st.sampled_from(
            ["binary_data_size", "binary_data", "binary_data_output", "classification", "shared_memory_region",
             "sequence_id", "priority", "x"]
        ),
        st.one_of(st.sampled_from([0, 1, 4, 8, 40, 2**62, True]), ANYTHING),
        max_size=3,
    ),
    ANYTHING,
)  # fmt: skip
SHAPES = st.one_of(
    st.sampled_from([[1, 10], [2], [1], [1, 2], [0], [], [2**30, 0], [0, 2**40], [2**16, 0], [10, 1]]),
    st.lists(st.integers(-1, 2**64 - 1)),
    ANYTHING,
)
DATATYPES = st.one_of(st.sampled_from(["FP32", "BYTES", "INT64", "BOOL"]), ANYTHING)
INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES, "shape": SHAPES, "datatype": DATATYPES, "parameters": PARAMETERS,
        "data": st.one_of(st.just([1] * 10), st.just(["a"]), st.just([]), ANYTHING),
    },
)  # fmt: skip
OUTPUTS = st.fixed_dictionaries({}, optional={"name": NAMES, "parameters": PARAMETERS})
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(st.text(max_size=4), ANYTHING),
        "inputs": st.one_of(st.lists(INPUTS, max_size=3), ANYTHING),
        "outputs": st.one_of(st.lists(OUTPUTS, max_size=2), ANYTHING),
        "parameters": PARAMETERS,
    },
)
MODELS = st.sampled_from(["default", "pair", "texts", "scores", "open"])


def expect_an_answer_or_a_refusal(rig: WebRig, model: str, body: bytes, headers: dict[str, str]) -> int:
    answer = rig.post(f"/v2/models/{model}/infer", body, headers=headers)
    assert answer.status_code in (200, 400), answer.text
    assert len(answer.get_data()) < 1 << 20
    if answer.status_code == 400:
        told = answer.get_json()
        assert told["error"]
        assert told["code"] in ("invalid_json", "invalid_input", "bad_request")
        assert "Traceback" not in told["error"]
        assert len(told["error"]) < 1500
    assert rig.predict().get_json()["output"] == [[1.5] * 5]
    return answer.status_code


def written(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a lone surrogate, or a number beyond 64 bits
        return b"{}"


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MODELS, REQUESTS, st.binary(max_size=50), st.one_of(st.none(), st.integers(-2, 3)))
def test_any_json_with_any_bytes_behind_it(
    rig: WebRig, model: str, asked: dict[str, Any], blob: bytes, off: int | None
) -> None:
    head = written(asked)
    headers = {} if off is None else {HEADER: str(len(head) + off)}
    expect_an_answer_or_a_refusal(rig, model, head + (b"" if off is None else blob), headers)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MODELS, REQUESTS)
def test_large_requests_are_told_what_small_ones_are(rig: WebRig, model: str, asked: dict[str, Any]) -> None:
    body = written(asked)
    small = rig.post(f"/v2/models/{model}/infer", body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.web.dialects.open_inference.LARGE_BYTES", 0)
        large = rig.post(f"/v2/models/{model}/infer", body)
    assert (large.status_code, large.get_data()) == (small.status_code, small.get_data())


@settings(max_examples=100, deadline=None)
@given(SHAPES, st.booleans(), st.sampled_from([{}, {"classification": 1}, {"classification": 2**62}]))
def test_any_shape_of_nothing(rig: WebRig, shape: object, binary: bool, asked: dict[str, int]) -> None:
    entry = {"name": "x", "shape": shape, "datatype": "FP32", "data": []}
    outputs = [{"name": "y", "parameters": {"binary_data": binary, **asked}}]
    expect_an_answer_or_a_refusal(rig, "open", written({"inputs": [entry], "outputs": outputs}), {})


GOOD = [
    ("default", *request({"input": (np.ones((1, 10), np.float32), "FP32")}, binary=True)),
    ("default", *request({"input": (np.ones((2, 10), np.float32), "FP32")}, outputs=[{"name": "output"}])),
    ("texts", *request({"x": (np.array(["a", "bc"], object), "BYTES")}, binary=True)),
    ("pair", *request({name: (np.ones(2, np.float32), "FP32") for name in "ab"}, binary=["b"], id="7")),
]


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(GOOD), st.data())
def test_any_damage_to_a_good_request(
    rig: WebRig, good: tuple[str, bytes, dict[str, str]], data: st.DataObject
) -> None:
    model, body, headers = good
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged)))
        damaged[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    expect_an_answer_or_a_refusal(rig, model, bytes(damaged), headers)


def test_good_requests_are_answered(rig: WebRig) -> None:
    assert [expect_an_answer_or_a_refusal(rig, *good) for good in GOOD] == [200] * len(GOOD)


@settings(max_examples=80, deadline=None)
@given(MODELS, st.binary(max_size=100), st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=6))
def test_any_body_with_any_header(rig: WebRig, model: str, body: bytes, header: str) -> None:
    expect_an_answer_or_a_refusal(rig, model, body, {HEADER: header})
    expect_an_answer_or_a_refusal(rig, model, body, {HEADER: "0"})
