"""The head of a request: from what granian gives to what the guard and the application see. For granian's thread."""

import sys
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

UNREADABLE = "?"
"""Stands for a value that is not ASCII, which granian keeps to itself: what asks for the field finds it and is not
satisfied."""

_PLAIN = {"CONTENT_TYPE", "CONTENT_LENGTH"}
_VERSIONS = {"1": "HTTP/1.0", "1.1": "HTTP/1.1"}


class Head:
    """What the first lines of a request say, in the words of WSGI. Made once, then only read.

    ``headers`` have upper-case names with underscores; ``client`` is granian's name of the connection's other end.
    """

    __slots__ = ("chunked", "client", "command", "content_length", "headers", "path", "protocol", "query")

    def __init__(self, scope: Any, client: str) -> None:
        self.command: str = scope.method
        self.path = wsgi_path(scope.path)
        self.query: str = scope.query_string
        self.protocol = _VERSIONS[scope.http_version]
        self.headers = headers_of(scope.headers)
        self.client = client
        self.chunked = "TRANSFER_ENCODING" in self.headers
        self.content_length = int(self.headers.get("CONTENT_LENGTH", "0"))  # granian has read it as a number, too

    @property
    def peer(self) -> str:
        """The client's address, or ``unix``; an IPv4 client of an IPv6 socket counts as what it is."""
        return self.client.rpartition(":")[0].strip("[]").removeprefix("::ffff:") or "unix"

    def environ(self, base: Mapping[str, Any], body: Any, *, length: int) -> dict[str, Any]:
        """The WSGI environment of this request, with a ``body`` of ``length`` bytes; ``base`` is what all share."""
        environ = {
            **base,
            "REQUEST_METHOD": self.command,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": self.protocol,
            "wsgi.input": body,
        }
        environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = self.peer
        environ["REMOTE_PORT"] = self.client.rpartition(":")[2] or "None"
        for name, value in self.headers.items():
            environ[_key(name)] = value
        if self.chunked:
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(length)
        return environ


def base_environ(port: int) -> dict[str, Any]:
    """What the environments of all requests to one socket have in common."""
    return {
        "SERVER_NAME": "modeldrop",
        "SERVER_PORT": str(port),
        "SERVER_SOFTWARE": "modeldrop",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


def no_body() -> BytesIO:
    """The body of a request that has none."""
    return BytesIO()


def wsgi_path(path: str) -> str:
    """``path``, decoded by granian, as WSGI wants it: its bytes as latin-1, and one slash at its beginning."""
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    return path if path.isascii() else path.encode().decode("latin-1")


def headers_of(given: Any) -> dict[str, str]:
    """The fields of granian's ``given`` by upper-case name; one that came twice is joined by a comma.

    Names with an underscore are left out: they could pass for the one with a hyphen.
    """
    headers: dict[str, str] = {}
    for name, value in given.items():
        name = _upper(name)
        if name in headers:
            headers[name] += ", " + value
        else:
            headers[name] = value
    if len(headers) < len(given):
        for name in given.keys():  # noqa: SIM118  # no mapping
            headers.setdefault(_upper(name), UNREADABLE)
    headers.pop("", None)
    return headers


@lru_cache(maxsize=1024)
def _upper(name: str) -> str:
    return "" if "_" in name else name.upper().replace("-", "_")


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    return name if name in _PLAIN else "HTTP_" + name
