"""What the Open Inference Protocol's pages about models and the server answer, in OpenAPI's words. Pure values."""

from collections.abc import Mapping

from daemon.web.describing import JSON, Operation, Schema, answers, called, media, schema
from daemon.web.open_inference.datatypes import DATATYPES

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}


def object_of(properties: Mapping[str, Schema], *optional: str) -> Schema:
    """An object with all of ``properties``, of which ``optional`` may be missing; more may come in later versions."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def list_of(items: Schema) -> Schema:
    """An array of any length."""
    return {"type": "array", "items": items}


def _or_not(form: Schema, example: Mapping[str, object], description: str) -> dict[str, object]:
    """A Responses Object of what says no with a 503."""
    told = {"description": description, "content": {JSON: media({"anyOf": [form, schema("Error")]}, example)}}
    return {"503": told}


SERVER: Operation = {
    "tags": ["v2"],
    "summary": "The server's name, version and extensions of the protocol",
    "responses": answers(
        called("V2ServerMetadata", object_of({"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)})),
        {"name": "modeldrop", "version": "0.1.0", "extensions": ["model_repository", "model_configuration"]},
    ),
}
LIVE: Operation = {
    "tags": ["v2"],
    "summary": "Whether the process works",
    "responses": answers(object_of({"live": FLAG}), {"live": True}, description="It does"),
}
_READY = called("ServerReady", object_of({"ready": FLAG}))
READY: Operation = {
    "tags": ["v2"],
    "summary": "Whether the server is ready: the default model serves, and the watcher is alive",
    "responses": {
        **answers(_READY, {"ready": True}, description="It is"),
        **_or_not(_READY, {"ready": False}, "It is not"),
    },
}
_MODEL_READY = called("ModelReady", object_of({"name": TEXT, "ready": FLAG}))
MODEL_READY: Operation = {
    "tags": ["v2"],
    "summary": "Whether a model, or a version of it, is loaded",
    "responses": {
        **answers(_MODEL_READY, {"name": "default", "ready": True}, description="It is"),
        **_or_not(_MODEL_READY, {"name": "default", "ready": False}, "Nothing of the model serves"),
    },
}

_DATATYPE: Schema = {"title": "Datatype", "type": "string", "enum": list(DATATYPES.values())}
_DIMS: Schema = {"type": "array", "items": {"type": "integer", "minimum": -1}, "description": "-1 is any"}
_TENSORS = list_of(called("TensorMetadata", object_of({"name": TEXT, "datatype": _DATATYPE, "shape": _DIMS})))
METADATA: Operation = {
    "tags": ["v2"],
    "summary": "A model's inputs and outputs, and the versions that are loaded",
    "responses": answers(
        called(
            "V2ModelMetadata",
            object_of(
                {"name": TEXT, "versions": list_of(TEXT), "platform": TEXT, "inputs": _TENSORS, "outputs": _TENSORS}
            ),
        ),
        {
            "name": "default",
            "versions": ["1"],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 10]}],
            "outputs": [{"name": "output", "datatype": "FP32", "shape": [-1, 5]}],
        },
    ),
}

_CONFIGURED = called(
    "ConfiguredTensor",
    object_of(
        {"name": TEXT, "data_type": TEXT, "dims": _DIMS, "optional": FLAG, "reshape": {"type": "object"}},
        "optional",
        "reshape",
    ),
)
_CONFIG = called(
    "ModelConfig",
    object_of(
        {
            "name": TEXT,
            "platform": TEXT,
            "backend": TEXT,
            "version_policy": {"type": "object"},
            "max_batch_size": {"type": "integer", "minimum": 0},
            "input": list_of(_CONFIGURED),
            "output": list_of(_CONFIGURED),
            "model_transaction_policy": object_of({"decoupled": FLAG}),
            "dynamic_batching": object_of({"preferred_batch_size": list_of({"type": "integer", "minimum": 2})}),
        },
        "dynamic_batching",
    ),
)
CONFIG: Operation = {
    "tags": ["v2"],
    "summary": "How a model is served, in the form of Triton's model configuration",
    "description": "Where `max_batch_size` is not 0, `dims` leave out the first dimension, which is that of the rows.",
    "responses": answers(
        _CONFIG,
        {
            "name": "default",
            "platform": "onnxruntime_onnx",
            "backend": "onnxruntime",
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": 32,
            "input": [{"name": "input", "data_type": "TYPE_FP32", "dims": [10], "optional": False}],
            "output": [{"name": "output", "data_type": "TYPE_FP32", "dims": [5]}],
            "model_transaction_policy": {"decoupled": False},
        },
    ),
}

_COUNT: Schema = {"type": "integer", "minimum": 0}
_DURATION = called("Duration", object_of({"count": _COUNT, "ns": _COUNT}))
_COMPUTE = ("compute_input", "compute_infer", "compute_output")
_STAGES = ("success", "fail", "queue", *_COMPUTE, "cache_hit", "cache_miss")
_STATISTIC = object_of(
    {
        "name": TEXT,
        "version": TEXT,
        "last_inference": {**_COUNT, "description": "milliseconds since the epoch; 0 for never"},
        "inference_count": {**_COUNT, "description": "rows"},
        "execution_count": {**_COUNT, "description": "runs, of one request or several together"},
        "inference_stats": object_of(dict.fromkeys(_STAGES, _DURATION)),
        "response_stats": {"type": "object"},
        "batch_stats": list_of(object_of({"batch_size": {"type": "integer"}, **dict.fromkeys(_COMPUTE, _DURATION)})),
        "memory_usage": {**list_of({}), "description": "always empty"},
    }
)
_NO_TIME = {"count": 0, "ns": 0}
STATISTICS: Operation = {
    "tags": ["v2"],
    "summary": "How often what is loaded was run, and how long that took",
    "description": "Of every version that is loaded, since it was; requests in every dialect count. Times are in "
    "nanoseconds: the run that several requests have together is one execution, and its time counts for each.",
    "responses": answers(
        called("Statistics", object_of({"model_stats": list_of(called("ModelStatistics", _STATISTIC))})),
        {
            "model_stats": [
                {
                    "name": "default",
                    "version": "1",
                    "last_inference": 0,
                    "inference_count": 0,
                    "execution_count": 0,
                    "inference_stats": dict.fromkeys(_STAGES, _NO_TIME),
                    "response_stats": {},
                    "batch_stats": [],
                    "memory_usage": [],
                }
            ]
        },
    ),
}
