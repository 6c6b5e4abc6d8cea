"""NumPy's files over HTTP: what is sent is run as it is, and what is asked for comes back."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from werkzeug.test import TestResponse

from daemon.errors import AT_ONCE, HandOver
from daemon.runtime import Array
from tests import onnx_models
from tests.web_rig import LIMIT_BYTES, WebRig

NPY, NPZ = "application/x-npy", "application/x-npz"
MODELS: dict[str, Any] = {
    "two": onnx_models.two_inputs,
    "optional": onnx_models.optional_input,
    "zipmap": onnx_models.zipmap_like,
    "sequence": onnx_models.sequence_output,
    "gather": onnx_models.gather,
}
DTYPES = ["float16", "float32", "float64", "bfloat16", "int8", "uint64", "bool", "string"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    """Models of every kind by its name, and for each of ``DTYPES`` one that gives back what it takes."""
    with WebRig(tmp_path_factory.mktemp("forms")) as rig:
        for name, make in MODELS.items():
            deploy(rig, name, make(rig.drop / f"{name}.onnx"))
        for dtype in DTYPES:
            deploy(rig, dtype, onnx_models.identity(rig.drop / f"{dtype}.onnx", dtype))
        yield rig


def deploy(rig: WebRig, name: str, path: Path) -> None:
    assert rig.post("/update_model", {"model_path": path.name, "model": name}).status_code == 200
    rig.settle()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def ask(rig: WebRig, model: str, body: bytes, kind: str, accept: str = "", **more: Any) -> TestResponse:
    headers = {"Content-Type": kind, **({"Accept": accept} if accept else {})}
    return rig.post(f"/models/{model}/predict", body, headers=headers, **more)


def loaded(answer: TestResponse, kind: str) -> Any:
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind), answer.get_data()
    return np.load(io.BytesIO(answer.get_data()), allow_pickle=False)


SENT = hnp.arrays(
    st.sampled_from([np.dtype(code) for code in ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8")]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    elements={"min_value": -60_000, "max_value": 60_000},
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=SENT, dtype=st.sampled_from(["float16", "float32", "float64"]), turned=st.booleans())
def test_array_that_is_sent_comes_back(rig: WebRig, array: Array, dtype: str, turned: bool) -> None:
    sent = npy(np.asfortranarray(array) if turned and array.ndim else array)
    back = loaded(ask(rig, dtype, sent, NPY, NPY), NPY)
    assert (back.dtype, back.shape) == (np.dtype(dtype), array.shape)
    np.testing.assert_array_equal(back, array.astype(dtype))


@pytest.mark.parametrize(
    ("model", "array", "back"),
    [
        ("bfloat16", np.array([1.5, np.inf]), np.array([1.5, np.inf], np.float32)),
        ("int8", np.array([[-128, 127]]), np.array([[-128, 127]], np.int8)),
        ("uint64", np.array(2**64 - 1, ">u8"), np.array(2**64 - 1, np.uint64)),
        ("bool", np.array([0, 1]), np.array([False, True])),
        ("string", np.array(["é", "日本"]), np.array(["é", "日本"])),
        ("string", np.array([b"a", b"bc"]), np.array(["a", "bc"])),
    ],
)
def test_other_types_come_back_too(rig: WebRig, model: str, array: Array, back: Array) -> None:
    answer = loaded(ask(rig, model, npy(array), NPY, NPY), NPY)
    assert answer.dtype == back.dtype
    assert answer.tolist() == back.tolist()


def test_inputs_and_outputs_go_by_name(rig: WebRig) -> None:
    body = npz(a=np.array([1, 2]), b=np.array([3.0, 4.0]))
    answer = ask(rig, "two", body, NPZ, NPZ)
    with loaded(answer, NPZ) as outputs:
        assert {name: outputs[name].tolist() for name in outputs} == {"sum": [4, 6], "product": [3, 8]}
    assert answer.headers["X-Model-Name"] == "two"
    assert loaded(ask(rig, "two", body, NPZ, NPY), NPY).tolist() == [4, 6]


@pytest.mark.parametrize("kind", [NPZ, "application/zip", "Application/X-NPZ; version=1"])
def test_answer_is_json_unless_it_is_asked_for_otherwise(rig: WebRig, kind: str) -> None:
    answer = ask(rig, "two", npz(a=np.array([1.0]), b=np.array([2.0])), kind)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.get_json()["outputs"] == {"sum": [3.0], "product": [2.0]}


def test_file_is_given_for_json_too(rig: WebRig) -> None:
    body = b'{"inputs": {"a": [1], "b": [2]}}'
    assert loaded(ask(rig, "two", body, "application/json", NPY), NPY).tolist() == [3]
    with loaded(ask(rig, "two", body, "", "application/zip"), "application/zip") as outputs:
        assert list(outputs) == ["sum", "product"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (f"{NPY};q=0.5, application/json;q=0.6", "application/json"),
        (f"{NPY};q=0.6, application/json;q=0.5", NPY),
        (f"text/html, {NPZ};q=0.1", NPZ),
        ("text/html", "application/json"),
    ],
)
def test_form_that_weighs_most_is_given(rig: WebRig, accept: str, kind: str) -> None:
    answer = ask(rig, "two", npz(a=np.array([1.0]), b=np.array([2.0])), NPZ, accept)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)


def test_optional_input_may_be_given_or_not(rig: WebRig) -> None:
    assert ask(rig, "optional", npy(np.array([1.0])), NPY).get_json()["output"] == [6.0]
    assert ask(rig, "optional", npz(x=[1], offset=[2]), NPZ).get_json()["output"] == [3.0]


@pytest.mark.parametrize(
    ("model", "body", "kind", "sentence"),
    [
        ("two", npy(np.zeros(1)), NPY, "expected inputs by name, 'a', 'b', got a value without one"),
        ("two", npz(a=[1], c=[1]), NPZ, "unknown input 'c': expected 'a', 'b'"),
        ("two", npz(a=[1.0]), NPZ, "input 'b' is missing: expected 'a', 'b'"),
        ("two", npz(a=[1.0], b=[[1.0]]), NPZ, "input 'b': expected float32 [n], got shape [1, 1]"),
        ("float32", npy(np.array([[1e39]])), NPY, "numbers within the range of float32, got 1e+39 at [0][0]"),
        ("float32", npy(np.array(["1"])), NPY, "input 'x': expected float32 or other numbers, got str32"),
        ("float32", npy(np.array([True])), NPY, "input 'x': expected float32 or other numbers, got bool"),
        ("int8", npy(np.array([1.0])), NPY, "input 'x': expected int8 or other whole numbers, got float64"),
        ("gather", npy(np.array([99])), NPY, "indices element out of data bounds"),
    ],
)
def test_input_that_does_not_fit_is_told(rig: WebRig, model: str, body: bytes, kind: str, sentence: str) -> None:
    answer = ask(rig, model, body, kind, NPY)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_input")
    assert sentence in answer.get_json()["error"]
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", NPY, 400, "bad_request"),
        (npy(np.array([object()], object)), NPY, 400, "bad_request"),
        (npy(np.zeros(2))[:-1], NPY, 400, "bad_request"),
        (npy(np.zeros(2)), NPZ, 400, "bad_request"),
        (npz(x=np.array([None], object)), NPZ, 400, "bad_request"),
        (npz(x=np.zeros(LIMIT_BYTES)), NPZ, 413, "too_large"),
        (npy(np.zeros(LIMIT_BYTES)), NPY, 413, "too_large"),
        (npy(np.zeros(2)), "text/csv", 415, "unsupported_media_type"),
        (npy(np.zeros(2)), "application/json", 400, "invalid_json"),
    ],
)
def test_what_cannot_be_read_is_refused(rig: WebRig, body: bytes, kind: str, status: int, code: str) -> None:
    answer = ask(rig, "float32", body, kind)
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)


@pytest.mark.parametrize(("model", "accept"), [("zipmap", NPZ), ("sequence", NPY), ("sequence", NPZ)])
def test_output_that_is_no_tensor_is_no_file(rig: WebRig, model: str, accept: str) -> None:
    array = npy(np.zeros((1, 2) if model == "zipmap" else 1))
    answer = ask(rig, model, array, NPY, accept)
    assert (answer.status_code, answer.get_json()["code"]) == (406, "not_acceptable")
    answer = ask(rig, model, array, NPY, f"{accept}, */*;q=0.1")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_first_output_is_a_file_whatever_the_others_are(rig: WebRig) -> None:
    assert loaded(ask(rig, "zipmap", npy(np.array([[0.1, 0.9]])), NPY, NPY), NPY).tolist() == [1]


def test_archive_is_not_unpacked_where_all_wait_for_it(rig: WebRig) -> None:
    body = npz(x=np.zeros(2))
    with pytest.raises(HandOver):
        ask(rig, "float32", body, NPZ, environ_base={AT_ONCE: True})
    assert ask(rig, "float32", body, NPZ).status_code == 200
    assert ask(rig, "float32", npy(np.zeros(2)), NPY, environ_base={AT_ONCE: True}).status_code == 200


def test_archive_of_many_names_is_bounded(rig: WebRig) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(np.zeros(4 * LIMIT_BYTES, np.uint8)))
    assert len(file.getvalue()) < LIMIT_BYTES
    answer = ask(rig, "float32", file.getvalue(), NPZ)
    assert (answer.status_code, answer.get_json()["code"]) == (413, "too_large")
