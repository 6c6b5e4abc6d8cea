"""The one table of tensor element types: ONNX Runtime's name, the house's name, numpy's type; any thread, no state.

numpy has no bfloat16: in the house such a tensor travels as a float32 array, and only the engine turns it into the 16
bits that the model takes. Strings travel as object arrays of ``str``, never as numpy's own ``S`` or ``U``.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Kind = Literal["float", "int", "bool", "string"]


@dataclass(frozen=True, slots=True)
class Dtype:
    """One element type: ``name`` in the house, ``ort`` between ONNX Runtime's ``tensor(`` and ``)``.

    ``numpy`` is what arrays of it have in the house; ``itemsize`` is what one element weighs there, in bytes.
    """

    name: str
    ort: str
    numpy: np.dtype[Any]
    kind: Kind

    @property
    def itemsize(self) -> int:
        return self.numpy.itemsize


def _row(name: str, ort: str, numpy_type: npt.DTypeLike, kind: Kind) -> Dtype:
    return Dtype(name=name, ort=ort, numpy=np.dtype(numpy_type), kind=kind)


_ROWS = (
    _row("float16", "float16", np.float16, "float"),
    _row("float32", "float", np.float32, "float"),
    _row("float64", "double", np.float64, "float"),
    _row("bfloat16", "bfloat16", np.float32, "float"),
    _row("int8", "int8", np.int8, "int"),
    _row("int16", "int16", np.int16, "int"),
    _row("int32", "int32", np.int32, "int"),
    _row("int64", "int64", np.int64, "int"),
    _row("uint8", "uint8", np.uint8, "int"),
    _row("uint16", "uint16", np.uint16, "int"),
    _row("uint32", "uint32", np.uint32, "int"),
    _row("uint64", "uint64", np.uint64, "int"),
    _row("bool", "bool", np.bool_, "bool"),
    _row("string", "string", np.object_, "string"),
)

DTYPES: dict[str, Dtype] = {row.name: row for row in _ROWS}
"""Every element type that a model may take or give, by the house's name."""

_BY_ORT: dict[str, Dtype] = {f"tensor({row.ort})": row for row in _ROWS}


def from_ort(type_string: str) -> Dtype | None:
    """The element type of ONNX Runtime's ``tensor(…)``; None for anything else, or a type that numpy cannot carry."""
    return _BY_ORT.get(type_string)
