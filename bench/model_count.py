"""What models cost that are loaded: memory, time to be deployed, requests a second, and the time of a restart.

    python -m bench.model_count [--counts 1 10 50 200] [--seconds 1]

Small models, each with bytes and a name of its own, are dropped into one daemon until there are so many. Requests go to
one of them by 8 connections, and to all of them in turn.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import wrk
from bench.daemon_under_test import DaemonUnderTest, running
from bench.models import Case, case_of
from bench.page import Section, Table, megabytes, number
from bench.procfs import memory, tree_pss

COUNTS = (1, 10, 50, 200)
CONNECTIONS = 8
MOST_SECONDS = 120.0
COLUMNS = (
    "models",
    "ms a deploy",
    "resident MB",
    "proportional MB, with children",
    "requests/s to one",
    "to all in turn",
    "restart to ready, s",
)


def main() -> None:
    """Drops, asks and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--seconds", type=int, default=1, help="for each point")
    arguments = parser.parse_args()
    print(measure(counts=arguments.counts, seconds=arguments.seconds).markdown())


def measure(*, counts: Sequence[int] = COUNTS, seconds: int = 1) -> Section:
    """The section of the report on the number of models."""
    wrk.require()
    section = Section("Cost by the number of models")
    section.notes = [f"The smallest model, {CONNECTIONS} connections, all cores free; every model is loaded."]
    case, rows, there = case_of("tiny"), [], 0
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        for count in sorted(counts):
            with running(Path(folder)) as daemon:
                took = _drop(daemon, case, range(there, count)) / (count - there)
                felt = [_rate(daemon, case, paths, seconds) for paths in (_paths(1), _paths(count))]
                held, whole = memory(daemon.pid).rss, tree_pss(daemon.pid)
            there = count
            start = time.monotonic()
            with running(Path(folder)):
                restart = time.monotonic() - start
            section.facts |= {f"restart with {count} models": [restart], f"rate with {count} models": felt}
            rates = (number(rate) for rate in felt)
            rows.append((str(count), number(took * 1e3), megabytes(held), megabytes(whole), *rates, number(restart)))
    section.tables = [Table("Models that are loaded", COLUMNS, rows)]
    return section


def _drop(daemon: DaemonUnderTest, case: Case, seeds: range) -> float:
    """Seconds until all of them serve."""
    before = daemon.last_event()
    start = time.monotonic()
    for seed in seeds:
        model = case.write(daemon.folder / "on_its_way.onnx", seed)
        (daemon.drop / f"m{seed}").mkdir(parents=True)
        model.rename(daemon.drop / f"m{seed}" / "model.onnx")
    missing = {f"m{seed}" for seed in seeds}
    while missing:
        if time.monotonic() - start > MOST_SECONDS:
            raise RuntimeError(f"{len(missing)} models do not serve after {MOST_SECONDS} s")
        found = daemon.get(f"/events?after={before}&wait=5&limit=1000")
        missing -= {event["model"] for event in found["events"] if event["event"] == "live"}
        before = found["last"]
    return time.monotonic() - start


def _paths(count: int) -> list[str]:
    return [f"/models/m{number_}/predict" for number_ in range(count)]


def _rate(daemon: DaemonUnderTest, case: Case, paths: Sequence[str], seconds: int) -> float:
    asking = wrk.script(daemon.folder / "ask", case.body, paths=paths)
    return wrk.ask(daemon.running, asking, connections=CONNECTIONS, seconds=seconds).rate


if __name__ == "__main__":
    main()
