"""Predictions: a body in, an answer out, by one lease on one release. Entered by request threads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask import Blueprint, Response, request

from daemon.errors import InferenceFailed, InvalidInput, NotServing, UnknownModel, UnsupportedMediaType
from daemon.gate import RequestRing
from daemon.holder import ModelHolder, Serving
from daemon.lane.probation import Probation
from daemon.release import Release
from daemon.runtime import Array, Output, decode, encode
from daemon.web.answers import JSON, dumps, read_body, read_object

_NEVER_JSON = ("multipart/", "image/", "audio/", "video/")
_OTHER_FORMS = frozenset({"application/x-npy", "application/x-npz", "text/csv", "application/x-protobuf"})


@dataclass(frozen=True, slots=True)
class Prediction:
    """An encoded answer and the release that gave it."""

    body: bytes
    release: Release


class Predictor:
    """Answers predict bodies. Thread-safe; ``knows`` tells a model that has no release from one that never was.

    ``probation`` is told how every run went, ``ring`` keeps some of the requests.
    """

    def __init__(
        self,
        holder: ModelHolder,
        *,
        probation: Probation,
        ring: RequestRing,
        knows: Callable[[str], bool],
        timeout_seconds: float,
    ) -> None:
        self._holder = holder
        self._probation = probation
        self._ring = ring
        self._knows = knows
        self._timeout_seconds = timeout_seconds

    def predict(self, model: str, body: bytes) -> Prediction:
        """Runs ``{"inputs": …}`` through the release of ``model`` that serves.

        Raises UnknownModel, NotServing, InvalidJson, InvalidInput, RunTimeout or InferenceFailed.
        """
        try:
            with self._holder.lease(model) as serving:
                return Prediction(self._answer(serving, body), serving.release)
        except NotServing:
            if self._knows(model):
                raise
            raise UnknownModel(f"there is no model {model!r}") from None

    def _answer(self, serving: Serving, body: bytes) -> bytes:
        release = serving.release
        inputs = decode(_inputs_of(body), release.signature)
        outputs = encode(self._run(serving, inputs), release.signature)
        value: dict[str, object] = {
            "output": outputs[0],
            "model_path": release.model_path,
            "model": release.model,
            "version": release.version,
        }
        if len(outputs) > 1:
            names = (spec.name for spec in release.signature.outputs)
            value["outputs"] = dict(zip(names, outputs, strict=True))
        return dumps(value)

    def _run(self, serving: Serving, inputs: Mapping[str, Array]) -> list[Output]:
        release = serving.release
        try:
            outputs = serving.engine.run(inputs, timeout_seconds=self._timeout_seconds)
        except InferenceFailed as failure:
            self._probation.failed(release, str(failure))
            raise
        self._probation.answered(release, outputs)
        if self._ring.wants(release.model):
            self._ring.offer(release, inputs, outputs)
        return outputs


def _inputs_of(body: bytes) -> object:
    value = read_object(body)
    if "inputs" not in value:
        found = ", ".join(repr(key) for key in list(value)[:10]) or "an empty object"
        raise InvalidInput(f"expected a key 'inputs', found {found}")
    return value["inputs"]


def predict_routes(predictor: Predictor, *, default_model: str, max_body_bytes: int) -> Blueprint:
    """``POST /predict`` and ``POST /models/NAME/predict``."""
    routes = Blueprint("predicting", __name__)

    def answered(model: str) -> Response:
        _refuse_other_forms(request.mimetype)
        prediction = predictor.predict(model, read_body(request, max_body_bytes))
        return Response(prediction.body, content_type=JSON, headers=release_headers(prediction.release))

    @routes.post("/predict")
    def predict_default() -> Response:
        # Not by ``defaults`` of one route: Flask would redirect the default model's other path to this one.
        return answered(default_model)

    @routes.post("/models/<model>/predict")
    def predict(model: str) -> Response:
        return answered(model)

    return routes


def release_headers(release: Release) -> dict[str, str]:
    """The headers that say which release answered."""
    return {
        "X-Model-Name": release.model,
        "X-Model-Version": str(release.version),
        "X-Model-SHA256": release.sha256,
    }


def _refuse_other_forms(media_type: str) -> None:
    """A body is read as JSON whatever its type, unless that names a form that JSON cannot be."""
    if media_type.startswith(_NEVER_JSON) or media_type in _OTHER_FORMS:
        raise UnsupportedMediaType(f"found content type {media_type}, expected application/json")
