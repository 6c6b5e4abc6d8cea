"""``decode`` made for one signature: what does not depend on the inputs is worked out once. Any thread."""

from collections.abc import Callable
from operator import itemgetter

import numpy as np

from daemon.release import Signature, TensorSpec
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.nesting import Uneven, flatten
from daemon.runtime.tensors import TAKEN, decode, decode_one

Decoder = Callable[[object], dict[str, Array]]

FEW = 64
"""So many numbers are sooner looked at in Python than by numpy."""


def decoder_of(signature: Signature) -> Decoder:
    """A function that gives, and raises, what ``decode`` does with this ``signature``; common inputs sooner."""
    required = frozenset(spec.name for spec in signature.inputs if not spec.optional)
    decoders = {spec.name: _decoder_of_one(spec) for spec in signature.inputs}
    only = next(iter(required)) if len(required) == 1 else None

    def decoded(inputs: object) -> dict[str, Array]:
        if isinstance(inputs, dict):
            if required <= inputs.keys() <= decoders.keys():
                return {name: decoders[name](value) for name, value in inputs.items()}
        elif only is not None:
            return {only: decoders[only](inputs)}
        return decode(inputs, signature)  # which says what is wrong

    return decoded


def _decoder_of_one(spec: TensorSpec) -> Callable[[object], Array]:
    """A function for one input: floats of a known rank by a short way, all others by ``decode_one``."""
    dtype = DTYPES.get(spec.dtype)
    if dtype is None or spec.shape is None or spec.dtype not in ("float32", "float64"):
        return lambda value: decode_one(value, spec)
    rank = len(spec.shape)
    fixed = {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, int)}
    dims_at = itemgetter(*fixed) if fixed else len
    dims = dims_at(spec.shape)
    taken, numpy_dtype = TAKEN[dtype.kind], dtype.numpy
    limit = float(np.finfo(numpy_dtype).max)

    def decoded(value: object) -> Array:
        try:
            elements, kinds, shape = flatten(value)
        except Uneven:
            return decode_one(value, spec)
        is_common = (
            0 < len(elements) <= FEW
            and len(shape) == rank
            and kinds <= taken
            and dims_at(shape) == dims
            and max(elements) <= limit
            and min(elements) >= -limit
        )
        if not is_common:
            return decode_one(value, spec)
        return np.array(elements, numpy_dtype).reshape(shape)

    return decoded
