"""The body of a request as it arrives, piece by piece, and every reason not to take it.

Granian's thread brings the pieces; the spool's asks for more when the disk has caught up; the main thread looks at the
clock; the serving thread reads what was taken.
"""

import logging
import time
from collections.abc import Callable
from io import BytesIO
from threading import Lock
from typing import Any

from daemon.http.body import Body
from daemon.http.linger import Linger
from daemon.http.terms import Terms
from daemon.http.values import NOT_STORED, TIMED_OUT, HttpError, bad_request, too_large

LOG = logging.getLogger("modeldrop.http")

Settled = Callable[[HttpError | None], None]
"""Called once, when the body is whole (None) or when it will not be, and why."""

Inflows = dict[int, "Inflow"]
"""Those that wait for their clients, by identity. Whoever takes one out settles it; taking is one step."""


class Inflow:
    """One body: in memory where it was announced as short, else by way of ``Body`` to the spool.

    granian reads no more from the client than was asked for, so memory stays bounded by one piece. ``length`` is None
    for a body that comes in chunks, which may have ``limit`` bytes.
    """

    def __init__(
        self,
        proto: Any,
        client: str,
        terms: Terms,
        inflows: Inflows,
        *,
        length: int | None,
        limit: int,
        settled: Settled,
    ) -> None:
        self._proto = proto
        self.client = client
        self._terms = terms
        self._inflows = inflows
        self._length = length
        self._limit = limit
        self._settled = settled
        self.received = 0
        self._since = time.monotonic()
        self._pieces: list[bytes] = []
        is_short = length is not None and length <= terms.spool.spool_bytes
        self._body = None if is_short else Body(terms.spool, self._room_made)
        self._turn = Lock()
        self._held = False  # guarded by _turn
        self._linger: Linger | None = None
        self._has_started = self._has_ended = False
        self._pending: Any = None

    def start(self) -> None:
        """Ask for the first piece."""
        self._has_started = True
        self._inflows[id(self)] = self
        self._proto.__aiter__()
        self._ask()

    def file(self) -> Any:
        """The whole body, to be read from its beginning. Raises OSError if it could not be stored."""
        return BytesIO(b"".join(self._pieces)) if self._body is None else self._body.getfile()

    def look(self, now: float) -> None:
        """Give up a client that takes too long; ``now`` is ``time.monotonic()``. For the main thread."""
        if self._linger is not None:
            if self._linger.overdue(now):
                self.abandon()
        elif not self._held and now - self._since > self._allowed_seconds():
            self._settle(TIMED_OUT)

    def swallow(self) -> None:
        """Take what the client still sends and throw it away, within bounds: it was answered, and closing at once would
        make it lose that answer. For granian's thread."""
        self._linger = Linger(self._terms.limits)
        self._forget()
        if self._has_ended:
            self.abandon()
        elif not self._has_started:
            self.start()
        else:
            self._inflows[id(self)] = self
            self._ask()

    def abandon(self) -> None:
        """Take no more: the connection ends with the answer, or is over already."""
        self._inflows.pop(id(self), None)
        pending, self._pending, self._proto = self._pending, None, None
        if pending is not None:
            pending.cancel()

    def close(self) -> None:
        """Forget what was taken; a second call does nothing."""
        self._forget()
        self._proto = None

    def _allowed_seconds(self) -> float:
        limits = self._terms.limits
        return limits.header_seconds + self.received / limits.body_bytes_per_second

    def _ask(self) -> None:
        self._pending = pending = self._proto.__anext__()
        pending.add_done_callback(self._came)

    def _came(self, pending: Any) -> None:
        """Called with every piece; granian keeps what it raises to itself."""
        self._pending = None
        if pending.cancelled() or id(self) not in self._inflows:
            return
        try:
            piece = pending.result()
            if self._linger is not None:
                self._throw_away(piece)
            else:
                self._take(piece)
        except OSError as error:
            LOG.error("a request's body could not be stored: %s", error.strerror)
            self._settle(NOT_STORED)
        except Exception:
            LOG.exception("a request's body could not be taken")
            self._settle(bad_request("its body could not be taken"))

    def _take(self, piece: bytes) -> None:
        if not piece:
            self._has_ended = True
            self._settle(self._why_ended())
            return
        self.received += len(piece)
        if self.received > self._limit:
            self._settle(too_large(self._limit))
            return
        if self._body is None:
            self._pieces.append(piece)
        else:
            self._body.append(piece)
        if self.received == self._length:
            self._settle(None)
        elif not self._holds():
            self._ask()

    def _why_ended(self) -> HttpError | None:
        """An empty piece is the end, or a failure of the connection, or a trailer: the last two look alike."""
        if self._length is not None:
            return bad_request("its body ended early")
        try:
            self._proto.__anext__()
        except StopAsyncIteration:
            return None
        return bad_request("its body ended early, or in a trailer, which is not taken here")

    def _holds(self) -> bool:
        """Whether to wait until the disk has caught up; the spool's thread then goes on."""
        if self._body is None:
            return False
        with self._turn:
            self._held = self._body.lags
            return self._held

    def _room_made(self) -> None:
        with self._turn:
            held = self._held
            self._since = time.monotonic()  # up to now the server itself took no byte
            self._held = False
        if held and id(self) in self._inflows:
            self._ask()

    def _throw_away(self, piece: bytes) -> None:
        assert self._linger is not None
        if piece and self._linger.took(len(piece)):
            self._ask()
        else:
            self.abandon()

    def _settle(self, error: HttpError | None) -> None:
        if self._inflows.pop(id(self), None) is not None:
            self._settled(error)

    def _forget(self) -> None:
        self._pieces = []
        if self._body is not None:
            self._body.close()
