"""NumPy's files, ``.npy`` and ``.npz``, as bodies and answers; nothing in them is ever unpickled. Any thread, no state.

The format is that of NumPy's NEP 1, versions 1.0 to 3.0: a magic string, a version, the length of a header, the header,
which is a Python dictionary of three keys, and the elements. The header is read by a pattern, not by an interpreter.
"""

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from daemon.errors import BadRequest, NotAcceptable
from daemon.runtime import Array, Output
from daemon.web.asking import Piece
from daemon.web.zips import packed_members, unpacked_members

NPY = "application/x-npy"
NPZ = "application/x-npz"
LONGEST_HEADER = 10_000
"""Bytes of a header, as many as NumPy itself takes."""
MOST_ARRAYS = 1000
WIDEST_STRINGS_BYTES = 64 << 20
"""What an array of strings may weigh as a file, where each is as wide as the widest."""

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}
_ITEM = re.compile(
    rb"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*"""
    rb"""(?:(['"])(?P<text>[^'"\\]{0,40})\3|(?P<truth>True|False)|\((?P<dims>[\d\sL,]*)\))\s*(?:,|$)"""
)
_PLAIN_TYPE = re.compile(r"[<>|=]?[biufSU]\d{1,9}")


def npy_array(body: bytes | memoryview, called: str = "the body") -> Array:
    """The array that a ``.npy`` file holds: a view on ``body``, of the file's own byte order and layout, read-only.

    Booleans, numbers and strings (``U``, ``S``) alone. Raises BadRequest, with what was ``called`` so.
    """
    start, header = _header(body, called)
    try:
        dtype, turned, shape = _described(header)
    except ValueError as error:
        raise BadRequest(f"{called} is no .npy file that can be read: {error}") from None
    expected, came = math.prod(shape) * dtype.itemsize, len(body) - start
    if came != expected:
        raise BadRequest(
            f"{called}: expected {expected} bytes for the shape {list(shape)} of {dtype.name}, found {came} bytes"
        )
    try:
        flat = np.frombuffer(body, dtype, math.prod(shape), start)
        array = flat.reshape(shape[::-1]).T if turned else flat.reshape(shape)
    except ValueError as error:  # dimensions that only an empty array could have
        raise BadRequest(f"{called}: the shape {list(shape)} is none that an array can have: {error}") from None
    return array if array.flags.aligned else array.copy()


def npz_arrays(body: bytes, limit_bytes: int) -> dict[str, Array]:
    """The arrays that a ``.npz`` file holds, by name; of those that are stored and not packed, views on ``body``.

    No more than ``limit_bytes`` are ever unpacked. Raises BadRequest or TooLarge.
    """
    members = unpacked_members(body, limit_bytes, most=MOST_ARRAYS)
    arrays = {name.removesuffix(".npy"): npy_array(data, f"{name!r:.100} in it") for name, data in members.items()}
    if len(arrays) < len(members):
        raise BadRequest("the zip archive has two members for one name, with and without '.npy'")
    return arrays


def npy_pieces(output: Output, name: str) -> tuple[Piece, Piece]:
    """``output`` as a ``.npy`` file of version 1.0: its header, and its elements where they lie if they lie in order.

    Strings become ``U``. Raises NotAcceptable, with the output's ``name``, for what is no tensor.
    """
    if not isinstance(output, np.ndarray | np.generic):
        raise NotAcceptable(f"output {name!r} is no tensor, which NumPy's files cannot carry: ask for application/json")
    array = np.asarray(output)
    if array.dtype.kind not in "biufc":
        array = _fixed_width(array, name)
    array = np.asarray(array, order="C")
    data = array.reshape(-1).view(np.uint8).data if array.size else b""
    return _header_of(array.dtype.str, array.shape), data


def npz_bytes(outputs: Iterable[Output], names: Sequence[str]) -> bytes:
    """``outputs`` by name as a ``.npz`` file, not packed, as ``numpy.savez`` makes it. Raises NotAcceptable."""
    members = {f"{name}.npy": npy_pieces(output, name) for name, output in zip(names, outputs, strict=True)}
    return packed_members(members)


def _header(body: bytes | memoryview, called: str) -> tuple[int, bytes]:
    """Where the elements start, and the header before them."""
    length_bytes = _LENGTH_BYTES.get(bytes(body[6:8])) if bytes(body[:6]) == _MAGIC else None
    if length_bytes is None:
        raise BadRequest(f"{called} is no .npy file of version 1.0, 2.0 or 3.0: it begins with {bytes(body[:8])!r}")
    begin = 8 + length_bytes
    length = int.from_bytes(body[8:begin], "little")
    if length > LONGEST_HEADER:
        raise BadRequest(f"{called} says that its header has {length} bytes; at most {LONGEST_HEADER} are taken")
    header = bytes(body[begin : begin + length])
    if len(header) < length or len(body) < begin:
        raise BadRequest(f"{called} ends within the header of its .npy file")
    return begin + length, header


@lru_cache(maxsize=64)
def _described(header: bytes) -> tuple[np.dtype[np.generic], bool, tuple[int, ...]]:
    """The dtype, whether the first dimension is the fastest, and the shape; raises ValueError with what is wrong."""
    text = header.strip(b" \t\n\r\0")
    if not (text.startswith(b"{") and text.endswith(b"}")):
        raise ValueError("its header is no dictionary")
    found: dict[str, re.Match[bytes]] = {}
    inner, place = text[1:-1].rstrip(), 0
    while place < len(inner):
        item = _ITEM.match(inner, place)
        if item is None:
            raise ValueError(f"its header has {inner[place : place + 60].decode('latin-1')!r}")
        found[item["key"].decode()] = item
        place = item.end()
    if found.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("expected the keys 'descr', 'fortran_order' and 'shape' in its header")
    return _dtype(found["descr"]["text"]), _truth(found["fortran_order"]["truth"]), _shape(found["shape"]["dims"])


def _dtype(text: bytes | None) -> np.dtype[np.generic]:
    name = "" if text is None else text.decode("latin-1")
    if name.strip("<>|=").startswith("O"):
        raise ValueError("it holds Python objects, which are pickled and never read; strings go as U or S")
    try:
        dtype = np.dtype(name) if _PLAIN_TYPE.fullmatch(name) else None
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or not dtype.itemsize:
        raise ValueError(f"expected booleans, numbers or strings, found elements of the type {name!r}")
    return dtype


def _truth(text: bytes | None) -> bool:
    if text is None:
        raise ValueError("expected True or False as 'fortran_order'")
    return text == b"True"


def _shape(text: bytes | None) -> tuple[int, ...]:
    if text is None:
        raise ValueError("expected a tuple of whole numbers as 'shape'")
    dims = text.replace(b"L", b"").rstrip().removesuffix(b",")
    parts = dims.split(b",") if dims.strip() else []
    if any(not part.strip().isdigit() or len(part.strip()) > 18 for part in parts):
        raise ValueError(f"expected a tuple of whole numbers as 'shape', found ({text[:60].decode('latin-1')})")
    return tuple(int(part) for part in parts)


@lru_cache(maxsize=256)
def _header_of(type_string: str, shape: tuple[int, ...]) -> bytes:
    """The file up to its elements, which begin at a multiple of 64 bytes."""
    text = f"{{'descr': '{type_string}', 'fortran_order': False, 'shape': {shape}, }}".encode("latin-1")
    length = -(-(10 + len(text) + 1) // 64) * 64 - 10
    return _MAGIC + b"\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1) + b"\n"


def _fixed_width(array: Array, name: str) -> Array:
    """Strings with the room that the widest takes; raises NotAcceptable where that is too much for all of them."""
    texts = [text if isinstance(text, str) else bytes(text).decode(errors="replace") for text in array.ravel().tolist()]
    weight = 4 * len(texts) * max(map(len, texts), default=0)
    if weight > WIDEST_STRINGS_BYTES:
        raise NotAcceptable(
            f"output {name!r} would weigh {weight} bytes as a .npy file, where each string is as wide as the widest: "
            "ask for application/json"
        )
    return np.array(texts, dtype=np.str_).reshape(array.shape)
