"""What the requests that change what serves take and answer, in OpenAPI's words. Pure values."""

from collections.abc import Mapping

from daemon.web.describing import (
    JSON,
    RELEASE_HEADERS_IF_ANY,
    Operation,
    Schema,
    header,
    json_body,
    media,
    query,
    schema,
)

_MODEL_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}
_SHA256 = "5aaba1bf33f90c2a269fd0f48f9c803bec7749d1ebdd592b70a26eee701b9ae7"
_DEPLOYED = {
    "message": "模型已更新成功",
    "outcome": "live",
    "model": "default",
    "version": 2,
    "sha256": _SHA256,
    "model_path": "deploy_new.onnx",
}
_REHEARSED = {
    "dry_run": True,
    "outcome": "live",
    "model": "default",
    "sha256": _SHA256,
    "model_path": "deploy_new.onnx",
    "checks": [{"check": "structure", "passed": True, "seconds": 0.0002}],
}
_FORCE = "pass the checks that only those who use the model can judge: probation, signature, golden and replay"
_DRY_RUN = "change nothing, and answer what the gate says"
_SWITCHES: Mapping[str, Schema] = {
    "force": {"type": "boolean", "default": False, "description": _FORCE},
    "dry_run": {"type": "boolean", "default": False, "description": _DRY_RUN},
}


def _wanted(properties: Mapping[str, Schema], *required: str) -> Schema:
    """An object of these keys and the switches, and no others."""
    keys = {**properties, **_SWITCHES}
    return {"type": "object", "required": list(required), "properties": keys, "additionalProperties": False}


_ANSWERS = {
    "200": {
        "description": "The release serves: every request that starts later is answered by it or a newer one",
        "headers": RELEASE_HEADERS_IF_ANY,
        "content": {
            JSON: media(
                {"oneOf": [schema("Deployed"), schema("Rehearsed")]},
                examples={"deployed": _DEPLOYED, "dry run": _REHEARSED},
            )
        },
    }
}

UPDATE: Operation = {
    "tags": ["deploying"],
    "summary": "Deploy a file that lies on the server",
    "description": "A relative path is tried from the settings file's folder, then from the drop directory, then from "
    "each of `deploy.allowed_dirs`; with every link followed it must lie in the drop directory or in one of those.",
    "requestBody": json_body(
        _wanted({"model_path": {"type": "string", "minLength": 1}, "model": _MODEL_NAME}, "model_path"),
        {
            "the default model": {"model_path": "deploy_new.onnx"},
            "another model": {"model_path": "deploy_new.onnx", "model": "classroom"},
            "asking first": {"model_path": "deploy_new.onnx", "dry_run": True},
        },
    ),
    "responses": _ANSWERS,
}

UPLOAD: Operation = {
    "tags": ["deploying"],
    "summary": "Deploy the bytes that are sent",
    "parameters": [
        query(
            "filename",
            {"type": "string", "pattern": r"^[^/\\]+\.([oO][nN][nN][xX]|[oO][rR][tT])$"},
            "a bare name that ends in .onnx or .ort; without it, it is the model's name and .onnx",
        ),
        query("force", {"type": "boolean", "default": False}, _FORCE),
        query("dry_run", {"type": "boolean", "default": False}, _DRY_RUN),
        header(
            "X-Content-SHA256",
            {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
            "the SHA-256 of the bytes in 64 hexadecimal digits, as `sha256sum` has it: others are refused (422)",
        ),
        header(
            "Content-Digest",
            {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"},
            "the same in the form of RFC 9530: `sha-256=:` and `:` around its base64",
        ),
    ],
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": media({"type": "string", "format": "binary"})},
    },
    "responses": _ANSWERS,
}

ROLLBACK: Operation = {
    "tags": ["deploying"],
    "summary": "Serve an earlier release again, as a new one",
    "description": "Without a version it is the newest whose bytes differ from what serves.",
    "requestBody": json_body(
        _wanted({"version": {"type": ["integer", "null"]}}),
        {"the one before": {}, "a version": {"version": 1}},
        required=False,
    ),
    "responses": _ANSWERS,
}
