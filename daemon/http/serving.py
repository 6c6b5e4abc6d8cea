"""The half of a connection that the thread serving its request enters: writing the answer, passing on the next one."""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from time import perf_counter
from types import MappingProxyType
from typing import Any

from waitress.buffers import OverflowableBuffer
from waitress.channel import ClientDisconnected, HTTPChannel

from daemon.errors import HandOver
from daemon.http.calling import AppAnswer
from daemon.http.ports import Acceptor
from daemon.http.request import Request
from daemon.http.tasks import Answer, Refusal

_NO_MARKS: Mapping[str, object] = MappingProxyType({})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ServingHalf(HTTPChannel):
    """Hands requests to the pools and answers to the socket; ``Channel`` is the other half, the loop's.

    One thread at a time serves the first of ``requests``; waitress' locks cover what it and the loop both touch. The
    socket is closed by the loop alone.
    """

    server: Acceptor  # type: ignore[assignment]  # stands where waitress has its server
    request: Request | None
    requests: list[Request]
    answered_early = False
    """Whether an answer was given before its request had come as a whole."""

    _due: deque[bool]

    # waitress' own, which its stubs leave out or call by half their type.
    requests_lock: Lock
    socket: Any
    _fileno: int | None
    _flush_some_if_lockable: Any
    _flush_exception: Any
    _flush_some: Any
    _flush_outbufs_below_high_watermark: Any

    def task_due(self) -> None:
        """Note that the first of ``requests`` is ready. Called under waitress' lock: not the place to act."""
        self._due.append(True)

    @property
    def goes_alone(self) -> bool:
        """Whether its client sent several requests or did not take an answer yet: then to send may mean to wait."""
        return len(self.requests) > 1 or bool(self.total_outbufs_len)

    def service(self) -> None:
        """Answer the first request; a pool's thread calls this."""
        self.begin(_NO_MARKS)()

    def begin(self, marks: Mapping[str, object]) -> Callable[[], None]:
        """The first half of ``service``, which gives the second.

        ``marks`` are added to what the application is called with. What it hands over is somebody else's from then on.
        """
        request = self.requests[0]
        request.settle()
        answer = AppAnswer(self, request, marks) if request.error is None else Refusal(self, request)  # type: ignore[arg-type]
        if not self.connected:
            answer.close_on_finish = True
            return partial(self._conclude, answer)
        try:
            answer.begin()
        except HandOver:
            self.server.pools.submit_alone(self)
            return _nothing
        return partial(self._finish, answer)

    def _finish(self, answer: Answer) -> None:
        try:
            answer.give()
            self._conclude(answer)
        except HandOver:
            self.server.pools.submit_alone(self)
        except BaseException:
            self.will_close = True
            raise
        finally:
            self.server.poller.served(self)

    def _conclude(self, answer: Answer) -> None:
        """What follows an answer: the end of the connection, or the next request. As in ``HTTPChannel.service``."""
        several = len(self.requests) > 1
        if answer.close_on_finish:
            with self.requests_lock:
                self.close_when_flushed = True
                self.discard()
                self.requests = []
        else:
            if several:
                self._flush_outbufs_below_high_watermark()
            if self.current_outbuf_count > 0:
                self.current_outbuf_count = self.adj.outbuf_high_watermark  # the next answer gets a buffer of its own
            answer.request.close()
            with self.requests_lock:
                self.requests.pop(0)
                if self.connected and self.requests:
                    self.task_due()
                elif self.connected and self._asks_whether_to_go_on:
                    self.send_continue()
            if several and not self._due:
                self.discard()  # the connection closed: no thread will come for the others
        self.last_activity = 0
        self._hand_over_next()

    @property
    def _asks_whether_to_go_on(self) -> bool:
        """Whether a next request waits for its 100 Continue, which had to come after the answers before it."""
        request = self.request
        return request is not None and request.expect_continue and request.headers_finished and not self.sent_continue

    def discard(self) -> None:
        """Let go of requests that no thread will answer."""
        for request in self.requests:
            request.close()

    def send_whole(self, data: bytes) -> None:
        """Send a whole answer; what the socket does not take at once, the loop sends."""
        sent = 0
        with self.outbuf_lock:
            if not self.connected:
                raise ClientDisconnected
            if not self.total_outbufs_len:
                try:
                    sent = self.socket.send(data)
                except BlockingIOError:
                    pass
                except OSError:
                    self.will_close = True
                    raise ClientDisconnected from None
        if sent < len(data):
            self.write_soon(data[sent:])

    def send_large(self, data: bytes | memoryview) -> None:
        """Send bytes from where they lie; the loop sends what the socket does not take at once. Nobody waits for it."""
        held = self.server.room.hold(data)
        if held is None:
            self.write_soon(data)  # type: ignore[arg-type]  # it takes whatever a file does
            return
        with self.outbuf_lock:
            if not self.connected:
                held.close()
                raise ClientDisconnected
            self.outbufs += [held, OverflowableBuffer(self.adj.outbuf_overflow)]  # type: ignore[operator]
            self.current_outbuf_count = 0
            self.total_outbufs_len += len(data)
            self._flush_exception(self._flush_some, do_close=False)
        self.server.poller.changed(self)

    def write_soon(self, data: bytes) -> int:
        try:
            return super().write_soon(data)
        finally:
            if self.total_outbufs_len or self.will_close:
                self.server.poller.changed(self)

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
        if not self._due:
            return None
        try:
            self._due.popleft()
        except IndexError:
            return None
        request = self.requests[0]
        request.arrived = perf_counter()
        return request

    def _hand_over(self, request: Request) -> None:
        """Hand ``request``, the first, to a pool; a refused one is answered here and now."""
        if request.error is None:
            request.error = self.server.pools.submit(self, request)
            if request.error is None:
                return
            request.whole = True
        # Nothing waits to be sent before it (else nothing would have been read), so this cannot block the loop.
        self.service()


def _nothing() -> None:
    """There is no second half: the request was handed over."""
