"""JSON values to the arrays that a model takes, and its outputs back to what JSON can carry; any thread, no state."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from daemon.errors import InvalidInput
from daemon.release import Signature, TensorSpec
from daemon.runtime.bfloat16 import LIMIT as _BFLOAT16_LIMIT
from daemon.runtime.dtypes import DTYPES, Array, Dtype, Kind
from daemon.runtime.nesting import Nest, Uneven, at, called, flatten
from daemon.runtime.shapes import check_shape

Value = TypeVar("Value")

TAKEN: dict[Kind, frozenset[type]] = {
    "float": frozenset({float, int}),
    "int": frozenset({int}),
    "bool": frozenset({bool, int}),
    "string": frozenset({str}),
}
_FLOAT32_MAP = ",tensor(float))"
"""How ONNX Runtime writes the type of a map to float32."""
_EXPECTED: dict[Kind, str] = {
    "float": "numbers",
    "int": "whole numbers",
    "bool": "true, false, 0 or 1",
    "string": "strings",
}


def decode(inputs: object, signature: Signature) -> dict[str, Array]:
    """Arrays by name from the parsed JSON of ``"inputs"``: an object by name, or the value of the only required input.

    Whole numbers do for floats, 0 and 1 for booleans, an empty list for the dimensions inside it. Raises InvalidInput
    with the input's name, what was expected and what came; ranks and fixed dimensions are checked here, too.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    by_name = named_inputs(inputs, signature)
    return {name: decode_one(value, specs[name]) for name, value in by_name.items()}


def named_inputs(inputs: Mapping[str, Value] | Value, signature: Signature) -> Mapping[str, Value]:
    """``inputs`` by name: as they are, or under the name of the only required input where they are no mapping.

    Raises InvalidInput where one is missing or unknown.
    """
    by_name = inputs if isinstance(inputs, Mapping) else {_only_input(signature): inputs}
    known = {spec.name for spec in signature.inputs}
    for name in by_name:
        if name not in known:
            raise InvalidInput(f"unknown input {name!r:.100}: expected {_names(signature)}")
    for spec in signature.inputs:
        if not spec.optional and spec.name not in by_name:
            raise InvalidInput(f"input {spec.name!r} is missing: expected {_names(signature)}")
    return by_name


def decode_one(value: object, spec: TensorSpec) -> Array:
    """The array that ``value``, nested lists or a scalar, is for the input ``spec``; raises InvalidInput."""
    dtype = DTYPES[spec.dtype]
    try:
        nest = flatten(value)
    except Uneven as error:
        raise InvalidInput(f"input {spec.name!r}: {error}") from None
    check_types(nest, dtype, spec)
    shape = _inner(nest.shape, spec)
    check_shape(shape, spec)
    return flat_array(nest, dtype, spec).reshape(shape)


def encode(outputs: Sequence[object], signature: Signature) -> list[object]:
    """``outputs`` in the order of the signature, each as orjson takes it with SERIALIZE_NUMPY and NON_STR_KEYS.

    Tensors stay arrays, C-contiguous and native; scalars, strings, sequences and maps become plain Python. NaN and the
    infinities are left to orjson, which writes null for them.
    """
    return [
        _encode_float32_map(value) if _FLOAT32_MAP in spec.dtype else encode_one(value)
        for value, spec in zip(outputs, signature.outputs, strict=True)
    ]


def encode_one(value: object) -> object:
    """One output, or one element of a sequence or map, as orjson takes it."""
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, list | tuple):
        return [encode_one(element) for element in value]
    if isinstance(value, Mapping):
        return {_encode_key(key): encode_one(element) for key, element in value.items()}
    if isinstance(value, np.generic):
        return _encode_scalar(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _encode_float32_map(value: object) -> object:
    """A map, or a sequence of them, whose float32 values ONNX Runtime hands over as wider Python floats."""
    if isinstance(value, list | tuple):
        return [_encode_float32_map(element) for element in value]
    if isinstance(value, Mapping):
        return {_encode_key(key): _encode_float32_map(element) for key, element in value.items()}
    return _encode_scalar(np.float32(value)) if isinstance(value, float) else encode_one(value)


def _only_input(signature: Signature) -> str:
    required = [spec.name for spec in signature.inputs if not spec.optional]
    names = required or [spec.name for spec in signature.inputs]
    if len(names) != 1:
        raise InvalidInput(f"expected inputs by name, {_names(signature)}, got a value without one")
    return names[0]


def _names(signature: Signature) -> str:
    if not signature.inputs:
        return "none, the model has no inputs"
    return ", ".join(f"{spec.name!r} (optional)" if spec.optional else repr(spec.name) for spec in signature.inputs)


def check_types(nest: Nest, dtype: Dtype, spec: TensorSpec) -> None:
    """Raise InvalidInput for the first element of a type that is not one of JSON's for ``dtype``."""
    taken = TAKEN[dtype.kind]
    if nest.kinds <= taken:
        return
    index, element = next(pair for pair in enumerate(nest.elements) if type(pair[1]) not in taken)
    came = f"{element}" if type(element) is float else called(element)
    raise InvalidInput(f"input {spec.name!r}: expected {_EXPECTED[dtype.kind]}, got {came}{at(index, nest.shape)}")


def _inner(shape: tuple[int, ...], spec: TensorSpec) -> tuple[int, ...]:
    """An empty list has no room for the dimensions inside it: they are the model's fixed ones, else 0."""
    if not shape or shape[-1] != 0 or spec.shape is None:
        return shape
    return shape + tuple(dim if isinstance(dim, int) else 0 for dim in spec.shape[len(shape) :])


def flat_array(nest: Nest, dtype: Dtype, spec: TensorSpec) -> Array:
    """The elements of ``nest``, whose types fit, as they stand in a row; raises InvalidInput for one out of range."""
    if dtype.kind == "float":
        return _floats(nest, dtype, spec)
    if dtype.kind == "int":
        return _whole(nest, dtype, spec)
    if dtype.kind == "bool" and (index := _first_no_bool(nest.elements)) is not None:
        raise InvalidInput(
            f"input {spec.name!r}: expected true, false, 0 or 1, got {nest.elements[index]}{at(index, nest.shape)}"
        )
    return np.array(nest.elements, dtype=dtype.numpy)


def _floats(nest: Nest, dtype: Dtype, spec: TensorSpec) -> Array:
    with np.errstate(over="ignore"):  # what overflows is told below, with its place
        array: Array = np.array(nest.elements, dtype=dtype.numpy)
    fits = np.isfinite(array)
    if dtype.name == "bfloat16":
        fits &= np.abs(array) < _BFLOAT16_LIMIT
    if not fits.all():
        index = int(np.argmin(fits))
        raise InvalidInput(
            f"input {spec.name!r}: expected finite {dtype.name}, got {nest.elements[index]}{at(index, nest.shape)}"
        )
    return array


def _whole(nest: Nest, dtype: Dtype, spec: TensorSpec) -> Array:
    try:
        return np.array(nest.elements, dtype=dtype.numpy)
    except OverflowError:
        pass
    limits = np.iinfo(dtype.numpy)
    index, number = next(pair for pair in enumerate(nest.elements) if not int(limits.min) <= pair[1] <= int(limits.max))
    raise InvalidInput(
        f"input {spec.name!r}: expected {dtype.name} from {limits.min} to {limits.max}, "
        f"got {number}{at(index, nest.shape)}"
    )


def _first_no_bool(elements: list[object]) -> int | None:
    return next((index for index, element in enumerate(elements) if element not in (0, 1)), None)


def _encode_array(array: Array) -> object:
    if array.ndim == 0:
        return encode_one(array[()])
    if array.dtype.kind in "OSU":
        return array.tolist() if _holds_str_alone(array) else encode_one(array.tolist())
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _holds_str_alone(array: Array) -> bool:
    """Whether JSON takes each element as it is; to look at a million of them one by one takes a second."""
    return set(map(type, array.ravel().tolist())) <= {str}


def _encode_scalar(scalar: np.generic) -> object:
    """A Python scalar; narrow floats by their own shortest form: 0.1, not 0.10000000149011612."""
    if isinstance(scalar, np.float32 | np.float16):
        return float(str(scalar))
    return scalar.item()


def _encode_key(key: object) -> object:
    return encode_one(key) if isinstance(key, np.generic | bytes) else key
