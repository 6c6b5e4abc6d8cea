"""Uploads from outside: digests, limits, connections that break, and the daemon's memory meanwhile."""

import base64
import http.client
import socket
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.e2e.proc import connections, private_bytes
from tests.e2e.rig import Answer, Rig
from tests.e2e.waiting import eventually
from tests.onnx_models import big, constant_model, external

pytestmark = pytest.mark.both_fronts

MIB = 1 << 20
_numbers = count(1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon that takes uploads of 300 MiB, but predict bodies of one only."""
    settings = {"server": {"max_body_mb": 1, "max_upload_mb": 300}}
    rig = Rig(tmp_path_factory.mktemp("uploading"), settings, front=front).start()
    yield rig
    rig.kill()


@pytest.fixture
def model() -> str:
    """A model's name that no other test has."""
    return f"model-{next(_numbers)}"


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """The bytes of a model unlike every other."""
    return constant_model(tmp_path / "x.onnx", float(next(_numbers))).read_bytes()


def _upload(rig: Rig, model: str, content: bytes, headers: dict[str, str] | None = None, query: str = "") -> Answer:
    return rig.request("PUT", f"/models/{model}/upload{query}", content, headers)


def _digests(content: bytes) -> dict[str, str]:
    """Both headers that may state a body's SHA-256."""
    digest = sha256(content)
    stated = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    return {"X-Content-SHA256": digest.hexdigest(), "Content-Digest": stated}


def test_upload_serves_and_answers_like_an_update(shared: Rig, model: str, content: bytes) -> None:
    answer = _upload(shared, model, content, query="?filename=my.onnx")
    assert answer.status == 200
    assert answer.json == {
        "message": "模型已更新成功",
        "outcome": "live",
        "model": model,
        "version": 1,
        "sha256": sha256(content).hexdigest(),
        "model_path": "my.onnx",
    }
    assert shared.predict(model=model).json["model_path"] == "my.onnx"
    assert _upload(shared, model, content).json["outcome"] == "unchanged"


@pytest.mark.parametrize("header", ["X-Content-SHA256", "Content-Digest"])
def test_upload_with_the_right_digest_is_taken(shared: Rig, model: str, content: bytes, header: str) -> None:
    assert _upload(shared, model, content, {header: _digests(content)[header]}).status == 200


@pytest.mark.parametrize("header", ["X-Content-SHA256", "Content-Digest"])
def test_upload_with_a_wrong_digest_is_422(shared: Rig, model: str, content: bytes, header: str) -> None:
    answer = _upload(shared, model, content, {header: _digests(content + b"x")[header]})
    assert (answer.status, answer.json["code"], answer.json["check"]) == (422, "rejected", "integrity")
    assert sha256(content).hexdigest() in answer.json["reason"]
    assert shared.predict(model=model).status == 503


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Content-SHA256": "abc"},
        {"X-Content-SHA256": "z" * 64},
        {"Content-Digest": "sha-256=abc"},
        {"Content-Digest": "sha-256=:YWJj:"},
        {"Content-Digest": "md5=:YWJj:"},
    ],
)
def test_upload_with_a_malformed_digest_is_400(
    shared: Rig, model: str, content: bytes, headers: dict[str, str]
) -> None:
    answer = _upload(shared, model, content, headers)
    assert (answer.status, answer.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "query", ["?filename=x.txt", "?filename=../x.onnx", "?filename=/x.onnx", "?filename=", "?filename=a%5Cb.onnx"]
)
def test_upload_under_a_name_that_is_no_models_is_400(shared: Rig, model: str, content: bytes, query: str) -> None:
    answer = _upload(shared, model, content, query=query)
    assert (answer.status, answer.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize("name", ["-x", "a%20b", ".hidden", "x" * 101])
def test_upload_for_what_is_no_models_name_is_400(shared: Rig, content: bytes, name: str) -> None:
    assert _upload(shared, name, content).status == 400


def test_upload_of_a_model_whose_weights_lie_elsewhere_is_422(shared: Rig, model: str, tmp_path: Path) -> None:
    content = external(tmp_path / "x.onnx").read_bytes()
    answer = _upload(shared, model, content)
    assert (answer.status, answer.json["code"]) == (422, "rejected")
    assert "x.onnx.data" in answer.json["reason"]


def test_upload_in_chunks_is_taken(shared: Rig, model: str, content: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=30)
    pieces = (content[start : start + 37] for start in range(0, len(content), 37))
    try:
        connection.request("PUT", f"/models/{model}/upload", body=pieces, encode_chunked=True)
        assert connection.getresponse().status == 200
    finally:
        connection.close()
    assert shared.predict(model=model).headers["X-Model-SHA256"] == sha256(content).hexdigest()


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_upload_that_breaks_off_leaves_no_trace(shared: Rig, model: str, content: bytes, how: str) -> None:
    before, at_rest = shared.last_id(), connections(shared.pid)
    framing = f"Content-Length: {len(content)}" if how == "length" else "Transfer-Encoding: chunked"
    head = f"PUT /models/{model}/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}\r\n\r\n".encode()
    half = content[: len(content) // 2]
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(head + (half if how == "length" else f"{len(content):x}\r\n".encode() + half))
        eventually(lambda: connections(shared.pid) > at_rest, "the connection")
    eventually(lambda: connections(shared.pid) <= at_rest, "the end of the connection")
    assert shared.predict(model=model).status == 404
    assert shared.events(before) == []
    assert list((shared.state / "spool").iterdir()) == []
    assert list((shared.state / "store" / "tmp").iterdir()) == []


def test_upload_larger_than_a_predict_body_may_be_is_taken(shared: Rig, model: str, tmp_path: Path) -> None:
    content = big(tmp_path / "big.onnx", 3).read_bytes()
    assert len(content) > 2 * MIB
    assert shared.post("/predict", content).status == 413
    assert _upload(shared, model, content).status == 200


LENGTH_OF_A_CHUNK = pytest.mark.no_granian("how long a chunk will be is known when it came")


@pytest.mark.parametrize("how", ["length", pytest.param("chunks", marks=LENGTH_OF_A_CHUNK)])
def test_upload_over_its_limit_is_413(shared: Rig, model: str, how: str) -> None:
    framing = f"Content-Length: {301 * MIB}" if how == "length" else "Transfer-Encoding: chunked"
    head = f"PUT /models/{model}/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}\r\n\r\n".encode()
    body = b"" if how == "length" else f"{301 * MIB:x}\r\n".encode() + bytes(1000)
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as connection:
        connection.sendall(head + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert b'"too_large"' in answer.read()
    assert shared.predict(model=model).status == 404


def test_memory_does_not_grow_by_the_size_of_an_upload(shared: Rig, model: str, tmp_path: Path) -> None:
    path = tmp_path / "zeros.onnx"
    with path.open("wb") as file:
        file.truncate(250 * MIB)
    _upload(shared, model, bytes(8 * MIB))  # what the first upload allocates for good is none of this test's
    before = private_bytes(shared.pid)
    with _Peak(shared.pid) as peak, path.open("rb") as file:
        connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=60)
        connection.request("PUT", f"/models/{model}/upload", body=file, headers={"Content-Length": str(250 * MIB)})
        assert connection.getresponse().status == 422
        connection.close()
    grown = (peak.highest - before) / MIB
    print(f"250 MiB uploaded, the daemon's own memory grew by {grown:.1f} MiB at most, in {peak.looks} looks")
    assert peak.looks > 10
    assert grown < 60


class _Peak:
    """The most private memory that a process had while the ``with`` block ran, as often as it can be looked at."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = Event()
        self._thread = Thread(target=self._look, name="peak")
        self.highest = 0
        self.looks = 0

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.005):
            self.highest = max(self.highest, private_bytes(self._pid))
            self.looks += 1
