"""What a model costs by its size: from a file's rename into ``model_drop/`` to the first answer by it, and memory.

    python -m bench.drop_to_serve [--rounds 3] [--cases 0.01 10 100 cnn 1000]

A case is a number of MB, for a stack of dense layers, or a model by name. In each round a new model is written, copied
by ``shutil.copyfile`` and loaded by a bare ``onnxruntime.InferenceSession(path)``, then renamed into the drop directory
of a daemon with the default settings. One client waits for the ``live`` event by a long poll and asks once, which the
new model must answer. The stages are the daemon's own, from the ``live`` event. The copy is shown because the daemon
makes one, too, and what it costs depends on the machine: where memory's first touch is dear (a virtual machine whose
host takes free pages back), a copy can take longer than the load. What requests feel meanwhile: ``bench.swap``.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import argparse
import http.client
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import onnxruntime as ort

from bench.daemon_under_test import DaemonUnderTest, running, sha256_of
from bench.figures import median, ratio
from bench.models import Case, case_of
from bench.page import Facts, Plot, Section, Table, megabytes, milliseconds, times
from bench.procfs import forget_peak, memory, peak

CASES = ("0.01", "1", "10", "100", "cnn", "1000")
STAGES = ("settle", "store", "gate", "gate.trial", "gate.replay", "load", "swap")
COLUMNS = ("model", "file MB", "bare copy", "bare load", "drop to first answer", "aim: 2 loads + 60 ms", "÷ aim")
AIM_FACTOR, AIM_SECONDS = 2.0, 0.060
ONCE_FROM_BYTES = 500_000_000
"""What is larger is dropped in one round: its writing and loading take many seconds."""


def main() -> None:
    """Runs the rounds and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=CASES, help="MB of a dense model, or one by name")
    arguments = parser.parse_args()
    print(measure(rounds=arguments.rounds, cases=arguments.cases).markdown())


def measure(*, rounds: int = 3, cases: Sequence[str] = CASES) -> Section:
    """The section of the report on the size of models."""
    section = Section("Cost by the size of the model: from the drop to the first answer")
    for case in map(case_of, cases):
        with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder, running(Path(folder)) as daemon:
            _measure_case(daemon, case, rounds, section.facts)
    names = [case_of(name).name for name in cases]
    section.notes = [f"Milliseconds, idle, medians of {rounds} rounds; models of 500 MB and more once."]
    section.tables = [
        Table("Time", (*COLUMNS, *STAGES), [_times(name, section.facts) for name in names]),
        Table(
            "Memory, MB",
            ("model", "file", "resident before", "resident with it", "peak of the daemon's process meanwhile"),
            [_sizes(name, section.facts) for name in names],
        ),
    ]
    by_size = sorted(names, key=lambda name: section.facts[f"bytes, {name}"])
    lines = {
        what: [(section.facts[f"bytes, {name}"][0], median(section.facts[f"{what}, {name}"]) * 1e3) for name in by_size]
        for what in ("bare copy", "bare load", "drop to first answer")
    }
    section.plots = [Plot("model-size", "Time by the size of the model's file", "bytes", "ms", lines)]
    return section


def _measure_case(daemon: DaemonUnderTest, case: Case, rounds: int, facts: Facts) -> None:
    """The first drop tells the memory, and warms the caches: its times count only where it is the only one."""
    at_first = {"resident before": float(memory(daemon.pid).rss)}
    forget_peak(daemon.pid)
    found = _measure_drop(daemon, case, 0)
    at_first |= {"resident with it": float(memory(daemon.pid).rss), "peak": float(peak(daemon.pid))}
    if found["bytes"] < ONCE_FROM_BYTES:
        counted = [_measure_drop(daemon, case, seed) for seed in range(1, rounds + 1)]
    else:
        counted = [found]
    for each in (at_first, *counted):
        for what, value in each.items():
            facts.setdefault(f"{what}, {case.name}", []).append(value)


def _measure_drop(daemon: DaemonUnderTest, case: Case, seed: int) -> dict[str, float]:
    model = case.write(daemon.folder / "on_its_way.onnx", seed)
    sha256, size, body, last = sha256_of(model), model.stat().st_size, case.body, daemon.last_event()
    copy, bare = _bare_copy_seconds(model, daemon.folder / f"copy_{seed}"), _bare_load_seconds(model)
    start = time.perf_counter()
    model.rename(daemon.drop / f"model_{seed}.onnx")
    stages = daemon.await_live(sha256, last)["seconds"]
    if _answering(daemon, body) != sha256:
        raise RuntimeError("the answer after the live event is not the new model's")
    return {
        "drop to first answer": time.perf_counter() - start,
        "bare copy": copy,
        "bare load": bare,
        "aim": AIM_FACTOR * bare + AIM_SECONDS,
        "bytes": float(size),
        **{stage: stages.get(stage, 0.0) for stage in STAGES},
    }


def _bare_copy_seconds(model: Path, copy: Path) -> float:
    # The copy stays to the end: the memory of a deleted one would be at hand for the next, and its cost not seen.
    start = time.perf_counter()
    shutil.copyfile(model, copy)
    return time.perf_counter() - start


def _bare_load_seconds(model: Path) -> float:
    start = time.perf_counter()
    ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return time.perf_counter() - start


def _answering(daemon: DaemonUnderTest, body: bytes) -> str | None:
    """The hash of the model that answers a prediction now."""
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)) as client:
        client.request("POST", "/predict", body)
        response = client.getresponse()
        response.read()
        return response.getheader("X-Model-SHA256")


def _times(name: str, facts: Facts) -> tuple[str, ...]:
    whats = ("bare copy", "bare load", "drop to first answer", "aim")
    passed = times(ratio(facts[f"drop to first answer, {name}"], facts[f"aim, {name}"]))
    size, *taken = (median(facts[f"{what}, {name}"]) for what in ("bytes", *whats, *STAGES))
    told = [milliseconds(seconds) for seconds in taken]
    return (name, megabytes(size), *told[: len(whats)], passed, *told[len(whats) :])


def _sizes(name: str, facts: Facts) -> tuple[str, ...]:
    whats = ("bytes", "resident before", "resident with it", "peak")
    return (name, *(megabytes(facts[f"{what}, {name}"][0]) for what in whats))


if __name__ == "__main__":
    main()
