"""The WSGI environment of a request (PEP 3333). Any thread; holds no state."""

import sys
from typing import Any

from daemon.http.request import Request

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


def environ_of(request: Request, peer: tuple[str, int | None], port: int) -> dict[str, Any]:
    """What the application gets; ``wsgi.input`` can be sought. ``port`` is the one that the client connected to."""
    environ: dict[str, Any] = {**request.fields, **_SAME_FOR_ALL}
    environ["PATH_INFO"] = request.path
    environ["QUERY_STRING"] = request.query
    environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = peer[0]
    environ["REMOTE_PORT"] = str(peer[1])
    environ["REQUEST_METHOD"] = request.command.upper()
    environ["REQUEST_URI"] = request.request_uri
    environ["SERVER_PORT"] = str(port)
    environ["SERVER_PROTOCOL"] = f"HTTP/{request.version if request.version in ('1.0', '1.1') else '1.0'}"
    environ["wsgi.input"] = request.get_body_stream()
    environ["wsgi.url_scheme"] = request.url_scheme
    return environ
