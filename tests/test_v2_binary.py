"""Tensors in binary: what is read is what was written, from where it lies, and nothing beyond the body."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from daemon.errors import BadRequest, InvalidInput
from daemon.release import TensorSpec
from daemon.runtime.dtypes import DTYPES
from daemon.web.binary.strings import read_strings, write_strings
from daemon.web.binary.tensors import Blobs, to_wire
from daemon.web.binary.wire import WIRE
from daemon.web.open_inference.datatypes import DATATYPES
from tests.v2_wire import from_bytes, to_bytes

NUMBERS = sorted(WIRE)


def spec(dtype: str) -> TensorSpec:
    return TensorSpec("x", dtype, None)


@given(st.data())
def test_numbers_are_read_and_written_as_a_client_does(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(NUMBERS))
    shapes = st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    array: Any = data.draw(st_numpy.arrays(DTYPES[dtype].numpy, shapes))
    if dtype == "bfloat16":  # whatever a float32 is cut to
        array = from_bytes(to_bytes(array, "BF16"), "BF16", array.shape)
    sent = to_bytes(array, DATATYPES[dtype])
    before = data.draw(st.binary(max_size=9))
    blobs = Blobs(before + sent, len(before))
    read = blobs.take(spec(dtype), array.shape, data.draw(st.sampled_from([None, len(sent)])))
    blobs.expect_no_more()
    assert (read.dtype, read.shape) == (DTYPES[dtype].numpy, array.shape)
    assert np.array_equal(read, array, equal_nan=dtype.startswith(("float", "bfloat")))
    assert read.flags.aligned
    if not np.isnan(array.astype(float)).any():  # of which there are many
        assert bytes(to_wire(read, dtype)) == sent
        assert bytes(to_wire(np.asfortranarray(read), dtype)) == sent


def test_aligned_numbers_are_read_where_they_lie_and_others_are_copied() -> None:
    body = bytes(64)
    lies = np.frombuffer(body, np.uint8)
    for place, is_shared in ((0, True), (8, True), (4, False), (1, False)):
        array = Blobs(body, place).take(spec("float64"), (3,), None)
        assert np.shares_memory(array, lies) is is_shared
        assert array.flags.aligned


def test_numbers_are_written_from_where_they_lie() -> None:
    for dtype in ("float32", "bool", "float16", "uint8"):
        array = np.ones((3, 4), DTYPES[dtype].numpy)
        assert np.shares_memory(np.frombuffer(to_wire(array, dtype), np.uint8), array)


def test_bytes_that_are_no_booleans_are_refused() -> None:
    with pytest.raises(InvalidInput, match="expected bytes of 0 or 1, got 2 as element 3"):
        Blobs(bytes([0, 1, 1, 2, 3]), 0).take(spec("bool"), (5,), 5)


@given(st.lists(st.text(max_size=5), max_size=6))
def test_strings_are_read_and_written_as_a_client_does(texts: list[str]) -> None:
    sent = to_bytes(np.array(texts, object), "BYTES")
    assert write_strings(texts) == sent
    assert read_strings(sent, len(texts), "x").tolist() == texts
    with pytest.raises(InvalidInput):
        read_strings(sent, len(texts) + 1, "x")
    if texts:
        with pytest.raises(InvalidInput):
            read_strings(sent, len(texts) - 1, "x")
        with pytest.raises(InvalidInput):
            read_strings(sent[:-1], len(texts), "x")


@given(st.binary(max_size=40), st.integers(0, 6))
def test_any_bytes_are_strings_or_refused(data: bytes, count: int) -> None:
    try:
        strings = read_strings(data, count, "x")
    except InvalidInput:
        return
    assert len(strings) == count
    assert write_strings(strings) == data


@pytest.mark.parametrize(
    ("data", "count", "sentence"),
    [
        (b"", 1, "expected 1 strings, each after its length, got 0 bytes"),
        (b"\xff\xff\xff\xff", 1, "bytes that end within string 0"),
        (b"\1\0\0\0a\1\0", 1, "got 2 bytes more"),
        (b"\1\0\0\0\xff", 1, r"UTF-8 can carry, got b'\\xff' as string 0"),
        (b"\4\0\0\0abcd\0", 2, "bytes that end within string 1"),
        (b"", 2**40, "expected 1099511627776 strings, each after its length, got 0 bytes"),
    ],
)
def test_bytes_that_are_no_strings_are_refused(data: bytes, count: int, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read_strings(data, count, "x")


def test_strings_need_their_size() -> None:
    with pytest.raises(InvalidInput, match="expected binary_data_size, as the lengths of strings vary"):
        Blobs(b"\0\0\0\0", 0).take(spec("string"), (1,), None)


def test_tensors_follow_each_other() -> None:
    blobs = Blobs(b"??" + bytes([1, 2, 3]) + b"\1\0", 2)
    assert blobs.take(spec("uint8"), (3,), 3).tolist() == [1, 2, 3]
    with pytest.raises(BadRequest, match="2 bytes more"):
        blobs.expect_no_more()
    assert blobs.take(spec("int16"), (), 2).tolist() == 1
    blobs.expect_no_more()
