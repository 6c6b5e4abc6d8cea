"""The short way of a prediction: a WSGI callable before Flask, which answers what Flask's view would, in a third of the
time. Entered by request threads.

Both lead to ``Predictor.answer``, which decides what a prediction is; everything else goes on to Flask.
"""

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn

from daemon.errors import AT_ONCE, TOGETHER, HandOver, ModeldropError
from daemon.web.access import Tokens, authorise, head_of, is_open_to_all
from daemon.web.answers import JSON, dumps
from daemon.web.asking import Asked, Prediction
from daemon.web.predicting import Group, Predictor
from daemon.web.routes import RouteClass

LOG = logging.getLogger("modeldrop.api")

Refusal = tuple[int, Mapping[str, object], Mapping[str, str]]
Predict = Callable[[], Prediction]
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_PREFIX, _SUFFIX = "/models/", "/predict"
_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class PredictDoor:
    """A WSGI application: ``predictor`` for the predict routes, and ``behind`` for all others. Thread-safe.

    ``refusal_of`` says what a client is told of an error, ``failure`` what of one that nobody expected.
    """

    def __init__(
        self,
        behind: Application,
        predictor: Predictor,
        *,
        tokens: Tokens,
        default_model: str,
        refusal_of: Callable[[ModeldropError], Refusal],
        failure: Mapping[str, object],
    ) -> None:
        self._behind = behind
        self._predictor = predictor
        self._tokens = tokens
        self._is_open = is_open_to_all(RouteClass.PREDICT, tokens)
        self._default_model = default_model
        self._refusal_of = refusal_of
        self._failure = failure

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        model = model_asked(environ["REQUEST_METHOD"], environ["PATH_INFO"], self._default_model)
        if model is None:
            return self._behind(environ, start_response)
        if (group := environ.get(TOGETHER)) is not None:
            return self._tell_later(environ, self._joined(environ, model, group), start_response)
        return (self._tell(environ, partial(self._predict, environ, model), start_response),)

    def _predict(self, environ: dict[str, Any], model: str) -> Prediction:
        self._authorise(environ)
        return self._predictor.answer(_asked(environ, model))

    def _joined(self, environ: dict[str, Any], model: str, group: Group) -> Predict:
        """Joins ``group``; what gives the answer, or raises what was found wrong with the request."""
        try:
            self._authorise(environ)
            return self._predictor.join(group, _asked(environ, model))
        except Exception as error:
            return partial(_raise, error)

    def _authorise(self, environ: dict[str, Any]) -> None:
        if not self._is_open:
            authorise(head_of(environ), self._tokens)

    def _tell_later(self, environ: dict[str, Any], predict: Predict, start_response: Any) -> Iterator[bytes]:
        """The answer, made when it is gone through: until then, others may join."""
        yield self._tell(environ, predict, start_response)

    def _tell(self, environ: dict[str, Any], predict: Predict, start_response: Any) -> bytes:
        """Begins the answer; its body."""
        try:
            prediction = predict()
            start_response("200 OK", [*prediction.headers, ("Content-Length", str(len(prediction.body)))])
            return prediction.body
        except HandOver:
            environ["wsgi.input"].seek(0)
            raise
        except ModeldropError as error:
            status, value, headers = self._refusal_of(error)
        except Exception as error:
            LOG.error("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"], exc_info=error)
            status, value, headers = 500, self._failure, {}
        body = dumps(value)
        told = [("Content-Type", JSON), ("Content-Length", str(len(body))), *headers.items()]
        start_response(_LINES[status], told)
        return body


class PredictGrouping:
    """Which predictions are best made together: those of one model, where its trial showed that it pays."""

    def __init__(self, predictor: Predictor, default_model: str, *, wait_seconds: float = 0.0) -> None:
        self._predictor = predictor
        self._default_model = default_model
        self.wait_seconds = wait_seconds

    def kind_of(self, method: str, path: str) -> Hashable | None:
        """The model whose predictions are made together; None where each is made by itself."""
        model = model_asked(method, path, self._default_model)
        return model if model is not None and self._predictor.batch_size(model) > 1 else None

    def most(self, kind: Hashable) -> int:
        """How many predictions of the model ``kind`` are best made together."""
        return self._predictor.batch_size(str(kind))

    def together(self, kind: Hashable) -> AbstractContextManager[Group | None]:
        """What the predictions have in common that are made within the block."""
        return self._predictor.together(str(kind))


def model_asked(method: str, path: str, default_model: str) -> str | None:
    """The model whose predict route this is; None for every other request."""
    if method != "POST":
        return None
    if path == _SUFFIX:
        return default_model
    if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
        return None
    model = path[len(_PREFIX) : -len(_SUFFIX)]
    return model if model.isascii() and model and "/" not in model else None  # others are no models: Flask says so


def is_quick(predictor: Predictor, default_model: str, method: str, path: str, _body_bytes: int) -> bool:
    """Whether a request is a prediction that takes next to no time."""
    model = model_asked(method, path, default_model)
    return model is not None and predictor.is_quick(model)


def _asked(environ: Mapping[str, Any], model: str) -> Asked:
    stated = environ.get("CONTENT_LENGTH") or ""
    length = int(stated) if stated.isdecimal() else None
    source = environ["wsgi.input"]
    return Asked(
        model=model,
        media_type=environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower(),
        length=length,
        read=source.read if length is None else lambda: source.read(length),
        at_once=environ.get(AT_ONCE, False),
    )


def _raise(error: Exception) -> NoReturn:
    raise error
