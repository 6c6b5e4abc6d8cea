"""What the Open Inference Protocol's repository and log settings take and answer, in OpenAPI's words. Pure values."""

from daemon.web.describing import JSON, Operation, Schema, answers, called, json_body
from daemon.web.openapi.open_inference import FLAG, TEXT, list_of, object_of

_SHA256 = "5aaba1bf33f90c2a269fd0f48f9c803bec7749d1ebdd592b70a26eee701b9ae7"
_STATES: Schema = {"enum": ["READY", "LOADING", "UNAVAILABLE"]}
INDEX: Operation = {
    "tags": ["v2"],
    "summary": "Every version that is loaded, and every model that has none, with the reason",
    "requestBody": json_body(
        {"type": "object", "properties": {"ready": FLAG}, "additionalProperties": False},
        {"everything": {}, "what is loaded": {"ready": True}},
        required=False,
    ),
    "responses": answers(
        list_of(
            called("Indexed", object_of({"name": TEXT, "version": TEXT, "state": _STATES, "reason": TEXT}, "version"))
        ),
        [{"name": "default", "version": "1", "state": "READY", "reason": ""}],
    ),
}

_RELEASED = answers(
    object_of(
        {
            "model": TEXT,
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
                    "properties": {"unload_dependents": FLAG},
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
    "log_file": TEXT,
    "log_info": FLAG,
    "log_warning": FLAG,
    "log_error": FLAG,
    "log_verbose_level": {"type": "integer", "minimum": 0},
    "log_format": {"const": "default"},
}
_LOG_LEVELS = ("log_info", "log_warning", "log_error", "log_verbose_level")
LOG_SETTINGS: Operation = {
    "tags": ["v2"],
    "summary": "From which level on the log is written",
    "responses": answers(called("LogSettings", object_of(_LOG_FORM)), _LOG_EXAMPLE),
}
UPDATE_LOG_SETTINGS: Operation = {
    "tags": ["v2"],
    "summary": "Change from which level on the log is written, until the daemon ends",
    "description": "The log has levels, each with all that is above it: `log_verbose_level` over 0 goes only with "
    "`log_info`, that only with `log_warning`, and that only with `log_error`; anything else is a 400. What is not "
    "named changes only with what is. `log_file` and `log_format` may be there with the values that they have.",
    "requestBody": json_body(
        {
            "title": "LogChange",
            "type": "object",
            "properties": {name: _LOG_FORM[name] for name in _LOG_LEVELS},
            "additionalProperties": False,
        },
        {"warnings and errors alone": {"log_info": False}, "everything": {"log_info": True, "log_verbose_level": 1}},
        required=False,
    ),
    "responses": answers(called("LogSettings", object_of(_LOG_FORM)), _LOG_EXAMPLE),
}
