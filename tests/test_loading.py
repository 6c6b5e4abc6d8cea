"""What a load's body asks for: whatever comes, it is understood or refused by an error of the house."""

import json
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import BadRequest, InvalidJson, TooLarge
from daemon.web.open_inference import shortening
from daemon.web.open_inference.loading import Load, body_bytes, read_load

REFUSALS = (BadRequest, InvalidJson, TooLarge)
WORDS = ["config", "parameters", "file:1/model.onnx", "file:1/a.data", "file:x", "{}", "[]", '{"name":"m"}', "QUFB", ""]
TEXTS = st.sampled_from([*WORDS, "\0"]) | st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def read(body: bytes, max_upload_bytes: int = 1000) -> Load:
    return read_load(BytesIO(body), "m", max_upload_bytes=max_upload_bytes)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(*REFUSALS):
        read(body)


@given(parameters=VALUES, more=VALUES)
def test_any_json_is_read_or_refused(parameters: object, more: object) -> None:
    body = json.dumps({"parameters": parameters} | ({"more": more} if more else {})).encode()
    with pytest.MonkeyPatch.context() as patch, suppress(*REFUSALS):
        patch.setattr(shortening, "LONG_BYTES", 6)
        load = read(body)
        assert load.model_file in load.files or not load.files


@pytest.mark.parametrize("value", [b"", b"{}", b'{"parameters": {}}', b'{"parameters": {"config": "{}"}}'])
def test_nothing_is_brought_where_nothing_is_said(value: bytes) -> None:
    assert read(value) == Load({})


def test_last_of_two_values_for_one_file_counts() -> None:
    load = read(b'{"parameters": {"file:1/a.onnx": "QUFB", "file:1/a.onnx": "QkJC"}}')
    assert load.files[load.model_file].read(10) == b"BBB"


def test_limit_of_a_body_has_room_for_its_base64() -> None:
    content = "A" * (body_bytes(30_000) - (1 << 20) - 4)
    load = read(json.dumps({"parameters": {"file:1/a.onnx": content}}).encode(), 30_000)
    assert len(load.files["a.onnx"].read(1 << 20)) == 30_000
