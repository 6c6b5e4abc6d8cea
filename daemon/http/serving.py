"""The half of a connection that the thread serving its request enters: writing the answer, passing on the next one."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel

from daemon.errors import HandOver
from daemon.http.ports import Acceptor
from daemon.http.request import Request
from daemon.http.tasks import AppTask, RefusalTask

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

PACKET_BYTES = 64 << 10
"""A header and a body shorter than this together are sent by one call."""


class ServingHalf(HTTPChannel):
    """Hands requests to the pools and answers to the socket; ``Channel`` is the other half, the loop's.

    One thread at a time serves the first of ``requests``; waitress' locks cover what it and the loop both touch. The
    socket is closed by the loop alone.
    """

    task_class = AppTask
    error_task_class = RefusalTask
    server: Acceptor  # type: ignore[assignment]  # stands where waitress has its server
    request: Request | None
    requests: list[Request]
    answered_early = False
    """Whether an answer was given before its request had come as a whole."""
    answers_at_once = False
    """Whether it is the loop that answers the first request."""

    _due: deque[bool]
    _held: list[bytes] | None = None

    # waitress' own, which its stubs leave out or call by half their type.
    socket: Any
    _fileno: int | None
    _flush_some_if_lockable: Any
    _flush_exception: Any

    def task_due(self) -> None:
        """Note that the first of ``requests`` is ready. Called under waitress' lock: not the place to act."""
        self._due.append(True)

    def service(self) -> None:
        """Answer the first request; a pool's thread calls this."""
        several = len(self.requests) > 1
        try:
            self.requests[0].settle()
            super().service()
            if several and not self._due:
                self.discard()  # the connection closed: no thread will come for the others
            self._hand_over_next()
        except HandOver:
            raise
        except BaseException:
            self.will_close = True
            raise
        finally:
            self.server.poller.changed(self)

    def discard(self) -> None:
        """Let go of requests that no thread will answer."""
        for request in self.requests:
            request.close()

    def write_soon(self, data: bytes) -> int:
        if self._held is not None and not isinstance(data, ReadOnlyFileBasedBuffer):
            self._held.append(data)
            return len(data)
        try:
            return super().write_soon(data)
        finally:
            if self.total_outbufs_len or self.will_close:
                self.server.poller.changed(self)

    @contextmanager
    def one_packet(self) -> Iterator[None]:
        """Send what is written inside as one piece, if it is short: half the calls, half the packets."""
        held: list[bytes] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
        if sum(len(piece) for piece in held) <= PACKET_BYTES:
            held = [b"".join(held)]
        for piece in held:
            self.write_soon(piece)

    def send_continue(self) -> None:
        """Ask for the body. Unlike waitress' own, this leaves sending (and closing) to the loop thread."""
        assert self.request is not None
        self.request.expect_continue = False
        with self.outbuf_lock:
            if not self.connected:
                return
            self.outbufs[-1].append(_CONTINUE)
            self.current_outbuf_count += len(_CONTINUE)
            self.total_outbufs_len += len(_CONTINUE)
            self.sent_continue = True
        self.server.poller.changed(self)

    def _hand_over_next(self) -> None:
        """Hand the first request to a pool, if one became ready."""
        if (request := self._next_due()) is not None:
            self._hand_over(request)

    def _next_due(self) -> Request | None:
        """The first request, if it became ready; the caller's to have answered.

        Whoever takes the mark off ``_due`` does so alone: the loop thread and a serving one may both come by.
        """
        try:
            self._due.popleft()
        except IndexError:
            return None
        return self.requests[0]

    def _hand_over(self, request: Request) -> None:
        """Hand ``request``, the first, to a pool; a refused one is answered here and now."""
        if request.error is None:
            request.error = self.server.pools.submit(self, request)
            if request.error is None:
                return
            request.whole = True
        # Nothing waits to be sent before it (else nothing would have been read), so this cannot block the loop.
        super().service()
