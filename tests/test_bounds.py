"""What a request costs is bounded by its own size and its answer's, in whatever language it is asked.

Models leave all their dimensions open here, so that clients choose them.
"""

import gzip
import io
import json
import zipfile
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

from daemon.runtime.shapes import MOST_BESIDE_NOTHING
from daemon.web.open_inference.statistics import totals_of
from tests import onnx_models
from tests.onnx_models import constant, save, value
from tests.web_rig import WebRig

NPY = "application/x-npy"
NPZ = "application/x-npz"
CSV = "text/csv"
MOST_ANSWER_BYTES = 4 << 20


def sums(path: Path) -> Path:
    """``x`` float32 [n, m] → ``y`` [n, 1], the sum of each row: of nothing, it makes something."""
    return save(
        path,
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        [value("x", "float32", ["n", "m"])],
        [value("y", "float32", ["n", 1])],
        [constant("axes", np.array([1], np.int64))],
    )


def two_d(path: Path) -> Path:
    return onnx_models.identity(path, "float32", ["n", "m"])


def two_d_strings(path: Path) -> Path:
    return onnx_models.identity(path, "string", ["n", "m"])


MODELS = {"sums": sums, "same": two_d, "texts": two_d_strings, "any": onnx_models.identity}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    with WebRig(tmp_path_factory.mktemp("bounds")) as rig:
        for name, make in MODELS.items():
            path = make(rig.drop / f"{name}.onnx")
            assert rig.post("/update_model", {"model_path": path.name, "model": name}).status_code == 200
            rig.settle()
        yield rig


def npy_of(shape: list[int], dtype: str = "<f4") -> bytes:
    """A file that says it has this shape, with no element."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({''.join(f'{dim},' for dim in shape)})}}\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def npz_of(**members: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writing:
        for name, data in members.items():
            writing.writestr(f"{name}.npy", data)
    return archive.getvalue()


def asked_with_nothing(rig: WebRig, model: str, shape: list[int]) -> dict[str, TestResponse]:
    """The answers to a tensor without elements, by the way in which its shape is said."""
    datatype, dtype = ("BYTES", "<U1") if model == "texts" else ("FP32", "<f4")
    entry: dict[str, Any] = {"name": "x", "shape": shape, "datatype": datatype}
    blob = orjson.dumps({"inputs": [{**entry, "parameters": {"binary_data_size": 0}}]})
    infer = f"/v2/models/{model}/infer"
    told_so = {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    ways: dict[str, tuple[str, bytes, dict[str, str]]] = {
        "v2": (infer, orjson.dumps({"inputs": [{**entry, "data": []}]}), {}),
        "v2 told in binary": (infer, orjson.dumps({"inputs": [{**entry, "data": []}], **told_so}), {}),
        "v2 binary": (infer, blob, {"Inference-Header-Content-Length": str(len(blob))}),
        **{
            f"{path} {kind} {accept}": (path, body, {"Content-Type": kind, "Accept": accept})
            for path in (f"/models/{model}/predict", f"/models/{model}/invocations")
            for kind, body in ((NPY, npy_of(shape, dtype)), (NPZ, npz_of(x=npy_of(shape, dtype))))
            for accept in ("*/*", NPY, CSV)
        },
        "raw": (f"/models/{model}/invocations", npy_of(shape, dtype), {"Content-Type": "application/octet-stream"}),
    }
    return {way: rig.post(path, body, headers=headers) for way, (path, body, headers) in ways.items()}


def expect_bounded(answer: TestResponse) -> None:
    assert answer.status_code < 500, answer.text[:500]
    assert len(answer.get_data()) <= MOST_ANSWER_BYTES
    if answer.status_code >= 400:
        assert len(answer.get_json()["error"]) < 1500


@pytest.mark.parametrize("shape", [[MOST_BESIDE_NOTHING + 1, 0], [0, 2**24], [2**40, 0], [2**56, 0]])
@pytest.mark.parametrize("model", ["sums", "same", "texts"])
def test_tensor_of_nothing_is_refused_where_it_is_huge(rig: WebRig, model: str, shape: list[int]) -> None:
    for way, answer in asked_with_nothing(rig, model, shape).items():
        assert answer.status_code == 400, way
        assert "at most 65536 in the other dimensions of an empty tensor" in answer.get_json()["error"], way


@pytest.mark.parametrize("shape", [[MOST_BESIDE_NOTHING, 0], [0, MOST_BESIDE_NOTHING], [0, 0]])
@pytest.mark.parametrize("model", ["sums", "same", "texts"])
def test_tensor_of_nothing_is_answered_where_it_is_small(rig: WebRig, model: str, shape: list[int]) -> None:
    for way, answer in asked_with_nothing(rig, model, shape).items():
        assert answer.status_code == 200, (way, answer.text[:200])
        expect_bounded(answer)


def test_tensors_of_nothing_are_no_rows_in_the_statistics(rig: WebRig) -> None:
    release = rig.holder.release_of("same")
    assert release is not None
    before = totals_of(release, rig.predictor.counting)
    told = asked_with_nothing(rig, "same", [MOST_BESIDE_NOTHING, 0])
    after = totals_of(release, rig.predictor.counting)
    assert (after.answered - before.answered, after.rows - before.rows) == (len(told), 0)


DIMS = st.one_of(st.sampled_from([0, 1, 2, 3, 300, 2**16, 2**24, 2**31, 2**40, 2**59, 2**63]), st.integers(0, 70_000))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*MODELS]), st.lists(DIMS, max_size=5))
def test_any_shape_of_nothing_is_an_answer_or_a_refusal(rig: WebRig, model: str, shape: list[int]) -> None:
    for answer in asked_with_nothing(rig, model, shape).values():
        expect_bounded(answer)


# Whatever is sent.

NUMBER = st.one_of(st.integers(-3, 300), st.floats(), st.sampled_from([2**63, 2**64, -(2**63), 1e308]))
VALUE = st.recursive(
    st.one_of(NUMBER, st.booleans(), st.none(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["x", "b64", "data", "columns", "index", "y", ""]), inner, max_size=3),
    ),
    max_leaves=12,
)
NESTED = st.one_of(
    VALUE,
    st.lists(st.lists(NUMBER, max_size=3), max_size=4),
    st.integers(0, 1200).map(lambda depth: [] if not depth else _nested(depth)),
    st.integers(0, 900).map(lambda rows: [[]] * rows),
)
KEYS = ["inputs", "instances", "dataframe_split", "dataframe_records", "outputs", "parameters", "id"]
JSON_BODY = st.one_of(st.dictionaries(st.sampled_from(KEYS), NESTED, max_size=2), NESTED).map(
    lambda value: _dumped(value)
)
CSV_BODY = st.one_of(
    st.text(st.sampled_from('1,"\n\r .-eNa'), max_size=60).map(str.encode),
    st.integers(1, 1500).map(lambda width: b"1," * width + b"1\n"),
)
SHAPES = st.one_of(st.lists(DIMS, max_size=4), st.integers(0, 70).map(lambda rank: [1] * rank))
NPY_BODY = st.builds(
    lambda shape, dtype, data: npy_of(shape, dtype) + data,
    SHAPES,
    st.sampled_from(["<f4", ">f8", "|b1", "<U1", "<U999999999", "|S999999999", "<i8", "<f2", "<c8", "|V8", "<M8"]),
    st.binary(max_size=16),
)
FORMS = st.one_of(
    st.tuples(st.just("application/json"), JSON_BODY),
    st.tuples(st.just(CSV), CSV_BODY),
    st.tuples(st.just("text/csv; header=absent"), CSV_BODY),
    st.tuples(st.just(NPY), NPY_BODY),
    st.tuples(st.just(NPZ), NPY_BODY.map(lambda body: npz_of(x=body))),
    st.tuples(st.just("application/octet-stream"), st.one_of(st.binary(max_size=64), NPY_BODY)),
)
ACCEPTS = st.sampled_from(["*/*", NPY, NPZ, CSV, "text/csv; header=present", "application/json;q=0, x/y"])
PATHS = st.sampled_from(
    [
        "/models/{}/predict",
        "/models/{}/invocations",
        "/models/{}/invoke",
        "/v1/models/{}:predict",
        "/v2/models/{}/infer",
    ]
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _dumped(value: object) -> bytes:
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 2000


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(PATHS, st.sampled_from([*MODELS]), FORMS, ACCEPTS, st.booleans())
def test_whatever_is_sent_in_any_language_is_an_answer_or_a_refusal(
    rig: WebRig, path: str, model: str, form: tuple[str, bytes], accept: str, is_packed: bool
) -> None:
    kind, body = form
    headers = {"Content-Type": kind, "Accept": accept, "Accept-Encoding": "gzip"}
    if is_packed:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    expect_bounded(rig.post(path.format(model), body, headers=headers))
