"""How the application is called for an answer (PEP 3333). For the thread that serves the request."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from daemon.errors import ARRIVED
from daemon.http.environ import environ_of
from daemon.http.tasks import Answer

LOG = logging.getLogger("modeldrop.http")


class AppAnswer(Answer):
    """An answer by the application, which is called in the first half; what it gives is gone through in the second.

    ``marks`` are added to what it is called with.
    """

    _pieces: Iterable[bytes] | None = None

    def __init__(self, channel: Any, request: Any, marks: Mapping[str, object]) -> None:
        super().__init__(channel, request)
        self._marks = marks

    def begin(self) -> None:
        super().begin()
        self._guarded(self._call)

    def give(self) -> None:
        if self._pieces is not None:  # else it failed, and its client knows
            super().give()

    def _call(self) -> None:
        environ = environ_of(self.request, self.channel.addr, self.channel.server.effective_port)
        environ.update(self._marks)
        environ[ARRIVED] = self.request.arrived
        self._pieces = self.channel.server.application(environ, self._start_response)

    def _start_response(
        self, status: str, headers: Sequence[tuple[str, str]], failure: Any = None
    ) -> Callable[[bytes], None]:
        """``start_response`` of PEP 3333: once, or once more with ``failure`` as long as nothing was sent."""
        if self.wrote_header and failure:
            raise failure[1]
        if self.complete and not failure:
            raise AssertionError("start_response was called twice")
        self.complete = True
        self.status = status
        self.content_length, self.response_headers = _parted(headers)
        return self.write

    def execute(self) -> None:
        assert self._pieces is not None
        try:
            is_whole = isinstance(self._pieces, list | tuple) and self.request.command != "HEAD"
            if is_whole and self.content_length is None:
                self.content_length = sum(map(len, self._pieces))
            for piece in self._pieces:
                if piece:
                    self.write(piece)
            self._expect_all_written()
        finally:
            if hasattr(self._pieces, "close"):
                self._pieces.close()

    def _expect_all_written(self) -> None:
        length, written = self.content_length, self.content_bytes_written
        if length is not None and length != written and self.request.command != "HEAD" and self.has_body:
            self.set_close_on_finish()  # so that the client does not wait for the rest
            LOG.warning("the application announced %d bytes and gave %d", length, written)


def _parted(headers: Sequence[tuple[str, str]]) -> tuple[int | None, list[tuple[str, str]]]:
    """The length that they tell, if they do, and the others."""
    *others, last = headers or [("", "")]
    if last[0] == "Content-Length" and not _have_length(tuple(others)):
        return int(last[1]), others
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    return (lengths[-1] if lengths else None), [each for each in headers if each[0].lower() != "content-length"]


@lru_cache(maxsize=256)
def _have_length(headers: tuple[tuple[str, str], ...]) -> bool:
    return any(name.lower() == "content-length" for name, _ in headers)
