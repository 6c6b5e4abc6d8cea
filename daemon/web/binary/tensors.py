"""Tensors in binary: rows first, elements without gaps, the least significant byte first. Any thread, no state.

As Triton's "Binary Tensor Data Extension" has it: what stands in the body behind the JSON, one input after the other.
"""

import math
from typing import Any

import numpy as np

from daemon.errors import BadRequest, InvalidInput
from daemon.release import TensorSpec
from daemon.runtime import Array
from daemon.runtime.bfloat16 import from_bits, to_bits
from daemon.runtime.dtypes import DTYPES
from daemon.web.binary.strings import read_strings, write_strings
from daemon.web.binary.wire import WIRE

Shape = tuple[int, ...]
_EMPTY = memoryview(b"")


class Blobs:
    """The part of a body from ``place`` on, taken piece by piece. For one request."""

    __slots__ = ("_body", "_place")

    def __init__(self, body: bytes, place: int) -> None:
        self._body = body
        self._place = place

    @property
    def left(self) -> int:
        """How many bytes were not taken yet."""
        return len(self._body) - self._place

    def take(self, spec: TensorSpec, shape: Shape, size: int | None) -> Array:
        """The next tensor, of ``size`` bytes where that is stated; a view of the body wherever it can be one.

        Raises InvalidInput where the bytes are too few, or other than the shape says, or none of the datatype's.
        """
        wire = WIRE.get(spec.dtype)
        wanted = size if wire is None else math.prod(shape) * wire.itemsize
        if wanted is None:
            raise InvalidInput(f"input {spec.name!r}: expected binary_data_size, as the lengths of strings vary")
        if size is not None and size != wanted:
            raise InvalidInput(
                f"input {spec.name!r}: expected {wanted} bytes, as its shape {list(shape)} says, "
                f"got a binary_data_size of {size}"
            )
        if wanted > self.left:
            raise InvalidInput(f"input {spec.name!r}: expected {wanted} bytes of binary data, got {self.left}")
        begin, self._place = self._place, self._place + wanted
        if wire is None:
            data = bytes(self._body[begin : self._place])
            return read_strings(data, math.prod(shape), spec.name).reshape(shape)
        return _numbers(self._body, begin, spec, wire, shape)

    def expect_no_more(self) -> None:
        """Raise BadRequest where bytes are left."""
        if self.left:
            raise BadRequest(f"the body has {self.left} bytes more than its JSON and its inputs take")


def to_wire(array: Array, dtype: str) -> memoryview:
    """The bytes of ``array``, which has what the house has for ``dtype``; a view of them wherever it can be one."""
    if dtype == "string":
        return memoryview(write_strings(array.ravel().tolist()))
    if not array.size:
        return _EMPTY
    bits = to_bits(array) if dtype == "bfloat16" else array
    little_endian = bits if dtype == "bool" else bits.astype(WIRE[dtype], copy=False)
    return np.ascontiguousarray(little_endian).reshape(-1).view(np.uint8).data


def _numbers(body: bytes, begin: int, spec: TensorSpec, wire: np.dtype[Any], shape: Shape) -> Array:
    count = math.prod(shape)
    if not count:
        return np.empty(shape, DTYPES[spec.dtype].numpy)
    array: Array = np.frombuffer(body, wire, count, begin)
    if not array.flags.aligned:
        array = array.copy()  # operators may read by instructions that want it so
    if spec.dtype == "bool":
        array = _booleans(array, spec)
    elif spec.dtype == "bfloat16":
        array = from_bits(array)
    return array.reshape(shape)


def _booleans(array: Array, spec: TensorSpec) -> Array:
    if array.max() > 1:
        index = int(np.argmax(array > 1))
        raise InvalidInput(f"input {spec.name!r}: expected bytes of 0 or 1, got {array[index]} as element {index}")
    return array.view(np.bool_)
