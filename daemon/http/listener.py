"""The listening sockets. Entered by the loop thread alone."""

import errno
import logging
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from waitress import wasyncore

from daemon.http.channel import Channel
from daemon.http.front import Front
from daemon.http.sockets import Place, turn_away, url_of

LOG = logging.getLogger("modeldrop.http")

ACCEPTS_PER_TURN = 32
"""So that a burst of new connections does not keep the open ones waiting."""


class Listener(wasyncore.dispatcher):
    """One listening socket. Its connections see in it what waitress calls the server."""

    accepting = False
    _fileno: int | None

    def __init__(self, sock: socket.socket, front: Front) -> None:
        self.front = front
        self.adj, self.poller, self.pools, self.terms = front.adj, front.poller, front.pools, front.terms
        self.room = front.room
        self.active_channels = front.channels
        self.application = front.app
        self.url = url_of(sock)
        self._inet = sock.family != socket.AF_UNIX
        name = sock.getsockname()
        self.effective_port = name[1] if self._inet else 80  # what WSGI calls SERVER_PORT; a unix socket has none
        self.server_name = front.adj.server_name
        self._place = None if self._inet else Place(Path(os.fsdecode(name)))
        self.paused = False
        """Whether it stopped accepting for want of room."""
        self._told = False
        super().__init__(sock, front.poller.sources)
        self.accepting = True
        front.listeners.append(self)
        front.poller.changed(self)

    @property
    def draining(self) -> bool:
        """Whether the server answers what it has and takes nothing new."""
        return self.front.draining

    def readable(self) -> bool:
        return self.accepting and not self.paused

    def writable(self) -> bool:
        return False

    def handle_accept(self) -> None:
        self.accept_waiting(ACCEPTS_PER_TURN)

    def handle_close(self) -> None:
        """Do nothing: one failed accept is no reason to stop listening."""

    def accept_waiting(self, most: int) -> bool:
        """Take up to ``most`` connections that the kernel holds ready, as far as there is room; whether it has more."""
        for _ in range(most):
            self.paused = not self.front.make_room()
            if self.paused or not self._accept_one():
                return self.paused
        return True

    def resume(self) -> None:
        """Accept again, if it had stopped for want of room."""
        if self.paused:
            self.paused = False
            self.poller.changed(self)

    def finish(self) -> None:
        """Close, after taking those whom the kernel has told already that they are connected.

        Where there is no room for all of them, it stays open and is to be called again.
        """
        if self._fileno is None:
            return
        if self._place is not None:
            self._place.unlink()
        assert self.socket is not None
        turned_away = turn_away(self.socket)
        if not (self.accept_waiting(self.terms.limits.backlog) and turned_away):
            self.close()

    @property
    def open(self) -> bool:
        """Whether it listens."""
        return self._fileno is not None

    def close(self) -> None:
        """Stop listening; connections stay. A unix socket's name goes too, if it is still this socket's."""
        if self._fileno is None:
            return
        self.poller.forget(self)
        super().close()
        if self._place is not None:
            self._place.unlink()

    def add_task(self, channel: Channel) -> None:
        """Take waitress' word that a request of ``channel`` is ready."""
        channel.task_due()

    def pull_trigger(self) -> None:
        """Do nothing: a channel says itself that it changed, so that no other has to be asked."""

    def room_made(self) -> None:
        """Hear that a connection closed."""
        self.front.resume()

    def _accept_one(self) -> bool:
        """Accept one connection; return whether another may be waiting."""
        assert self.socket is not None
        try:
            sock, address = self.socket.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                return True  # that client is gone already
            self.paused = not self.front.evict()
            if self.paused and not self._told:
                self._told = True
                LOG.warning("no descriptors are left for another connection: %d are open", len(self.active_channels))
            return not self.paused
        self._told = False
        if self._inet:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Channel(self, sock, _peer(address) if self._inet else ("unix", None))
        return True


_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def _peer(address: Any) -> tuple[str, int | None]:
    """Return host and port; an IPv4 client of an IPv6 socket counts as what it is."""
    return str(address[0]).removeprefix("::ffff:"), address[1]
