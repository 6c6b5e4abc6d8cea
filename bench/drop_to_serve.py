"""How long from a file's rename into ``model_drop/`` to the first answer by it, beside a bare load in the same minutes.

    python -m bench.drop_to_serve [--rounds 7] [--sizes 0.01 10 100]

In each round a new model is loaded by a bare ``onnxruntime.InferenceSession(path)``, then renamed into the drop
directory of a daemon that one client asks again and again; the time is taken when an answer carries the new model's
hash. The stages are the daemon's own, from the ``live`` event.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import argparse
import hashlib
import http.client
import math
import mmap
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort
import orjson

from bench.daemon_under_test import DaemonUnderTest, running
from bench.models import WIDTH, dense

BODY = orjson.dumps({"inputs": [[1.0] * WIDTH]})
STAGES = ("settle", "store", "gate", "load", "swap")
MOST_SECONDS = 60.0
PAUSE_SECONDS = 0.001
"""Between two questions: the client finds out within a millisecond and leaves the cores to the daemon."""


@dataclass(frozen=True, slots=True)
class Round:
    """One model's times, in milliseconds."""

    bare: float
    served: float
    stages: dict[str, float]


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.01, 10, 100], help="in MB")
    arguments = parser.parse_args()
    print(f"onnxruntime {ort.__version__}, {len(os.sched_getaffinity(0))} cores, medians of {arguments.rounds} rounds")
    print("| model | bare load | drop to first answer | ratio | beyond | " + " | ".join(STAGES) + " |")
    print("|---|--:|--:|--:|--:|" + "--:|" * len(STAGES))
    for megabytes in arguments.sizes:
        print(_row(megabytes, _rounds(megabytes, arguments.rounds)), flush=True)


def _touch_memory(megabytes: float) -> None:
    """Makes the system's free memory ready to use.

    On a virtual machine the first touch of a page costs more than copying it (measured: 100 MB written in 340 ms, and
    in 24 ms once the pages had been used), which is the host's doing and would fall to the copies alone.
    """
    with mmap.mmap(-1, math.ceil(megabytes * 1e6)) as memory:
        for start in range(0, len(memory), mmap.PAGESIZE):
            memory[start] = 1


def _rounds(megabytes: float, number: int) -> list[Round]:
    _touch_memory(4 * megabytes * (number + 2))
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        with running(Path(folder)) as daemon:
            client = daemon.connect()
            try:
                _one(daemon, client, Path(folder), megabytes, seed=0)  # warms the caches, and is not counted
                return [_one(daemon, client, Path(folder), megabytes, seed=seed) for seed in range(1, number + 1)]
            finally:
                client.close()


def _one(
    daemon: DaemonUnderTest, client: http.client.HTTPConnection, folder: Path, megabytes: float, *, seed: int
) -> Round:
    model = dense(folder / "on_its_way.onnx", megabytes=megabytes, seed=seed)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    bare = _bare_load_ms(model)
    start = time.perf_counter()
    model.rename(daemon.drop / f"model_{seed}.onnx")
    while _answering(client) != sha256:
        time.sleep(PAUSE_SECONDS)
        if time.perf_counter() - start > MOST_SECONDS:
            raise SystemExit(f"no answer by the new model in {MOST_SECONDS} s")
    served = (time.perf_counter() - start) * 1e3
    return Round(bare, served, _stages_ms(client, sha256))


def _bare_load_ms(model: Path) -> float:
    start = time.perf_counter()
    ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return (time.perf_counter() - start) * 1e3


def _answering(client: http.client.HTTPConnection) -> str | None:
    """The hash of the model that answers a prediction now."""
    client.request("POST", "/predict", BODY)
    response = client.getresponse()
    response.read()
    return response.getheader("X-Model-SHA256")


def _stages_ms(client: http.client.HTTPConnection, sha256: str) -> dict[str, float]:
    client.request("GET", "/events?limit=1000")
    events = orjson.loads(client.getresponse().read())["events"]
    live = next(event for event in reversed(events) if event["event"] == "live" and event["sha256"] == sha256)
    return {stage: live["seconds"][stage] * 1e3 for stage in STAGES}


def _row(megabytes: float, rounds: list[Round]) -> str:
    bare = statistics.median(each.bare for each in rounds)
    served = statistics.median(each.served for each in rounds)
    ratio = statistics.median(each.served / each.bare for each in rounds)
    stages = " | ".join(f"{statistics.median(each.stages[stage] for each in rounds):.1f}" for stage in STAGES)
    name = f"{megabytes * 1000:.0f} KB" if megabytes < 1 else f"{megabytes:.0f} MB"
    return f"| {name} | {bare:.1f} ms | {served:.1f} ms | {ratio:.2f} | {served - bare:+.1f} ms | {stages} |"


if __name__ == "__main__":
    main()
