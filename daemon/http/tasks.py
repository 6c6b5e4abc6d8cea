"""How an answer goes to its client, whoever makes it, and the HTTP layer's own. For the thread that serves the request.

An answer has two halves, so that several requests can be answered together: each is begun before one is finished.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from waitress.channel import ClientDisconnected
from waitress.task import Task
from waitress.utilities import build_http_date

from daemon.errors import HandOver
from daemon.http.environ import SERVER
from daemon.http.ports import Outlet
from daemon.http.request import Request
from daemon.http.values import INTERNAL_ERROR, HttpError

LOG = logging.getLogger("modeldrop.http")

PACKET_BYTES = 64 << 10
"""An answer up to here is sent as one piece: half the calls, half the packets. A longer one, from where it lies."""
_BODILESS = ("1", "204", "304")
"""How the statuses begin of answers that have no body."""


class Answer(Task):
    """What both kinds of answers share. Lives for one request, in one thread."""

    channel: Outlet  # type: ignore[assignment]  # all that is used of it here; waitress uses more
    request: Request  # type: ignore[assignment]  # its stubs speak of an error alone
    response_headers: Any

    @property
    def has_body(self) -> bool:
        """Whether an answer of its status has a body."""
        return not self.status.startswith(_BODILESS)

    def begin(self) -> None:
        """The first half; a failure is told to the client in the second."""
        self.start()

    def give(self) -> None:
        """The second half: the answer is sent; a failure is logged once and told if nothing was sent yet."""
        self._guarded(self._run)

    def _run(self) -> None:
        self.execute()
        self.finish()

    def execute(self) -> None:
        raise NotImplementedError

    def _guarded(self, half: Callable[[], None]) -> None:
        try:
            half()
        except ClientDisconnected:
            self.close_on_finish = True
        except HandOver:
            raise
        except BaseException:  # whatever the application raises, the pool's thread must outlive it
            LOG.exception("the application failed at %s %s", self.request.command, ascii(self.request.path))
            self._fail()

    def _fail(self) -> None:
        if self.wrote_header:
            self.close_on_finish = True  # the client sees an answer cut short, which is the truth
            return
        try:
            self.answer(INTERNAL_ERROR)
            self.finish()
        except ClientDisconnected:
            self.close_on_finish = True

    def answer(self, error: HttpError) -> None:
        """Send ``error`` as the whole answer."""
        self.complete = True
        self.chunked_response = False  # a header that failed halfway may have chosen otherwise
        self.status = f"{error.status} {error.reason}"
        self.response_headers = [("Content-Type", "application/json"), *error.headers]
        body = error.body
        self.content_length = len(body)
        if self.close_on_finish:
            self.set_close_on_finish()
        self.write(body)

    def build_response_header(self) -> bytes:
        if self.channel.ends_with_this_answer:
            self.set_close_on_finish()
        is_plain = (
            self.version == "1.1"
            and self.content_length is not None
            and not self.close_on_finish
            and "CONNECTION" not in self.request.headers
            and self.has_body
        )
        return self._plain_header() if is_plain else super().build_response_header()

    def _plain_header(self) -> bytes:
        """What waitress makes of an answer of known length on a connection that is kept, in fewer steps."""
        fields = _written(tuple(self.response_headers))
        length = f"Content-Length: {self.content_length}\r\n"
        return f"HTTP/1.1 {self.status}\r\n{fields}{length}{_served_and_dated(int(self.start_time))}".encode("latin-1")

    def write(self, data: bytes) -> None:
        if self.request.command == "HEAD":
            super().write(b"")
        elif len(data) > PACKET_BYTES and self._is_to_come(data):
            self._write_large(data)
        elif self.wrote_header or not data:
            super().write(data)
        elif len(data) == self.content_length and len(data) <= PACKET_BYTES and self.complete and self.has_body:
            header = self.build_response_header()
            self.wrote_header = True
            self.content_bytes_written = len(data)
            self.channel.send_whole(header + data)
        else:
            super().write(data)

    def _is_to_come(self, data: bytes) -> bool:
        """Whether ``data`` is, as it lies, a part of an answer of known length."""
        return self.complete and self.has_body and len(data) <= (self.content_length or 0) - self.content_bytes_written

    def _write_large(self, data: bytes) -> None:
        if not self.wrote_header:
            self.channel.write_soon(self.build_response_header())
            self.wrote_header = True
        self.content_bytes_written += len(data)
        self.channel.send_large(data)

    def finish(self) -> None:
        if self.request.command != "HEAD":
            super().finish()
        elif not self.wrote_header:
            self.write(b"")  # and no last chunk, whatever the header promises a GET


class Refusal(Answer):
    """An answer by the HTTP layer itself: ``request.error``, with the connection kept where that is safe."""

    complete = True

    def execute(self) -> None:
        self.channel.answered_early = not self.request.whole
        self.close_on_finish = not self.request.whole or len(self.channel.requests) > 1
        self.channel.server.terms.on_refusal(self.request.command, self.request.path, self.request.error)
        self.answer(self.request.error)


@lru_cache(maxsize=256)
def _written(headers: tuple[tuple[str, str], ...]) -> str:
    """Fields as they go over the wire; those of one release are the same for every answer."""
    for name, value in headers:
        if "\n" in name + value or "\r" in name + value:
            raise ValueError(f"the header {name!r} has a line break in it")
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


@lru_cache(maxsize=4)
def _served_and_dated(second: int) -> str:
    """The end of a head."""
    return f"Server: {SERVER}\r\nDate: {build_http_date(second)}\r\n\r\n"
