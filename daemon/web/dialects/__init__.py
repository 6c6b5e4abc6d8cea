"""The languages in which clients ask for predictions, and which of them a path speaks. Any thread.

Each is a module that translates a request to arrays and arrays to an answer. To add one: its module, and its line here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from daemon.web.asking import LIVE, Dialect, Target
from daemon.web.dialects.invocations import INVOCATIONS
from daemon.web.dialects.open_inference import OPEN_INFERENCE
from daemon.web.dialects.plain import PLAIN
from daemon.web.dialects.tensorflow import TENSORFLOW
from daemon.web.names import VERSION

DIALECTS: tuple[Dialect, ...] = (PLAIN, OPEN_INFERENCE, TENSORFLOW, INVOCATIONS)

LONGEST_PATH = 300
"""Of a path that is told here: what is longer has no model's name in it."""

_PLACES = {
    "<model>": "(?P<model>[^/]+)",
    "<int:version>": f"(?P<version>{VERSION})",
    "<label>": "(?P<label>[^/]+)",
}


@dataclass(frozen=True, slots=True)
class Route:
    """What a path asks for, and in which language."""

    dialect: Dialect
    target: Target


def route_of(path: str) -> Route | None:
    """The route of a POST request to ``path`` that runs a model; None for all others, and for what is no name."""
    return _route_of(path) if len(path) <= LONGEST_PATH else None


def target_of(model: str | None = None, version: int | None = None, label: str | None = None) -> Target:
    """What a rule's places name, with at most one of ``version`` and ``label``."""
    if label is not None:
        return Target(model, label)
    return Target(model, LIVE if version is None else version)


def _pattern(rule: str) -> re.Pattern[str]:
    parts = re.split(r"(<[^>]+>)", rule)
    return re.compile("".join(_PLACES.get(part) or re.escape(part) for part in parts))


_ROUTES = [(_pattern(rule), dialect) for dialect in DIALECTS for rule in dialect.rules]


@lru_cache(maxsize=1024)
def _route_of(path: str) -> Route | None:
    if not path.isascii():  # others are no models: Flask says so
        return None
    for pattern, dialect in _ROUTES:
        if (found := pattern.fullmatch(path)) is not None:
            named = found.groupdict()
            version = named.get("version")
            target = target_of(named.get("model"), None if version is None else int(version), named.get("label"))
            return Route(dialect, target)
    return None
