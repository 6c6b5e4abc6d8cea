"""What bodies that are not JSON seem to be: said where it is so, where that would help, and only there."""

import gzip
import io
from collections.abc import Iterator

import numpy as np
import orjson
import pytest

from daemon.web.guesses import seeming
from tests.web_rig import WebRig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    with WebRig(tmp_path_factory.mktemp("guesses")) as rig:
        rig.update(1)
        yield rig


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((1, 10), np.float32))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, input=np.ones((1, 10), np.float32))
    return file.getvalue()


def sentence(rig: WebRig, path: str, body: bytes) -> str:
    answer = rig.post(path, body)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_json")
    return str(answer.get_json()["error"])


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_numpys_file_is_told_by_what_it_should_be_called(rig: WebRig, path: str) -> None:
    for body, suffix, kind in ((npy(), ".npy", "application/x-npy"), (npz(), ".npz", "application/x-npz")):
        end = f"; it seems to be a {suffix} file: send Content-Type: {kind}"
        assert sentence(rig, path, body).endswith(end)
        assert rig.post(path, body, content_type=kind).status_code == 200, "the advice is good"


@pytest.mark.parametrize(
    "path", ["/predict", "/invocations", "/v2/models/default/infer", "/v1/models/default:predict", "/update_model"]
)
def test_packed_body_is_told(rig: WebRig, path: str) -> None:
    assert "; it seems to be packed: send it with Content-Encoding: gzip" in sentence(rig, path, gzip.compress(b"{}"))


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "nan", "inf", "-inf"])
def test_literal_that_json_lacks_is_told(rig: WebRig, word: str) -> None:
    for path, body in (
        ("/predict", f'{{"é": "x", "inputs": [[1, {word}]]}}'),
        ("/predict", f'{{"inputs": [[{"1," * 2000} {word}]]}}'),
        ("/v1/models/default:predict", f'{{"instances": [[1, {word}]]}}'),
    ):
        assert sentence(rig, path, body.encode()).endswith("; JSON has no NaN and no Infinity")


@pytest.mark.parametrize("body", [b"", b"{", b'{"inputs": [}', b'{"NaN": [1,]}', b"hello", b"\xff\xfe", b"[1, null1]"])
def test_nothing_is_guessed_of_others(rig: WebRig, body: bytes) -> None:
    assert "seems" not in sentence(rig, "/predict", body)
    assert "NaN" not in sentence(rig, "/predict", body)


def test_guess_looks_where_the_fault_is() -> None:
    with pytest.raises(orjson.JSONDecodeError) as caught:
        orjson.loads(b'{"x": "NaN", "y": @}')
    assert seeming(b"", caught.value) == ""
