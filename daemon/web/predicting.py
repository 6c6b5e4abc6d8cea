"""Predictions: a body in, an answer out, by one lease on one release. Entered by request threads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from flask import Blueprint, Response, request

from daemon.errors import (
    HandOver,
    InferenceFailed,
    InvalidInput,
    NotServing,
    RunTimeout,
    TooLarge,
    UnknownModel,
    UnsupportedMediaType,
)
from daemon.gate import RequestRing
from daemon.holder import ModelHolder, Serving
from daemon.lane.probation import Probation
from daemon.runtime import Array, Output, decode, encode
from daemon.web.answers import dumps, read_object
from daemon.web.faces import Face

_NEVER_JSON = ("multipart/", "image/", "audio/", "video/")
_OTHER_FORMS = frozenset({"application/x-npy", "application/x-npz", "text/csv", "application/x-protobuf"})


@dataclass(slots=True)
class Asked:
    """A predict request: for which ``model``, its media type without parameters, and its body, ``length`` bytes where
    that is known, which ``read`` gives as a whole. ``at_once``: who asks can answer others only after it."""

    model: str
    media_type: str
    length: int | None
    read: Callable[[], bytes]
    at_once: bool = False


@dataclass(slots=True)
class Prediction:
    """An encoded answer, and the headers that say what it is and which release gave it."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


AT_ONCE_SECONDS = 0.1
"""A run for which everybody waits is stopped after that, and made again by another thread."""
AT_ONCE_BYTES = 256 << 10
"""Outputs beyond that take time to be written as JSON."""

Run = Callable[[Serving, Mapping[str, Array]], list[Output]]


class Predictor:
    """Answers predict requests. Thread-safe; ``knows`` tells a model that has no release from one that never was.

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
        max_body_bytes: int,
    ) -> None:
        self._holder = holder
        self._probation = probation
        self._ring = ring
        self._knows = knows
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._faces: dict[str, Face] = {}  # of what answered last, by model; by no lock: another is made in no time

    def answer(self, asked: Asked) -> Prediction:
        """What a client is told, whatever door it came by; raises UnsupportedMediaType, TooLarge, or as ``predict``."""
        _refuse_other_forms(asked.media_type)
        if asked.length is not None and asked.length > self._max_body_bytes:
            raise TooLarge(f"the body has {asked.length} bytes; at most {self._max_body_bytes} are taken")
        return self.predict(asked.model, asked.read(), at_once=asked.at_once)

    def is_quick(self, model: str) -> bool:
        """Whether the predictions of what serves as ``model`` took next to no time of late."""
        face = self._faces.get(model)
        return face is not None and face.is_quick and self._holder.release_of(model) is face.release

    def predict(self, model: str, body: bytes, *, at_once: bool = False) -> Prediction:
        """Runs ``{"inputs": …}`` through the release of ``model`` that serves.

        Raises UnknownModel, NotServing, InvalidJson, InvalidInput, RunTimeout or InferenceFailed; HandOver where it is
        to be ``at_once`` and takes time.
        """
        try:
            with self._holder.lease(model) as serving:
                return self._answer(serving, body, at_once=at_once)
        except NotServing:
            if self._knows(model):
                raise
            raise UnknownModel(f"there is no model {model!r}") from None

    def _answer(self, serving: Serving, body: bytes, *, at_once: bool) -> Prediction:
        release = serving.release
        face = self._faces.get(release.model)
        if face is None or face.release is not release:
            face = self._faces[release.model] = Face(release)
        started = face.started()
        inputs = decode(_inputs_of(body), release.signature)
        run = self._run_at_once if at_once else self._run
        outputs = encode(self._observed(serving, inputs, run), release.signature)
        told = b'{"output":' + dumps(outputs[0]) + face.tail
        if len(outputs) > 1:
            told += b',"outputs":' + dumps(dict(zip(face.names, outputs, strict=True)))
        face.ended(started)
        return Prediction(told + b"}", face.headers)

    def _observed(self, serving: Serving, inputs: Mapping[str, Array], run: Run) -> list[Output]:
        release = serving.release
        try:
            outputs = run(serving, inputs)
        except InferenceFailed as failure:
            self._probation.failed(release, str(failure))
            raise
        self._probation.answered(release, outputs)
        if self._ring.wants(release.model):
            self._ring.offer(release, inputs, outputs)
        return outputs

    def _run(self, serving: Serving, inputs: Mapping[str, Array]) -> list[Output]:
        return serving.engine.run(inputs, timeout_seconds=self._timeout_seconds)

    def _run_at_once(self, serving: Serving, inputs: Mapping[str, Array]) -> list[Output]:
        """As ``_run``; raises HandOver where it takes longer than was to be expected, or gives much to write."""
        try:
            outputs = serving.engine.run(inputs, timeout_seconds=min(AT_ONCE_SECONDS, self._timeout_seconds))
        except RunTimeout:
            pass
        else:
            if sum(output.nbytes for output in outputs if isinstance(output, np.ndarray)) <= AT_ONCE_BYTES:
                return outputs
        self._faces[serving.release.model].took_its_time()
        raise HandOver


def _inputs_of(body: bytes) -> object:
    value = read_object(body)
    if "inputs" not in value:
        found = ", ".join(repr(key) for key in list(value)[:10]) or "an empty object"
        raise InvalidInput(f"expected a key 'inputs', found {found}")
    return value["inputs"]


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


def _refuse_other_forms(media_type: str) -> None:
    """A body is read as JSON whatever its type, unless that names a form that JSON cannot be."""
    if media_type.startswith(_NEVER_JSON) or media_type in _OTHER_FORMS:
        raise UnsupportedMediaType(f"found content type {media_type}, expected application/json")
