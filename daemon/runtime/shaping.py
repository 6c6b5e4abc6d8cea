"""JSON values to the arrays that a model takes, where the shape is stated beside them. Any thread, no state."""

import math
from collections.abc import Callable

import numpy as np

from daemon.errors import InvalidInput
from daemon.release import TensorSpec
from daemon.runtime.decoders import FEW
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.nesting import Nest, Uneven, flatten
from daemon.runtime.tensors import TAKEN, check_types, flat_array

Shape = tuple[int, ...]


def shaper_of(spec: TensorSpec) -> Callable[[object, Shape], Array]:
    """A function from a value and the shape that is stated for it to the array that it is for the input ``spec``.

    The value is a flat list in row-major order, or lists nested as the shape has it. Raises InvalidInput, with what was
    expected and what came, for elements that are not of the input's type and range, or of another number or nesting.
    """
    dtype = DTYPES[spec.dtype]
    taken, numpy_dtype = TAKEN[dtype.kind], dtype.numpy
    limit = float(np.finfo(numpy_dtype).max) if spec.dtype in ("float32", "float64") else None

    def shaped(value: object, shape: Shape) -> Array:
        try:
            nest = flatten(value)
        except Uneven as error:
            raise InvalidInput(f"input {spec.name!r}: {error}") from None
        elements, kinds, _ = nest
        is_common = (
            limit is not None
            and 0 < len(elements) <= FEW
            and kinds <= taken
            and max(elements) <= limit
            and min(elements) >= -limit
        )
        if is_common:
            array: Array = np.array(elements, numpy_dtype)
        else:
            check_types(nest, dtype, spec)
            array = flat_array(nest, dtype, spec)
        check_nesting(nest, shape, spec)
        return array.reshape(shape)

    return shaped


def check_nesting(nest: Nest, shape: Shape, spec: TensorSpec) -> None:
    """Raise InvalidInput unless ``nest`` has the elements of ``shape``, flat or nested like it."""
    count, found = math.prod(shape), math.prod(nest.shape)
    if count != found:
        raise InvalidInput(
            f"input {spec.name!r}: expected {count} elements, as its shape {list(shape)} says, got {found}"
        )
    if len(nest.shape) > 1 and nest.shape != shape and count:
        raise InvalidInput(
            f"input {spec.name!r}: expected a flat list, or lists of shape {list(shape)}, got {list(nest.shape)}"
        )
