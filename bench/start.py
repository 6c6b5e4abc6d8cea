"""How long a restart takes: from the process' start to ``ready`` with three models, and what of it are the imports.

    python -m bench.start [--rounds 5] [--models tiny mlp cnn]

The models are deployed once; then, in each round, take turns: a bare interpreter, one that imports what the daemon
imports, the daemon with nothing to restore, and the daemon with its three models.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.daemon_under_test import DaemonUnderTest, running, sha256_of
from bench.figures import median
from bench.models import case_of
from bench.page import Facts, Section, Table, milliseconds
from bench.processes import ROOT

MODELS = ("tiny", "mlp", "cnn")
BARE = {
    "interpreter": "import run_daemon",
    "interpreter + imports": (
        "import run_daemon; from daemon import starting; starting.lighten(); "
        "starting.with_room(__import__)('daemon.running')"
    ),
}
"""What is run to see what a start costs before it begins: imports as ``run_daemon.py`` makes them."""
EMPTY, FULL = "ready, nothing to restore", "ready, three models restored"


def main() -> None:
    """Starts and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=MODELS)
    arguments = parser.parse_args()
    print(measure(rounds=arguments.rounds, models=arguments.models).markdown())


def measure(*, rounds: int = 5, models: Sequence[str] = MODELS) -> Section:
    """The section of the report on starts."""
    section = Section("Start")
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        with running(full) as daemon:
            for number, name in enumerate(models):
                _deploy(daemon, name, named=number > 0)
        for _ in range(rounds):
            _measure_round(empty, full, section.facts)
    facts = section.facts
    facts["start beyond the imports"] = [
        whole - imports for whole, imports in zip(facts[FULL], facts["interpreter + imports"], strict=True)
    ]
    section.notes = [
        f"Seconds from the process' start, medians of {rounds} rounds, in milliseconds; models: {', '.join(models)}."
    ]
    steps = [*BARE, EMPTY, FULL]
    before = [0.0, *(median(facts[step]) for step in steps)]
    rows = [
        (step, milliseconds(median(facts[step])), milliseconds(median(facts[step]) - earlier))
        for step, earlier in zip(steps, before, strict=False)
    ]
    rows.append(("three models, beyond the imports", milliseconds(median(facts["start beyond the imports"])), ""))
    section.tables = [Table("From the process' start", ("until", "ms", "beyond the row above"), rows)]
    return section


def _measure_round(empty: Path, full: Path, facts: Facts) -> None:
    for name, code in BARE.items():
        facts.setdefault(name, []).append(_until_said(code))
    for name, folder in ((EMPTY, empty), (FULL, full)):
        start = time.perf_counter()
        with running(folder):
            facts.setdefault(name, []).append(time.perf_counter() - start)


def _until_said(code: str) -> float:
    """Until an interpreter has run ``code`` and says so, as the daemon says that it is ready."""
    start = time.perf_counter()
    command = [sys.executable, "-c", f"{code}; print('ready', flush=True)"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - start


def _deploy(daemon: DaemonUnderTest, name: str, *, named: bool) -> None:
    model = case_of(name).write(daemon.folder / "on_its_way.onnx", 0)
    sha256, last = sha256_of(model), daemon.last_event()
    place = daemon.drop / name if named else daemon.drop
    place.mkdir(exist_ok=True)
    model.rename(place / "model.onnx")
    daemon.await_live(sha256, last)


if __name__ == "__main__":
    main()
