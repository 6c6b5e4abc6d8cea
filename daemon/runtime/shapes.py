"""Which shapes an input of a model takes, in whatever form they come; pure functions, any thread."""

import math
from collections.abc import Sequence

from daemon.errors import InvalidInput
from daemon.release import Dim, TensorSpec

MOST_BESIDE_NOTHING = 1 << 16
"""What the other dimensions of an empty tensor may come to, or else to what the model's fixed ones do: a model makes
outputs of them, and no byte of the body pays for them."""


def check_shape(shape: Sequence[int], spec: TensorSpec) -> None:
    """Raise InvalidInput unless ``shape`` has the rank and fixed dimensions of ``spec``, and is bounded if empty."""
    if spec.shape is not None and not _fits(shape, spec.shape):
        raise InvalidInput(
            f"input {spec.name!r}: expected {spec.dtype} {written(spec.shape)}, got shape {written(shape)}"
        )
    if 0 in shape:
        _check_empty(shape, spec)


def _fits(shape: Sequence[int], wanted: Sequence[Dim]) -> bool:
    return len(shape) == len(wanted) and all(
        not isinstance(dim, int) or dim == got for dim, got in zip(wanted, shape, strict=True)
    )


def _check_empty(shape: Sequence[int], spec: TensorSpec) -> None:
    """Raise InvalidInput where an empty tensor is larger in its other dimensions than it need be."""
    fixed = math.prod(dim for dim in spec.shape or () if isinstance(dim, int) and dim)
    most = max(MOST_BESIDE_NOTHING, fixed)
    if math.prod(filter(None, shape)) > most:
        raise InvalidInput(
            f"input {spec.name!r}: expected at most {most} in the other dimensions of an empty tensor, "
            f"got shape {written(shape)}"
        )


def written(shape: Sequence[Dim]) -> str:
    """A shape as messages have it: ``[batch, 10, ?]``."""
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"
