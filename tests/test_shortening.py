"""JSON whose long strings are left where they are: what is kept, where they lie, and what is refused."""

import io
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.errors import InvalidJson, TooLarge
from daemon.web.open_inference import shortening
from daemon.web.open_inference.shortening import LONG_BYTES, MOST_KEPT_BYTES, Shortened, shorten

LIMIT = 1 << 30
SHORT = 8
TEXTS = st.text(max_size=40) | st.text('\\"/é\n', max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


class Trickle(io.BytesIO):
    """Gives what it has in pieces of random sizes, of one byte often."""

    def __init__(self, content: bytes, seed: int) -> None:
        super().__init__(content)
        self._rng = random.Random(seed)

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._rng.choice((1, 1, 2, 3, 7, 100)))


def restored(text: bytes, short: Shortened) -> Any:
    """The value of the text that was shortened, its long strings taken from where they lie."""
    kept = short.text
    for name, span in short.spans.items():
        kept = kept.replace(b'"%b"' % name.encode(), b'"%b"' % text[span.start : span.end])
    return json.loads(kept)


@settings(max_examples=50)
@given(value=VALUES, is_ascii=st.booleans(), seed=st.integers())
def test_nothing_is_lost_whatever_the_pieces(value: object, is_ascii: bool, seed: int) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortening, "LONG_BYTES", SHORT)
        short = shorten(Trickle(text, seed), limit_bytes=LIMIT)
    assert all(span.end - span.start > SHORT for span in short.spans.values())
    assert restored(text, short) == json.loads(text)


def test_long_string_is_kept_out_of_memory() -> None:
    long = b"A" * (LONG_BYTES + 1)
    short = shorten(io.BytesIO(b'{"file:1/m.onnx": "' + long + b'", "config": "{}"}'), limit_bytes=LIMIT)
    (name,) = short.spans
    assert json.loads(short.text) == {"file:1/m.onnx": name, "config": "{}"}
    assert (short.spans[name].start, short.spans[name].end) == (19, 19 + len(long))


def test_string_of_just_the_length_is_short() -> None:
    text = b'"' + b"A" * LONG_BYTES + b'"'
    assert shorten(io.BytesIO(text), limit_bytes=LIMIT) == Shortened(text, {})


def test_stream_is_gone_through_from_its_beginning_wherever_it_is() -> None:
    stream = io.BytesIO(b'{"a": 1}')
    stream.read()
    assert shorten(stream, limit_bytes=LIMIT).text == b'{"a": 1}'


def test_what_stands_for_a_string_cannot_be_told_before() -> None:
    text = b'"' + b"A" * (LONG_BYTES + 1) + b'"'
    names = {next(iter(shorten(io.BytesIO(text), limit_bytes=LIMIT).spans)) for _ in range(3)}
    assert len(names) == 3


@pytest.mark.parametrize("text", [b'{"a', b'"', b'"a\\"', b'{"a": "' + b"A" * (LONG_BYTES + 1)])
def test_string_that_does_not_end_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidJson, match="ends within a string"):
        shorten(io.BytesIO(text), limit_bytes=LIMIT)


def test_body_over_its_limit_is_refused_early() -> None:
    body = io.BytesIO(b'"' + b"A" * (8 << 20) + b'"')
    with pytest.raises(TooLarge, match="1000 bytes"):
        shorten(body, limit_bytes=1000)
    assert body.tell() < 2 << 20


@pytest.mark.parametrize("content", [b" " * (MOST_KEPT_BYTES + 1), b'"' + b'A","' * MOST_KEPT_BYTES])
def test_much_beside_the_files_is_refused(content: bytes) -> None:
    with pytest.raises(TooLarge, match="beside its files"):
        shorten(io.BytesIO(content), limit_bytes=LIMIT)
