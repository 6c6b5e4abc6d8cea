"""What the pages about health answer, in OpenAPI's words. Pure values."""

from daemon.web.describing import JSON, answers, media, schema

_READINESS = {
    "type": "object",
    "required": ["ready", "reasons"],
    "properties": {"ready": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}},
}

ROOT = {
    "tags": ["health"],
    "summary": "The welcome, as text or as a small page",
    "responses": {
        "200": {
            "description": "The welcome",
            "content": {
                "text/plain": media({"type": "string"}, "欢迎参加蓝桥杯"),
                "text/html": media({"type": "string"}, "<!doctype html>"),
            },
        }
    },
}

HEALTHZ = {
    "tags": ["health"],
    "summary": "Whether the process works",
    "responses": answers(
        {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
        {"status": "ok"},
        description="It does",
    ),
}

READYZ = {
    "tags": ["health"],
    "summary": "Whether it is ready: the default model serves, and the watcher is alive",
    "responses": {
        **answers(_READINESS, {"ready": True, "reasons": []}, description="It is ready"),
        "503": {
            "description": "It is not, for these reasons; or too many ask at once",
            "content": {
                JSON: media(
                    {"anyOf": [_READINESS, schema("Error")]},
                    {"ready": False, "reasons": ["no release of model 'default' serves"]},
                )
            },
        },
    },
}
