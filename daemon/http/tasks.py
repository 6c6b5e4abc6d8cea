"""How a request becomes an answer, the application's or a JSON error. For the thread that serves the request."""

import logging
from typing import Any

from waitress.channel import ClientDisconnected
from waitress.task import ErrorTask, Task, WSGITask

from daemon.errors import AT_ONCE, HandOver
from daemon.http.ports import Outlet
from daemon.http.values import INTERNAL_ERROR, HttpError

LOG = logging.getLogger("modeldrop.http")


class _Answer(Task):
    """What both kinds of answers share. Lives for one request, in one thread."""

    channel: Outlet  # type: ignore[assignment]  # all that is used of it here; waitress uses more
    request: Any
    response_headers: Any

    def execute(self) -> None:
        raise NotImplementedError

    def service(self) -> None:
        """Answer; a failure is logged once and told to the client if nothing was sent yet."""
        try:
            self._run()
        except ClientDisconnected:
            self.close_on_finish = True
        except HandOver:
            raise
        except BaseException:  # whatever the application raises, the pool's thread must outlive it
            LOG.exception("the application failed at %s %s", self.request.command, ascii(self.request.path))
            self._fail()

    def _run(self) -> None:
        self.start()
        self.execute()
        self.finish()

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
        return super().build_response_header()

    def write(self, data: bytes) -> None:
        if self.wrote_header or not data or self.request.command == "HEAD":
            super().write(b"" if self.request.command == "HEAD" else data)
            return
        with self.channel.one_packet():
            super().write(data)

    def finish(self) -> None:
        if self.request.command != "HEAD":
            super().finish()
        elif not self.wrote_header:
            self.write(b"")  # and no last chunk, whatever the header promises a GET


class AppTask(_Answer, WSGITask):
    """An answer by the application."""

    def execute(self) -> None:
        WSGITask.execute(self)

    def get_environment(self) -> dict[str, Any]:
        environ = super().get_environment()
        if self.request.command == "HEAD":
            environ.pop("wsgi.file_wrapper", None)  # waitress sends a wrapped file even to HEAD
        environ.pop("waitress.client_disconnected", None)  # it would never say yes: a busy connection is not read
        environ[AT_ONCE] = self.channel.answers_at_once
        return environ


class RefusalTask(_Answer, ErrorTask):
    """An answer by the HTTP layer itself: ``request.error``, with the connection kept where that is safe."""

    complete = True

    def execute(self) -> None:
        self.channel.answered_early = not self.request.whole
        self.close_on_finish = not self.request.whole or len(self.channel.requests) > 1
        self.answer(self.request.error)
