"""From a WSGI application to one answer, in two steps. For the thread that serves the request."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from daemon.http.values import HttpError

SERVER = ("server", "modeldrop")
CLOSE = ("connection", "close")
_BODILESS = frozenset({204, 304})

Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    """A whole answer, as granian takes it, which leaves out a field whose value it cannot send (a line break, say)."""

    status: int
    headers: Headers
    body: bytes


class Begun:
    """What an application said so far. Lives for one request, in one thread at a time."""

    __slots__ = ("headers", "pieces", "status", "written")

    def __init__(self) -> None:
        self.pieces: Iterable[bytes] = ()
        self.written: list[bytes] = []
        self.status = 0
        self.headers: Headers = []

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """WSGI's ``start_response``: nothing is sent before all is there, so an error may still replace it."""
        if self.status and exc_info is None:
            raise AssertionError("start_response was called a second time, without exc_info")
        number = int(status[:3])
        if not 200 <= number <= 599:
            raise ValueError(f"the status is {status!r}, expected one from 200 to 599")
        self.status, self.headers = number, list(headers)
        return self.written.append


def begin(app: Any, environ: dict[str, Any]) -> Begun:
    """Call ``app``; raises what it raises."""
    begun = Begun()
    begun.pieces = app(environ, begun.start_response)
    return begun


def finish(begun: Begun, command: str) -> Answer:
    """Take all that the application gives to a request with the method ``command``; raises what it raises."""
    pieces = begun.pieces
    if type(pieces) is tuple and len(pieces) == 1 and type(pieces[0]) is bytes:
        body = pieces[0]
    else:
        body = _joined(pieces)
    if not begun.status:
        raise AssertionError("the application gave an answer without start_response")
    if begun.written:
        body = b"".join((*begun.written, body))
    if ("Content-Length", str(len(body))) not in begun.headers:
        _expect_true_length(begun, len(body), command)
    begun.headers.append(SERVER)
    return Answer(begun.status, begun.headers, body)


def _expect_true_length(begun: Begun, length: int, command: str) -> None:
    """granian sends what it is given, and what a client takes for the end of an answer would not be that."""
    if command == "HEAD" or begun.status in _BODILESS:
        return
    for name, told in begun.headers:
        if name.lower() == "content-length" and told != str(length):
            raise ValueError(f"the application announced {told} bytes and gave {length}")


def _joined(pieces: Iterable[bytes]) -> bytes:
    try:
        return b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def answer_of(error: HttpError) -> Answer:
    """``error`` as a whole answer."""
    return Answer(error.status, [("content-type", "application/json"), *error.headers, SERVER], error.body)
