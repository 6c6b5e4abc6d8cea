"""The short way of a prediction: a WSGI callable before Flask, which answers what Flask's view would, in a third of the
time. Entered by request threads.

Both lead to ``Predictor.answer``, which decides what a prediction is; everything else goes on to Flask.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from daemon.errors import AT_ONCE, HandOver, ModeldropError
from daemon.web.access import Tokens, authorise, head_of, is_open_to_all
from daemon.web.answers import JSON, dumps
from daemon.web.predicting import Asked, Predictor
from daemon.web.routes import RouteClass

LOG = logging.getLogger("modeldrop.api")

Refusal = tuple[int, Mapping[str, object], Mapping[str, str]]
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
        try:
            if not self._is_open:
                authorise(head_of(environ), self._tokens)
            prediction = self._predictor.answer(_asked(environ, model))
            start_response("200 OK", [*prediction.headers, ("Content-Length", str(len(prediction.body)))])
            return (prediction.body,)
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
        return (body,)


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
