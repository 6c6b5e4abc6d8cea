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
        "inference",
        "JSON in",
        "HTTP server",
        "the rest",
        "cores busy",
        "what limits it",
    )
    return Table("What limits our rows", columns, rows)


def _row(cell: Cell, name: str, facts: Facts) -> tuple[str, ...]:
    spent = median(facts[cell.key("server", name)])
    parts = parts_of(cell, name, facts)
    shares = {part: seconds / spent for part, seconds in parts.items()}
    shares["the rest"] = 1 - sum(shares.values())
    busy = median(facts[cell.key("busy", name)])
    return (
        f"{name}: {cell.case}, {cell.connections} conn., {cell.where}",
        number(spent * 1e6),
        *(f"{share:.0%}" for share in shares.values()),
        number(busy),
        verdict(cell, name, shares, facts),
    )


def parts_of(cell: Cell, name: str, facts: Facts) -> dict[str, float]:
    """Processor seconds of what a request is made of, each measured alone; HTTP is a server that answers a constant."""
    # Pinned where that was measured: free, waitress' threads hand the interpreter's lock between cores, ours do not.
    key = Cell("tiny", PINNED, cell.connections).key("server", HELLO[name])
    hello = facts.get(key) or facts.get(Cell("tiny", FREE, cell.connections).key("server", HELLO[name]), [])
    return {
        "inference": median(facts[cell.key("computed", RAW)]),
        "JSON in": median(facts[f"json, {cell.case}, {cell.where}"]),
        "HTTP server": median(hello),
    }


def verdict(cell: Cell, name: str, shares: dict[str, float], facts: Facts) -> str:
    """The largest part, and whether the server's cores are short or something is waited for."""
    known = {part: share for part, share in shares.items() if share == share}
    largest = max(known, key=lambda part: known[part])
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
    return f"waiting: {used:.2f} of {cores} cores are used; of the work, {largest} is most"
