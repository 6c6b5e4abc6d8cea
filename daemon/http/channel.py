"""One connection: reading, timing, lingering, closing. Entered by the loop thread alone, but for what it inherits and
what it waits for, which serving threads look at.
"""

import logging
import socket
import time
from collections import deque
from functools import partial
from typing import Any

from waitress.adjustments import Adjustments

from daemon.errors import AT_ONCE
from daemon.http.linger import Linger
from daemon.http.ports import Acceptor
from daemon.http.request import Request
from daemon.http.serving import ServingHalf

LOG = logging.getLogger("modeldrop.http")

_AT_ONCE = {AT_ONCE: True}


class Channel(ServingHalf):
    """A connection to one client and the requests that came over it.

    The loop thread owns and closes it; what else may enter is in ``ServingHalf``.
    """

    def __init__(self, listener: Acceptor, sock: Any, peer: tuple[str, int | None]) -> None:
        self.peer = peer[0]
        self._due: deque[bool] = deque()
        self._linger: Linger | None = None
        super().__init__(listener, sock, peer, listener.adj, listener.poller.sources)  # type: ignore[arg-type]
        listener.poller.changed(self)

    def parser_class(self, adj: Adjustments) -> Request:  # type: ignore[override]  # called as if it were the class
        """Return an empty request."""
        return Request(adj, self.server.terms, self.peer, partial(self.server.poller.changed, self))

    # waitress stamps this with the wall clock, which may jump and cut everything that runs.
    @property
    def last_activity(self) -> float:
        """When the last byte came or went, ``time.monotonic()``."""
        return self._last_activity

    @last_activity.setter
    def last_activity(self, _wall_clock: float) -> None:
        self._last_activity = time.monotonic()

    @property
    def partial(self) -> bool:
        """Whether a request has begun to come."""
        return self.request is not None and self.request.begun

    @property
    def idle(self) -> bool:
        """Whether nothing is asked of it, nothing is left to send, and it is kept for a next request."""
        return not (self.owes or self._linger or self.will_close or self.close_when_flushed)

    @property
    def owes(self) -> bool:
        """Whether its client waits for an answer, or for the rest of one."""
        return bool(self.requests or self.total_outbufs_len or self.partial)

    @property
    def ends_with_this_answer(self) -> bool:
        """Whether the answer now written must be the connection's last: the server drains and nothing else came."""
        return self.server.draining and len(self.requests) <= 1 and not self.partial

    def overdue(self, now: float) -> bool:
        """Whether its client takes too long; ``now`` is ``time.monotonic()``."""
        if self._linger is not None:
            return self._linger.overdue(now)
        silent = now - self._last_activity > self.server.terms.limits.idle_seconds
        if not self.readable():
            if self.request is not None:
                self.request.hold(now)
            return bool(self.total_outbufs_len) and silent  # it does not read its answer
        return silent or (self.request is not None and self.partial and self.request.overdue(now))

    def bytes_wait(self) -> bool:
        """Whether the client sent something that was not read yet (an end of stream is nothing)."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def del_channel(self, map: Any = None) -> None:
        if self._fileno is not None:
            self.server.poller.forget(self)
            super().del_channel(map)
            self.server.room_made()

    def readable(self) -> bool:
        if self._linger is not None:
            return True
        # As waitress has it: nothing is read that would be thrown away, or waits to be sent before its answer.
        if self.will_close or self.close_when_flushed or self.total_outbufs_len:
            return False
        is_full = len(self.requests) > self.adj.channel_request_lookahead
        request = self.request  # looked at once: this is asked by serving threads as well
        return not (is_full or (request is not None and request.lags))

    def writable(self) -> bool:
        waits = self.total_outbufs_len or self.will_close or self.close_when_flushed
        return bool(waits) and self._linger is None

    def handle_read(self) -> None:
        if self._linger is not None:
            if not self._linger.swallow(self.socket):
                self.handle_close()
            return
        try:
            data = self.recv(self.adj.recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            self.handle_close()
            return
        if data:
            self.last_activity = 0
            self.received(data)

    def handle_write(self) -> None:
        ends = self.close_when_flushed  # looked at once: a serving thread may set it any time
        # Always under the lock: a thread that has answered its last request may still ask for the next one's body.
        self._flush_exception(self._flush_some_if_lockable)
        if self.will_close or not self.connected:
            self.handle_close()
        elif ends and not self.total_outbufs_len:
            self._end()

    def handle_close(self) -> None:
        if self.request is not None:
            self.request.close()  # and left where it is: a serving thread may be looking at it
        super().handle_close()

    def handle_error(self) -> None:
        LOG.exception("a connection failed in the loop")
        self.handle_close()

    def received(self, data: bytes) -> bool:
        taken = super().received(data)
        if (request := self._next_due()) is None:
            return taken
        if self._is_the_loops(request):
            # Nothing waits to be sent before it (else nothing would have been read), so sending does not block.
            self.begin(_AT_ONCE)()
        else:
            self._hand_over(request)
        return taken

    def _is_the_loops(self, request: Request) -> bool:
        """Whether the loop is the one to answer ``request``."""
        if len(self.requests) > 1 or request.error is not None:
            return False  # between two answers, waitress may wait for the loop to send
        return self.server.pools.is_needless(request, company=self.server.poller.company)

    def _end(self) -> None:
        if self._may_bring_more():
            self._linger = Linger.begin(self.socket, self.server.terms.limits)
        else:
            self.handle_close()

    def _may_bring_more(self) -> bool:
        """Whether closing now could make the client lose its answer over bytes that nobody read."""
        return self.answered_early or self.request is not None or self.bytes_wait()
