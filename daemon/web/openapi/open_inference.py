"""What the Open Inference Protocol's pages about models and the server answer, in OpenAPI's words. Pure values."""

from collections.abc import Mapping

from daemon.web.describing import JSON, Operation, Schema, answers, json_body, media, schema
from daemon.web.open_inference.datatypes import DATATYPES

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_SHA256 = "5aaba1bf33f90c2a269fd0f48f9c803bec7749d1ebdd592b70a26eee701b9ae7"


def _object(properties: Mapping[str, Schema], *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_not(form: Schema, example: Mapping[str, object], description: str) -> dict[str, object]:
    """A Responses Object of what says no with a 503."""
    told = {"description": description, "content": {JSON: media({"anyOf": [form, schema("Error")]}, example)}}
    return {"503": told}


SERVER: Operation = {
    "tags": ["v2"],
    "summary": "The server's name, version and extensions of the protocol",
    "responses": answers(
        _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
        {"name": "modeldrop", "version": "0.1.0", "extensions": ["model_repository", "model_configuration"]},
    ),
}
LIVE: Operation = {
    "tags": ["v2"],
    "summary": "Whether the process works",
    "responses": answers(_object({"live": {"const": True}}), {"live": True}, description="It does"),
}
_READY = _object({"ready": _FLAG})
READY: Operation = {
    "tags": ["v2"],
    "summary": "Whether the server is ready: the default model serves, and the watcher is alive",
    "responses": {
        **answers(_READY, {"ready": True}, description="It is"),
        **_or_not(_READY, {"ready": False}, "It is not"),
    },
}
_MODEL_READY = _object({"name": _TEXT, "ready": _FLAG})
MODEL_READY: Operation = {
    "tags": ["v2"],
    "summary": "Whether a model, or a version of it, is loaded",
    "responses": {
        **answers(_MODEL_READY, {"name": "default", "ready": True}, description="It is"),
        **_or_not(_MODEL_READY, {"name": "default", "ready": False}, "Nothing of the model serves"),
    },
}

_DATATYPE: Schema = {"enum": list(DATATYPES.values())}
_DIMS: Schema = {"type": "array", "items": {"type": "integer", "minimum": -1}, "description": "-1 is any"}
_TENSORS = _list(_object({"name": _TEXT, "datatype": _DATATYPE, "shape": _DIMS}))
METADATA: Operation = {
    "tags": ["v2"],
    "summary": "A model's inputs and outputs, and the versions that are loaded",
    "responses": answers(
        _object({"name": _TEXT, "versions": _list(_TEXT), "platform": _TEXT, "inputs": _TENSORS, "outputs": _TENSORS}),
        {
            "name": "default",
            "versions": ["1"],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 10]}],
            "outputs": [{"name": "output", "datatype": "FP32", "shape": [-1, 5]}],
        },
    ),
}

_CONFIGURED = _object(
    {"name": _TEXT, "data_type": _TEXT, "dims": _DIMS, "optional": _FLAG, "reshape": {"type": "object"}},
    "optional",
    "reshape",
)
CONFIG: Operation = {
    "tags": ["v2"],
    "summary": "How a model is served, in the form of Triton's model configuration",
    "description": "Where `max_batch_size` is not 0, `dims` leave out the first dimension, which is that of the rows.",
    "responses": answers(
        _object(
            {
                "name": _TEXT,
                "platform": _TEXT,
                "backend": _TEXT,
                "version_policy": {"type": "object"},
                "max_batch_size": {"type": "integer", "minimum": 0},
                "input": _list(_CONFIGURED),
                "output": _list(_CONFIGURED),
                "model_transaction_policy": _object({"decoupled": {"const": False}}),
                "dynamic_batching": _object({"preferred_batch_size": _list({"type": "integer", "minimum": 2})}),
            },
            "dynamic_batching",
        ),
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

_DURATION = _object({"count": {"type": "integer", "minimum": 0}, "ns": {"type": "integer", "minimum": 0}})
_COMPUTE = ("compute_input", "compute_infer", "compute_output")
_STAGES = ("success", "fail", "queue", *_COMPUTE, "cache_hit", "cache_miss")
_COUNT: Schema = {"type": "integer", "minimum": 0}
_STATISTIC = _object(
    {
        "name": _TEXT,
        "version": _TEXT,
        "last_inference": {**_COUNT, "description": "milliseconds since the epoch; 0 for never"},
        "inference_count": {**_COUNT, "description": "rows"},
        "execution_count": {**_COUNT, "description": "runs, of one request or several together"},
        "inference_stats": _object(dict.fromkeys(_STAGES, _DURATION)),
        "response_stats": {"type": "object"},
        "batch_stats": _list(_object({"batch_size": {"type": "integer"}, **dict.fromkeys(_COMPUTE, _DURATION)})),
        "memory_usage": {"type": "array"},
    }
)
_NO_TIME = {"count": 0, "ns": 0}
STATISTICS: Operation = {
    "tags": ["v2"],
    "summary": "How often what is loaded was run, and how long that took",
    "description": "Of every version that is loaded, since it was; requests in every dialect count. Times are in "
    "nanoseconds: the run that several requests have together is one execution, and its time counts for each.",
    "responses": answers(
        _object({"model_stats": _list(_STATISTIC)}),
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

_STATES: Schema = {"enum": ["READY", "LOADING", "UNAVAILABLE"]}
INDEX: Operation = {
    "tags": ["v2"],
    "summary": "Every version that is loaded, and every model that has none, with the reason",
    "requestBody": json_body(
        {"type": "object", "properties": {"ready": _FLAG}, "additionalProperties": False},
        {"everything": {}, "what is loaded": {"ready": True}},
        required=False,
    ),
    "responses": answers(
        _list(_object({"name": _TEXT, "version": _TEXT, "state": _STATES, "reason": _TEXT}, "version")),
        [{"name": "default", "version": "1", "state": "READY", "reason": ""}],
    ),
}

_RELEASED = answers(
    _object(
        {
            "model": _TEXT,
            "version": {"type": "integer", "minimum": 1},
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        }
    ),
    {"model": "default", "version": 2, "sha256": _SHA256},
    description="The release that is meant",
    release=True,
)
LOAD: Operation = {
    "tags": ["v2"],
    "summary": "Serve a model's newest release again, or the model that the body brings",
    "description": "Files are base64, each under `file:N/NAME`: a model file, and the external data that it names. "
    "They pass the same gate as an upload. Of `config` only what says what the model is counts: `name`, `platform`, "
    "`backend` and `default_model_filename`.",
    "requestBody": json_body(
        {
            "type": "object",
            "properties": {
                "parameters": {
                    "type": "object",
                    "properties": {"config": {"type": ["string", "null"], "contentMediaType": JSON}},
                    "patternProperties": {
                        "^file:[0-9]{1,18}/[^/]+$": {"type": "string", "contentEncoding": "base64"},
                    },
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
        {"the newest release": {}, "with a configuration": {"parameters": {"config": "{}"}}},
        required=False,
    ),
    "responses": _RELEASED,
}
UNLOAD: Operation = {
    "tags": ["v2"],
    "summary": "Stop serving a model, until it is loaded or deployed again",
    "requestBody": json_body(
        {
            "type": "object",
            "properties": {
                "parameters": {
                    "type": "object",
                    "properties": {"unload_dependents": _FLAG},
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
        {"a model": {}, "as Triton's clients say it": {"parameters": {"unload_dependents": False}}},
        required=False,
    ),
    "responses": _RELEASED,
}

_LOG_EXAMPLE = {
    "log_file": "logs/daemon.log",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}
_LOG_FORM = {
    "log_file": _TEXT,
    "log_info": _FLAG,
    "log_warning": _FLAG,
    "log_error": _FLAG,
    "log_verbose_level": {"type": "integer", "minimum": 0},
    "log_format": {"const": "default"},
}
_LOG_LEVELS = ("log_info", "log_warning", "log_error", "log_verbose_level")
_LOG_FLAGS = ((True, True, True), (False, True, True), (False, False, True), (False, False, False))
"""What a level has of information, warnings and errors."""


def _consts(*flags: bool) -> dict[str, Schema]:
    return {name: {"const": flag} for name, flag in zip(_LOG_LEVELS, flags, strict=False)}


LOG_SETTINGS: Operation = {
    "tags": ["v2"],
    "summary": "From which level on the log is written",
    "responses": answers(_object(_LOG_FORM), _LOG_EXAMPLE),
}
UPDATE_LOG_SETTINGS: Operation = {
    "tags": ["v2"],
    "summary": "Change from which level on the log is written, until the daemon ends",
    "description": "The log has levels: who leaves out warnings leaves out what is below them, too. What is not named "
    "changes only with what is. `log_file` and `log_format` may be there with the values that they have.",
    "requestBody": json_body(
        {
            "type": "object",
            "properties": {name: _LOG_FORM[name] for name in _LOG_LEVELS},
            "additionalProperties": False,
            "anyOf": [
                {"properties": {"log_verbose_level": {"minimum": 1}, **_consts(True, True, True)}},
                *({"properties": {"log_verbose_level": {"const": 0}, **_consts(*flags)}} for flags in _LOG_FLAGS),
            ],
        },
        {"warnings and errors alone": {"log_info": False}, "everything": {"log_info": True, "log_verbose_level": 1}},
        required=False,
    ),
    "responses": answers(_object(_LOG_FORM), _LOG_EXAMPLE),
}
