"""Base64 that is decoded as it is read: whole, in whatever pieces, and refused where it is none."""

import base64
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import BadRequest
from daemon.web.open_inference import base64_stream
from daemon.web.open_inference.base64_stream import Base64Stream

BEFORE, AFTER = b'{"file:1/m.onnx": "', b'"}'


def stream_of(encoded: bytes) -> Base64Stream:
    return Base64Stream(io.BytesIO(BEFORE + encoded + AFTER), len(BEFORE), len(BEFORE) + len(encoded), "m.onnx")


def read_all(stream: Base64Stream, size: int = 1 << 20) -> bytes:
    pieces = []
    while piece := stream.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    return b"".join(pieces)


BYTES = st.binary(max_size=60) | st.lists(st.sampled_from([255, 254, 0]), max_size=60).map(bytes)
"""The second kind has many a ``/`` in its base64."""


@given(content=BYTES, step=st.integers(1, 16), size=st.integers(1, 20), escaped=st.booleans())
def test_bytes_come_back_whatever_the_pieces(content: bytes, step: int, size: int, escaped: bool) -> None:
    encoded = base64.b64encode(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_stream, "STEP_BYTES", step)
        stream = stream_of(encoded.replace(b"/", b"\\/") if escaped else encoded)
        assert read_all(stream, size) == content
        assert stream.read(size) == b""


def test_large_content_is_read_in_pieces() -> None:
    content = bytes(range(256)) * 20_000
    assert read_all(stream_of(base64.b64encode(content)), 4 << 20) == content


def test_two_streams_of_one_file_take_turns() -> None:
    file = io.BytesIO(b"QUFBQkJC")
    first, second = Base64Stream(file, 0, 4, "a"), Base64Stream(file, 4, 8, "b")
    assert (first.read(2), second.read(3), first.read(2)) == (b"AA", b"BBB", b"A")


@pytest.mark.parametrize(
    "encoded",
    [
        b"QUF",
        b"QUFB\\n",
        b"QUFB QkJC",
        b"QQ==QUFB",
        b"QQ==" * 3,
        b"====",
        b"QU.B",
        b"QUF-",
        b"\\/\\",
        b"Q",
        "QUFBé".encode(),
    ],
)
@pytest.mark.parametrize("step", [4, 1 << 20])
def test_what_is_no_base64_is_refused_by_its_name(encoded: bytes, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64_stream, "STEP_BYTES", step)
    with pytest.raises(BadRequest, match=r"^m\.onnx: expected base64: "):
        read_all(stream_of(encoded))


def test_file_that_is_cut_short_is_refused() -> None:
    with pytest.raises(BadRequest, match="ends early"):
        read_all(Base64Stream(io.BytesIO(b"QUFB"), 0, 8, "m.onnx"))
