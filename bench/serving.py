"""Requests a second and latencies: ours beside what people write instead, and beside the bare session.

    python -m bench.serving [--rounds 3] [--all-rounds 1] [--seconds 1] [--cases tiny mlp …] [--where free pinned]

All servers of a model run at once and take turns in each round, another one first each time, so that the machine's mood
is the same for all; they are asked by ``wrk`` (a Debian package). ``pinned`` gives the servers one core and ``wrk``
another. What an aim compares is measured in all rounds, everything else in the first ``--all-rounds``.
"""

import argparse
import http.client
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import binary_bodies, limits, raw_limit, wrk
from bench.cells import AIMED, CONNECTIONS, RAW, SECONDS, Cell, cells, groups
from bench.configurations import DEFAULT
from bench.figures import median, ratio
from bench.models import NAMES, Case, case_of
from bench.page import Facts, Plot, Section, Table, milliseconds, number, times
from bench.processes import FREE, PINNED, Running, all_started
from bench.procfs import await_quiet
from bench.servers import BENCH_PYTHON, FASTAPI, servers_of

WARM_SECONDS = 0.4
MEASURED = ("rate", "p50", "p99", "longest", "failures", "server", "client", "busy", "others")
"""What is kept of what ``wrk`` felt."""


def main() -> None:
    """Runs the rounds and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--all-rounds", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=1, help="a point; heavy models take 2 and 3 times as long")
    parser.add_argument("--cases", nargs="+", default=NAMES)
    parser.add_argument("--where", nargs="+", default=[PINNED, FREE], choices=[FREE, PINNED])
    arguments = parser.parse_args()
    section = measure(
        rounds=arguments.rounds,
        all_rounds=arguments.all_rounds,
        seconds=arguments.seconds,
        wanted=[group for group in groups() if group[0] in arguments.cases and group[1] in arguments.where],
    )
    print(section.markdown())


def measure(
    *, rounds: int = 3, all_rounds: int = 1, seconds: int = 1, wanted: Sequence[tuple[str, str]] | None = None
) -> Section:
    """The section of the report on serving; ``wanted`` are groups of servers, all where none are given."""
    wrk.require()
    section = Section("Serving: requests a second, and latencies")
    chosen = list(groups()) if wanted is None else wanted
    for case, where in chosen:
        with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
            _measure_group(case_of(case), where, Path(folder), section.facts, (rounds, all_rounds, seconds))
    failures = sum(int(sum(values)) for key, values in section.facts.items() if key.startswith("failures"))
    section.notes = [
        f"Medians: of {rounds} rounds for what an aim compares (in cells with *), of {all_rounds} for the rest. A cell "
        f"is requests a second / p50 ms / p99 ms; {failures} answers failed in all. ÷ is the default configuration's "
        "rate over that row's, in the same rounds.",
        "ONNX Runtime's default threads bind themselves to cores, whatever a server is pinned to: where runs are long, "
        "a row that has them uses more than one core, as the last column shows.",
    ]
    if not BENCH_PYTHON.exists():
        section.notes.append(f"{FASTAPI} is left out: `make bench-env` installs it.")
    section.tables = [_table(case, where, section.facts) for case, where in chosen]
    section.tables += binary_bodies.tables(section.facts)
    section.tables.append(limits.table(chosen, section.facts))
    section.plots = [_plot(case, section.facts) for case, where in chosen if where == FREE]
    return section


def _measure_group(case: Case, where: str, folder: Path, facts: Facts, effort: tuple[int, int, int]) -> None:
    rounds, all_rounds, seconds = effort
    model = case.write(folder / "model.onnx", 0)
    asking = wrk.script(folder / "ask", case.body)
    due = list(cells(case.name, where))
    with all_started(servers_of(case.name, model, folder, where=where)) as servers:
        for server in servers.values():
            _warm(server, case.body)
        for number_ in range(max(rounds, all_rounds)):
            now = [cell for cell in due if number_ < (rounds if cell in AIMED else all_rounds)]
            for cell in now:
                asked = [name for name in servers if number_ < all_rounds or name in AIMED[cell]]
                for name in _rotated(asked, number_):
                    _ask(cell, name, servers[name], asking, facts, seconds * SECONDS.get(case.name, 1))
            for cell in binary_bodies.CELLS.keys() & set(now):
                lasting = seconds * SECONDS.get(case.name, 1)
                binary_bodies.measure(cell, case, servers, folder, facts, seconds=lasting)
            if now:
                _run_bare(now, case.name, model, facts, seconds * SECONDS.get(case.name, 1) / 2)
    limits.time_json(case, where, facts)


def _ask(cell: Cell, name: str, server: Running, asking: Path, facts: Facts, seconds: int) -> None:
    felt = wrk.ask(server, asking, connections=cell.connections, seconds=seconds, where=cell.where)
    for what in MEASURED:
        facts.setdefault(cell.key(what, name), []).append(getattr(felt, what))


def _run_bare(now: Sequence[Cell], case: str, model: Path, facts: Facts, seconds: float) -> None:
    found = raw_limit.rates(case, model, seconds=seconds, where=now[0].where)
    for cell in now:
        for setting, rate in found.items():
            what = "computed" if setting == raw_limit.COMPUTED else setting
            facts.setdefault(cell.key(what, RAW), []).append(rate)
        facts.setdefault(cell.key("rate", RAW), []).append(raw_limit.best(found, cell.connections)[1])


def _warm(server: Running, body: bytes) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    due = time.monotonic() + WARM_SECONDS
    while time.monotonic() < due:
        client.request("POST", "/predict", body)
        client.getresponse().read()
    client.close()
    await_quiet(server.pid)


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def _table(case: str, where: str, facts: Facts) -> Table:
    shown = [cell for cell in cells(case, where) if cell.key("rate", DEFAULT) in facts]
    heads = [f"{cell.connections} conn.{' *' if cell in AIMED else ''}" for cell in shown]
    rows = [_row(name, shown, facts) for name in _names(shown, facts)]
    rows.sort(key=lambda row: row[0] == RAW)
    bare = next((row for row in rows if row[0] == RAW), None)
    if bare is not None:
        rows[rows.index(bare)] = (f"{RAW}: {_best_settings(shown, facts)}", *bare[1:])
    columns = (
        "server",
        *heads,
        *(f"÷ at {cell.connections}" for cell in shown),
        "CPU µs a request, 8 conn.",
        "cores used",
    )
    return Table(f"{case}, {'server pinned to one core' if where == PINNED else 'all cores free'}", columns, rows)


def _row(name: str, shown: Sequence[Cell], facts: Facts) -> tuple[str, ...]:
    felt = []
    for cell in shown:
        parts = [number(median(facts[cell.key("rate", name)]))]
        if name != RAW:
            parts += [milliseconds(median(facts[cell.key(what, name)])) for what in ("p50", "p99")]
        felt.append(" / ".join(parts))
    ratios = [times(ratio(facts[cell.key("rate", DEFAULT)], facts[cell.key("rate", name)])) for cell in shown]
    eight = next((cell for cell in shown if cell.connections == 8), shown[0])
    cost = facts.get(eight.key("server", name)) or facts[eight.key("computed", name)]
    cores_used = median(facts[eight.key("rate", name)]) * median(cost)
    return (name, *felt, *ratios, number(median(cost) * 1e6), number(cores_used))


def _names(shown: Sequence[Cell], facts: Facts) -> list[str]:
    """In the order in which they were measured, which is that of the facts."""
    start, end = "rate of ", f", {shown[0].case}, {shown[0].connections}, {shown[0].where}"
    return [key[len(start) : -len(end)] for key in facts if key.startswith(start) and key.endswith(end)]


def _best_settings(shown: Sequence[Cell], facts: Facts) -> str:
    best = []
    for cell in shown:
        names = [
            name
            for name in ("default", *raw_limit.settings(64), *raw_limit.settings(2))
            if cell.key(name, RAW) in facts
        ]
        found = {name: median(facts[cell.key(name, RAW)]) for name in names}
        best.append(raw_limit.best(found, cell.connections)[0])
    return ", ".join(dict.fromkeys(best))


def _plot(case: str, facts: Facts) -> Plot:
    shown = [Cell(case, FREE, connections) for connections in CONNECTIONS]
    lines = {
        name: [(float(cell.connections), median(facts[cell.key("rate", name)])) for cell in shown]
        for name in _names(shown, facts)
    }
    return Plot(f"serving-{case}", f"{case}, all cores free", "connections", "requests/s", lines)


if __name__ == "__main__":
    main()
