"""The OpenAPI document, put together from an application's routes and what their views say of themselves. Any thread.

https://spec.openapis.org/oas/v3.1.1.html
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from flask import Flask
from werkzeug.routing import Rule

from daemon import __version__
from daemon.web.access import Tokens
from daemon.web.describing import Operation, Schema, operation_of
from daemon.web.openapi import refusals
from daemon.web.openapi.naming import named
from daemon.web.openapi.schemas import HEADERS, SCHEMAS, TAGS
from daemon.web.routes import RouteClass, class_of

_PLACE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_ANSWERED_BY_FLASK = frozenset({"HEAD", "OPTIONS"})

PLACES: Mapping[str, tuple[str, Schema, object]] = {
    "model": (
        "the model's name",
        {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
        "default",
    ),
    "version": ("a version that is loaded", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}, 1),
    "label": ("stable is what serves, previous what served before it", {"enum": ["stable", "previous"]}, "stable"),
}
"""What each place in a path is: its description, form and an example."""

_INTRODUCTION = """A folder turned into an ONNX model server.

Errors are `{"error": "<sentence>", "code": "<word>"}`; a program should look at the status and the code."""


def document(app: Flask, tokens: Tokens) -> dict[str, object]:
    """Everything that ``app`` answers, as it is with these ``tokens``."""
    schemas = dict(SCHEMAS)
    paths = cast(dict[str, dict[str, object]], named(_paths(app, tokens), schemas))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "modeldrop",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": TAGS[name]} for name in TAGS if name in _tags_used(paths)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": HEADERS,
            "responses": refusals.responses(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "auth.admin_token opens everything, auth.predict_token what changes nothing",
                }
            },
        },
    }


def _paths(app: Flask, tokens: Tokens) -> dict[str, dict[str, object]]:
    paths: dict[str, dict[str, object]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        for method in sorted((rule.methods or set()) - _ANSWERED_BY_FLASK):
            operation = operation_of(app.view_functions[rule.endpoint])
            if operation is not None:
                path = _PLACE.sub(r"{\1}", rule.rule)
                paths.setdefault(path, {})[method.lower()] = _operation(operation, rule, method, tokens)
    return paths


def _operation(told: Operation, rule: Rule, method: str, tokens: Tokens) -> dict[str, object]:
    """What the view told, with what its rule and its class have in common with others."""
    route = class_of(_PLACE.sub("x", rule.rule))
    places = list(_places(rule, told))
    refused = refusals.statuses(route, tokens, body=method != "GET", places=bool(_PLACE.search(rule.rule)))
    own = cast(Mapping[str, object], told.get("responses", {}))
    return {
        **told,
        "operationId": _name_of(rule, method),
        "parameters": [*places, *cast(list[object], told.get("parameters", []))],
        "responses": {**{str(status): refusals.reference(status) for status in refused}, **own},
        "security": _security(route, tokens),
    }


def _places(rule: Rule, told: Operation) -> Iterator[dict[str, object]]:
    """The Parameter Objects of the places in the path that the view did not describe itself."""
    own = [cast(dict[str, Any], parameter) for parameter in cast(list[object], told.get("parameters", []))]
    named = {parameter["name"] for parameter in own if parameter.get("in") == "path"}
    for name in _PLACE.findall(rule.rule):
        if name not in named:
            description, form, example = PLACES[name]
            where = {"name": name, "in": "path", "required": True}
            yield {**where, "description": description, "schema": form, "example": example}


def _security(route: RouteClass, tokens: Tokens) -> list[dict[str, list[str]]]:
    return [] if refusals.is_open(route, tokens) else [{"bearer": []}]


def _name_of(rule: Rule, method: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", _PLACE.sub(r" by \1 ", rule.rule)) or ["root"]
    return "_".join([method.lower(), *words])


def _tags_used(paths: Mapping[str, Mapping[str, object]]) -> set[str]:
    operations = [cast(Mapping[str, Any], operation) for path in paths.values() for operation in path.values()]
    return {tag for operation in operations for tag in operation.get("tags", ())}
