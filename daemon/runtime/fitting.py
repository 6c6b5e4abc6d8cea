"""Typed arrays, as binary forms carry them, to the arrays that a model takes; pure functions, any thread.

The rules are those of JSON where both have the same to say: whole numbers do for floats, 0 and 1 for booleans, and
nothing is cut or wrapped to fit. Binary floats have what JSON has not: NaN and the infinities pass.
"""

from collections.abc import Mapping

import numpy as np

from daemon.errors import InvalidInput
from daemon.release import Signature, TensorSpec
from daemon.runtime.bfloat16 import LIMIT as _BFLOAT16_LIMIT
from daemon.runtime.dtypes import DTYPES, Array, Dtype, Kind
from daemon.runtime.feeds import strings
from daemon.runtime.nesting import at
from daemon.runtime.shapes import check_shape
from daemon.runtime.tensors import named_inputs

_TAKEN: dict[Kind, str] = {"float": "fiu", "int": "iu", "bool": "biu", "string": "OSU"}
"""The kinds of numpy dtypes from which each kind of input is made."""
_EXPECTED: Mapping[Kind, str] = {"float": "numbers", "int": "whole numbers", "bool": "booleans", "string": "strings"}


def fit_inputs(arrays: Mapping[str, Array] | Array, signature: Signature) -> dict[str, Array]:
    """The arrays that a model takes, each by ``fit``: of ``arrays`` by name, or of the one for the only required input.

    Raises InvalidInput, too, where one is missing or unknown.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    return {name: fit(array, specs[name]) for name, array in named_inputs(arrays, signature).items()}


def fit(array: Array, spec: TensorSpec) -> Array:
    """``array`` as the input ``spec`` takes it: of its dtype (bfloat16 as float32), native, of its rank and dimensions.

    The same array where it is that already, of whatever layout; else a new one. Strings may come as ``U``, as UTF-8 in
    ``S``, or as objects. Raises InvalidInput where the shape differs, where a dtype is of another kind, and for the
    first element that is out of range.
    """
    check_shape(array.shape, spec)
    dtype = DTYPES[spec.dtype]
    if array.dtype.kind not in _TAKEN[dtype.kind]:
        expected = spec.dtype if dtype.kind == "string" else f"{spec.dtype} or other {_EXPECTED[dtype.kind]}"
        raise InvalidInput(f"input {spec.name!r}: expected {expected}, got {array.dtype.name}")
    if dtype.kind == "string":
        return strings(spec.name, array)
    if array.dtype.kind == "b":
        _check_bytes(array, spec)
    if array.dtype == dtype.numpy and dtype.name != "bfloat16":
        return array
    return _converted(array, dtype, spec)


def _check_bytes(array: Array, spec: TensorSpec) -> None:
    """Booleans that are views on a client's bytes may be more than 0 and 1, which no library expects."""
    values = array.view(np.uint8)
    if array.size and values.max() > 1:
        index = int(np.argmax(values > 1))
        came = f"got {values.flat[index]}{at(index, array.shape)}"
        raise InvalidInput(f"input {spec.name!r}: expected booleans of the bytes 0 and 1, {came}")


def _converted(array: Array, dtype: Dtype, spec: TensorSpec) -> Array:
    with np.errstate(all="ignore"):  # what does not fit is told below, with its place
        converted: Array = array.astype(dtype.numpy, copy=False)
    if dtype.name == "bfloat16" or not np.can_cast(array.dtype, dtype.numpy):
        unfit = _unfit(array, converted, dtype)
        if unfit.any():
            raise _out_of_range(array, int(np.argmax(unfit)), dtype, spec)
    return converted


def _unfit(array: Array, converted: Array, dtype: Dtype) -> Array:
    """Which elements the conversion has changed to something else; roundings do not count."""
    if dtype.name == "bfloat16":
        lost = np.abs(converted) >= _BFLOAT16_LIMIT
        return np.asarray(lost & np.isfinite(array))
    if dtype.kind == "float":
        return np.asarray(np.isinf(converted) & np.isfinite(array))
    if dtype.kind == "bool":
        return np.asarray((array != 0) & (array != 1))
    limits = np.iinfo(dtype.numpy)
    return np.asarray((array < limits.min) | (array > limits.max))


def _out_of_range(array: Array, index: int, dtype: Dtype, spec: TensorSpec) -> InvalidInput:
    came = f"got {array.flat[index]!s}{at(index, array.shape)}"
    if dtype.kind == "float":
        return InvalidInput(f"input {spec.name!r}: expected numbers within the range of {dtype.name}, {came}")
    if dtype.kind == "bool":
        return InvalidInput(f"input {spec.name!r}: expected true, false, 0 or 1, {came}")
    limits = np.iinfo(dtype.numpy)
    return InvalidInput(f"input {spec.name!r}: expected {dtype.name} from {limits.min} to {limits.max}, {came}")
