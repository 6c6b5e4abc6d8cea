"""The protocol's datatypes, and the tensors as which a model's inputs and outputs appear in it. Any thread, no state.

The protocol knows tensors alone (its ``required_api.md``, "Tensor Data Types"; BF16 is an addition of Triton's). What
is no tensor for ONNX appears as one where that loses nothing:

- a sequence of maps, as classifiers have it, as one of shape ``[N, C]``, with the keys as labels beside it;
- a map as one of shape ``[C]``, likewise;
- a sequence of tensors of one shape as one with a dimension more, the first;
- an optional as what it holds; it is left out where it holds nothing.
"""

import re

from daemon.release import TensorSpec
from daemon.runtime import from_ort

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
    "bfloat16": "BF16",
}
"""The protocol's name of each dtype, by the house's."""

_OPTIONAL = re.compile(r"optional\((.+)\)")
_MAPS = re.compile(r"(seq\()?map\(\w+,(tensor\(\w+\))\)\)?")
_TENSORS = re.compile(r"seq\((tensor\(\w+\))\)")


def tensor_of(spec: TensorSpec) -> TensorSpec | None:
    """The tensor as which ``spec``, an input or an output, appears; None for what has no form in the protocol."""
    if spec.dtype in DATATYPES:
        return spec
    optional = _OPTIONAL.fullmatch(spec.dtype)
    held = optional[1] if optional else spec.dtype
    if found := _MAPS.fullmatch(held):
        return _tensor(spec.name, found[2], (None, None) if found[1] else (None,))
    found = _TENSORS.fullmatch(held)
    return _tensor(spec.name, found[1] if found else held, None)


def _tensor(name: str, type_string: str, shape: tuple[None, ...] | None) -> TensorSpec | None:
    dtype = from_ort(type_string)
    return None if dtype is None else TensorSpec(name, dtype.name, shape)
