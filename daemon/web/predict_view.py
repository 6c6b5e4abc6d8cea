"""The long way of a prediction: Flask's views, which ask what the door before them asks. Entered by request threads."""

from collections.abc import Callable
from functools import partial

from flask import Blueprint, Response, request

from daemon.web.asking import Asked, Dialect
from daemon.web.describing import described
from daemon.web.dialects import DIALECTS, target_of
from daemon.web.predicting import Predictor


def predict_routes(predictor: Predictor) -> Blueprint:
    """Every rule of every dialect."""
    routes = Blueprint("predicting", __name__)
    for dialect in DIALECTS:
        for number, rule in enumerate(dialect.rules):
            view: Callable[..., Response] = partial(_answered, predictor, dialect)
            routes.add_url_rule(rule, f"{dialect.name}-{number}", described(dialect.operation)(view), methods=["POST"])
    return routes


def _answered(predictor: Predictor, dialect: Dialect, **named: str | int) -> Response:
    """``named`` is what the rule's places are in the path."""
    prediction = predictor.answer(dialect, Asked(target_of(**named), request.environ))  # type: ignore[arg-type]
    return Response(b"".join(prediction.pieces), headers=prediction.headers)
