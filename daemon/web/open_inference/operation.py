"""OpenAPI's account of ``infer``. Constants."""

from collections.abc import Mapping
from typing import Any

from daemon.web.open_inference.datatypes import DATATYPES

_PARAMETERS = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
_ASKED = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
_NAME = {"type": "string"}
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2**53}, "maxItems": 32}
_DATATYPE = {"title": "Datatype", "type": "string", "enum": list(DATATYPES.values())}
_DATA = {"description": "The elements, flat in row-major order or nested as the shape has it."}


def _object(title: str, required: list[str], **properties: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "required": required, "properties": properties}


_INPUT = _object(
    "InferInput",
    ["name", "shape", "datatype"],
    name=_NAME,
    shape=_SHAPE,
    datatype=_DATATYPE,
    parameters={**_ASKED, "description": "`binary_data_size`: how many bytes behind the JSON are its elements."},
    data=_DATA,
)
_WANTED = _object(
    "InferWanted",
    ["name"],
    name=_NAME,
    parameters={**_ASKED, "description": "`binary_data`: a boolean; `classification`: how many of the greatest."},
)
_REQUEST = _object(
    "InferRequest",
    ["inputs"],
    id={"type": ["string", "null"]},
    parameters={**_ASKED, "description": "`binary_data_output`: a boolean; `timeout`: microseconds of the run."},
    inputs={"type": "array", "items": _INPUT},
    outputs={"type": ["array", "null"], "items": _WANTED},
)
_OUTPUT = _object(
    "InferOutput",
    ["name", "shape", "datatype"],
    name=_NAME,
    shape=_SHAPE,
    datatype=_DATATYPE,
    parameters=_PARAMETERS,
    data={"type": "array", "items": {}, "description": "The elements, flat, row by row; NaN and infinities are null."},
)
_ANSWER = _object(
    "InferAnswer",
    ["model_name", "model_version", "outputs"],
    model_name=_NAME,
    model_version={"type": "string"},
    id={"type": "string"},
    outputs={"type": "array", "items": _OUTPUT},
)

_JSON_REQUEST = {
    "inputs": [{"name": "input", "shape": [1, 10], "datatype": "FP32", "data": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}]
}
_JSON_ANSWER = {
    "model_name": "default",
    "model_version": "1",
    "outputs": [
        {
            "name": "output",
            "datatype": "FP32",
            "shape": [1, 5],
            "data": [-0.2857082, 0.1481001, 0.0694598, 0.0227364, -0.0683998],
        }
    ],
}
_BINARY = {"type": "string", "format": "binary"}

OPERATION: Mapping[str, Any] = {
    "tags": ["v2"],
    "summary": "Run a model, by the Open Inference Protocol",
    "description": (
        "The body is JSON, or, with the header `Inference-Header-Content-Length`, as many bytes of JSON and behind "
        "them the tensors that have `binary_data_size` instead of `data`. Outputs come in binary where the request "
        "says `binary_data` or `binary_data_output`; then the answer has that header, too. Bodies may be packed with "
        "gzip or deflate, both ways."
    ),
    "parameters": [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "How many bytes of the body are JSON; 0 where the whole body is the only input.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
    "requestBody": {
        "required": False,  # all of a raw one may be no bytes: a tensor without elements
        "content": {
            "application/json": {"schema": _REQUEST, "example": _JSON_REQUEST},
            "application/octet-stream": {"schema": _BINARY},
        },
    },
    "responses": {
        "200": {
            "description": "What the model gave.",
            "headers": {
                "Inference-Header-Content-Length": {
                    "description": "How many bytes are JSON, where tensors in binary follow.",
                    "schema": {"type": "integer", "minimum": 0},
                }
            },
            "content": {
                "application/json": {"schema": _ANSWER, "example": _JSON_ANSWER},
                "application/octet-stream": {"schema": _BINARY},
            },
        }
    },
}
"""An Operation Object (OpenAPI 3.1)."""
