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

from daemon.http.body import Body, gather
from daemon.http.linger import Linger
from daemon.http.terms import Terms
from daemon.http.values import INTERNAL_ERROR, NOT_STORED, TIMED_OUT, Admission, HttpError, bad_request, too_large
from daemon.native.stream import Stream

LOG = logging.getLogger("modeldrop.http")

Settled = Callable[[HttpError | None], None]
"""Called once, when the body is whole (None) or when it will not be, and why."""

Inflows = dict[int, "Inflow"]
"""Those that wait for their clients, by identity. Whoever takes one out settles it; taking is one step."""


class Inflow:
    """One body: in memory where it was announced as short, else in a ``Body``: in memory that is lent, or spooled.

    granian reads no more from the client than was asked for, so what waits for the disk is bounded by one piece.
    ``client`` sends it. ``length`` is None for a body that comes in chunks, which may have as many bytes as its
    ``admission`` says.
    """

    def __init__(
        self,
        proto: Any,
        terms: Terms,
        inflows: Inflows,
        client: str,
        *,
        length: int | None,
        admission: Admission,
        settled: Settled,
    ) -> None:
        self._stream = Stream(proto)
        self._terms = terms
        self._inflows = inflows
        self.client = client
        self._length = length
        self._admission = admission
        self._settled: Settled | None = settled  # until it is called: it refers to who refers to this one
        self.received = 0
        self._since = time.monotonic()
        self._pieces: list[bytes | bytearray] = []
        is_short = length is not None and length <= terms.spool.spool_bytes
        self._body = None if is_short else Body(terms.spool, self._room_made, length=length)
        self._turn = Lock()
        self._held = False  # guarded by _turn
        self._linger: Linger | None = None
        self._has_started = self._has_ended = False

    @property
    def lingers(self) -> bool:
        """Whether its client was answered and still sends."""
        return self._linger is not None

    def start(self) -> None:
        """Ask for the first piece."""
        self._has_started = True
        self._inflows[id(self)] = self
        self._stream.start()
        self._stream.ask(self._came)

    def file(self) -> Any:
        """The whole body, to be read from its beginning. Raises OSError if it could not be stored."""
        return BytesIO(b"".join(self._pieces)) if self._body is None else self._body.getfile()

    def look(self, now: float) -> None:
        """Give up a client that takes too long; ``now`` is ``time.monotonic()``. For the main thread."""
        if self._linger is not None:
            if self._linger.overdue(now):
                self.close()
        elif not self._held and now - self._since > self._allowed_seconds():
            self._settle(TIMED_OUT)

    def swallow(self) -> None:
        """Take what the client still sends and throw it away, within bounds: it was answered, and closing at once would
        make it lose that answer. For granian's thread, and the spool's."""
        self._linger = Linger(self._terms.limits)
        self._forget()
        if self._has_ended:
            self.close()
        elif not self._has_started:
            self.start()
        else:
            self._inflows[id(self)] = self
            self._stream.ask(self._came)

    def close(self) -> None:
        """Take no more and forget what was taken; a second call does nothing. For whoever has it, and the main thread.

        Where more was to come, the connection ends with the answer, or is over already.
        """
        self._inflows.pop(id(self), None)
        self._stream.close()
        self._forget()

    def _allowed_seconds(self) -> float:
        limits = self._terms.limits
        return limits.header_seconds + self.received / limits.body_bytes_per_second

    def _came(self, pending: Any) -> None:
        """Called with every piece; granian keeps what it raises to itself."""
        try:
            piece = self._stream.take(pending)
            if piece is None or id(self) not in self._inflows:
                return
            if self._linger is not None:
                self._throw_away(piece)
            else:
                self._take(piece)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        settled = self._taken_out()
        if settled is None:  # it was closed meanwhile, and that is what failed
            return
        if isinstance(error, OSError):
            LOG.error("a request's body could not be stored: %s", error.strerror)
            settled(NOT_STORED)
        else:
            LOG.error("a request's body could not be taken", exc_info=error)
            settled(INTERNAL_ERROR)

    def _take(self, piece: bytes) -> None:
        if not piece:
            self._has_ended = True
            self._settle(self._why_ended())
            return
        self.received += len(piece)
        if self.received > self._admission.max_body_bytes:
            self._settle(too_large(self._admission))
            return
        body = self._body
        if body is None:
            gather(self._pieces, piece)
        else:
            body.append(piece)
        if self.received == self._length:
            self._settle(None)
        elif body is None or not self._holds(body):
            self._stream.ask(self._came)

    def _why_ended(self) -> HttpError | None:
        if self._length is not None:
            return bad_request("its body ended early")
        trailer = bad_request("its body ended early, or in a trailer, which is not taken here")
        return None if self._stream.has_ended() else trailer

    def _holds(self, body: Body) -> bool:
        """Whether to wait until the disk has caught up; the spool's thread then goes on."""
        with self._turn:
            self._held = body.lags
            return self._held

    def _room_made(self) -> None:
        with self._turn:
            held = self._held
            self._since = time.monotonic()  # up to now the server itself took no byte
            self._held = False
        if held and id(self) in self._inflows:
            try:
                self._stream.ask(self._came)
            except BaseException as error:  # the spool's thread must outlive it
                self._fail(error)

    def _throw_away(self, piece: bytes) -> None:
        assert self._linger is not None
        if piece and self._linger.took(len(piece)):
            self._stream.ask(self._came)
        else:
            self.close()

    def _settle(self, error: HttpError | None) -> None:
        settled = self._taken_out()
        if settled is not None:
            settled(error)

    def _taken_out(self) -> Settled | None:
        """Whom to tell what came of it; None where somebody else does, or did."""
        if self._inflows.pop(id(self), None) is None:
            return None
        settled, self._settled = self._settled, None
        return settled

    def _forget(self) -> None:
        self._settled = None
        self._pieces = []
        body, self._body = self._body, None  # which refers to this one
        if body is not None:
            body.close()
