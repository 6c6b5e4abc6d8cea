"""What MLflow's and SageMaker's clients ask before they ask for predictions. Entered by request threads."""

from collections.abc import Callable

from flask import Blueprint, Response

from daemon.errors import NotServing
from daemon.web.answers import answer
from daemon.web.describing import described
from daemon.web.invoking.operations import PING, VERSION


def ping_routes(serves: Callable[[str], bool], *, default_model: str, version: str) -> Blueprint:
    """``GET /ping``, which SageMaker asks all the time, its other name ``/health``, and ``/version``.

    ``serves`` says whether a release of a model does.
    """
    routes = Blueprint("pinging", __name__)

    @routes.get("/ping")
    @routes.get("/health")
    @described(PING)
    def ping() -> Response:
        if not serves(default_model):
            raise NotServing(default_model)
        return answer({"status": "ok"})

    @routes.get("/version")
    @described(VERSION)
    def told() -> Response:
        return Response(version, content_type="text/plain; charset=utf-8")

    return routes
