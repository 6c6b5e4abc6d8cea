"""The limit of inference: ``session.run`` in a loop, without HTTP and JSON, with several settings of threads.

    python -m bench.raw_limit [--seconds 1] [--cases tiny mlp gbdt encoder cnn]

``default`` is ONNX Runtime's own choice (a pool of a thread a core, which spins), ``1 x intra 1`` a session without a
pool; ``k x`` are so many threads that run one session at the same time. Each model has a process of its own.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import onnxruntime as ort

from bench.models import NAMES, Case, case_of
from bench.page import Section, Table, number
from bench.processes import CORES, FREE, ROOT, on_cores, servers_cores

COMPUTED = "computed"
"""Beside the rates by setting: the processor time of one run by one thread without a pool, in seconds."""


def main() -> None:
    """Runs each model and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--cases", nargs="+", default=NAMES)
    parser.add_argument("--loop", nargs=2, metavar=("CASE", "MODEL"), help="loop here, and print the rates as JSON")
    arguments = parser.parse_args()
    if arguments.loop:
        name, model = arguments.loop
        print(json.dumps(_rates(case_of(name), Path(model), arguments.seconds)))
        return
    rows = []
    for name in arguments.cases:
        with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
            model = case_of(name).write(Path(folder) / "model.onnx", 0)
            found = rates(name, model, seconds=arguments.seconds, where=FREE)
        rows.append((name, *(number(found[setting]) for setting in settings(len(CORES)))))
    print(Section("Raw limit", tables=[Table("Runs a second", ("model", *settings(len(CORES))), rows)]).markdown())


def settings(cores: int) -> list[str]:
    """What is tried, by name."""
    several = [f"{cores} x intra 1", f"{cores} x default"] if cores > 1 else []
    return ["default", "1 x intra 1", *several]


def rates(case: str, model: Path, *, seconds: float, where: str) -> dict[str, float]:
    """Runs a second by setting, each for ``seconds``, and ``COMPUTED``; in a process of its own."""
    command = [sys.executable, "-m", "bench.raw_limit", "--seconds", str(seconds), "--loop", case, str(model)]
    with on_cores(servers_cores(where)):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120 + 10 * seconds)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def best(found: dict[str, float], connections: int) -> tuple[str, float]:
    """The setting with most runs a second, and these; what asks one at a time has one thread."""
    fitting = {
        name: rate
        for name, rate in found.items()
        if name != COMPUTED and (connections > 1 or name in ("default", "1 x intra 1"))
    }
    return max(fitting.items(), key=lambda each: each[1])


def _rates(case: Case, model: Path, seconds: float) -> dict[str, float]:
    cores = len(os.sched_getaffinity(0))
    inputs = {"input": case.inputs}
    found: dict[str, float] = {}
    for pool in (0, 1):
        options = ort.SessionOptions()
        options.intra_op_num_threads = pool
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        called = "intra 1" if pool else "default"
        computed = time.process_time()
        rate = _rate(session, inputs, 1, seconds)
        found[f"1 x {called}" if pool else called] = rate
        if pool:
            found[COMPUTED] = (time.process_time() - computed) / (rate * seconds + 1)  # and the one before
        if cores > 1:
            found[f"{cores} x {called}"] = _rate(session, inputs, cores, seconds)
    return found


def _rate(session: Any, inputs: dict[str, Any], threads: int, seconds: float) -> float:
    """Runs a second of all threads; a run counts by the share of it that lies in the time."""
    session.run(None, inputs)
    runs = [0.0] * threads

    def loop(number: int) -> None:
        start = last = time.perf_counter()
        while last - start < seconds:
            before = last
            session.run(None, inputs)
            last = time.perf_counter()
            runs[number] += 1
        runs[number] -= (last - start - seconds) / (last - before)

    loops = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for each in loops:
        each.start()
    for each in loops:
        each.join()
    return sum(runs) / seconds


if __name__ == "__main__":
    main()
