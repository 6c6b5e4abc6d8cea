"""Brings arrays into the form that ONNX Runtime reads rightly; pure functions, any thread.

ONNX Runtime reads big-endian arrays as if they were little-endian, runs over the end of numpy's ``S`` strings, cuts
``U`` strings at a NUL, and turns whatever is no ``str`` in an object array into its ``repr``: none of these may pass.
"""

import ctypes
import math
from collections.abc import Mapping

import numpy as np

from daemon.errors import InvalidInput
from daemon.runtime import bfloat16
from daemon.runtime.dtypes import Array

ONNX_BFLOAT16 = 16
"""``TensorProto.BFLOAT16`` in onnx.proto."""


def normalise(inputs: Mapping[str, Array], dtypes: Mapping[str, str]) -> dict[str, Array]:
    """``inputs`` as native, C-contiguous arrays; strings as objects, bfloat16 as uint16. Unknown names pass.

    ``dtypes`` are the house's names by input. Raises InvalidInput for a string that is none or not UTF-8.
    """
    return {name: _array(name, value, dtypes.get(name, "")) for name, value in inputs.items()}


def read_bfloat16(address: int, shape: tuple[int, ...]) -> Array:
    """A float32 copy of the bfloat16 tensor of ``shape`` that lies at ``address``, which may be 0 for an empty one."""
    words = (ctypes.c_uint16 * math.prod(shape)).from_address(address)
    bits = np.ctypeslib.as_array(words).reshape(shape)
    return bfloat16.from_bits(bits)


def strings(name: str, array: Array) -> Array:
    """The input ``name`` as an array of ``str``, from objects, ``U`` or UTF-8 in ``S``; raises InvalidInput."""
    if array.dtype.kind not in "OSU":
        raise InvalidInput(f"input {name!r}: expected strings, got {array.dtype.name}")
    try:
        elements = array.ravel().tolist()
    except (ValueError, SystemError):  # numpy lets CPython choose
        raise InvalidInput(f"input {name!r}: expected strings, got words that are no characters") from None
    flat = [_text(name, element) for element in elements]
    made = np.empty(len(flat), dtype=object)
    made[:] = flat
    return made.reshape(array.shape)


def _array(name: str, value: Array, dtype: str) -> Array:
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if dtype == "string":
        return strings(name, array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if dtype == "bfloat16":
        return bfloat16.to_bits(_float32(name, array))
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _float32(name: str, array: Array) -> Array:
    if array.dtype != np.float32:
        raise InvalidInput(f"input {name!r}: expected bfloat16 given as float32, got {array.dtype.name}")
    return array


def _text(name: str, element: object) -> str:
    try:
        text = element.decode() if isinstance(element, bytes) else element
        if isinstance(text, str):
            text.encode()  # a lone surrogate is no UTF-8
            return text
    except UnicodeError:
        raise InvalidInput(f"input {name!r}: expected strings that UTF-8 can carry, got {element!r:.80}") from None
    raise InvalidInput(f"input {name!r}: expected strings, got {type(element).__name__}")
