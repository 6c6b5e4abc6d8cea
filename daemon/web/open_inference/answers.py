"""A release's outputs to the protocol's answers, in JSON and in binary. Entered by request threads.

What of an answer is the same for every request is made once.
"""

from collections.abc import Sequence

import numpy as np

from daemon.release import Release
from daemon.runtime import Array, Output
from daemon.runtime.tensors import encode_one
from daemon.web.answers import JSON, dumps, release_headers
from daemon.web.asking import Piece, Prediction
from daemon.web.binary.tensors import to_wire
from daemon.web.open_inference.classes import classes_of
from daemon.web.open_inference.datatypes import DATATYPES, tensor_of
from daemon.web.open_inference.forms import Form, Labels
from daemon.web.open_inference.outputs import Wanted

ONE_PIECE_BYTES = 64 << 10
"""A binary answer up to here is put together: to copy it is cheaper than to send it in pieces."""
BINARY = "application/octet-stream"


class Answers:
    """Tells what one release gave. Thread-safe."""

    def __init__(self, release: Release) -> None:
        self._head = dumps({"model_name": release.model, "model_version": str(release.version)})[:-1]
        self._headers = tuple(release_headers(release).items())
        self._json_headers = (("Content-Type", JSON), *self._headers)
        self._outputs = [
            None if tensor is None else _Output(Form(spec.name, tensor))
            for spec in release.signature.outputs
            for tensor in [tensor_of(spec)]
        ]

    def tell(self, outputs: Sequence[Output], wanted: Sequence[Wanted], request_id: str | None) -> Prediction:
        """The answer with what of ``outputs``, in the order of the signature, is ``wanted``.

        Raises BadRequest for a sequence that the protocol cannot carry.
        """
        blobs: list[memoryview] = []
        told = []
        for each in wanted:
            output = self._outputs[each.index]
            text = None if output is None else output.tell(outputs[each.index], each, blobs)
            if text is not None:
                told.append(text)
        identity = b"" if request_id is None else b',"id":' + dumps(request_id)
        text = b'%b%b,"outputs":[%b]}' % (self._head, identity, b",".join(told))
        return self._binary(text, blobs) if any(blobs) else Prediction((text,), self._json_headers)

    def _binary(self, text: bytes, blobs: Sequence[memoryview]) -> Prediction:
        headers = (("Content-Type", BINARY), ("Inference-Header-Content-Length", str(len(text))), *self._headers)
        pieces: Sequence[Piece] = (text, *blobs)
        if sum(map(len, pieces)) <= ONE_PIECE_BYTES:
            pieces = (b"".join(pieces),)
        return Prediction(pieces, headers)


class _Output:
    """Tells one output of a release."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._begins = {
            classes: dumps({"name": form.name, "datatype": datatype})[:-1] + b',"shape":'
            for classes, datatype in ((False, DATATYPES[form.spec.dtype]), (True, "BYTES"))
        }

    def tell(self, output: Output, wanted: Wanted, blobs: list[memoryview]) -> bytes | None:
        """The text of it, and its bytes to ``blobs`` where it is wanted so; None where it holds nothing."""
        form = self._form.of(output)
        if form is None:
            return None
        array, labels = form
        dtype = self._form.spec.dtype
        if wanted.classes:
            array, labels, dtype = classes_of(array, labels, wanted.classes), None, "string"
        begin = self._begins[bool(wanted.classes)] + dumps(array.shape)
        if not wanted.binary:
            return begin + _parameters(labels) + b',"data":' + dumps(_flat(array)) + b"}"
        blob = to_wire(array, dtype)
        blobs.append(blob)
        return begin + _parameters(labels, binary_data_size=len(blob)) + b"}"


def _flat(array: Array) -> object:
    return encode_one(array.reshape(-1))


def _parameters(labels: Labels, **others: int) -> bytes:
    """Labels are a JSON text, as the values of parameters may be no lists."""
    if labels is not None:
        keys = [key.item() if isinstance(key, np.generic) else key for key in labels]
        return b',"parameters":' + dumps({"labels": dumps(keys).decode(), **others})
    return b',"parameters":' + dumps(others) if others else b""
