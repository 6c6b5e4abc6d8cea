"""A request as it arrives, byte by byte, and every reason to refuse it early. Entered by the loop thread alone."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from waitress.receiver import FixedStreamReceiver

from daemon.http.body import NO_BODY, Body
from daemon.http.environ import environ_of_head
from daemon.http.terms import Terms
from daemon.http.values import (
    INTERNAL_ERROR,
    NOT_STORED,
    Admission,
    HttpError,
    bad_request,
    refusal_of,
    too_large,
)

LOG = logging.getLogger("modeldrop.http")
NOT_YET = Admission(0)
"""What holds until the guard has spoken."""

_MADE_OF_HEAD = (
    "first_line",
    "headers",
    "command",
    "request_uri",
    "version",
    "proxy_scheme",
    "proxy_netloc",
    "path",
    "query",
    "fragment",
    "url_scheme",
    "connection_close",
    "content_length",
    "expect_continue",
    "head_environ",
)
"""What is made of a head that announces a body of known length, or none."""

_END_OF_HEAD = b"\r\n\r\n"
CHUNK_LINE_BYTES = 4096
"""The longest line that may announce a chunk; waitress itself knows no bound."""


class Request(HTTPRequestParser):
    """One request of one connection. The loop thread fills it, then hands it to the thread that answers it.

    ``room_made`` is called, by the spool's thread, when it no longer ``lags``.
    ``error`` is an ``HttpError`` where waitress keeps its own. ``whole`` says that nothing more of it will come, so
    that the connection can be kept after a refusal. ``arrived`` is when it was to be answered (``time.perf_counter``).
    """

    # A line that cannot be parsed leaves these as they are, and whoever answers it asks for them.
    command: Any = ""
    path = ""
    query = ""
    request_uri = ""
    error: Any
    headers: Any
    body_rcv: Any
    whole = False
    arrived = 0.0

    def __init__(self, adj: Adjustments, terms: Terms, peer: str, room_made: Callable[[], None]) -> None:
        super().__init__(adj)
        self._terms = terms
        self._peer = peer
        self._room_made = room_made
        self._body: Body | None = None
        self._admitted = NOT_YET
        self._since = time.monotonic()

    @property
    def begun(self) -> bool:
        """Whether a byte of it came that is more than the line break some clients send between requests."""
        return self.headers_finished or bool(self.header_plus.strip())

    @property
    def lags(self) -> bool:
        """Whether its body comes faster than the disk takes it."""
        return self._body is not None and self._body.lags

    def settle(self) -> None:
        """Wait until the body is stored, and refuse the request if it cannot be. For the thread that serves it."""
        if self.error is not None or self._body is None or self._body.in_memory:
            return
        try:
            self._body.getfile()
        except OSError as error:
            self.error = _not_stored(error)
            self.whole = True

    def overdue(self, now: float) -> bool:
        """Whether it comes too slowly; ``now`` is ``time.monotonic()``."""
        limits = self._terms.limits
        allowed = limits.header_seconds
        if self.headers_finished:
            allowed += self.body_bytes_received / limits.body_bytes_per_second
        return now - self._since > allowed

    def hold(self, now: float) -> None:
        """Start its clock anew at ``now``: up to then the server itself took no byte of it."""
        self._since = now

    def parse_header(self, header_plus: bytes) -> None:
        """Parse a head; what is made of it is kept for the next one of the same bytes."""
        super().parse_header(header_plus)
        if self.path.startswith("/"):
            # waitress will do so for PATH_INFO: guard, pools and application must judge one path.
            self.path = "/" + self.path.lstrip("/")
        is_usual = not (self.chunked or self.expect_continue or "TRANSFER_ENCODING" in self.headers)
        if is_usual and self.content_length < self.adj.max_request_body_size:
            self.head_environ = environ_of_head(self)
            made = {name: self.__dict__[name] for name in _MADE_OF_HEAD if name in self.__dict__}
            self._terms.heads.keep(header_plus, made, len(header_plus))

    def _take_head(self, data: bytes) -> int:
        """Take the next bytes of the head, as waitress does; what was parsed before is not parsed again."""
        end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        known = self._terms.heads.get(data[:end])
        if known is None or self.header_plus:
            return super().received(data)
        self.__dict__.update(known)
        self.header_bytes_received = end
        self.headers_finished = True
        if self.content_length:
            self.body_rcv = FixedStreamReceiver(self.content_length, NO_BODY)  # type: ignore[arg-type]
        else:
            self.completed = True
        return end

    @cached_property
    def head_environ(self) -> Mapping[str, Any]:
        """What the application gets of it beside its body and its client; for the thread that answers."""
        return environ_of_head(self)

    def received(self, data: bytes) -> int:
        """Take the next bytes; return how many of them were this request's, refused or not."""
        if self.completed:
            return 0
        in_header = not self.headers_finished
        try:
            taken = self._take_head(data) if in_header else super().received(data)
        except ValueError as error:
            # waitress lets through what int() and urlsplit() say to absurd lengths and to "http://[".
            return self._refuse(bad_request(str(error)), len(data))
        except OSError as error:
            return self._refuse(_not_stored(error), len(data))
        if self.error is not None:
            return self._refuse(refusal_of(self.error, self._terms.limits.header_bytes), len(data))
        if self.empty or not self.headers_finished:
            return taken
        refusal = self._check_header() if in_header else self._check_body()
        if refusal is None:
            follows = in_header and taken < len(data) and not (self.completed or self.chunked or self.expect_continue)
            return taken + self.received(data[taken:]) if follows else taken
        self.whole = in_header and self.body_rcv is None
        return self._refuse(refusal, taken if self.whole else len(data))

    def _refuse(self, error: HttpError, taken: int) -> int:
        self.error = error
        self.completed = True
        self.expect_continue = False  # else the channel would ask for the body that was just refused
        return taken

    def _check_header(self) -> HttpError | None:
        """Return why the request is refused before its body is read; set up the body's place if it is not."""
        if "TRANSFER_ENCODING" in self.headers:  # waitress takes it away from HTTP/1.1 requests only
            return self._unframed(f"HTTP/{self.version} has no transfer encodings")
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            # RFC 9112, 6.3: two lengths are how requests are smuggled past a proxy.
            return self._unframed("it has both a content length and a transfer encoding")
        if self.body_rcv is None:
            self.expect_continue = False  # waitress would ask for a body that will never come, and wait
        admission = self._admission()
        if admission.refusal is not None:
            return admission.refusal
        if self.content_length > admission.max_body_bytes:
            return too_large(admission, announced=self.content_length)
        self._admitted = admission
        if self.body_rcv is not None:
            self._body = self.body_rcv.buf = Body(
                self._terms.spool, self._room_made, length=None if self.chunked else self.content_length
            )
        return None

    def _unframed(self, why: str) -> HttpError:
        """Refuse a request whose end nobody can tell: the connection cannot be kept."""
        self.body_rcv = self.body_rcv or NO_BODY
        return bad_request(why)

    def _admission(self) -> Admission:
        try:
            return self._terms.guard(self.command, self.path, self.query, self.headers, self._peer)
        except Exception:
            LOG.exception("the guard failed at %s %s", self.command, ascii(self.path))
            return Admission(0, INTERNAL_ERROR)

    def _check_body(self) -> HttpError | None:
        """Return why a chunked body is refused halfway; one of a declared length was checked before it came."""
        if not self.chunked:
            return None
        body = self.body_rcv
        if len(body) + body.chunk_remainder > self._admitted.max_body_bytes:
            return too_large(self._admitted)
        if len(body.control_line) > CHUNK_LINE_BYTES or len(body.trailer) > self._terms.limits.header_bytes:
            return bad_request("a chunk's line or the trailer is too long")
        return None


def _not_stored(error: OSError) -> HttpError:
    LOG.error("a request's body could not be stored: %s", error.strerror)
    return NOT_STORED
