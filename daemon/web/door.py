"""The short way of a prediction: a WSGI callable before Flask, which answers what Flask's view would, in a third of the
time. Entered by request threads.

Both lead to ``Predictor.answer``, which decides what a prediction is; everything else goes on to Flask.
"""

import logging
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn, cast

from daemon.errors import TOGETHER, HandOver, ModeldropError
from daemon.web.access import Tokens, authorise, head_of, is_open_to_all
from daemon.web.answers import JSON, dumps
from daemon.web.asking import LIVE, Asked, Prediction
from daemon.web.dialects import Route, route_of
from daemon.web.joining import Group
from daemon.web.predicting import Predictor
from daemon.web.routes import RouteClass

LOG = logging.getLogger("modeldrop.api")

Refusal = tuple[int, Mapping[str, object], Mapping[str, str]]
Predict = Callable[[], Prediction]
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

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
        refusal_of: Callable[[ModeldropError], Refusal],
        failure: Mapping[str, object],
    ) -> None:
        self._behind = behind
        self._predictor = predictor
        self._tokens = tokens
        self._is_open = is_open_to_all(RouteClass.PREDICT, tokens)
        self._refusal_of = refusal_of
        self._failure = failure

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        route = route_of(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if route is None:
            return self._behind(environ, start_response)
        if (group := environ.get(TOGETHER)) is not None:
            return self._tell_later(environ, self._joined(environ, route, group), start_response)
        return self._tell(environ, start_response, self._predict, environ, route)

    def _predict(self, environ: dict[str, Any], route: Route) -> Prediction:
        self._authorise(environ)
        return self._predictor.answer(route.dialect, Asked(route.target, environ))

    def _joined(self, environ: dict[str, Any], route: Route, group: Group) -> Predict:
        """Joins ``group``; what gives the answer, or raises what was found wrong with the request."""
        try:
            self._authorise(environ)
            return self._predictor.join(group, route.dialect, Asked(route.target, environ))
        except Exception as error:
            return partial(_raise, error)

    def _authorise(self, environ: dict[str, Any]) -> None:
        if not self._is_open:
            authorise(head_of(environ), self._tokens)

    def _tell_later(self, environ: dict[str, Any], predict: Predict, start_response: Any) -> Iterator[bytes]:
        """The answer, made when it is gone through: until then, others may join."""
        yield from self._tell(environ, start_response, predict)

    def _tell(
        self, environ: dict[str, Any], start_response: Any, predict: Callable[..., Prediction], *given: object
    ) -> Sequence[bytes]:
        """Begins the answer, which is what ``predict`` gives or raises; its body."""
        try:
            prediction = predict(*given)
            length = sum(map(len, prediction.pieces))
            start_response("200 OK", [*prediction.headers, ("Content-Length", str(length))])
            return cast(Sequence[bytes], prediction.pieces)  # PEP 3333 has no views; both fronts take them
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


class PredictGrouping:
    """Which predictions are best made together: those of one model, where its trial showed that it pays.

    There are ``threads`` for all models, of which one takes half at most.
    """

    def __init__(self, predictor: Predictor, *, threads: int, wait_seconds: float = 0.0) -> None:
        self._predictor = predictor
        self._most_abreast = max(1, threads // 2)
        self.wait_seconds = wait_seconds

    def kind_of(self, method: str, path: str) -> Hashable | None:
        """The model whose predictions are made together; None where each is made by itself."""
        model = _live_model_asked(self._predictor, method, path)
        return model if model is not None and self._predictor.batch_size(model) > 1 else None

    def most(self, kind: Hashable) -> int:
        """How many predictions of the model ``kind`` are best made together."""
        return self._predictor.batch_size(str(kind))

    def abreast(self, kind: Hashable) -> int:
        """How many such groups of the model ``kind`` are best run side by side."""
        return min(self._most_abreast, self._predictor.batches_abreast(str(kind)))

    def together(self, kind: Hashable) -> AbstractContextManager[Group | None]:
        """What the predictions have in common that are made within the block."""
        return self._predictor.together(str(kind))


def expected_seconds(predictor: Predictor, method: str, path: str) -> float:
    """How long a thread is at work on a request, if it is a prediction; infinity for all others."""
    model = _live_model_asked(predictor, method, path)
    return math.inf if model is None else predictor.expected_seconds(model)


def _live_model_asked(predictor: Predictor, method: str, path: str) -> str | None:
    """The model of which a request asks the release that serves to run; None for every other request."""
    route = route_of(path) if method == "POST" else None
    return predictor.model_at(route.target) if route is not None and route.target.which == LIVE else None


def _raise(error: Exception) -> NoReturn:
    raise error
