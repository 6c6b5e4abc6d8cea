"""Requests a second and latencies: the daemon beside what people write instead, and beside the bare session.

    python -m bench.serving [--rounds 3] [--seconds 3] [--connections 1 8 32] [--cases 0.001 10 cnn] [--pinned]

A case is a number of MB, for a stack of dense layers, or ``cnn``. In each round all servers take turns, so that the
machine's mood is the same for all; each is started anew, warmed for a second and asked by ``wrk`` (a Debian package,
which must be there). ``--pinned`` gives the server one core and ``wrk`` another. The bare session is run in a loop by
one thread with ONNX Runtime's own settings, without HTTP and JSON: what a model costs.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson

from bench.daemon_under_test import ROOT, running
from bench.models import Case, case_of

OURS = "modeldrop"
PEERS = ("flask-waitress", "flask-dev")
BARE = "bare session"
WARM_SECONDS = 1
LAST_CORE = max(os.sched_getaffinity(0))
"""Where ``wrk`` is pinned; the server is to the first."""
COLUMNS = ("model", "connections", "server", "requests/s", "p50", "p99", "modeldrop ÷ it")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Felt:
    """What ``wrk`` saw of one server: answers a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--cases", nargs="+", default=["0.001", "10", "cnn"], help="MB of a dense model, or cnn")
    parser.add_argument("--pinned", action="store_true", help="the server on one core, wrk on another")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not there; on Debian and Ubuntu: apt install wrk")
    where = "the server pinned to one core" if arguments.pinned else "free"
    print(f"onnxruntime {ort.__version__}, {len(os.sched_getaffinity(0))} cores, {where}, {arguments.rounds} rounds")
    _row(*COLUMNS)
    print("|---|--:|---|" + "--:|" * (len(COLUMNS) - 3))
    for case in map(case_of, arguments.cases):
        with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
            _measure(case, Path(folder), arguments)


def _measure(case: Case, folder: Path, arguments: argparse.Namespace) -> None:
    model = case.write(folder / "model.onnx", 0)
    ask = folder / "ask.lua"
    header = "wrk.headers['Content-Type'] = 'application/json'"
    ask.write_text(f"wrk.method = 'POST'\n{header}\nwrk.body = [==[{case.body.decode()}]==]\n", encoding="utf-8")
    found: dict[tuple[int, str], list[Felt]] = {}
    bare: list[float] = []
    for number in range(arguments.rounds):
        for server in (OURS, *PEERS):
            with _served(server, model, folder / f"{server}-{number}", pinned=arguments.pinned) as port:
                _wrk(port, ask, 8, WARM_SECONDS, pinned=arguments.pinned)
                for connections in arguments.connections:
                    felt = _wrk(port, ask, connections, arguments.seconds, pinned=arguments.pinned)
                    found.setdefault((connections, server), []).append(felt)
        bare.append(_bare_rate(model, case.body, arguments.seconds))
    for connections in arguments.connections:
        ours = [felt.rate for felt in found[connections, OURS]]
        for server in (OURS, *PEERS):
            felt_all = found[connections, server]
            ratio = statistics.median(mine / felt.rate for mine, felt in zip(ours, felt_all, strict=True))
            _row(
                case.name,
                str(connections),
                server,
                f"{statistics.median(felt.rate for felt in felt_all):.0f}",
                f"{statistics.median(felt.p50 for felt in felt_all):.2f} ms",
                f"{statistics.median(felt.p99 for felt in felt_all):.2f} ms",
                f"{ratio:.2f}",
            )
        ratio = statistics.median(mine / rate for mine, rate in zip(ours, bare, strict=True))
        _row(case.name, str(connections), BARE, f"{statistics.median(bare):.0f}", "", "", f"{ratio:.2f}")


@contextmanager
def _served(server: str, model: Path, folder: Path, *, pinned: bool) -> Iterator[int]:
    """The port of a server of ``model``, until the block ends."""
    cores = os.sched_getaffinity(0)
    if pinned:  # what is started now inherits it
        os.sched_setaffinity(0, {min(cores)})
    try:
        if server == OURS:
            folder.joinpath("model_drop").mkdir(parents=True)
            shutil.copyfile(model, folder / "model_drop" / "model.onnx")
            with running(folder) as daemon:
                _wait_until_it_serves(daemon.port)
                yield daemon.port
        else:
            with _peer(server, model) as port:
                yield port
    finally:
        os.sched_setaffinity(0, cores)


def _wait_until_it_serves(port: int) -> None:
    due = time.monotonic() + 60
    while time.monotonic() < due:
        answer = subprocess.run(
            ["curl", "-s", f"http://127.0.0.1:{port}/models/default"], capture_output=True, check=True, timeout=10
        )
        if orjson.loads(answer.stdout).get("state") == "live":
            return
        time.sleep(0.05)
    raise SystemExit("the daemon does not serve")


@contextmanager
def _peer(kind: str, model: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "bench.peers", kind, str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().decode().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def _wrk(port: int, ask: Path, connections: int, seconds: int, *, pinned: bool) -> Felt:
    core = ["taskset", "-c", str(LAST_CORE)] if pinned else []
    command = [*core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "--latency"]
    asking = [*command, "-s", str(ask), f"http://127.0.0.1:{port}/predict"]
    done = subprocess.run(asking, capture_output=True, check=True, text=True, timeout=seconds + 90)
    said = done.stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failures = (int(wrong[1]) if wrong else 0) + (sum(map(int, errors.groups())) if errors else 0)
    if failures:
        raise SystemExit(f"{failures} of the answers were none: {said}")
    return Felt(rate, _latency(said, 50), _latency(said, 99))


def _latency(said: str, percent: int) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", said)
    return float(found[1]) * _UNITS[found[2]] if found else float("nan")


def _bare_rate(model: Path, body: bytes, seconds: int) -> float:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: np.array(orjson.loads(body)["inputs"], np.float32)}
    session.run(None, inputs)
    runs, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        session.run(None, inputs)
        runs += 1
    return runs / (time.perf_counter() - start)


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
