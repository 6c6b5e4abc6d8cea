"""The Open Inference Protocol's ``infer``, version 2, with binary tensors. Entered by request threads.

Clients of Triton, KServe, MLServer and OpenVINO Model Server speak it. What its tensors are, and what its answers, is
in ``daemon.web.open_inference``.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from daemon.errors import BadRequest, HandOver, InvalidJson
from daemon.release import Release
from daemon.runtime import Array, Output
from daemon.runtime.nesting import called
from daemon.web.answers import JSON, LARGE_BYTES, read_object
from daemon.web.asking import Asked, Dialect, Prediction, Read, Tell
from daemon.web.binary.raw import read_raw
from daemon.web.binary.tensors import Blobs
from daemon.web.content_types import refuse_other_forms
from daemon.web.open_inference.answers import Answers
from daemon.web.open_inference.body import HEADER, body_of
from daemon.web.open_inference.inputs import Inputs
from daemon.web.open_inference.large_json import read_large
from daemon.web.open_inference.operation import OPERATION
from daemon.web.open_inference.outputs import Outputs, Wanted
from daemon.web.open_inference.parameters import NONE, Parameters, flag, parameters_of, refuse_sequences, whole
from daemon.web.packing import packed

LEAST_PACKED_BYTES = 1 << 10
"""An answer below that is not worth packing."""
MOST_PACKED_AT_ONCE_BYTES = 64 << 10
"""An answer above that takes time to pack."""
EXPECTED = f"{JSON}, application/octet-stream or none"
_LONGEST_NUMBER = 18


class _Reader:
    """Reads the requests to one release. Thread-safe."""

    def __init__(self, release: Release) -> None:
        self._signature = release.signature
        self._dtypes = {spec.name: spec.dtype for spec in release.signature.inputs}
        self._inputs = Inputs(release.signature)
        self._outputs = Outputs(release.signature)
        self._answers = Answers(release)
        self._long_from = sys.maxsize  # bodies of so many bytes had answers that take time to pack; any thread's

    def read(self, asked: Asked, body: bytes) -> tuple[Mapping[str, Array], Tell]:
        """The inputs of a request, and how its answer is told."""
        if (stated := asked.fields.get("CONTENT_TYPE")) and stated != JSON:
            refuse_other_forms(asked.media_type, expected=EXPECTED)
        accepted = _accepted(asked)
        if accepted is None:
            return self._read(asked, body)
        if asked.at_once and len(body) >= self._long_from:
            raise HandOver  # before the run, which would be made again
        inputs, tell = self._read(asked, body)
        return inputs, self._packing(tell, accepted, len(body), at_once=asked.at_once)

    def _read(self, asked: Asked, body: bytes) -> tuple[Mapping[str, Array], Tell]:
        stated = asked.fields.get(HEADER)
        if stated is None:
            request, blobs = self._json(body), None
        else:
            length = _json_length(stated, len(body))
            if length == 0:
                return read_raw(body, self._signature), self._tell(self._outputs.wanted(None, binary=True), None)
            request, blobs = _json_before(body, length), Blobs(body, length)
        stated = request.get("parameters")
        parameters = NONE if stated is None else _parameters(stated, asked)
        binary = flag(parameters, "binary_data_output", "the request", default=False)
        wanted = self._outputs.wanted(request.get("outputs"), binary=binary)
        inputs = self._inputs.read(request.get("inputs"), blobs)
        if blobs is not None:
            blobs.expect_no_more()
        return inputs, self._tell(wanted, _id(request.get("id")))

    def _json(self, body: bytes) -> Mapping[str, Any]:
        if len(body) >= LARGE_BYTES and (request := read_large(body, self._dtypes)) is not None:
            return request
        return read_object(body)

    def _tell(self, wanted: Sequence[Wanted], request_id: str | None) -> Tell:
        return partial(self._answers.tell, wanted=wanted, request_id=request_id)

    def _packing(self, tell: Tell, accepted: str, body_bytes: int, *, at_once: bool) -> Tell:
        """``tell``, packed as ``accepted`` has it; raises HandOver where that takes long and all wait for it."""

        def told(outputs: list[Output]) -> Prediction:
            prediction = tell(outputs)
            size = sum(map(len, prediction.pieces))
            if size > MOST_PACKED_AT_ONCE_BYTES and at_once:
                self._long_from = min(self._long_from, body_bytes)
                raise HandOver
            if size <= MOST_PACKED_AT_ONCE_BYTES and body_bytes >= self._long_from:
                self._long_from = body_bytes + 1
            return prediction if size < LEAST_PACKED_BYTES else _packed(prediction, accepted)

        return told


def _accepted(asked: Asked) -> str | None:
    """What the client says of packed answers, in lower case; None where it does not ask for any."""
    accepted: str | None = asked.fields.get("HTTP_ACCEPT_ENCODING")
    if accepted is None:
        return None
    accepted = accepted.lower()
    return accepted if "gzip" in accepted or "deflate" in accepted else None


def _json_length(stated: str, body_bytes: int) -> int:
    """The length of the JSON before the binary data, as the header says it; raises BadRequest."""
    if not (stated.isascii() and stated.isdecimal() and len(stated) <= _LONGEST_NUMBER):
        raise BadRequest(f"Inference-Header-Content-Length is {stated!r:.100}, expected a whole number")
    length = int(stated)
    if length > body_bytes:
        raise BadRequest(f"Inference-Header-Content-Length is {length}, and the body has {body_bytes} bytes")
    return length


def _json_before(body: bytes, length: int) -> Mapping[str, Any]:
    """The object before the binary data; raises InvalidJson, which tells whose word it is that it ends there."""
    part = bytes(body[:length])
    try:
        return read_object(part)
    except InvalidJson:
        said = f"the first {length} bytes, which Inference-Header-Content-Length names, are"
        return read_object(part, called=said)  # raises in other words


def _parameters(stated: object, asked: Asked) -> Parameters:
    """The parameters of a request; what they say of its time is noted in ``asked``."""
    parameters = parameters_of(stated, "the request")
    refuse_sequences(parameters)
    if timeout := whole(parameters, "timeout", "the request"):
        asked.patience_seconds = timeout / 1e6
    return parameters


def _id(stated: object) -> str | None:
    if stated is None or type(stated) is str:
        return stated
    raise BadRequest(f"the id of the request is {called(stated)}, expected a string")


def _packed(prediction: Prediction, accepted: str) -> Prediction:
    body, encoding = packed(b"".join(prediction.pieces), accepted)
    if encoding is None:
        return prediction
    return Prediction((body,), (*prediction.headers, ("Content-Encoding", encoding)))


def _reader_of(release: Release) -> Read:
    return _Reader(release).read


OPEN_INFERENCE = Dialect(
    "v2",
    ("/v2/models/<model>/infer", "/v2/models/<model>/versions/<int:version>/infer"),
    _reader_of,
    OPERATION,
    body_of,
)
