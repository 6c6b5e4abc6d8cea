"""What kind of route a path is: who may call it, how large its body may be, how long it may take. Pure, any thread."""

import re
from enum import Enum
from urllib.parse import unquote_plus

from daemon.web.dialects import route_of

# Other dialects' routes stand here before anybody serves them, so that none is ever open by oversight.
_PREDICT = re.compile(
    r"/predict|/models/[^/]+/predict|/invocations|/v2/models/.*/infer|/v1/models/.*:predict", re.DOTALL
)
_UPLOAD = re.compile(r"/models/[^/]+/upload")
_LOAD = re.compile(r"/v2/repository/models/[^/]+/load")
_ADMIN = re.compile(
    r"/update_model|/models/[^/]+/(upload|rollback)|/v2/repository/models/[^/]+/(load|unload)|/v2/logging"
)
_READ = re.compile(r"/models(/.*)?|/events|/metrics|/openapi\.json|/v[12]/models(/.*)?|/v2/repository/index", re.DOTALL)


class RouteClass(Enum):
    """What a route needs of its caller."""

    OPEN = "open"
    PREDICT = "predict"
    READ = "read"
    ADMIN = "admin"


def class_of(path: str) -> RouteClass:
    """The class of the route at ``path``; a path that no route has is open, and becomes a 404."""
    path = path.rstrip("/") or "/"
    if _PREDICT.fullmatch(path) or route_of(path) is not None:
        return RouteClass.PREDICT
    if _ADMIN.fullmatch(path):
        return RouteClass.ADMIN
    return RouteClass.READ if _READ.fullmatch(path) else RouteClass.OPEN


def is_upload(path: str) -> bool:
    """Whether a body for ``path`` is a model's bytes."""
    return _UPLOAD.fullmatch(path) is not None


def is_load(path: str) -> bool:
    """Whether a body for ``path`` may bring a model as base64."""
    return _LOAD.fullmatch(path) is not None


def is_slow(method: str, path: str, query: str) -> bool:  # noqa: ARG001
    """Whether the request may wait for something: a deploy, an event. It must not take a prediction's thread.

    Metrics wait for nothing but each other; they are asked for when all of those are busy, too.
    """
    if path == "/metrics":
        return True
    return class_of(path) is RouteClass.ADMIN or (path == "/events" and "wait=" in unquote_plus(query))
