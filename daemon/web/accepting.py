"""In which form a client wants its answer, by its ``Accept`` header (RFC 9110, 12.5.1). Any thread, no state."""

from functools import lru_cache

ANYTHING = frozenset({"", "*/*", "application/json"})
"""What nearly everybody sends: the first form that is offered is the one."""
LONGEST = 1000
"""Characters of a header that are read."""


@lru_cache(maxsize=256)
def best_of(accept: str, offered: tuple[str, ...]) -> str | None:
    """Which media type of ``offered`` the header ``accept`` weighs most; None where it takes none of them.

    Of what weighs alike, what is named is before what a wildcard covers, and then what stands first in ``offered``. A
    header that is empty, or that nobody can read, takes anything.
    """
    ranges = dict(_ranges(accept[:LONGEST].lower()))
    if not ranges:
        return offered[0]
    weighed = [(*_weight(kind, ranges), -place, kind) for place, kind in enumerate(offered)]
    weight, _, _, kind = max(weighed)
    return kind if weight > 0 else None


def _weight(kind: str, ranges: dict[str, float]) -> tuple[float, int]:
    """The weight that the range has which names ``kind`` most closely, and how closely that is."""
    for closeness, name in enumerate((kind, kind.partition("/")[0] + "/*", "*/*")):
        if name in ranges:
            return ranges[name], -closeness
    return 0.0, -3


def _ranges(header: str) -> list[tuple[str, float]]:
    found = []
    for part in header.split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        if "/" in name:
            found.append((name, _quality(parameters)))
    return found


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return min(weight, 1.0) if weight > 0 else 0.0  # what is no number is none of these
    return 1.0
