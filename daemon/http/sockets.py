"""From an address in the settings to a socket that listens, and back. For the main thread, before the loop runs."""

import ctypes
import os
import socket
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemon.errors import StartupError

try:
    import resource
except ImportError:  # not a Unix
    resource = None  # type: ignore[assignment]

_BPF_RETURN = 0x06  # BPF_RET | BPF_K, linux/filter.h
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python does not name it

UNIX = "unix:"
UNIX_MODE = 0o660
FILES_KEPT_BACK = 128
"""Descriptors that connections may not take: models, journal, logs."""
ENOUGH_FILES = 65536
"""The most descriptors asked for: a hard limit may be a thousand million, and is then no hint."""


def bind(addresses: Sequence[str], *, backlog: int = 1024) -> list[socket.socket]:
    """Listen on ``addresses``: ``HOST:PORT``, ``[HOST]:PORT`` (port 0: any free one) or ``unix:PATH``.

    From here on clients can connect; they are answered when a ``Server`` runs. Raises ``StartupError`` and keeps no
    socket open, if one of them cannot be had.
    """
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            sockets += _listen(address, backlog)
    except BaseException:
        for sock in sockets:
            close(sock)
        raise
    return sockets


def close(sock: socket.socket) -> None:
    """Close a socket of ``bind`` that no server took over, with its name in the file system."""
    name = sock.getsockname()
    sock.close()
    if isinstance(name, str) and name:
        Path(name).unlink(missing_ok=True)


class Place:
    """The name of a unix socket in the file system, and which file it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._which()

    def unlink(self) -> None:
        """Remove the name, unless another daemon has put its own socket there since."""
        if self._file is not None and self._file == self._which():
            self._path.unlink(missing_ok=True)

    def _which(self) -> tuple[int, int] | None:
        try:
            stat = self._path.lstat()
        except OSError:
            return None
        return stat.st_dev, stat.st_ino


def url_of(sock: socket.socket) -> str:
    """Return what a client is told to use: ``http://127.0.0.1:43211``, ``http://[::1]:5000`` or ``unix:PATH``."""
    name: Any = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return UNIX + os.fsdecode(name)
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def turn_away(sock: socket.socket) -> bool:
    """Have the kernel drop attempts to connect to ``sock``, while it still gives out those that succeeded.

    Returns whether it does: of a unix socket only its name can be taken away, which comes to the same.
    Closing a listening socket resets the connections that nobody accepted yet, and between the last accept and the
    close there is always time for one more. So a classic BPF program that says "drop" comes first (see socket(7),
    SO_ATTACH_FILTER); whoever was dropped tries again within a second and is refused properly. Where there is no such
    filter, that moment stays open.
    """
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return sock.family == socket.AF_UNIX
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return False
    return True


def affordable(connection_limit: int) -> int:
    """Return how many of ``connection_limit`` connections there are descriptors for, after asking for more of these."""
    # A connection takes a descriptor, and its body may take another.
    return max(1, min(connection_limit, (raise_open_files() - FILES_KEPT_BACK) // 2))


def raise_open_files() -> int:
    """Raise the soft limit of open descriptors to the hard one (bounded); return how many there may be now."""
    if resource is None:
        return ENOUGH_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ENOUGH_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems have a lower limit that they do not tell
        return soft
    return wanted


def _listen(address: str, backlog: int) -> list[socket.socket]:
    try:
        if address.startswith(UNIX):
            return [_listen_unix(Path(address.removeprefix(UNIX)), backlog)]
        return _listen_inet(address, backlog)
    except OSError as error:
        why = error.strerror or str(error)
        raise StartupError(f"cannot listen on {address}: {why[:1].lower()}{why[1:]}") from error


def _listen_inet(address: str, backlog: int) -> list[socket.socket]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise StartupError(f"cannot listen on {address}: expected HOST:PORT, [HOST]:PORT or unix:PATH")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = list(dict.fromkeys((family, name) for family, _, _, _, name in found))
    if int(port) == 0:
        places = places[:1]  # a name with two addresses would get two ports
    sockets: list[socket.socket] = []
    try:
        for family, name in places:
            sockets.append(_open(family, name, backlog))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _open(family: socket.AddressFamily, name: Any, backlog: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        sock.listen(backlog)  # now and not later: until it listens, another may bind the same port
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_unix(path: Path, backlog: int) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(UNIX_MODE)  # before it listens: nobody connects in between
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    """Remove a socket that a dead daemon left at ``path``; leave everything else to ``bind`` to fail on."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartupError(f"cannot listen on {UNIX}{path}: the file there is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return
