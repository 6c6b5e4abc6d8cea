"""What open connections cost: from 1 to 1,000, all of them asking, or 32 asking and the others idle.

    python -m bench.connections [--counts 1 8 32 128 512 1000] [--seconds 1] [--rounds 1]

The smallest model; ours in each configuration and Flask on waitress take turns at every point.
"""

import argparse
import resource
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import wrk
from bench.configurations import CONFIGURATIONS, DEFAULT
from bench.figures import median, ratio
from bench.models import case_of
from bench.page import Facts, Plot, Section, Table, milliseconds, number, times
from bench.processes import FREE, Running, all_started
from bench.servers import FLASK_WAITRESS, servers_of

COUNTS = (1, 8, 32, 128, 512, 1000)
ACTIVE = 32
ALL, SOME = "all active", f"{ACTIVE} active, the others idle"


def main() -> None:
    """Asks and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print(measure(counts=arguments.counts, seconds=arguments.seconds, rounds=arguments.rounds).markdown())


def measure(*, counts: Sequence[int] = COUNTS, seconds: int = 1, rounds: int = 1) -> Section:
    """The section of the report on connections."""
    wrk.require()
    _allow_many_files()
    section, case = Section("Cost by the number of connections"), case_of("tiny")
    wanted = {FLASK_WAITRESS, *(each.name for each in CONFIGURATIONS)}
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        model = case.write(Path(folder) / "model.onnx", 0)
        servers = servers_of(case.name, model, Path(folder), where=FREE)
        asking = wrk.script(Path(folder) / "ask", case.body)
        with all_started({name: server for name, server in servers.items() if name in wanted}) as running:
            for _ in range(rounds):
                for count in counts:
                    for name, server in running.items():
                        _measure_point(name, server, asking, count, seconds, section.facts)
    section.notes = [
        f"The smallest model, all cores free, medians of {rounds} rounds. A cell is requests a second / p50 ms / p99 "
        "ms / failures. ÷ is ours over that row's rate.",
    ]
    more = [count for count in counts if count > ACTIVE]
    section.tables = [
        _table(kind, list(running), those, section.facts) for kind, those in ((ALL, counts), (SOME, more))
    ]
    lines = {
        f"{name}, {kind}": [(float(count), median(section.facts[f"rate, {name}, {count}, {kind}"])) for count in those]
        for name in running
        for kind, those in ((ALL, counts), (SOME, more))
    }
    section.plots = [Plot("connections", "Requests a second by open connections", "connections", "requests/s", lines)]
    return section


def _measure_point(name: str, server: Running, asking: Path, count: int, seconds: int, facts: Facts) -> None:
    for kind in _kinds_of(count):
        active = count if kind == ALL else ACTIVE
        with _idle(server, count - active):
            felt = wrk.ask(server, asking, connections=active, seconds=seconds)
        for what in ("rate", "p50", "p99", "failures"):
            facts.setdefault(f"{what}, {name}, {count}, {kind}", []).append(getattr(felt, what))


def _kinds_of(count: int) -> list[str]:
    return [ALL, SOME] if count > ACTIVE else [ALL]


@contextmanager
def _idle(server: Running, count: int) -> Iterator[None]:
    """So many connections that are open and say nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
        yield


def _table(kind: str, names: Sequence[str], counts: Sequence[int], facts: Facts) -> Table:
    rows = []
    for name in names:
        points = []
        for count in counts:
            rate, p50, p99, failures = (
                median(facts[f"{what}, {name}, {count}, {kind}"]) for what in ("rate", "p50", "p99", "failures")
            )
            points.append(f"{number(rate)} / {milliseconds(p50)} / {milliseconds(p99)} / {failures:.0f}")
        ratios = [
            times(ratio(facts[f"rate, {DEFAULT}, {count}, {kind}"], facts[f"rate, {name}, {count}, {kind}"]))
            for count in counts
        ]
        rows.append((name, *points, *ratios))
    columns = ("server", *(f"{count:,} open" for count in counts), *(f"÷ at {count:,}" for count in counts))
    return Table(kind[0].upper() + kind[1:], columns, rows)


def _allow_many_files() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
