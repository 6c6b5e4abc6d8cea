"""The side of the clients, from its parts: the sockets, the front on them, who is turned away. For the main thread."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from socket import socket
from typing import Any

from daemon.api import RequestLimits, refusal_of
from daemon.config import Settings
from daemon.errors import ConfigError, ModeldropError
from daemon.http.sockets import close as close_socket
from daemon.http.values import Guard, OnRefusal
from daemon.lifecycle import HttpServer
from daemon.native.installed import WANTED
from daemon.native.installed import why_not as granian_missing
from daemon.server import Admission, HttpError, Limits, Server, bind
from daemon.web.access import Head, Tokens, authorise, is_open_to_all
from daemon.web.asking import BOUND
from daemon.web.dialects import route_of
from daemon.web.door import PredictGrouping, expected_seconds
from daemon.web.predicting import Predictor
from daemon.web.routes import RouteClass, is_slow

SLOW_THREADS = 16


def check_front(front: str) -> None:
    """Raises ConfigError where what ``server.front`` names is not installed."""
    why_not = granian_missing() if front == "granian" else None
    if why_not is not None:
        raise ConfigError(
            f"server.front: found granian, {why_not}; expected granian {WANTED}x: "
            "run `make fast`, or pip install '.[fast]' in the project's folder"
        )


def listen(settings: Settings, undo: ExitStack) -> list[socket]:
    """The sockets, which listen already; ``undo`` closes those that no server has closed. Raises StartupError."""
    host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
    named = [_placed(address, settings) for address in settings.server.listen]
    sockets = bind(named or [f"{host}:{settings.server.port}"])
    undo.callback(_close_unowned, sockets)
    return sockets


def _placed(address: str, settings: Settings) -> str:
    """The address, with the path of a unix socket made absolute: like every path it is the config file's."""
    path = address.removeprefix("unix:")
    return address if path == address else f"unix:{settings.place(path)}"


def _close_unowned(sockets: Sequence[socket]) -> None:
    """Closes the sockets that no server has closed."""
    for sock in sockets:
        if sock.fileno() >= 0:
            close_socket(sock)


def build_front(
    settings: Settings,
    app: Any,
    sockets: list[socket],
    *,
    predictor: Predictor,
    tokens: Tokens,
    limits: RequestLimits,
    on_refusal: OnRefusal,
) -> HttpServer:
    """What serves ``app``, a WSGI application, on ``sockets``, which it owns; not started yet.

    ``on_refusal`` hears of what it answers by itself.
    """
    return _front(settings.server.front)(
        app,
        sockets,
        _server_limits(settings),
        _guard(tokens, limits),
        is_slow,
        settings.place(settings.state_dir) / "spool",
        partial(expected_seconds, predictor),
        PredictGrouping(predictor, threads=settings.server.threads, wait_seconds=settings.batching.max_wait_ms / 1e3),
        on_refusal,
    )


def _front(front: str) -> Callable[..., HttpServer]:
    """What makes the server; granian is imported only where it is asked for."""
    if front == "granian":
        from daemon.native.server import NativeServer

        return NativeServer
    return Server


def _server_limits(settings: Settings) -> Limits:
    return Limits(
        threads=settings.server.threads,
        slow_threads=SLOW_THREADS,
        max_queue=settings.server.max_queued,
        max_slow_queue=settings.server.max_queued,
        connection_limit=settings.server.connections,
        idle_seconds=settings.server.idle_seconds,
        drain_seconds=settings.server.drain_seconds,
    )


def _guard(tokens: Tokens, limits: RequestLimits) -> Guard:
    """Says, before a body is read, who may not send it, and how long it may be."""
    predict_is_open = is_open_to_all(RouteClass.PREDICT, tokens)
    to_predict = Admission(limits.max_body_bytes, setting=BOUND)

    def guard(_method: str, path: str, _query: str, headers: Mapping[str, str], peer: str) -> Admission:
        if predict_is_open and route_of(path) is not None:
            return to_predict
        limit, setting = limits.of_body(path)
        admission = Admission(limit, setting=setting)
        try:
            authorise(Head(path, headers, peer), tokens)
        except ModeldropError as error:
            return replace(admission, refusal=_told(error))
        return admission

    return guard


def _told(error: ModeldropError) -> HttpError:
    status, value, headers = refusal_of(error)
    phrase = HTTPStatus(status).phrase
    return HttpError(status, phrase, str(value["code"]), str(value["error"]), tuple(headers.items()))
