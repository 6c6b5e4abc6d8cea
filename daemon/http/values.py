"""Plain values of the HTTP layer: its limits, its errors and what a guard decides. Safe to share between threads."""

import json
import math
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server allows itself and its clients. How large a body may be is the guard's to say, per request."""

    threads: int = 8
    slow_threads: int = 8
    max_queue: int = 1000
    """Requests that may wait for a thread; one more is answered 503."""
    max_slow_queue: int = 64
    connection_limit: int = 4096
    """Connections open at once; past it the longest idle one makes room."""
    header_bytes: int = 64 << 10
    header_seconds: float = 20.0
    """From a request's first byte to the end of its header."""
    body_bytes_per_second: int = 500
    """The slowest average at which a body may come, after ``header_seconds`` of grace."""
    idle_seconds: float = 120.0
    """How long a connection may neither take nor bring a byte while no request of it runs."""
    drain_seconds: float = 10.0
    grace_seconds: float = 0.25
    """How long a drain leaves a silent connection open: a request may be on the wire already."""
    linger_seconds: float = 30.0
    """How long a connection that was answered early may go on sending what nobody reads."""
    linger_idle_seconds: float = 5.0
    linger_bytes: int = 4096 * MIB
    recv_bytes: int = 64 << 10
    spool_bytes: int = 512 << 10
    """A body longer than this goes to a file, unless memory is lent to it."""
    largest_loan_bytes: int = 16 * MIB
    """No more memory is lent to one body, which must announce its length."""
    lent_bytes: int = 64 * MIB
    """So much is lent to all of them."""
    backlog: int = 1024


@dataclass(frozen=True, slots=True)
class HttpError:
    """An answer that the HTTP layer gives by itself, as ``{"error": …, "code": …}``."""

    status: int
    reason: str
    code: str
    error: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        """The answer's JSON, UTF-8."""
        text = json.dumps({"error": self.error, "code": self.code}, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Admission:
    """What the guard says to a request whose header is complete: how long its body may be, or why it is refused.

    ``setting`` is the name of what the length is set by, for whoever is refused for it.
    """

    max_body_bytes: int
    refusal: HttpError | None = None
    setting: str = ""


Guard = Callable[[str, str, str, Mapping[str, str], str], Admission]
"""``guard(method, path, query, headers, peer)``: called by the loop thread, so it may not block.

``path`` is what the application will see as ``PATH_INFO``; ``headers`` has upper-case names with underscores;
``peer`` is the client's address without its port, or ``unix``.
"""

IsSlow = Callable[[str, str, str], bool]
"""``is_slow(method, path, query)``: whether a request belongs to the pool for those that may take long."""

Expected = Callable[[str, str], float]
"""``expected_seconds(method, path)``: how long a thread is at work on a request that came as a whole and waits for
nothing; infinity where that is not known, or it may wait. For any thread, which it may not block."""

OnRefusal = Callable[[str, str, HttpError], None]
"""``on_refusal(method, path, error)``: called for each request that the HTTP layer answers itself; both are empty of
one that could not be read. For any thread, which it may not block.
"""


def ignore_refusal(_method: str, _path: str, _error: HttpError) -> None:
    """Nobody wants to know."""


def nobody_knows(_method: str, _path: str) -> float:
    """Whatever it is, a thread of a pool answers it."""
    return math.inf


class Grouping(Protocol):
    """Which requests are best answered together. For any thread, which it may not block."""

    @property
    def wait_seconds(self) -> float:
        """How long the first of a kind waits for others, where nobody is before it."""

    def kind_of(self, method: str, path: str, /) -> Hashable | None:
        """What a request has in common with those it can be answered together with; None where there are none."""

    def most(self, kind: Hashable, /) -> int:
        """How many of a kind are best answered together."""

    def abreast(self, kind: Hashable, /) -> int:
        """How many groups of a kind are best answered side by side, if there are as many full ones."""

    def together(self, kind: Hashable, /) -> AbstractContextManager[object]:
        """What those find in their environment under ``TOGETHER`` that are answered within the block."""


class _NoGroups:
    wait_seconds = 0.0

    def kind_of(self, _method: str, _path: str) -> None:
        """Each request is answered alone."""

    def most(self, _kind: Hashable) -> int:
        return 1

    def abreast(self, _kind: Hashable) -> int:
        return 1

    def together(self, _kind: Hashable) -> AbstractContextManager[object]:
        return nullcontext()


NO_GROUPS: Grouping = _NoGroups()
"""Each request is answered alone."""


def bad_request(why: str) -> HttpError:
    """Return the answer to a request that is not HTTP as this server reads it; ``why`` completes the sentence."""
    return HttpError(400, "Bad Request", "bad_request", f"the request is malformed: {why[:1].lower()}{why[1:]}")


def too_large(admission: Admission, *, announced: int | None = None) -> HttpError:
    """Return the answer to a body over what it was admitted with; ``announced`` is the length that the client gave."""
    came = "more came" if announced is None else f"{announced} were announced"
    bound = f" ({admission.setting})" if admission.setting else ""
    error = f"the body is too large: at most {admission.max_body_bytes} bytes are taken here{bound}, {came}"
    return HttpError(413, "Content Too Large", "too_large", error)


def headers_too_large(limit: int) -> HttpError:
    """Return the answer to a request whose line and header fields exceed ``limit`` bytes."""
    error = f"the request line and header fields are too large: at most {limit} bytes are taken"
    return HttpError(431, "Request Header Fields Too Large", "headers_too_large", error)


NOT_IMPLEMENTED = HttpError(
    501, "Not Implemented", "not_implemented", "the transfer encoding is not known here: only chunked is"
)


def refusal_of(error: Any, header_bytes: int) -> HttpError:
    """Turn the verdict of waitress' parser (``waitress.utilities.Error``) into the JSON that this server speaks."""
    if error.code == 431:
        return headers_too_large(header_bytes)
    if error.code == 501:
        return NOT_IMPLEMENTED
    return bad_request(error.body)


INTERNAL_ERROR = HttpError(
    500, "Internal Server Error", "internal_error", "the request could not be answered: the log says why"
)
TIMED_OUT = HttpError(408, "Request Timeout", "request_timeout", "the body came too slowly")
STOPPED = HttpError(503, "Service Unavailable", "overloaded", "the server stopped before it came to this request")
NOT_STORED = HttpError(507, "Insufficient Storage", "insufficient_storage", "the body could not be stored")


def overloaded(waiting: int) -> HttpError:
    """Return the answer to a request that found ``waiting`` others before it."""
    error = f"too many requests wait for a thread: {waiting}; come again in a second"
    return HttpError(503, "Service Unavailable", "overloaded", error, (("Retry-After", "1"),))
