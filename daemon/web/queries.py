"""Query parameters as typed values. Entered by request threads."""

import math
import re
from collections.abc import Mapping

from daemon.errors import BadRequest

_WRITTEN = re.compile(r"[!-^`-~]+")
"""A number without what ``float`` takes beside: spaces, underscores, other scripts' digits."""
MOST_DIGITS = 18
"""Of a number that is looked at; longer ones are beyond all that is asked for."""


def whole(query: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    """The whole number ``name``, at least 0; more than ``most`` counts as ``most``. Raises BadRequest."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise BadRequest(f"{name}: expected a whole number from 0 on, found {text[:50]!r}")
    digits = text.lstrip("0")
    return min(int(digits or "0"), most) if len(digits) <= MOST_DIGITS else most


def seconds(query: Mapping[str, str], name: str, *, most: float) -> float:
    """The seconds ``name``, at least 0 (the default); more than ``most`` counts as ``most``. Raises BadRequest."""
    text = query.get(name, "0")
    try:
        value = float(text) if _WRITTEN.fullmatch(text) else math.nan
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise BadRequest(f"{name}: expected a number of seconds from 0 on, found {text[:50]!r}")
    return min(value, most)
