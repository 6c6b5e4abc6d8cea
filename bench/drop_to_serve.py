"""How long from a file's rename into ``model_drop/`` to the first answer by it, beside a bare load in the same minutes.

    python -m bench.drop_to_serve [--rounds 7] [--sizes 0.01 10 100]

In each round a new model is copied by ``shutil.copyfile`` and loaded by a bare ``onnxruntime.InferenceSession(path)``,
then renamed into the drop directory of a daemon that one client asks again and again; the time is taken when an answer
carries the new model's hash. The stages are the daemon's own, from the ``live`` event. The copy is shown because the
daemon makes one, too, and what it costs depends on the machine: where memory's first touch is dear (a virtual machine
whose host takes free pages back), a copy can take longer than the load.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import argparse
import hashlib
import http.client
import shutil
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
COLUMNS = ("model", "bare copy", "bare load", "drop to first answer", "÷ load", "beyond load", "beyond copy and load")
MOST_SECONDS = 60.0
PAUSE_SECONDS = 0.001
"""Between two questions: the client finds out within a millisecond and leaves the cores to the daemon."""


@dataclass(frozen=True, slots=True)
class Round:
    """One model's times, in milliseconds."""

    copy: float
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
    print("| " + " | ".join((*COLUMNS, *STAGES)) + " |")
    print("|---|" + "--:|" * (len(COLUMNS) + len(STAGES) - 1))
    for megabytes in arguments.sizes:
        print(_row(megabytes, _rounds(megabytes, arguments.rounds)), flush=True)


def _rounds(megabytes: float, number: int) -> list[Round]:
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
    copy = _bare_copy_ms(model, folder / f"copy_{seed}")
    bare = _bare_load_ms(model)
    start = time.perf_counter()
    model.rename(daemon.drop / f"model_{seed}.onnx")
    while _answering(client) != sha256:
        time.sleep(PAUSE_SECONDS)
        if time.perf_counter() - start > MOST_SECONDS:
            raise SystemExit(f"no answer by the new model in {MOST_SECONDS} s")
    served = (time.perf_counter() - start) * 1e3
    return Round(copy, bare, served, _stages_ms(client, sha256))


def _bare_copy_ms(model: Path, copy: Path) -> float:
    # The copy stays to the end: the memory of a deleted one would be at hand for the next, and its cost not seen.
    start = time.perf_counter()
    shutil.copyfile(model, copy)
    return (time.perf_counter() - start) * 1e3


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
    copy = statistics.median(each.copy for each in rounds)
    bare = statistics.median(each.bare for each in rounds)
    served = statistics.median(each.served for each in rounds)
    ratio = statistics.median(each.served / each.bare for each in rounds)
    stages = " | ".join(f"{statistics.median(each.stages[stage] for each in rounds):.1f}" for stage in STAGES)
    name = f"{megabytes * 1000:.0f} KB" if megabytes < 1 else f"{megabytes:.0f} MB"
    beyond = f"{served - bare:+.1f} ms | {served - bare - copy:+.1f} ms"
    return f"| {name} | {copy:.1f} ms | {bare:.1f} ms | {served:.1f} ms | {ratio:.2f} | {beyond} | {stages} |"


if __name__ == "__main__":
    main()
