"""The ``inputs`` of a request to the arrays that one release takes. Entered by request threads.

What does not depend on the request is worked out once.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from daemon.errors import InvalidInput
from daemon.release import Signature, TensorSpec
from daemon.runtime import Array
from daemon.runtime.nesting import MAX_RANK, Nest, called
from daemon.runtime.shapes import check_shape
from daemon.runtime.shaping import Shape, check_nesting, shaper_of
from daemon.web.binary.tensors import Blobs
from daemon.web.open_inference.datatypes import DATATYPES
from daemon.web.open_inference.parameters import NONE, Parameters, parameters_of, refuse_shared_memory, whole

MOST_ELEMENTS = 2**59
"""Beyond that, numpy itself has no room for a shape, even where a 0 among its dimensions leaves nothing to hold."""


class Inputs:
    """Reads the inputs of requests to one release. Thread-safe."""

    def __init__(self, signature: Signature) -> None:
        self._readers = {spec.name: _Input(spec) for spec in signature.inputs}
        self._required = frozenset(spec.name for spec in signature.inputs if not spec.optional)

    def read(self, entries: object, blobs: Blobs | None) -> dict[str, Array]:
        """The arrays by name; those in binary are taken from ``blobs``, in the order of the entries.

        Raises InvalidInput or BadRequest.
        """
        if type(entries) is not list:
            found = "nothing" if entries is None else called(entries)
            raise InvalidInput(f"expected a list 'inputs', found {found}")
        arrays: dict[str, Array] = {}
        for entry in entries:
            reader = self._reader_of(entry)
            if reader.name in arrays:
                raise InvalidInput(f"input {reader.name!r} is given twice")
            arrays[reader.name] = reader.read(entry, blobs)
        for name in self._required - arrays.keys():
            raise InvalidInput(f"input {name!r} is missing: expected {self._expected()}")
        return arrays

    def _reader_of(self, entry: Any) -> "_Input":
        if type(entry) is not dict:
            raise InvalidInput(f"expected objects in 'inputs', found {called(entry)}")
        name = entry.get("name")
        if type(name) is not str:
            raise InvalidInput(f"expected a string as the name of an input, found {called(name)}")
        reader = self._readers.get(name)
        if reader is None:
            raise InvalidInput(f"unknown input {name!r:.100}: expected {self._expected()}")
        return reader

    def _expected(self) -> str:
        return ", ".join(map(repr, self._readers)) or "none, the model has no inputs"


class _Input:
    """Reads one input of a release."""

    def __init__(self, spec: TensorSpec) -> None:
        self.name = spec.name
        self._spec = spec
        self._datatype = DATATYPES[spec.dtype]
        self._shaped = shaper_of(spec)

    def read(self, entry: Mapping[str, Any], blobs: Blobs | None) -> Array:
        """The array of an entry; raises InvalidInput or BadRequest."""
        if entry.get("datatype") != self._datatype:
            raise InvalidInput(f"input {self.name!r}: expected datatype {self._datatype}, got {self._stated(entry)}")
        shape = self._shape(entry.get("shape"))
        stated = entry.get("parameters")
        parameters = NONE if stated is None else self._parameters(stated)
        size = whole(parameters, "binary_data_size", "an input") if parameters else None
        data = entry.get("data")
        if data is None:
            return self._binary(shape, size, blobs)
        if size is not None:
            raise InvalidInput(f"input {self.name!r} has both data and binary_data_size, expected one of them")
        if type(data) is np.ndarray:
            return self._read_before(data, shape)
        return self._shaped(data, shape)

    def _binary(self, shape: Shape, size: int | None, blobs: Blobs | None) -> Array:
        if blobs is None and size != 0:
            hint = "" if size is None else "; binary data needs the header Inference-Header-Content-Length"
            raise InvalidInput(f"input {self.name!r} has no data{hint}")
        return (blobs or Blobs(b"", 0)).take(self._spec, shape, size)

    def _read_before(self, array: Array, shape: Shape) -> Array:
        """An array that was made while the JSON was read, nested as its lists were."""
        check_nesting(Nest([], set(), array.shape), shape, self._spec)
        return array.reshape(shape)

    def _parameters(self, stated: object) -> Parameters:
        owner = f"input {self.name!r}"
        parameters = parameters_of(stated, owner)
        refuse_shared_memory(parameters, owner)
        return parameters

    def _shape(self, stated: Any) -> Shape:
        """The shape of an entry, which fits the model's; raises InvalidInput."""
        if type(stated) is not list or len(stated) > MAX_RANK:
            raise InvalidInput(
                f"input {self.name!r}: expected a list of at most {MAX_RANK} numbers as shape, got {_told(stated)}"
            )
        for dim in stated:
            if type(dim) is not int or dim < 0:
                raise InvalidInput(
                    f"input {self.name!r}: expected whole numbers from 0 on in the shape, got {_told(dim)}"
                )
        if math.prod(dim or 1 for dim in stated) > MOST_ELEMENTS:
            raise InvalidInput(f"input {self.name!r}: expected at most {MOST_ELEMENTS} elements, got shape {stated}")
        check_shape(stated, self._spec)
        return tuple(stated)

    @staticmethod
    def _stated(entry: Mapping[str, Any]) -> str:
        stated = entry.get("datatype")
        return f"{stated:.20}" if type(stated) is str else called(stated)


def _told(value: object) -> str:
    return f"{value:.100}" if type(value) is str else f"{value!r:.100}"
