"""Whether the process works and whether it is ready, and the welcome. Entered by request threads."""

import html
from collections.abc import Callable, Sequence

from flask import Blueprint, Response, request

from daemon.web.answers import answer
from daemon.web.describing import described
from daemon.web.openapi import health as told

_PAGE = """<!doctype html>
<html lang="zh-CN"><meta charset="utf-8"><title>modeldrop</title>
<h1>{welcome}</h1>
<p><a href="/models">/models</a> · <a href="/events">/events</a> · <a href="/readyz">/readyz</a> ·
<a href="/docs">/docs</a></p>
</html>
"""


def health_routes(faults: Callable[[], Sequence[str]], *, welcome: str) -> Blueprint:
    """``GET /``, ``/healthz`` and ``/readyz``; ``faults`` says what keeps the daemon from being ready."""
    routes = Blueprint("health", __name__)

    @routes.get("/")
    @described(told.ROOT)
    def root() -> Response:
        if request.accept_mimetypes.best_match(["text/plain", "text/html"]) == "text/html":
            return Response(_PAGE.format(welcome=html.escape(welcome)), content_type="text/html; charset=utf-8")
        return Response(welcome, content_type="text/plain; charset=utf-8")

    @routes.get("/healthz")
    @described(told.HEALTHZ)
    def healthz() -> Response:
        return answer({"status": "ok"})

    @routes.get("/readyz")
    @described(told.READYZ)
    def readyz() -> Response:
        reasons = list(faults())
        return answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    return routes
