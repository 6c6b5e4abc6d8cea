"""The WSGI environment of a request (PEP 3333). Any thread; holds no state."""

import sys
from collections.abc import Mapping
from typing import Any, Protocol

SERVER = "modeldrop"

_SAME_FOR_ALL: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": SERVER,
    "SERVER_SOFTWARE": SERVER,
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": False,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}
_WITHOUT_PREFIX = frozenset({"CONTENT_LENGTH", "CONTENT_TYPE"})


class Head(Protocol):
    """What waitress makes of the lines before a body; ``headers`` have upper-case names with underscores."""

    command: Any
    headers: Any
    path: str
    query: str
    request_uri: str
    url_scheme: str
    version: str


class Whole(Protocol):
    """A request that has come: ``head_environ`` of its head, and its body as a file."""

    @property
    def head_environ(self) -> Mapping[str, Any]: ...

    def get_body_stream(self) -> Any: ...


def environ_of_head(head: Head) -> dict[str, Any]:
    """What the application gets of every request that begins with this ``head``, whoever sends it."""
    fields = {name if name in _WITHOUT_PREFIX else f"HTTP_{name}": text for name, text in head.headers.items()}
    return {
        **fields,
        **_SAME_FOR_ALL,
        "PATH_INFO": head.path,
        "QUERY_STRING": head.query,
        "REQUEST_METHOD": head.command.upper(),
        "REQUEST_URI": head.request_uri,
        "SERVER_PROTOCOL": f"HTTP/{head.version if head.version in ('1.0', '1.1') else '1.0'}",
        "wsgi.url_scheme": head.url_scheme,
    }


def environ_of(request: Whole, peer: tuple[str, int | None], port: int) -> dict[str, Any]:
    """What the application gets; ``wsgi.input`` can be sought. ``port`` is the one that the client connected to."""
    address = peer[0]
    return {
        **request.head_environ,
        "REMOTE_ADDR": address,
        "REMOTE_HOST": address,
        "REMOTE_PORT": str(peer[1]),
        "SERVER_PORT": str(port),
        "wsgi.input": request.get_body_stream(),
    }
