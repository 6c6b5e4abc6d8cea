"""A model's outputs to the tensors as which they appear, with labels where they were maps. Any thread, no state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daemon.errors import BadRequest
from daemon.release import TensorSpec
from daemon.runtime import Array, Output
from daemon.runtime.dtypes import DTYPES

Labels = Sequence[object] | None


class Form:
    """How one output appears; ``spec`` is its tensor, as ``datatypes.tensor_of`` has it."""

    __slots__ = ("_dtype", "name", "spec")

    def __init__(self, name: str, spec: TensorSpec) -> None:
        self.name = name
        self.spec = spec
        self._dtype = DTYPES[spec.dtype].numpy

    def of(self, output: Output) -> tuple[Array, Labels] | None:
        """The tensor, and a label for each place of its last dimension, if it has any; None for an empty optional.

        Raises BadRequest for a sequence that is none: its elements are of several shapes.
        """
        if isinstance(output, np.ndarray):
            return output, None
        if output is None:
            return None
        if isinstance(output, Mapping):
            table, labels = self._maps([output])
            return table[0], labels
        if output and isinstance(output[0], Mapping):
            return self._maps(output)
        return self._stacked(output), None

    def _maps(self, maps: Sequence[Mapping[Any, Any]]) -> tuple[Array, Labels]:
        keys = list(maps[0])
        if any(each.keys() != maps[0].keys() for each in maps):
            raise self._without_form("maps of different keys")
        return np.array([[each[key] for key in keys] for each in maps], self._dtype), keys

    def _stacked(self, tensors: Sequence[Any]) -> Array:
        if not tensors:
            return np.empty(self._empty_shape, self._dtype)
        if len({np.shape(each) for each in tensors}) > 1:
            raise self._without_form("tensors of different shapes")
        return np.stack([np.asarray(each, self._dtype) for each in tensors])

    @property
    def _empty_shape(self) -> tuple[int, ...]:
        return (0,) * (1 if self.spec.shape is None else len(self.spec.shape))

    def _without_form(self, what: str) -> BadRequest:
        return BadRequest(
            f"output {self.name!r} is a sequence of {what}, which the protocol cannot carry: "
            "ask for the other 'outputs', or at /predict"
        )
