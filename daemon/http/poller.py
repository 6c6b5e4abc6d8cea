"""Which sockets have something to do. ``changed`` and ``wake`` are for every thread, the rest for the loop's."""

import logging
import os
import select
from collections import deque
from contextlib import suppress
from threading import RLock, get_ident
from typing import Any

LOG = logging.getLogger("modeldrop.http")

READ, WRITE = select.POLLIN, select.POLLOUT
GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Poller:
    """Watches sources (waitress' dispatchers) and tells them what happened to their sockets.

    waitress' own loops ask every connection before every wait what it wants; with a thousand idle ones that costs more
    than the requests. Here a source is asked only after something happened to it, or after it said ``changed``.

    Epoll flags have the values of poll's on Linux; elsewhere poll itself serves. The loop's thread owns everything but
    ``_changed``, ``_woken`` and the bell; who has served looks into ``_watched``.
    """

    def __init__(self, *, use_epoll: bool = hasattr(select, "epoll")) -> None:
        self.sources: dict[int, Any] = {}
        """By descriptor; waitress' dispatchers put themselves in and out (it calls this a map)."""
        self._watched: dict[int, int] = {}
        self._epoll: Any = select.epoll() if use_epoll else None
        self._poll: Any = self._epoll or select.poll()
        self.company = 0
        """Of how many others something is to be dealt with in this turn."""
        self._changed: deque[Any] = deque()
        self._woken = False
        self._looping = 0  # the thread of ``turn``
        self._ringing = RLock()  # a signal handler may ring in the middle of a ring
        self._closed = False  # guarded by _ringing
        self._alarm, self._bell = os.pipe()
        os.set_blocking(self._alarm, False)
        os.set_blocking(self._bell, False)
        self._poll.register(self._alarm, READ)

    def changed(self, source: Any) -> None:
        """Have ``source`` asked again what it waits for. For any thread."""
        self._changed.append(source)
        if get_ident() != self._looping:  # the loop itself looks before it waits
            self.wake()

    def served(self, source: Any) -> None:
        """Have ``source`` asked again unless it is watched for what it waits for now, as it mostly is. For any thread.

        Nothing is missed: who stops watching asks again after that (``_deliver``), and who serves looks here after it
        has changed what the source waits for.
        """
        if self._watched.get(source._fileno) != self._wanted(source):
            self.changed(source)

    def wake(self) -> None:
        """End the wait of ``turn``. For any thread and for signal handlers."""
        if self._woken:
            return  # the loop has not looked yet, and will look at everything when it does
        with self._ringing:
            if self._closed:
                return  # a thread that was left behind, or a late signal: the number may be another file's by now
            self._woken = True
            with suppress(BlockingIOError):  # full: it wakes anyway
                os.write(self._bell, b"!")

    def forget(self, source: Any) -> None:
        """Stop watching ``source``, whose socket is about to be closed."""
        if self._watched.pop(source._fileno, 0):
            self._poll.unregister(source._fileno)

    def turn(self, timeout_seconds: float) -> None:
        """Wait up to ``timeout_seconds`` for events and deliver them."""
        self._looping = get_ident()
        for source in {self._changed.popleft() for _ in range(len(self._changed))}:
            self._adjust(source)
        timeout = timeout_seconds if self._epoll else timeout_seconds * 1000
        events = self._poll.poll(timeout)
        # Looked up before the first delivery: that one may close a socket and accept another under its number.
        due = [(self.sources.get(fd), fd, flags) for fd, flags in events]
        self.company = len(due) - 1
        for source, fd, flags in due:
            if fd == self._alarm:
                self._silence()
            elif source is not None and source._fileno == fd:
                self._deliver(source, flags)

    def close(self) -> None:
        """Give the descriptors back."""
        if self._epoll is not None:
            self._epoll.close()
        with self._ringing:
            self._closed = True
            os.close(self._alarm)
            os.close(self._bell)
        self._changed.clear()

    def _silence(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._alarm, 64)
        self._woken = False  # from here on `changed` rings again; what came before is in the queue

    def _adjust(self, source: Any) -> None:
        """Watch for what ``source`` wants. What it no longer wants stays watched until it gets in the way."""
        if source._fileno is None:
            return
        wanted = self._wanted(source)
        if wanted & ~self._watched.get(source._fileno, 0):
            self._watch(source._fileno, wanted)

    def _deliver(self, source: Any, flags: int) -> None:
        fd, wanted = source._fileno, self._wanted(source)
        if flags & ~wanted & (READ | WRITE):
            self._watch(fd, wanted)
        try:
            if flags & wanted & READ:
                source.handle_read_event()
            if flags & wanted & WRITE and source._fileno == fd:
                source.handle_write_event()
            if flags & GONE and source._fileno == fd:
                source.handle_close()
        except Exception:
            LOG.exception("a connection failed in the loop")
            source.handle_close()
        self._changed.append(source)

    def _watch(self, fd: int, flags: int) -> None:
        known = self._watched.get(fd)
        if not flags:
            if self._watched.pop(fd, 0):
                self._poll.unregister(fd)
        elif known:
            self._poll.modify(fd, flags)
            self._watched[fd] = flags
        else:
            self._poll.register(fd, flags)
            self._watched[fd] = flags

    @staticmethod
    def _wanted(source: Any) -> int:
        return (READ if source.readable() else 0) | (WRITE if source.writable() else 0)
