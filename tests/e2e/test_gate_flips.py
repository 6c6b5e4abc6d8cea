"""A real model with one byte changed, some hundred times over: each has a verdict, and none costs a prediction."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.arrivals import made
from tests.e2e.proc import resident_bytes
from tests.e2e.siege import Siege

MIB = 1 << 20
ALL = 500
SOME = 50
DROPPED = 20
SEED = 20261122
VERDICT_SECONDS = 20.0
"""For one; a trial may take ``gate.trial.timeout_seconds``, which is 1."""
LEEWAY_BYTES = 16 * MIB

CHECKS = {"structure", "memory", "trial", "signature"}


def _flipped(count: int, seed: int = SEED) -> Iterator[bytes]:
    """A real model with one byte replaced by another, in ``count`` seeded ways."""
    content = (Path(__file__).parents[2] / "examples" / "models" / "digits_v1.onnx").read_bytes()
    chance = random.Random(seed)
    for _ in range(count):
        place = chance.randrange(len(content))
        yield content[:place] + bytes([content[place] ^ chance.randrange(1, 256)]) + content[place + 1 :]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [SOME, pytest.param(ALL, marks=pytest.mark.slow)])
def test_flipped_bytes_have_a_verdict_each_and_cost_no_prediction(siege: Siege, count: int) -> None:
    verdicts: dict[str, int] = {}
    settled = 0
    for number, content in enumerate(_flipped(count)):
        answer = siege.upload(content, "flipped", seconds=VERDICT_SECONDS)
        verdict = "live" if answer.status == 200 else str(answer.json.get("check"))
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        assert answer.status in (200, 422), (number, answer.body)
        assert answer.status == 200 or (answer.json["check"] in CHECKS and answer.json["reason"]), (number, answer.body)
        if number == count // 2:
            settled = resident_bytes(siege.rig.pid)
    print(f"{count} flips: {verdicts}")
    assert verdicts.keys() >= {"live", "structure", "trial"}, "the flips were to end in every way"
    siege.expect_unharmed()
    assert resident_bytes(siege.rig.pid) <= settled + LEEWAY_BYTES


@pytest.mark.timeout(120)
def test_flipped_bytes_that_are_dropped_have_a_verdict_each(siege: Siege) -> None:
    rig = siege.rig
    before = rig.last_id()
    for number, content in enumerate(_flipped(DROPPED, SEED + 1)):
        (made(rig.drop / f"flip-{number}") / "x.onnx").write_bytes(content)
    left = {f"flip-{number}" for number in range(DROPPED)}
    last = before
    while left:
        event = rig.wait_for_event(last, seconds=VERDICT_SECONDS)
        last = event["id"]
        if event["event"] in ("live", "rejected"):
            assert event["event"] == "live" or (event["check"] in CHECKS and event["reason"]), event
            left.discard(event["model"])
    siege.expect_unharmed()
