"""The head of a request: from what granian gives to what the guard and the application see.

Granian's thread makes it; who answers the request reads it.
"""

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from itertools import chain
from typing import Any, NamedTuple

from daemon.http.heads import Heads
from daemon.http.values import NOT_IMPLEMENTED, HttpError, bad_request, headers_too_large

UNREADABLE = "?"
"""Stands for a value that is not ASCII, which granian keeps to itself: what asks for the field finds it and is not
satisfied. Where the field has another value, too, that alone is found: nobody can tell that there were two."""

_SCOPE = re.compile(r"%[^]]*")
_PLAIN = {"CONTENT_TYPE", "CONTENT_LENGTH"}
_VERSIONS = {"1": "HTTP/1.0", "1.1": "HTTP/1.1"}


class Client(NamedTuple):
    """The other end of a connection: its name without a scope (empty for a unix socket's), its address and port."""

    name: str
    address: str
    port: str


@lru_cache(maxsize=4096)
def client_of(name: str) -> Client:
    """Whom granian calls ``name`` (nothing, for a unix socket): its address, or ``unix``.

    An IPv4 client of an IPv6 socket counts as what it is; of a link-local one the scope is left out.
    """
    name = _SCOPE.sub("", name)
    address, _, port = name.rpartition(":")
    return Client(name, address.strip("[]").removeprefix("::ffff:") or "unix", port or "None")


class Head:
    """What the first lines of a request say, in the words of WSGI, whoever sends them. Made once, then only read.

    ``headers`` have upper-case names with underscores; ``fault`` is what is wrong with it for everybody. ``fields`` are
    those of ``scope``, which copies them for each who asks; ``base`` is what all environments have in common.
    """

    __slots__ = ("_environ", "chunked", "command", "content_length", "fault", "headers", "path", "query")

    def __init__(self, scope: Any, fields: Any, base: Mapping[str, Any], header_bytes: int) -> None:
        self.command: str = scope.method
        self.path = wsgi_path(scope.path)
        self.query: str = scope.query_string
        self.headers = headers_of(fields)
        self.chunked = "TRANSFER_ENCODING" in self.headers
        self.content_length = int(self.headers.get("CONTENT_LENGTH", "0"))  # granian has read it as a number, too
        self.fault = self._fault(header_bytes)
        self._environ = self._environ_for_all(base, _VERSIONS[scope.http_version])

    def environ(self, client: Client, body: Any, *, length: int) -> dict[str, Any]:
        """The WSGI environment of this request of ``client``, with a ``body`` of ``length`` bytes."""
        environ = self._environ.copy()
        environ["wsgi.input"] = body
        _, environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client
        environ["REMOTE_HOST"] = client[1]
        if self.chunked:
            environ["CONTENT_LENGTH"] = str(length)
        return environ

    def _environ_for_all(self, base: Mapping[str, Any], protocol: str) -> dict[str, Any]:
        environ = {
            **base,
            "REQUEST_METHOD": self.command,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": protocol,
            **{_key(name): value for name, value in self.headers.items()},
        }
        if self.chunked:
            del environ["HTTP_TRANSFER_ENCODING"]
        return environ

    def _fault(self, header_bytes: int) -> HttpError | None:
        if not self.command.isupper():
            return bad_request(f"its method is {self.command!a}, expected one in capitals")
        if sum(map(len, self.headers.values())) > header_bytes:  # granian's own bound is met by steps of its reads
            return headers_too_large(header_bytes)
        if self.chunked and self.headers["TRANSFER_ENCODING"].strip().lower() != "chunked":
            return NOT_IMPLEMENTED
        if self.headers.get("CONTENT_TYPE") == UNREADABLE:  # perhaps a form's, which may be refused for being one
            return bad_request("its content type is not in ASCII")
        return None


class KnownHeads:
    """Heads by what granian gives of them: what is made of one that comes a second time is kept. For one thread."""

    def __init__(self, base: Mapping[str, Any], header_bytes: int) -> None:
        self._base = base
        self._header_bytes = header_bytes
        self._heads: Heads[tuple[Any, ...], Head] = Heads()

    def of(self, scope: Any) -> Head:
        """The head of a request."""
        fields = scope.headers
        told = fields.items()
        given = (scope.path, scope.query_string, scope.method, scope.http_version, len(fields), *told)
        known = self._heads.get(given)
        if known is not None:
            return known
        head = Head(scope, fields, self._base, self._header_bytes)
        # Where names are missing there are fields of which granian tells no value: ``given`` says nothing of them.
        if self._heads.came_before(given) and len(dict(told)) == len(fields):
            self._heads.keep(given, head, sum(map(len, chain(given[:3], *told))))
        return head


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
