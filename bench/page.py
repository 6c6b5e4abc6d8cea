"""What a measurement hands on: tables, plots and figures by name; printed by a script, kept and bound by the report."""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Facts = dict[str, list[float]]
"""What was measured, by name: one value a round."""
_WORD = re.compile(r"[A-Za-z]{4,}")


@dataclass(frozen=True, slots=True)
class Table:
    """A table under a heading; columns of words are aligned to the left, those of figures to the right."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """The table as Markdown, with a heading of the third level."""
        lines = ["| " + " | ".join(row) + " |" for row in (self.columns, *self.rows)]
        rule = "|" + "|".join("---" if self._is_text(column) else "--:" for column in range(len(self.columns))) + "|"
        return "\n".join([f"### {self.title}", "", lines[0], rule, *lines[1:], ""])

    def _is_text(self, column: int) -> bool:
        return column == 0 or any(_WORD.search(row[column]) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines through points ``(x, y)`` by name; both axes are logarithmic."""

    name: str
    title: str
    across: str
    up: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass(slots=True)
class Section:
    """One measurement's part of the report; ``notes`` are sentences before its tables."""

    title: str
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    facts: Facts = field(default_factory=dict)

    def markdown(self) -> str:
        """Heading, notes, plots and tables."""
        shown = [f"![{plot.title}]({plot.name}.svg)\n" for plot in self.plots]
        notes = [f"{note}\n" for note in self.notes]
        return "\n".join([f"## {self.title}\n", *notes, *shown, *(table.markdown() for table in self.tables)])

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which ``section_of`` makes the same section."""
        return dataclasses.asdict(self)


def section_of(kept: dict[str, Any]) -> Section:
    """The section that ``as_json`` gave, read back from JSON."""
    tables = [
        Table(each["title"], tuple(each["columns"]), [tuple(row) for row in each["rows"]]) for each in kept["tables"]
    ]
    plots = [
        Plot(**{**each, "lines": {name: [(x, y) for x, y in points] for name, points in each["lines"].items()}})
        for each in kept["plots"]
    ]
    return Section(kept["title"], kept["notes"], tables, plots, kept["facts"])


def number(value: float) -> str:
    """Three digits that count, as people write them: 12,345 / 123 / 12.3 / 1.23 / 0.012; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    decimals = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(decimals, 4)}f}"


def times(value: float) -> str:
    """A ratio, with two decimals; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def milliseconds(seconds: float) -> str:
    """Seconds, written in milliseconds."""
    return number(seconds * 1e3)


def megabytes(count: float) -> str:
    """Bytes, written in MB of 10^6."""
    return number(count / 1e6)
