"""``GET /openapi.json``: what the daemon answers, as a document. Entered by request threads."""

from functools import cache

from flask import Blueprint, Flask, Response

from daemon.web.access import Tokens
from daemon.web.answers import JSON, dumps
from daemon.web.describing import answers, described

_OPERATION = {
    "tags": ["document"],
    "summary": "This document",
    "responses": answers(
        {"type": "object", "required": ["openapi", "info", "paths"]},
        {"openapi": "3.1.0", "info": {"title": "modeldrop", "version": "0.1.0"}, "paths": {}},
    ),
}


def document_routes(app: Flask, tokens: Tokens) -> Blueprint:
    """The document of all that ``app`` answers, made when it is first asked for."""
    routes = Blueprint("document", __name__)

    @cache
    def told() -> bytes:
        from daemon.web.openapi.document import document  # which no start waits for

        return dumps(document(app, tokens))

    @routes.get("/openapi.json")
    @described(_OPERATION)
    def openapi() -> Response:
        return Response(told(), content_type=JSON)

    return routes
