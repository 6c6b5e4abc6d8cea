"""How long from a file's rename into ``model_drop/`` to the first answer by it, and what requests feel of it meanwhile.

    python -m bench.drop_to_serve [--rounds 7] [--cases 0.01 10 100 cnn]                        # idle
    python -m bench.drop_to_serve --connections 8 [--nice 0 10 19] [--rounds 5] [--cases …]     # under load

A case is a number of MB, for a stack of dense layers, or ``cnn``, a network of ResNet-50's layout. In each round a new
model is written, copied by ``shutil.copyfile`` and loaded by a bare ``onnxruntime.InferenceSession(path)``, then
renamed into the drop directory of a daemon with the default settings. Idle, one client waits for the ``live`` event by
a long poll and asks once, which the new model must answer. Under load, so many clients in a process of their own ask
without a pause; what they felt is the worst request from the drop to half a second after the first new answer, beside
the 99th percentile and the worst of the requests in the seconds before the drop. The stages are the daemon's own, from
the ``live`` event. The copy is shown because the daemon makes one, too, and what it costs depends on the machine: where
memory's first touch is dear (a virtual machine whose host takes free pages back), a copy can take longer than the load.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort
import orjson

from bench.crowd import Taken, crowd
from bench.daemon_under_test import DaemonUnderTest, running
from bench.models import Case, case_of

STAGES = ("settle", "store", "gate", "gate.trial", "gate.replay", "load", "swap")
IDLE_COLUMNS = ("model", "bare copy", "bare load", "drop to first answer", "aim: 2 loads + 60 ms", "÷ aim")
LOADED_COLUMNS = (
    "model",
    "nice",
    "requests/s",
    "p99 before",
    "worst before",
    "worst during",
    "÷ p99",
    "÷ worst",
    "drop to first answer",
    "failures",
)
AIM_FACTOR, AIM_MS = 2.0, 60.0
MOST_SECONDS = 60.0
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 0.5


@dataclass(frozen=True, slots=True)
class Idle:
    """One model's times, in milliseconds."""

    copy: float
    bare: float
    served: float
    stages: dict[str, float]

    @property
    def aim(self) -> float:
        return AIM_FACTOR * self.bare + AIM_MS


@dataclass(frozen=True, slots=True)
class Loaded:
    """What clients felt of one deploy, times in milliseconds."""

    rate: float
    before: float
    worst_before: float
    worst: float
    served: float
    failures: int
    stages: dict[str, float]


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cases", nargs="+", default=["0.01", "10", "100", "cnn"], help="MB of a dense model, or cnn")
    parser.add_argument("--connections", type=int, default=0, help="clients that ask meanwhile; 0: idle")
    parser.add_argument("--nice", type=int, nargs="+", default=[10], help="gate.trial.nice, under load")
    arguments = parser.parse_args()
    print(f"onnxruntime {ort.__version__}, {len(os.sched_getaffinity(0))} cores, medians of {arguments.rounds} rounds")
    cases = [case_of(name) for name in arguments.cases]
    if arguments.connections:
        _print_loaded(cases, arguments.connections, arguments.nice, arguments.rounds)
    else:
        _print_idle(cases, arguments.rounds)


def _print_idle(cases: list[Case], rounds: int) -> None:
    _head((*IDLE_COLUMNS, *STAGES))
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder, running(Path(folder)) as daemon:
            client = daemon.connect()
            _idle(daemon, client, case, Path(folder), seed=0)  # warms the caches, and is not counted
            found = [_idle(daemon, client, case, Path(folder), seed=seed) for seed in range(1, rounds + 1)]
            client.close()
        _row(
            case.name,
            *(
                f"{statistics.median(getattr(each, name) for each in found):.1f} ms"
                for name in ("copy", "bare", "served", "aim")
            ),
            f"{statistics.median(each.served / each.aim for each in found):.2f}",
            *_median_stages(found),
        )


def _print_loaded(cases: list[Case], connections: int, nices: list[int], rounds: int) -> None:
    """The niceties take turns in each round, so that the machine's mood is the same for all."""
    _head((*LOADED_COLUMNS, *STAGES))
    for case in cases:
        found: dict[int, list[Loaded]] = {nice: [] for nice in nices}
        for seed in range(1, rounds + 1):
            for nice in nices:
                found[nice].append(_loaded(case, connections, nice, seed))
        for nice, each in found.items():
            _row(
                case.name,
                str(nice),
                f"{statistics.median(one.rate for one in each):.0f}",
                f"{statistics.median(one.before for one in each):.1f} ms",
                f"{statistics.median(one.worst_before for one in each):.1f} ms",
                f"{statistics.median(one.worst for one in each):.1f} ms",
                f"{statistics.median(one.worst / one.before for one in each):.2f}",
                f"{statistics.median(one.worst / one.worst_before for one in each):.2f}",
                f"{statistics.median(one.served for one in each):.0f} ms",
                str(sum(one.failures for one in each)),
                *_median_stages(each),
            )


def _idle(daemon: DaemonUnderTest, client: http.client.HTTPConnection, case: Case, folder: Path, *, seed: int) -> Idle:
    model = case.write(folder / "on_its_way.onnx", seed)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    copy = _bare_copy_ms(model, folder / f"copy_{seed}")
    bare = _bare_load_ms(model)
    last = _last_event(client)
    start = time.perf_counter()
    model.rename(daemon.drop / f"model_{seed}.onnx")
    _wait_for_live(client, sha256, last)
    if _answering(client, case.body) != sha256:
        raise SystemExit("the answer after the live event is not the new model's")
    served = (time.perf_counter() - start) * 1e3
    return Idle(copy, bare, served, _stages_ms(client, sha256))


def _loaded(case: Case, connections: int, nice: int, seed: int) -> Loaded:
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        with running(Path(folder), gate={"trial": {"nice": nice}}) as daemon:
            client = daemon.connect()
            _drop(case, Path(folder), daemon, client, seed=0)
            with crowd(daemon.port, case.body, connections) as working:
                model = case.write(Path(folder) / "on_its_way.onnx", seed)
                sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
                time.sleep(1.0 + BEFORE_SECONDS)
                last = _last_event(client)
                dropped = time.monotonic()
                model.rename(daemon.drop / f"model_{seed}.onnx")
                _wait_for_live(client, sha256, last)
                time.sleep(1.0 + AFTER_SECONDS)
                answers = working.answers()
            stages = _stages_ms(client, sha256)
            client.close()
    return _felt(answers, dropped, sha256, stages)


def _felt(answers: list[Taken], dropped: float, sha256: str, stages: dict[str, float]) -> Loaded:
    before = sorted(
        each.seconds for each in answers if dropped - BEFORE_SECONDS <= each.sent and each.received < dropped
    )
    first = min((each.received for each in answers if each.sha256 == sha256), default=float("nan"))
    during = [each.seconds for each in answers if each.received >= dropped and each.sent <= first + AFTER_SECONDS]
    return Loaded(
        rate=len(before) / BEFORE_SECONDS,
        before=before[min(len(before) - 1, int(len(before) * 0.99))] * 1e3,
        worst_before=before[-1] * 1e3,
        worst=max(during) * 1e3,
        served=(first - dropped) * 1e3,
        failures=sum(each.status != 200 for each in answers),
        stages=stages,
    )


def _drop(case: Case, folder: Path, daemon: DaemonUnderTest, client: http.client.HTTPConnection, *, seed: int) -> None:
    model = case.write(folder / "on_its_way.onnx", seed)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    last = _last_event(client)
    model.rename(daemon.drop / f"model_{seed}.onnx")
    _wait_for_live(client, sha256, last)


def _last_event(client: http.client.HTTPConnection) -> int:
    client.request("GET", "/events?limit=0")
    return int(orjson.loads(client.getresponse().read())["last"])


def _wait_for_live(client: http.client.HTTPConnection, sha256: str, after: int) -> None:
    """By a long poll, so that whoever waits leaves the cores to the daemon."""
    due = time.monotonic() + MOST_SECONDS
    while time.monotonic() < due:
        client.request("GET", f"/events?after={after}&wait=10")
        found = orjson.loads(client.getresponse().read())
        if any(each["event"] == "live" and each["sha256"] == sha256 for each in found["events"]):
            return
        after = found["last"]
    raise SystemExit(f"the new model does not serve in {MOST_SECONDS} s")


def _bare_copy_ms(model: Path, copy: Path) -> float:
    # The copy stays to the end: the memory of a deleted one would be at hand for the next, and its cost not seen.
    start = time.perf_counter()
    shutil.copyfile(model, copy)
    return (time.perf_counter() - start) * 1e3


def _bare_load_ms(model: Path) -> float:
    start = time.perf_counter()
    ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return (time.perf_counter() - start) * 1e3


def _answering(client: http.client.HTTPConnection, body: bytes) -> str | None:
    """The hash of the model that answers a prediction now."""
    client.request("POST", "/predict", body)
    response = client.getresponse()
    response.read()
    return response.getheader("X-Model-SHA256")


def _stages_ms(client: http.client.HTTPConnection, sha256: str) -> dict[str, float]:
    client.request("GET", "/events?limit=1000")
    events = orjson.loads(client.getresponse().read())["events"]
    live = next(event for event in reversed(events) if event["event"] == "live" and event["sha256"] == sha256)
    return {stage: live["seconds"].get(stage, 0.0) * 1e3 for stage in STAGES}


def _median_stages(found: Sequence[Idle | Loaded]) -> list[str]:
    return [f"{statistics.median(each.stages[stage] for each in found):.1f}" for stage in STAGES]


def _head(columns: tuple[str, ...]) -> None:
    _row(*columns)
    print("|---|" + "--:|" * (len(columns) - 1))


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
