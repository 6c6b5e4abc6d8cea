"""Draws a plot as SVG: lines through points on two logarithmic axes, the names beside them. No library, no state."""

import math
from collections.abc import Callable, Sequence
from html import escape

from bench.page import Plot, number

WIDTH, HEIGHT, NAMES = 520, 320, 230
LEFT, TOP, BOTTOM = 70, 36, 44
COLOURS = ("#1f5fbf", "#d1495b", "#2e8b57", "#b8860b", "#7b4fa3", "#5f6b77", "#e07b39", "#2a9d8f", "#8c564b", "#c2185b")
Place = Callable[[float, float], tuple[float, float]]
_TEXT = 'font-family="sans-serif" font-size="11" fill="#333"'


def drawn(plot: Plot) -> str:
    """The whole file. Points that are not above zero are left out."""
    lines = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in plot.lines.items()}
    points = [point for line in lines.values() for point in line]
    across, up = _axis([x for x, _ in points]), _axis([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + _share(x, across) * (WIDTH - LEFT),
            HEIGHT - BOTTOM - _share(y, up) * (HEIGHT - BOTTOM - TOP),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + NAMES}" height="{HEIGHT}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" {_TEXT} font-weight="bold">{escape(plot.title)}</text>',
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" {_TEXT} text-anchor="middle">{escape(plot.across)}</text>',
        f'<text x="8" y="{TOP - 4}" {_TEXT}>{escape(plot.up)}</text>',
        *_grid(across, up, place(across[0], up[0]), place),
    ]
    for order, (name, line) in enumerate(lines.items()):
        parts += _line(name, [place(x, y) for x, y in line], order)
    return "\n".join([*parts, "</svg>", ""])


def _axis(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis, a little wider than the values."""
    if not values:
        return 1.0, 10.0
    low, high = min(values), max(values)
    return (low / 1.15, high * 1.15)


def _share(value: float, axis: tuple[float, float]) -> float:
    return math.log(value / axis[0]) / math.log(axis[1] / axis[0])


def _ticks(axis: tuple[float, float]) -> list[float]:
    """Powers of ten, and 2 and 5 times as much where there are few."""
    low, high = math.floor(math.log10(axis[0])), math.ceil(math.log10(axis[1]))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    found = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    return [tick for tick in found if axis[0] <= tick <= axis[1]]


def _grid(across: tuple[float, float], up: tuple[float, float], origin: tuple[float, float], place: Place) -> list[str]:
    parts = []
    for tick in _ticks(across):
        x, _ = place(tick, up[0])
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{origin[1]:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{origin[1] + 14:.1f}" {_TEXT} text-anchor="middle">{number(tick)}</text>')
    for tick in _ticks(up):
        _, y = place(across[0], tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" {_TEXT} text-anchor="end">{number(tick)}</text>')
    return parts


def _line(name: str, points: Sequence[tuple[float, float]], order: int) -> list[str]:
    colour = COLOURS[order % len(COLOURS)]
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
    y = TOP + 8 + 16 * order
    return [
        f'<polyline points="{through}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
        *dots,
        f'<rect x="{WIDTH + 12}" y="{y - 8}" width="10" height="10" fill="{colour}"/>',
        f'<text x="{WIDTH + 28}" y="{y + 1}" {_TEXT}>{escape(name)}</text>',
    ]
