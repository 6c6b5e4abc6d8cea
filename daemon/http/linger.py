"""The end of a connection whose client still sends what nobody will read. Entered by the loop thread alone."""

import socket
import time
from contextlib import suppress

from daemon.http.values import Limits

_SINK = bytearray(256 << 10)
"""Bytes go in here and are never looked at; one thread, so one sink does for all."""


class Linger:
    """A connection that was answered, half closed and is now emptied until its client stops.

    Closing at once would make the kernel answer the client's next byte with a reset, and the client throw the answer
    away unread. This is nginx' ``lingering_close``: bounded in time, in silence and in bytes.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._until = time.monotonic() + limits.linger_seconds
        self._last = time.monotonic()
        self._left_bytes = limits.linger_bytes

    @classmethod
    def begin(cls, sock: socket.socket, limits: Limits) -> "Linger":
        """Half close ``sock``: the client sees the end of its answer."""
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        return cls(limits)

    def swallow(self, sock: socket.socket) -> bool:
        """Take what came; return whether to go on."""
        try:
            size = sock.recv_into(_SINK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return size > 0 and self.took(size)

    def took(self, size: int) -> bool:
        """Count what came; return whether to go on."""
        self._last = time.monotonic()
        self._left_bytes -= size
        return self._left_bytes > 0

    def overdue(self, now: float) -> bool:
        """Whether the client had its time; ``now`` is ``time.monotonic()``."""
        return now > self._until or now - self._last > self._limits.linger_idle_seconds
