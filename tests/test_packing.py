"""Packed bodies: what is unpacked, how far, and what is refused; and what a client accepts."""

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import BadRequest, TooLarge, UnsupportedMediaType
from daemon.web import packing
from daemon.web.packing import packed, unpacked

PLAIN = b'{"inputs": [[1, 2, 3]]}' * 20
PACKED = {"gzip": gzip.compress(PLAIN), "x-gzip": gzip.compress(PLAIN), "deflate": zlib.compress(PLAIN)}


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", " GZip ", "Deflate"])
def test_body_is_unpacked_by_what_its_encoding_says(encoding: str) -> None:
    assert unpacked(PACKED[encoding.strip().lower()], encoding, len(PLAIN)) == PLAIN


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_body_without_an_encoding_is_as_it_is(encoding: str) -> None:
    assert unpacked(PLAIN, encoding, 1) == PLAIN


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_other_encodings_are_refused_by_their_name(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"{encoding!r}, expected gzip, deflate or none"):
        unpacked(PLAIN, encoding, 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_body_that_unpacks_to_a_byte_too_much_is_refused(encoding: str) -> None:
    with pytest.raises(TooLarge, match=f"more than {len(PLAIN) - 1} bytes"):
        unpacked(PACKED[encoding], encoding, len(PLAIN) - 1)


def test_no_more_is_unpacked_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compress(bytes(50 << 20))
    made: list[int] = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self, bits: int) -> None:
            self._inner = real(bits)

        def decompress(self, body: bytes, most: int) -> bytes:
            plain = self._inner.decompress(body, most)
            made.append(len(plain))
            return plain

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(TooLarge):
        unpacked(bomb, "deflate", 1000)
    assert made == [1001]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (PLAIN, "incorrect header check"),
        (PACKED["gzip"][:-9], "it ends too early"),
        (b"", "it ends too early"),
        (PACKED["gzip"] + b"more", "4 bytes after the end"),
    ],
)
def test_body_that_is_not_what_it_says_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        unpacked(body, "gzip", 1000)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.integers(1, 30))
def test_members_of_gzip_are_one_body(parts: list[bytes], piece: int) -> None:
    body = b"".join(map(gzip.compress, parts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PIECE_BYTES", piece)
        assert unpacked(body, "gzip", 200) == b"".join(parts)


def test_members_may_have_the_limit_together_and_no_more() -> None:
    body = gzip.compress(b"a" * 6) + gzip.compress(b"b" * 4) + gzip.compress(b"")
    assert unpacked(body, "gzip", 10) == b"aaaaaabbbb"
    with pytest.raises(TooLarge, match="more than 9 bytes"):
        unpacked(body, "gzip", 9)


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (PACKED["gzip"] * 2 + b"more", "gzip", "4 bytes after the end of its gzip"),
        (PACKED["gzip"] + PACKED["gzip"][:-9], "gzip", "it ends too early"),
        (PACKED["gzip"] + PACKED["gzip"][:2], "gzip", "it ends too early"),
        (PACKED["gzip"] + b"\x1f\x8b nonsense", "gzip", "the body is not gzip"),
        (PACKED["deflate"] * 2, "deflate", "bytes after the end of its deflate"),
        (PACKED["deflate"] + PACKED["gzip"], "deflate", "bytes after the end of its deflate"),
        (PACKED["gzip"] + PACKED["deflate"], "gzip", "bytes after the end of its gzip"),
    ],
    ids=["text", "cut", "begun", "nonsense", "zlib", "gzip after zlib", "zlib after gzip"],
)
def test_what_is_no_further_member_is_refused(body: bytes, encoding: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        unpacked(body, encoding, 10 * len(PLAIN))


def test_members_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST_MEMBERS", 3)
    assert unpacked(gzip.compress(b"a") * 3, "gzip", 10) == b"aaa"
    with pytest.raises(BadRequest, match="more than 3 members of gzip"):
        unpacked(gzip.compress(b"a") * 4, "gzip", 10)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate", "deflate"),
        ("gzip;q=0, deflate;q=0.1", "deflate"),
        ("br, GZIP ; q=1", "gzip"),
    ],
)
def test_answer_is_packed_as_the_client_likes_best(accepted: str, encoding: str) -> None:
    body, named = packed(PLAIN, accepted)
    assert named == encoding
    assert unpacked(body, encoding, len(PLAIN)) == PLAIN


@pytest.mark.parametrize("accepted", ["", "br", "identity", "gzip;q=0", "*", "gzip;q=nonsense"])
def test_answer_is_not_packed_for_who_does_not_ask(accepted: str) -> None:
    assert packed(PLAIN, accepted) == (PLAIN, None)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_whatever_comes_is_unpacked_or_refused(body: bytes, encoding: str) -> None:
    for each in (encoding, "gzip", "deflate"):
        with contextlib.suppress(BadRequest, TooLarge, UnsupportedMediaType):
            assert len(unpacked(body, each, 1000)) <= 1000
    packed(body, encoding)
