"""What is run together is answered as if it were not, with mistakes and swaps in between."""

import http.client
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import Any

import orjson
import pytest

from daemon.runtime import batch_size
from tests import onnx_models
from tests.e2e.conftest import NewRig
from tests.e2e.rig import Rig

CLIENTS, SWAPS, ASKED_BETWEEN = 12, 6, 300
BAD = [
    ([[1.0, 2.0]], "expected float32 [batch, 10], got shape [1, 2]"),
    ([["a"] * 10], "expected numbers, got a string at [0][0]"),
    ([[1.0] * 10, [1.0]], "expected lists of equal length"),
]


def asked_and_answered(rig: Rig, seed: int, stop: Event, done: list[None]) -> list[str]:
    """What was wrong with the answers that one client got."""
    dice, faults = random.Random(seed), []
    with closing(http.client.HTTPConnection("127.0.0.1", rig.port, timeout=30)) as connection:
        while not stop.is_set():
            rows = [[float(dice.randint(-9, 9)) for _ in range(10)] for _ in range(dice.randint(1, 4))]
            bad = dice.choice(BAD) if dice.random() < 0.1 else None
            connection.request("POST", "/predict", orjson.dumps({"inputs": bad[0] if bad else rows}))
            response = connection.getresponse()
            body = orjson.loads(response.read())
            if bad:
                if response.status != 400 or bad[1] not in body["error"]:
                    faults.append(f"expected 400 {bad[1]}, got {response.status} {body}")
            elif response.status != 200 or body["output"] != [
                [each + body["version"] for each in row[:5]] for row in rows
            ]:
                faults.append(f"{rows} got {response.status} {body}")
            done.append(None)
    return faults


@pytest.mark.both_fronts
@pytest.mark.timeout(120)
def test_every_answer_is_right_whatever_it_is_run_with(new_rig: NewRig) -> None:
    rig = new_rig().start()
    trial = deploy(rig, 1)
    print(f"{batch_size(trial)} rows are run together: {trial['runs']}")
    assert trial["batch"]["equals_single"] is True
    stop, done = Event(), list[None]()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(asked_and_answered, rig, seed, stop, done) for seed in range(CLIENTS)]
        try:
            for version in range(2, 2 + SWAPS):
                wait_for_more(done, ASKED_BETWEEN, clients)
                deploy(rig, version)
        finally:
            stop.set()
        faults = [fault for client in clients for fault in client.result(30)]
    print(f"{len(done)} answers over {SWAPS} swaps")
    assert faults == []


def deploy(rig: Rig, version: int) -> dict[str, Any]:
    """Has a model serve that adds its version to the first five numbers of each row; what its trial measured."""
    path = onnx_models.heavy(rig.drop / f".{version}.tmp", version)
    before = rig.last_id()
    path.rename(rig.drop / f"{version}.onnx")
    live = rig.wait_for_event(before, event="live")
    assert live["version"] == version
    trial: dict[str, Any] = rig.get("/models/default").json["trial"]
    return trial


def wait_for_more(done: list[None], more: int, clients: Any) -> None:
    wanted, pause = len(done) + more, Event()
    for _ in range(3000):
        if len(done) >= wanted or any(client.done() for client in clients):
            return
        pause.wait(0.01)
    raise AssertionError(f"{len(done)} answers, expected {wanted}")
