"""Medians, percentiles and ratios: what is made of what was timed."""

import statistics
from collections.abc import Sequence

Values = Sequence[float]


def median(values: Values) -> float:
    """The middle of ``values``; NaN of none."""
    return statistics.median(values) if values else float("nan")


def percentile(values: Values, percent: float) -> float:
    """The value that ``percent`` of ``values`` do not exceed (nearest rank); NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ratio(these: Values, those: Values) -> float:
    """The median of what each of ``these`` is to that of ``those`` which was measured in the same round."""
    return median([this / that for this, that in zip(these, those, strict=False) if that])
