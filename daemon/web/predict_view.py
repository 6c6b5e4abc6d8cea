"""The long way of a prediction: Flask's views, which ask what the door before them asks. Entered by request threads."""

from functools import partial

from flask import Blueprint, Response, request

from daemon.web.asking import Asked
from daemon.web.predicting import Predictor


def predict_routes(predictor: Predictor, *, default_model: str) -> Blueprint:
    """``POST /predict`` and ``POST /models/NAME/predict``."""
    routes = Blueprint("predicting", __name__)

    def answered(model: str) -> Response:
        body = partial(request.get_data, cache=False)
        prediction = predictor.answer(Asked(model, request.mimetype, request.content_length, body))
        return Response(prediction.body, headers=prediction.headers)

    @routes.post("/predict")
    def predict_default() -> Response:
        # Not by ``defaults`` of one route: Flask would redirect the default model's other path to this one.
        return answered(default_model)

    @routes.post("/models/<model>/predict")
    def predict(model: str) -> Response:
        return answered(model)

    return routes
