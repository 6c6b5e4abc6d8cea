"""The web application: Flask with every route of the contract, and the one table that turns errors into HTTP.

Entered by request threads; holds no state but what it is given.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from daemon import __version__, errors
from daemon.deployer import Deployer
from daemon.history import Journal
from daemon.intake.named import NamedFiles
from daemon.web.access import Tokens, authorise, head_of
from daemon.web.answers import answer
from daemon.web.catalogue import Catalogue
from daemon.web.deploying import deploy_routes
from daemon.web.docs_view import docs_routes
from daemon.web.document_view import document_routes
from daemon.web.door import PredictDoor
from daemon.web.health import health_routes
from daemon.web.invoking.pinging import ping_routes
from daemon.web.metrics import MetricsPage, metrics_routes
from daemon.web.names import NameConverter, VersionConverter
from daemon.web.open_inference.loading import body_bytes as load_body_bytes
from daemon.web.open_inference.logging_view import logging_routes
from daemon.web.open_inference.models import model_routes
from daemon.web.open_inference.repository import repository_routes
from daemon.web.open_inference.server import server_routes
from daemon.web.open_inference.statistics import statistics_routes
from daemon.web.predict_view import predict_routes
from daemon.web.predicting import Predictor
from daemon.web.reading import Seats, read_routes
from daemon.web.routes import is_load, is_upload
from daemon.web.tensorflow.models_view import model_status_routes

LOG = logging.getLogger("modeldrop.api")

STATUS: dict[type[errors.ModeldropError], tuple[int, str]] = {
    errors.InvalidJson: (400, "invalid_json"),
    errors.InvalidInput: (400, "invalid_input"),
    errors.BadRequest: (400, "bad_request"),
    errors.Unauthorized: (401, "unauthorized"),
    errors.Forbidden: (403, "forbidden"),
    errors.PathForbidden: (403, "forbidden"),
    errors.UnknownModel: (404, "unknown_model"),
    errors.UnknownVersion: (404, "not_found"),
    errors.NoSuchFile: (404, "not_found"),
    errors.NotAcceptable: (406, "not_acceptable"),
    errors.TooLarge: (413, "too_large"),
    errors.UnsupportedMediaType: (415, "unsupported_media_type"),
    errors.BreakingSignature: (409, "breaking_signature"),
    errors.Rejected: (422, "rejected"),
    errors.DeployFailed: (500, "internal_error"),
    errors.InferenceFailed: (500, "inference_failed"),
    errors.NotServing: (503, "no_model"),
    errors.Overloaded: (503, "overloaded"),
    errors.ShuttingDown: (503, "overloaded"),
    errors.RunTimeout: (504, "timeout"),
}
"""Every error that may reach a client: its status and its code. What is not here is a 500 without a word."""

HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
"""The codes of the refusals that Flask makes by itself."""

FAILURE = {"error": "something went wrong inside; the log has it", "code": "internal_error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """How many bytes a body may have, and how many clients may wait for events at once."""

    max_body_bytes: int
    max_upload_bytes: int
    waiting_clients: int

    def of_body(self, path: str) -> tuple[int, str]:
        """How many bytes a body for ``path`` may have, and the setting that says so."""
        if is_upload(path):
            return self.max_upload_bytes, "server.max_upload_mb"
        if is_load(path):
            return load_body_bytes(self.max_upload_bytes), "server.max_upload_mb"
        return self.max_body_bytes, "server.max_body_mb"


def build_app(
    *,
    predictor: Predictor,
    deployer: Deployer,
    journal: Journal,
    catalogue: Catalogue,
    files: NamedFiles,
    faults: Callable[[], Sequence[str]],
    tokens: Tokens,
    limits: RequestLimits,
    default_model: str,
    most_batched: int,
    log_file: str,
    welcome: str,
    metrics: MetricsPage,
) -> Flask:
    """The application, from its parts."""
    app = _bare_app()
    app.register_blueprint(predict_routes(predictor))
    app.register_blueprint(
        deploy_routes(deployer, files, default_model=default_model, max_upload_bytes=limits.max_upload_bytes)
    )
    app.register_blueprint(read_routes(catalogue, journal, Seats(limits.waiting_clients)))
    app.register_blueprint(health_routes(faults, welcome=welcome))
    app.register_blueprint(metrics_routes(metrics))
    app.register_blueprint(ping_routes(catalogue.serves, default_model=default_model, version=__version__))
    app.register_blueprint(document_routes(app, tokens))
    app.register_blueprint(server_routes(faults))
    app.register_blueprint(statistics_routes(catalogue, predictor.counting))
    app.register_blueprint(logging_routes(log_file=log_file))
    app.register_blueprint(repository_routes(catalogue, deployer, max_upload_bytes=limits.max_upload_bytes))
    app.register_blueprint(model_routes(catalogue, most_batched=most_batched))
    app.register_blueprint(model_status_routes(catalogue))
    app.register_blueprint(docs_routes(tokens))
    app.before_request(lambda: authorise(head_of(request.environ), tokens))
    _tell_errors(app)
    door = PredictDoor(app.wsgi_app, predictor, tokens=tokens, refusal_of=refusal_of, failure=FAILURE)
    app.wsgi_app = door  # type: ignore[method-assign]  # as Flask's own documentation has it
    return app


def _bare_app() -> Flask:
    app = Flask("modeldrop", static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would be an answer of a form that no client expects
    app.url_map.converters.update(name=NameConverter, int=VersionConverter)
    return app


def _tell_errors(app: Flask) -> None:
    app.register_error_handler(errors.ModeldropError, _refused)
    app.register_error_handler(HTTPException, _http_refused)
    app.register_error_handler(Exception, _failed)


def code_of(kind: type[BaseException]) -> str:
    """The code that tells a client of an error of this class."""
    return next((STATUS[each][1] for each in kind.__mro__ if each in STATUS), FAILURE["code"])


def refusal_of(error: errors.ModeldropError) -> tuple[int, dict[str, object], dict[str, str]]:
    """The status, the JSON object and the headers that tell a client of ``error``."""
    status, code = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), (500, "internal_error"))
    value: dict[str, object] = {"error": str(error), "code": code}
    if isinstance(error, errors.Rejected):
        value |= {"error": f"the candidate was rejected: {error.reason}", "reason": error.reason, "check": error.check}
    return status, value, _headers_of(error)


def _headers_of(error: errors.ModeldropError) -> dict[str, str]:
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, errors.Overloaded):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, errors.ShuttingDown | errors.NotServing):
        return {"Retry-After": "1"}
    return {}


def _refused(error: errors.ModeldropError) -> Response:
    status, value, headers = refusal_of(error)
    return answer(value, status, headers)


def _http_refused(error: HTTPException) -> Response:
    status = error.code or 500
    kept = {name: value for name, value in error.get_headers() if name == "Allow"}
    value = {
        "error": _sentence(error),
        "code": HTTP_CODES.get(status, "bad_request" if status < 500 else "internal_error"),
    }
    return answer(value, status, kept)


def _sentence(error: HTTPException) -> str:
    if error.code == 404:
        return f"there is nothing at {request.path}"
    if error.code == 405:
        return f"{request.method} is not allowed at {request.path}"
    return (error.description or error.name).rstrip(".").lower()


def _failed(error: Exception) -> Response:
    LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    return answer(FAILURE, 500)
