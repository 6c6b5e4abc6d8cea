"""What the protocol tells of the server: its name, its extensions, whether it lives and is ready.

Entered by request threads. Source: ``inference_rest.md`` of the Open Inference Protocol.
"""

from collections.abc import Callable, Sequence

from flask import Blueprint, Response

from daemon import __version__
from daemon.web.answers import answer
from daemon.web.describing import described
from daemon.web.openapi import open_inference as told

NAME = "modeldrop"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "parameters",
    "model_repository",
    "model_configuration",
    "statistics",
    "logging",
)
"""Those of Triton's extensions that are there, by the names that it gives them."""


def server_routes(faults: Callable[[], Sequence[str]]) -> Blueprint:
    """``GET /v2`` and ``/v2/health/…``; ``faults`` says what keeps the daemon from being ready."""
    routes = Blueprint("open-inference-server", __name__)

    @routes.get("/v2", strict_slashes=False)
    @described(told.SERVER)
    def server() -> Response:
        return answer({"name": NAME, "version": __version__, "extensions": EXTENSIONS})

    @routes.get("/v2/health/live")
    @described(told.LIVE)
    def live() -> Response:
        return answer({"live": True})

    @routes.get("/v2/health/ready")
    @described(told.READY)
    def ready() -> Response:
        is_ready = not faults()
        return answer({"ready": is_ready}, 200 if is_ready else 503)

    return routes
