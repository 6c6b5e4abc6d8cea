"""What limits a row of serving: where a request's processor time goes, by what its parts cost when they are alone."""

from collections.abc import Sequence

from bench.cells import RAW, Cell, cells
from bench.configurations import DEFAULT, GRANIAN
from bench.figures import median
from bench.json_cost import decoding, seconds_of
from bench.models import Case
from bench.page import Facts, Table, number
from bench.processes import FREE, PINNED, servers_cores
from bench.servers import HELLO_GRANIAN, HELLO_WAITRESS

JSON_SECONDS = 0.1
SATURATED = 0.9
"""The share of the cores from which on they are what is short."""
DISTURBED = 0.1
"""Cores that others keep busy, from which on figures are not the servers' alone."""
PARTS = ("inference", "JSON in", "HTTP and the rest")
HELLO = {DEFAULT: HELLO_WAITRESS, GRANIAN: HELLO_GRANIAN}


def time_json(case: Case, where: str, facts: Facts) -> None:
    """How long the daemon's decoding takes of the processor, for a request of this model."""
    facts[f"json, {case.name}, {where}"] = [seconds_of(decoding(case.inputs)["ours"], JSON_SECONDS)]


def table(groups: Sequence[tuple[str, str]], facts: Facts) -> Table:
    """For each cell of ours: its parts' shares, and what is short."""
    rows = [
        _row(cell, name, facts)
        for name in HELLO
        for case, where in groups
        for cell in cells(case, where)
        if cell.key("server", name) in facts
    ]
    columns = (
        "row",
        "CPU µs a request",
        *PARTS,
        "µs of a server's constant",
        "cores used",
        "others'",
        "what limits it",
    )
    return Table("What limits our rows", columns, rows)


def parts_of(cell: Cell, name: str, facts: Facts) -> dict[str, float]:
    """Shares of a request's processor time, by what inference and JSON take alone. In batches a run takes less."""
    spent = median(facts[cell.key("server", name)])
    inference = median(facts[cell.key("computed", RAW)]) / spent
    json = median(facts[f"json, {cell.case}, {cell.where}"]) / spent
    return dict(zip(PARTS, (inference, json, max(0.0, 1 - inference - json)), strict=True))


def constant_seconds(cell: Cell, name: str, facts: Facts) -> float:
    """What a request takes of the same HTTP server, as it comes, where it answers a constant; NaN if not measured.

    Pinned where that was measured: free, waitress' threads hand the interpreter's lock from core to core.
    """
    keys = [Cell("tiny", where, cell.connections).key("server", HELLO[name]) for where in (PINNED, FREE)]
    return median(next((facts[key] for key in keys if key in facts), []))


def _row(cell: Cell, name: str, facts: Facts) -> tuple[str, ...]:
    spent, shares = median(facts[cell.key("server", name)]), parts_of(cell, name, facts)
    return (
        f"{name}: {cell.case}, {cell.connections} conn., {cell.where}",
        number(spent * 1e6),
        *(f"{share:.0%}" for share in shares.values()),
        number(constant_seconds(cell, name, facts) * 1e6),
        number(spent * median(facts[cell.key("rate", name)])),
        number(median(facts[cell.key("others", name)])),
        verdict(cell, name, shares, facts),
    )


def verdict(cell: Cell, name: str, shares: dict[str, float], facts: Facts) -> str:
    """The largest part, and whether the server's cores are short or something is waited for."""
    largest = max(shares, key=lambda part: shares[part])
    rate, spent = median(facts[cell.key("rate", name)]), median(facts[cell.key("server", name)])
    cores = len(servers_cores(cell.where))
    used, busy = rate * spent, median(facts[cell.key("busy", name)])
    if used >= SATURATED * cores:
        return f"{largest}: the server keeps its cores {used / cores:.0%} busy"
    if cell.connections == 1:
        return f"{largest}: one request at a time leaves cores idle in between"
    if cell.where != PINNED and busy >= SATURATED * cores:
        return f"{largest}: the cores are full, {1 - used / cores:.0%} of them with the clients' work and others'"
    if shares["inference"] < 0.5 and used >= SATURATED:
        return f"{largest}: the interpreter runs one thread at a time, on {used:.2f} of {cores} cores"
    others = median(facts[cell.key("others", name)])
    disturbed = f", {others:.2f} by what does not belong here" if others >= DISTURBED else ""
    return f"waiting: {used:.2f} of {cores} cores are used{disturbed}; of the work, {largest} is most"
