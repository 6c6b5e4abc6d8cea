"""``GET /metrics``. Entered by request threads."""

from flask import Blueprint, Response, request
from werkzeug.datastructures import MIMEAccept

from daemon.web.describing import described
from daemon.web.metrics.page import OPENMETRICS, TEXT, MetricsPage
from daemon.web.packing import packed

_EXAMPLE = """# HELP modeldrop_model_version The version of the model that serves.
# TYPE modeldrop_model_version gauge
modeldrop_model_version{model="default"} 3.0
"""

OPERATION = {
    "tags": ["metrics"],
    "summary": "What is counted and measured, for Prometheus",
    "description": "OpenMetrics where `Accept` prefers it, else Prometheus' text format.",
    "responses": {
        "200": {
            "description": "Every metric",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE},
                "application/openmetrics-text": {"schema": {"type": "string"}, "example": _EXAMPLE + "# EOF\n"},
            },
        }
    },
}


def metrics_routes(page: MetricsPage) -> Blueprint:
    """The page, packed where the client takes that."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    @described(OPERATION)
    def metrics() -> Response:
        prefers = prefers_openmetrics(request.accept_mimetypes)
        body = page.openmetrics() if prefers else page.text()
        body, encoding = packed(body, request.headers.get("Accept-Encoding", ""))
        response = Response(body, content_type=OPENMETRICS if prefers else TEXT)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        if encoding is not None:
            response.headers["Content-Encoding"] = encoding
        return response

    return routes


def prefers_openmetrics(accepted: MIMEAccept) -> bool:
    """Whether a client asks for OpenMetrics, and for nothing that this page is otherwise more than for that."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for value, weight in accepted:
        media_type = value.partition(";")[0].strip().lower()
        if media_type in weights:
            weights[media_type] = max(weights[media_type], weight)
    openmetrics, text = weights.values()
    return openmetrics > 0 and openmetrics >= text
