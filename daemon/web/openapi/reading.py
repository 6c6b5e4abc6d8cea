"""What the pages that read answer, in OpenAPI's words. Pure values."""

from daemon.web.describing import answers, query, schema

_EXAMPLE_MODEL = {
    "model": "default",
    "state": "live",
    "version": 1,
    "sha256": "769b520ef3ef384b1fafe19d8102f37032412045518a90b4db5c7f6cf4815bdc",
    "model_path": "model_drop/deploy.onnx",
    "since": "2026-11-26T15:39:08.743Z",
    "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 10]}],
    "outputs": [{"name": "output", "dtype": "float32", "shape": ["batch", 5]}],
    "metadata": {"producer_name": "pytorch", "providers": ["CPUExecutionProvider"]},
    "trial": {"load_seconds": 0.0047},
    "candidate": None,
    "probation": None,
    "rejected": None,
}
_EXAMPLE_EVENT = {
    "id": 12,
    "event": "live",
    "time": "2026-11-26T15:39:08.743Z",
    "model": "default",
    "model_path": "model_drop/deploy.onnx",
    "version": 1,
    "sha256": _EXAMPLE_MODEL["sha256"],
    "cause": "dropped",
    "seconds": {"total": 0.116, "gate": 0.109},
}
_COUNT = {"type": "integer", "minimum": 0}

MODELS = {
    "tags": ["models"],
    "summary": "Every model: what serves, and what is on its way",
    "responses": answers(
        {
            "type": "object",
            "required": ["models"],
            "properties": {"models": {"type": "array", "items": schema("Model")}},
        },
        {"models": [_EXAMPLE_MODEL]},
    ),
}

MODEL = {
    "tags": ["models"],
    "summary": "One model: what serves, and what is on its way",
    "responses": answers(schema("Model"), _EXAMPLE_MODEL),
}

RELEASES = {
    "tags": ["models"],
    "summary": "A model's history, newest first, with what was rejected",
    "parameters": [query("limit", {**_COUNT, "default": 100}, "at most so many; 1000 at most")],
    "responses": answers(
        {
            "type": "object",
            "required": ["releases"],
            "properties": {"releases": {"type": "array", "items": schema("Outcome")}},
        },
        {
            "releases": [
                {
                    "version": None,
                    "outcome": "rejected",
                    "sha256": None,
                    "model_path": "model_drop/text.onnx",
                    "time": "2026-11-26T15:39:22.160Z",
                    "cause": "dropped",
                    "reason": "not an ONNX model: a model has no field 13; it seems to be text",
                    "check": "structure",
                }
            ]
        },
    ),
}

EVENTS = {
    "tags": ["events"],
    "summary": "What happened, oldest first",
    "description": "Ask on with `last` as the next `after`. Eight clients may wait at once; others get a 503.",
    "parameters": [
        query("after", {**_COUNT, "default": 0}, "only events with a higher id"),
        query("model", {"type": "string"}, "only one model's"),
        query(
            "wait",
            {"type": "number", "minimum": 0, "default": 0},
            "hold the answer up to so many seconds, 60 at most, until there is an event",
        ),
        query("limit", {**_COUNT, "default": 100}, "at most so many, 1000 at most; 0 gives only `last`"),
    ],
    "responses": answers(
        {
            "type": "object",
            "required": ["events", "last"],
            "properties": {"events": {"type": "array", "items": schema("Event")}, "last": _COUNT},
        },
        {"events": [_EXAMPLE_EVENT], "last": 12},
    ),
}
