"""The connections of a server as the kernel sees them: granian has no word for them. For the main thread.

Everything here is Linux': elsewhere there is nothing to see, and granian's own bounds must do.
"""

import os
import socket
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

_OPEN = "/proc/self/fd"
_WILDCARDS = frozenset({"0.0.0.0", "::"})
_TCP_INFO = struct.Struct("=8x24I16xQQ3I")  # linux/tcp.h, up to tcpi_notsent_bytes
_UNACKNOWLEDGED, _DATA_SENT, _DATA_RECEIVED, _BYTES_RECEIVED, _NOT_SENT = 4, 9, 11, 25, 28


@dataclass(frozen=True, slots=True)
class Connection:
    """One accepted connection: its descriptor, and the other end's name in granian's words, without a scope (nothing,
    for a unix socket)."""

    fd: int
    inode: int
    """Which rises from one connection to the next, as far as the kernel counts on one core."""
    family: int
    client: str


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds since data last went and came, how many bytes came in all, and whether some are still to go."""

    sent: float
    received: float
    bytes_received: int
    is_sending: bool
    """Whether its client has yet to take some of what was given to the kernel for it."""

    @property
    def silent(self) -> float:
        """How long nothing went or came."""
        return min(self.sent, self.received)


def connections_of(addresses: Sequence[Any]) -> list[Connection]:
    """The connections that were accepted at ``addresses``, as ``getsockname`` gives these."""
    try:
        descriptors = os.listdir(_OPEN)  # noqa: PTH208  # numbers, not paths
    except OSError:
        return []
    found = (_connection(int(fd), addresses) for fd in descriptors)
    return [connection for connection in found if connection is not None]


def ages_of(connection: Connection) -> Ages | None:
    """How long ago something happened on it; None where the kernel does not say, or it is gone."""
    with _borrowed(connection) as sock:
        values = None if sock is None else _told_of(sock)
    if values is None:
        return None
    is_sending = values[_UNACKNOWLEDGED] > 0 or values[_NOT_SENT] > 0
    return Ages(values[_DATA_SENT] / 1000, values[_DATA_RECEIVED] / 1000, values[_BYTES_RECEIVED], is_sending)


def backlog_of(listener: socket.socket) -> int:
    """How many connections to ``listener`` wait to be accepted; 0 where the kernel does not say."""
    values = _told_of(listener)
    return 0 if values is None else int(values[_UNACKNOWLEDGED])


def bytes_wait(connection: Connection) -> bool:
    """Whether its client sent something that nobody read yet (an end of stream is nothing)."""
    with _borrowed(connection) as sock, suppress(OSError):
        return sock is not None and bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False


def cut(connection: Connection) -> None:
    """End it for both sides; granian sees its client leave."""
    with _borrowed(connection) as sock, suppress(OSError):
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)


def _told_of(sock: socket.socket) -> tuple[int, ...] | None:
    if sock.family == socket.AF_UNIX:
        return None
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return None
    return _TCP_INFO.unpack(told) if len(told) == _TCP_INFO.size else None


def _connection(fd: int, addresses: Sequence[Any]) -> Connection | None:
    try:
        status = os.fstat(fd)
        if not stat.S_ISSOCK(status.st_mode):
            return None
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    try:
        name = sock.getsockname()
        if not any(_is_at(name, address) for address in addresses):
            return None
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        return Connection(fd, status.st_ino, sock.family, _client(sock))
    except OSError:
        return None
    finally:
        sock.detach()


def _is_at(name: Any, address: Any) -> bool:
    """Whether a socket of this name was accepted at ``address``."""
    if isinstance(name, tuple) and isinstance(address, tuple):
        same_port = len(name) == len(address) and name[1] == address[1]
        return same_port and (name[0] == address[0] or address[0] in _WILDCARDS)
    return bool(name) and name == address


def _client(sock: socket.socket) -> str:
    peer = sock.getpeername()
    if sock.family == socket.AF_UNIX:
        return ""
    return f"[{peer[0]}]:{peer[1]}" if sock.family == socket.AF_INET6 else f"{peer[0]}:{peer[1]}"


@contextmanager
def _borrowed(connection: Connection) -> Iterator[socket.socket | None]:
    """A descriptor of our own for it; None if it is gone and its number may be another's."""
    sock = None
    with suppress(OSError):
        sock = socket.socket(fileno=os.dup(connection.fd))
        if sock.family != connection.family or _client(sock) != connection.client:
            sock.close()
            sock = None
    try:
        yield sock
    finally:
        if sock is not None:
            sock.close()
