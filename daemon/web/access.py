"""Who may call what: the contract's table of classes as pure functions over a request's head.

The server asks before it reads a body, the application asks again; both ask here.
"""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from daemon.errors import Forbidden, Unauthorized, UnsupportedMediaType
from daemon.web.routes import RouteClass, class_of, is_load, is_upload

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
PROXY_HEADERS = ("FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_REAL_IP", "VIA")
UNIX_PEER = "unix"
"""What the server calls a peer on a unix socket; over TCP a peer is always an address."""
_NOT_OURS = "the bearer token is not one that opens this route"
_HOW = ": send Authorization: Bearer TOKEN"


@dataclass(frozen=True, slots=True)
class Head:
    """What access depends on.

    ``headers`` have upper-case names with underscores; ``peer`` is an address, or ``unix``.
    """

    path: str
    headers: Mapping[str, str]
    peer: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """The configured bearer tokens; an empty one is none."""

    admin: str
    predict: str


def authorise(head: Head, tokens: Tokens) -> None:
    """Returns when the request may go on; raises Unauthorized, Forbidden or UnsupportedMediaType when not."""
    route = class_of(head.path)
    if route is RouteClass.ADMIN:
        _refuse_cross_site(head)
        _need_admin(head, tokens)
        _refuse_packed_models(head)
    elif _needs_any_token(route, tokens):
        _need_one_of(head, (tokens.predict, tokens.admin))


def is_open_to_all(route: RouteClass, tokens: Tokens) -> bool:
    """Whether routes of this class need nothing of whoever calls them."""
    return route is not RouteClass.ADMIN and not _needs_any_token(route, tokens)


def head_of(environ: Mapping[str, Any]) -> Head:
    """What access depends on, of a WSGI environment."""
    headers = {name.removeprefix("HTTP_"): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["CONTENT_TYPE"] = environ.get("CONTENT_TYPE", "")
    return Head(environ["PATH_INFO"], headers, environ.get("REMOTE_ADDR", ""))


def _needs_any_token(route: RouteClass, tokens: Tokens) -> bool:
    if route is RouteClass.PREDICT:
        return bool(tokens.predict)
    return route is RouteClass.READ and bool(tokens.predict or tokens.admin)


def _need_admin(head: Head, tokens: Tokens) -> None:
    if tokens.admin:
        _need_the_admins(head, tokens)
        return
    if not is_local(head.peer):
        raise Forbidden("no admin token is configured: expected a peer on this machine, the request came from another")
    if any(name in head.headers for name in PROXY_HEADERS):
        raise Forbidden("no admin token is configured: expected a direct request, this one came through a proxy")
    host = head.headers.get("HOST", "")
    if re.sub(r":\d*$", "", host).lower() not in LOCAL_HOSTS:
        raise Forbidden(f"no admin token is configured: expected a Host of this machine, found {host!r}")


def is_local(peer: str) -> bool:
    """Whether ``peer`` is on this machine: a loopback address or a unix socket."""
    if peer == UNIX_PEER:
        return True
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _need_the_admins(head: Head, tokens: Tokens) -> None:
    is_admins, is_predicts = _matches(_presented(head), (tokens.admin, tokens.predict))
    if is_admins:
        return
    if is_predicts:
        raise Unauthorized("this route needs the admin token (auth.admin_token), found the one for predictions")
    raise Unauthorized(_NOT_OURS)


def _need_one_of(head: Head, tokens: tuple[str, ...]) -> None:
    if not any(_matches(_presented(head), tokens)):
        raise Unauthorized(_NOT_OURS)


def _presented(head: Head) -> bytes:
    """The bearer token that was sent; raises Unauthorized where none was. Nothing that was sent is told again."""
    sent = head.headers.get("AUTHORIZATION", "").strip()
    scheme, _, given = sent.partition(" ")
    if not given or scheme.lower() != "bearer":
        found = "none" if not sent else "no token" if scheme.lower() == "bearer" else "another scheme"
        raise Unauthorized(f"expected an Authorization header with a bearer token, found {found}{_HOW if sent else ''}")
    # WSGI hands a header's bytes on as latin-1; a token that is not ASCII was sent as UTF-8.
    return given.strip().encode("latin-1", "replace")


def _matches(presented: bytes, tokens: tuple[str, ...]) -> list[bool]:
    """Every token is compared, each in constant time, so that the time taken tells nothing; an empty one is none."""
    return [bool(token) and hmac.compare_digest(presented, token.encode()) for token in tokens]


def _refuse_packed_models(head: Head) -> None:
    """A model's bytes go to the disk as they come, and its digest is that of what was sent."""
    encoding = head.headers.get("CONTENT_ENCODING", "").strip()
    if encoding.lower() not in ("", "identity") and (is_upload(head.path) or is_load(head.path)):
        raise UnsupportedMediaType(f"found content encoding {encoding[:50]!r}, expected none: send it unpacked")


def _refuse_cross_site(head: Head) -> None:
    origin = head.headers.get("ORIGIN")
    if origin is not None and _site_of(origin) != head.headers.get("HOST", "").lower():
        raise Forbidden(f"expected no Origin or this server's own, found {origin!r}")
    media_type = head.headers.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type in FORM_TYPES:
        raise UnsupportedMediaType(
            f"found content type {media_type}, which any web page could send; expected application/json, "
            "application/octet-stream or none: send -H 'Content-Type: application/json', or a file by curl -T"
        )


def _site_of(origin: str) -> str | None:
    """The host and port of an ``Origin``; None for what is no URL."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
