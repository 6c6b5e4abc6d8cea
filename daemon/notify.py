"""Tells systemd how far the daemon is, by the protocol of sd_notify(3). Any thread."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send ``state`` (``READY=1``, ``STOPPING=1``, ``STATUS=…``) to the socket that ``NOTIFY_SOCKET`` names.

    Does nothing where the daemon was not started by systemd, and nothing where systemd does not listen: to serve is
    more than to be seen serving. A name that begins with ``@`` is in Linux' abstract namespace.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    name = "\0" + place[1:] if place.startswith("@") else place
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(name)
        sender.sendall(state.encode())
