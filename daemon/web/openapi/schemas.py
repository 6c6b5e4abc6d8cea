"""What several answers have alike: the schemas, headers and tags that operations refer to by name. Pure values."""

from collections.abc import Mapping

from daemon.web.describing import Schema, schema

_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_MAYBE_SHA256: Schema = {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"}
_VERSION: Schema = {"type": "integer", "minimum": 1, "description": "rises, and is never used again"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MAYBE_OBJECT: Schema = {"type": ["object", "null"]}


def _object(properties: Mapping[str, Schema], *optional: str) -> Schema:
    """An object with all of ``properties``, of which ``optional`` may be missing; more may come in later versions."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


_TENSOR = _object(
    {
        "name": _TEXT,
        "dtype": {"type": "string", "examples": ["float32"]},
        "shape": {
            "type": ["array", "null"],
            "items": {"type": ["integer", "string", "null"]},
            "description": "a dimension is a number, a name, or null; null as a whole is unknown",
        },
        "optional": {"type": "boolean"},
    },
    "optional",
)

_MODEL = _object(
    {
        "model": _TEXT,
        "state": {"enum": ["live", "unloaded", "none"]},
        "version": {"type": ["integer", "null"], "minimum": 1},
        "sha256": _MAYBE_SHA256,
        "model_path": _MAYBE_TEXT,
        "since": {"type": ["string", "null"], "format": "date-time"},
        "inputs": {"type": "array", "items": schema("Tensor")},
        "outputs": {"type": "array", "items": schema("Tensor")},
        "metadata": {"type": "object"},
        "trial": {"type": "object"},
        "candidate": _MAYBE_OBJECT,
        "probation": _MAYBE_OBJECT,
        "rejected": _MAYBE_OBJECT,
    }
)

_OUTCOME = _object(
    {
        "version": {"type": ["integer", "null"], "minimum": 1},
        "outcome": {"enum": ["live", "rejected"]},
        "sha256": _MAYBE_SHA256,
        "model_path": _MAYBE_TEXT,
        "time": _TIME,
        "cause": {"enum": ["dropped", "updated", "uploaded", "rolled_back", "probation", "restored"]},
        "reason": _TEXT,
        "check": _TEXT,
    },
    "cause",
    "reason",
    "check",
)

_EVENT = _object(
    {
        "id": {"type": "integer", "minimum": 1},
        "event": {"type": "string", "examples": ["live", "rejected"]},
        "time": _TIME,
        "model": _MAYBE_TEXT,
        "model_path": _MAYBE_TEXT,
        "version": _VERSION,
        "sha256": _SHA256,
        "cause": _TEXT,
        "check": _TEXT,
        "reason": _TEXT,
        "seconds": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    *("version", "sha256", "cause", "check", "reason", "seconds"),
)

_DEPLOYED = _object(
    {
        "message": _TEXT,
        "outcome": {"enum": ["live", "unchanged"]},
        "model": _TEXT,
        "version": _VERSION,
        "sha256": _SHA256,
        "model_path": _TEXT,
    }
)

_REHEARSED = _object(
    {
        "dry_run": {"type": "boolean"},
        "outcome": {"enum": ["live", "unchanged", "rejected"]},
        "model": _TEXT,
        "sha256": _MAYBE_SHA256,
        "model_path": _TEXT,
        "checks": {
            "type": "array",
            "items": _object(
                {"check": _TEXT, "passed": {"type": "boolean"}, "seconds": {"type": "number"}, "reason": _TEXT},
                "reason",
            ),
        },
        "check": _TEXT,
        "reason": _TEXT,
    },
    "check",
    "reason",
)

_ERROR = _object(
    {
        "error": {"type": "string", "description": "what was wrong, what was expected, what came"},
        "code": {"type": "string", "pattern": "^[a-z_]+$"},
    }
)

SCHEMAS: Mapping[str, Schema] = {
    "Error": _ERROR,
    "Rejection": {
        "allOf": [schema("Error"), _object({"reason": _TEXT, "check": _TEXT})],
        "description": "check says which check refused the candidate, reason why",
    },
    "Tensor": _TENSOR,
    "Value": {
        "description": "a tensor as nested lists of numbers, strings or booleans, row by row; a bare one is a scalar",
        "type": ["number", "string", "boolean", "array"],
        "items": {},
    },
    "Output": {
        "description": "a tensor as nested lists, or a bare value for a scalar; NaN and infinities are null; sequences "
        "are lists, maps objects",
    },
    "Model": _MODEL,
    "Outcome": _OUTCOME,
    "Event": _EVENT,
    "Deployed": _DEPLOYED,
    "Rehearsed": _REHEARSED,
}
"""By the names that ``daemon.web.describing.schema`` refers to."""

_OF_RELEASES: Mapping[str, Mapping[str, object]] = {
    "X-Model-Name": {"description": "the model that answered", "required": True, "schema": _TEXT},
    "X-Model-Version": {"description": "its version", "required": True, "schema": _VERSION},
    "X-Model-SHA256": {"description": "the SHA-256 of its bytes", "required": True, "schema": _SHA256},
}
HEADERS: Mapping[str, Mapping[str, object]] = {
    **_OF_RELEASES,
    **{f"{name}-if-any": {**header, "required": False} for name, header in _OF_RELEASES.items()},
    "Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "how to say who asks", "required": True, "schema": {"const": "Bearer"}},
}

TAGS: Mapping[str, str] = {
    "predictions": "Run a model",
    "deploying": "Change what serves",
    "models": "What serves, what is on its way, and what was",
    "events": "What happened",
    "health": "Whether the daemon works",
    "v2": "The Open Inference Protocol, version 2, as Triton's and KServe's clients speak it",
    "tensorflow": "TensorFlow Serving's REST interface, version 1",
    "invocations": "MLflow's and SageMaker's interface",
    "metrics": "Prometheus",
    "document": "This document, and a page to read it",
}
"""What groups of operations have a name for, in the order in which they are shown."""
