"""JSON answers by orjson, and JSON bodies. Entered by request threads; holds no state."""

from collections.abc import Mapping

import orjson
from flask import Request, Response

from daemon.errors import InvalidJson, TooLarge
from daemon.release import Release
from daemon.web.guesses import seeming
from daemon.web.packing import unpacked

JSON = "application/json"
LARGE_BYTES = 2 << 10
"""From here on a body of numbers is worth the shorter ways that large ones have."""
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def dumps(value: object) -> bytes:
    """``value`` as JSON; arrays as nested lists, NaN and infinities as null."""
    return orjson.dumps(value, option=OPTIONS)


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(dumps(value), status=status, headers=headers, content_type=JSON)


def release_headers(release: Release) -> dict[str, str]:
    """The headers that say which release answered."""
    return {
        "X-Model-Name": release.model,
        "X-Model-Version": str(release.version),
        "X-Model-SHA256": release.sha256,
    }


def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body, unpacked; raises TooLarge beyond ``limit_bytes``, BadRequest or UnsupportedMediaType."""
    length = request.content_length or 0
    if length > limit_bytes:
        raise TooLarge(f"the body has {length} bytes; at most {limit_bytes} are taken")
    body = request.get_data(cache=False)
    return unpacked(body, request.headers.get("Content-Encoding", ""), limit_bytes)


def read_object(body: bytes, *, empty_is_object: bool = False, called: str = "the body is") -> dict[str, object]:
    """The JSON object that ``body`` holds; raises InvalidJson for anything else. ``called`` begins the sentence."""
    if not body and empty_is_object:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"{called} not JSON: {error}; expected an object{seeming(body, error)}") from None
    if not isinstance(value, dict):
        raise InvalidJson(f"{called} a JSON {_kind(value)}; expected an object")
    return value


def _kind(value: object) -> str:
    kinds: dict[type, str] = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
