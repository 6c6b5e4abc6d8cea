"""NumPy's files: what numpy writes is read and what is written numpy reads; nothing else gets far."""

import io
import pickle
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daemon.errors import BadRequest, ModeldropError, NotAcceptable, TooLarge
from daemon.runtime import Array
from daemon.web.array_files import LONGEST_HEADER, MOST_ARRAYS, npy_array, npy_pieces, npz_arrays, npz_bytes

LIMIT = 1 << 20


def saved(array: Array, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def with_header(header: str | bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1") if isinstance(header, str) else header
    length = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + length + text + data


def described(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def zipped(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def refusal(body: bytes, kind: type[ModeldropError] = BadRequest) -> str:
    with pytest.raises(kind) as caught:
        npy_array(body)
    return str(caught.value)


DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.unicode_string_dtypes(endianness="?", min_len=1, max_len=3),
    hnp.byte_string_dtypes(min_len=1, max_len=3),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
VERSIONS = st.sampled_from([(1, 0), (2, 0), (3, 0)])


@given(array=ARRAYS, version=VERSIONS, turned=st.booleans())
def test_file_that_numpy_writes_is_read(array: Array, version: tuple[int, int], turned: bool) -> None:
    array = np.asfortranarray(array) if turned and array.ndim else array
    read = npy_array(saved(array, version))
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_array_is_a_view_on_the_body() -> None:
    body = saved(np.arange(12, dtype=np.float32).reshape(3, 4))
    read = npy_array(body)
    assert np.shares_memory(read, np.frombuffer(body, np.uint8))
    assert not read.flags.writeable
    assert read.flags.aligned


def test_elements_at_an_odd_place_are_moved() -> None:
    read = npy_array(with_header(described("(2,)") + " ", np.array([1.5, -2], "<f4").tobytes()))
    assert read.flags.aligned
    assert read.tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        '{"shape":(2,),"descr":"<f4","fortran_order":False}   \n',
        "  {'fortran_order': False, 'shape': (2L,), 'descr': '<f4', }\n",
    ],
)
def test_header_of_other_writers_is_read(header: str) -> None:
    assert npy_array(with_header(header, bytes(8))).shape == (2,)


OBJECTS = saved(np.array([1, "a"], object))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is no .npy file of version 1.0, 2.0 or 3.0: it begins with b''"),
        (b"[[1, 2]]", "it begins with b'[[1, 2]]'"),
        (with_header(described("(1,)"), bytes(4), b"\x04\x00"), "of version 1.0, 2.0 or 3.0"),
        (b"\x93NUMPY\x01", "of version 1.0, 2.0 or 3.0"),
        (b"\x93NUMPY\x01\x00", "ends within the header"),
        (b"\x93NUMPY\x01\x00\x76", "ends within the header"),
        (saved(np.zeros(3))[:60], "ends within the header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", f"its header has {2**32 - 1} bytes; at most {LONGEST_HEADER}"),
        (with_header("[]"), "its header is no dictionary"),
        (with_header("{}"), "expected the keys 'descr', 'fortran_order' and 'shape'"),
        (with_header("{'descr': '<f4', 'fortran_order': False}"), "expected the keys"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}"), "has \" 'more': 1\""),
        (with_header(described("(1,)", order="1"), bytes(4)), "its header has"),
        (with_header(described("(1,)", order="'x'"), bytes(4)), "expected True or False as 'fortran_order'"),
        (with_header(described("5"), bytes(20)), "its header has"),
        (with_header(described("'5'"), bytes(20)), "expected a tuple of whole numbers as 'shape'"),
        (with_header(described("(-1,)"), bytes(4)), "its header has"),
        (with_header(described("(1, , 2)"), bytes(8)), "expected a tuple of whole numbers as 'shape'"),
        (with_header(described("(1 2,)"), bytes(8)), "expected a tuple of whole numbers as 'shape'"),
        (with_header(described("(" + "9" * 30 + ",)")), "expected a tuple of whole numbers as 'shape'"),
        (with_header(described("(" + "(" * 5000)), "its header has"),
        (with_header(described("(2,)"), bytes(7)), "expected 8 bytes for the shape [2] of float32, found 7 bytes"),
        (with_header(described("(2,)"), bytes(9)), "expected 8 bytes for the shape [2] of float32, found 9 bytes"),
        (with_header(described("()"), bytes(8)), "expected 4 bytes for the shape [] of float32, found 8 bytes"),
        (with_header(described("(1000000000, 1000000000, 1000000000)"), bytes(4)), "found 4 bytes"),
        (with_header(described(f"(0, {2**40}, {2**40})")), "is none that an array can have"),
        (with_header(described("(" + "1, " * 70 + ")"), bytes(4)), "is none that an array can have"),
        (OBJECTS, "it holds Python objects, which are pickled and never read"),
        (with_header(described("(1,)", "'|O'"), pickle.dumps([1])), "it holds Python objects"),
        (saved(np.zeros(2, [("a", "<f4")])), "its header has"),
        (saved(np.zeros(2, "<c8")), "expected booleans, numbers or strings, found elements of the type '<c8'"),
        (saved(np.zeros(2, "<M8[s]")), "of the type '<M8[s]'"),
        (saved(np.zeros(2, "V3")), "of the type '|V3'"),
        (with_header(described("(9000000000,)", "'<U0'")), "of the type '<U0'"),
        (with_header(described("(1,)", "'<f3'"), bytes(3)), "of the type '<f3'"),
        (with_header(described("(1,)", "'<U999999999'"), bytes(3)), "the body"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused_by_a_sentence(body: bytes, said: str) -> None:
    assert said in refusal(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\x93NUMPY\x03\x00\xff\xff\xff\x7f{",
        with_header(described(f"({2**50},)")),
        with_header(described(f"({2**50},)", "'<U0'")),
        with_header(described("(100000000,)", "'|b1'"), bytes(10)),
    ],
)
def test_shape_that_lies_costs_nothing(body: bytes) -> None:
    tracemalloc.start()
    try:
        refusal(body)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_file_is_read_or_refused_and_never_worse(data: st.DataObject) -> None:
    body = bytearray(saved(data.draw(ARRAYS), data.draw(VERSIONS)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadRequest):
        npy_array(bytes(body[: data.draw(st.integers(0, len(body)))]))


# Archives.


@given(arrays=st.dictionaries(st.text("abü/ .", min_size=1, max_size=4), ARRAYS, max_size=3), packed=st.booleans())
def test_archive_that_numpy_writes_is_read(arrays: dict[str, Array], packed: bool) -> None:
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)  # type: ignore[arg-type]  # names are any
    read = npz_arrays(file.getvalue(), LIMIT)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_stored_arrays_are_views_on_the_body() -> None:
    file = io.BytesIO()
    np.savez(file, x=np.arange(100, dtype=np.uint8), y=np.arange(100.0))  # where y lies, no float can be read
    body = file.getvalue()
    read = npz_arrays(body, LIMIT)
    assert np.shares_memory(read["x"], np.frombuffer(body, np.uint8))
    assert read["y"].flags.aligned


def test_bomb_is_not_unpacked() -> None:
    bomb = zipped(zipfile.ZIP_DEFLATED, x=saved(np.zeros(64 << 20, np.uint8)))
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        with pytest.raises(
            TooLarge, match=f"the unpacked body has {(64 << 20) + 128} bytes; at most {LIMIT} are taken"
        ):
            npz_arrays(bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()


def test_bomb_that_lies_about_its_size_is_cut() -> None:
    big = saved(np.zeros(64 << 20, np.uint8))
    bomb = zipped(zipfile.ZIP_DEFLATED, x=big).replace(struct.pack("<I", len(big)), struct.pack("<I", 1000))
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest, match="is damaged: it has not the bytes that the directory says"):
            npz_arrays(bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()


def test_archive_of_very_many_members_is_refused_before_it_is_read() -> None:
    body = zipped(zipfile.ZIP_STORED, **{f"x{number}": b"" for number in range(MOST_ARRAYS + 1)})
    with pytest.raises(BadRequest, match=f"some {MOST_ARRAYS + 1} members; at most {MOST_ARRAYS} are taken"):
        npz_arrays(body, LIMIT)


ONE = saved(np.arange(3.0))


def twice() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", ONE)
        archive.writestr("b.npy", ONE)
    return file.getvalue().replace(b"b.npy", b"a.npy")


def encrypted() -> bytes:
    body = bytearray(zipped(x=ONE))
    body[body.index(b"PK\x01\x02") + 8] |= 1
    return bytes(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is no zip archive that can be read"),
        (ONE, "the body is no zip archive that can be read"),
        (zipped(x=ONE)[:-1], "the body is no zip archive that can be read"),
        (zipped(x=ONE)[5:], "x.npy"),
        (zipped(x=ONE).replace(b"PK\x03\x04", b"PK\x03\x05"), "member 'x.npy' of the zip archive is damaged"),
        (zipped(x=ONE).replace(struct.pack("<d", 1), struct.pack("<d", 2)), "'x.npy' of the zip archive is damaged"),
        (zipped(zipfile.ZIP_BZIP2, x=ONE), "expected it stored or deflated, and not encrypted"),
        (encrypted(), "expected it stored or deflated, and not encrypted"),
        (twice(), "the zip archive has two members 'a.npy'"),
        (zipped(x=OBJECTS), "'x.npy' in it is no .npy file that can be read: it holds Python objects"),
        (zipped(x=b"hello"), "'x.npy' in it is no .npy file of version"),
    ],
)
def test_archive_that_cannot_be_read_is_refused_by_a_sentence(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        npz_arrays(body, LIMIT)
    assert said in str(caught.value)


def test_name_is_given_once() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", ONE)
        archive.writestr("a", ONE)
    with pytest.raises(BadRequest, match="two members for one name"):
        npz_arrays(file.getvalue(), LIMIT)


@settings(max_examples=300)
@given(data=st.data(), packed=st.booleans())
def test_damaged_archive_is_read_or_refused_and_never_worse(data: st.DataObject, packed: bool) -> None:
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    body = bytearray(zipped(kind, x=ONE, y=saved(np.array(["a"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadRequest, TooLarge):
        npz_arrays(bytes(body[data.draw(st.sampled_from([0, 0, 1])) :]), LIMIT)


# Answers.

OUTPUTS = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(),
        hnp.unsigned_integer_dtypes(),
        hnp.floating_dtypes(sizes=(16, 32, 64)),
    ),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
)


@given(array=OUTPUTS, turned=st.booleans())
def test_numpy_reads_what_is_written(array: Array, turned: bool) -> None:
    pieces = npy_pieces(np.asfortranarray(array) if turned and array.ndim else array, "y")
    read = np.load(io.BytesIO(b"".join(pieces)), allow_pickle=False)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)
    assert len(pieces[0]) % 64 == 0


def test_elements_are_written_from_where_they_lie() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    _, data = npy_pieces(array, "y")
    assert np.shares_memory(np.frombuffer(data, np.uint8), array)


@pytest.mark.parametrize("texts", [["é", "日本", ""], [], [["a"], ["bb"]]])
def test_strings_are_written_as_wide_as_the_widest(texts: Any) -> None:
    array = np.array(texts, object)
    read = np.load(io.BytesIO(b"".join(npy_pieces(array, "y"))), allow_pickle=False)
    assert read.dtype.kind == "U"
    assert read.tolist() == texts


def test_strings_of_very_different_widths_are_not_written() -> None:
    array = np.array(["a"] * 1000 + ["b" * 100_000], object)
    with pytest.raises(NotAcceptable, match="output 'y' would weigh 400400000 bytes"):
        npy_pieces(array, "y")


@pytest.mark.parametrize("output", [[{"a": 1.0}], None, {1: 2.0}, [np.zeros(2)]])
def test_what_is_no_tensor_is_not_written(output: Any) -> None:
    with pytest.raises(NotAcceptable, match="output 'y' is no tensor"):
        npy_pieces(output, "y")


def test_archive_has_all_outputs_by_name_and_is_always_the_same() -> None:
    outputs: list[Any] = [np.arange(3), np.array(["a", "b"], object), np.float32(2.5)]
    names = ["label", "ü/x", "third"]
    body = npz_bytes(outputs, names)
    with np.load(io.BytesIO(body), allow_pickle=False) as read:
        assert {name: read[name].tolist() for name in read} == {"label": [0, 1, 2], "ü/x": ["a", "b"], "third": 2.5}
    assert npz_bytes(outputs, names) == body
