"""The daemon's own language: ``{"inputs": …}`` in and ``{"output": …}`` out, or NumPy's files.

Entered by request threads.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from daemon.errors import InvalidInput, InvalidJson
from daemon.release import Release, Signature
from daemon.runtime import Array, Output, decoder_of, encode, read_flat
from daemon.web.answers import JSON, LARGE_BYTES, dumps, read_object, release_headers
from daemon.web.array_files import NPY, NPZ
from daemon.web.array_forms import FILE_SCHEMAS, FILES, chooser, file_reader
from daemon.web.asking import Asked, Dialect, Prediction, Read, Tell, media_type
from daemon.web.content_types import refuse_other_forms
from daemon.web.describing import RELEASE_HEADERS, media, schema
from daemon.web.guesses import seeming_file

LONGEST_KEPT = 500
"""What longer headers mean is not kept: they are not usual, and memory is bounded so."""


def _reader_of(release: Release) -> Read:
    decode = body_decoder(release.signature)
    read_file = file_reader(release.signature)
    choose = chooser(release, _teller_of(release))

    @lru_cache(maxsize=64)
    def form_of(content_type: str, accept: str) -> tuple[bool, Tell]:
        """Whether the body is a file, and how the answer is told: most clients always send the same two headers."""
        tell = choose(accept)
        kind = media_type(content_type)
        if kind not in FILES:
            refuse_other_forms(kind, expected="application/json, application/x-npy or application/x-npz")
        return kind in FILES, tell

    def read(asked: Asked, body: bytes) -> tuple[Mapping[str, Array], Tell]:
        headers = asked.fields.get("CONTENT_TYPE", ""), asked.fields.get("HTTP_ACCEPT", "")
        is_usual = len(headers[0]) + len(headers[1]) <= LONGEST_KEPT
        is_file, tell = form_of(*headers) if is_usual else form_of.__wrapped__(*headers)
        return (read_file(asked, body) if is_file else decode(body)), tell

    return read


def _teller_of(release: Release) -> Tell:
    """What of an answer is the same for every request is made once."""
    headers = (("Content-Type", JSON), *release_headers(release).items())
    same = {"model_path": release.model_path, "model": release.model, "version": release.version}
    tail = b"," + dumps(same)[1:-1]
    names = [spec.name for spec in release.signature.outputs]

    def tell(outputs: list[Output]) -> Prediction:
        values = encode(outputs, release.signature)
        told = b'{"output":' + dumps(values[0]) + tail
        if len(values) > 1:
            told += b',"outputs":' + dumps(dict(zip(names, values, strict=True)))
        return Prediction((told + b"}",), headers)

    return tell


def inputs_of(body: bytes) -> object:
    """The value of ``inputs``; raises InvalidJson or InvalidInput where there is none."""
    try:
        value = read_object(body)
    except InvalidJson as error:
        raise InvalidJson(f"{error}{seeming_file(body)}") from None
    if "inputs" not in value:
        found = ", ".join(repr(key) for key in list(value)[:10]) or "an empty object"
        raise InvalidInput(f"expected a key 'inputs', found {found}")
    return value["inputs"]


def body_decoder(signature: Signature) -> Callable[[bytes], dict[str, Array]]:
    """A function from a body to the arrays that it has for the inputs of ``signature``.

    Raises InvalidJson or InvalidInput.
    """
    decode = decoder_of(signature)

    def decoded(body: bytes) -> dict[str, Array]:
        if len(body) >= LARGE_BYTES and (arrays := read_flat(body, signature)) is not None:
            return arrays
        return decode(inputs_of(body))

    return decoded


_BY_NAME = {"title": "ValuesByName", "type": "object", "additionalProperties": schema("Value")}
_ANSWER = {
    "title": "PredictAnswer",
    "type": "object",
    "required": ["output", "model_path", "model", "version"],
    "properties": {
        "output": schema("Output"),
        "outputs": {"title": "OutputsByName", "type": "object", "additionalProperties": schema("Output")},
        "model_path": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer", "minimum": 1},
    },
}
_ROW = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
OPERATION = {
    "tags": ["predictions"],
    "summary": "Predict with the release that serves",
    "description": "`output` is the first output; `outputs` are all of them by name, where there are several.",
    "requestBody": {
        "required": True,
        "content": {
            JSON: media(
                {
                    "title": "PredictRequest",
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"anyOf": [schema("Value"), _BY_NAME]}},
                },
                examples={"the only input": {"inputs": [_ROW]}, "by name": {"inputs": {"input": [_ROW, _ROW]}}},
            ),
            NPY: {"schema": FILE_SCHEMAS[NPY]},
            NPZ: {"schema": FILE_SCHEMAS[NPZ]},
        },
    },
    "responses": {
        "200": {
            "description": "What the release gave, as JSON unless `Accept` asks for a file",
            "headers": RELEASE_HEADERS,
            "content": {
                JSON: media(
                    _ANSWER,
                    {
                        "output": [[-0.2857082, 0.1481001, 0.0694598, 0.0227364, -0.0683998]],
                        "model_path": "model_drop/deploy.onnx",
                        "model": "default",
                        "version": 1,
                    },
                ),
                NPY: {"schema": FILE_SCHEMAS[NPY]},
                NPZ: {"schema": FILE_SCHEMAS[NPZ]},
            },
        },
        "406": {"$ref": "#/components/responses/406"},
    },
}

PLAIN = Dialect("modeldrop", ("/predict", "/models/<model>/predict"), _reader_of, OPERATION)
