"""Requests without any JSON: the whole body is the one input of the model. Any thread, no state.

As Triton's "Raw Binary Request" has it: the header ``Inference-Header-Content-Length`` is 0, the shape follows from the
model's own and the length of the body, and strings come without their length.
"""

import math

from daemon.errors import InvalidInput
from daemon.release import Signature, TensorSpec
from daemon.runtime import Array
from daemon.runtime.shapes import check_shape
from daemon.web.binary.strings import text_of
from daemon.web.binary.tensors import Blobs
from daemon.web.binary.wire import WIRE


def read_raw(body: bytes, signature: Signature) -> dict[str, Array]:
    """The array by name that ``body`` is; raises InvalidInput where the model, or the length, leaves its shape open."""
    required = [spec for spec in signature.inputs if not spec.optional] or list(signature.inputs)
    if len(required) != 1:
        raise InvalidInput(f"a body without JSON is for a model of one input, and this one has {len(required)}")
    (spec,) = required
    if spec.dtype == "string":
        return {spec.name: _string(body, spec)}
    shape = _shape(spec, len(body))
    return {spec.name: Blobs(body, 0).take(spec, shape, len(body))}


def _string(body: bytes, spec: TensorSpec) -> Array:
    rank = 1 if spec.shape is None else len(spec.shape)
    shape = (1,) * rank
    check_shape(shape, spec)
    return text_of(body, spec.name).reshape(shape)


def _shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    """The shape of a body of ``size`` bytes: of several open dimensions, the first is that of a batch of one."""
    if spec.shape is None:
        raise InvalidInput(f"input {spec.name!r}: its shape is not known, so that a body without JSON cannot be read")
    dims = list(spec.shape)
    open_ones = [axis for axis, dim in enumerate(dims) if not isinstance(dim, int)]
    if len(open_ones) > 1 and open_ones[0] == 0:
        dims[0] = 1
        del open_ones[0]
    if len(open_ones) > 1:
        raise InvalidInput(
            f"input {spec.name!r}: {len(open_ones)} of its dimensions are open, so a body without JSON has no shape"
        )
    known = math.prod(dim for dim in dims if isinstance(dim, int)) * WIRE[spec.dtype].itemsize
    if open_ones:
        if not known or size % known:
            raise InvalidInput(f"input {spec.name!r}: expected a multiple of {known} bytes, got {size}")
        dims[open_ones[0]] = size // known
    elif size != known:
        raise InvalidInput(f"input {spec.name!r}: expected {known} bytes, got {size}")
    return tuple(dim for dim in dims if isinstance(dim, int))
