"""What a daemon that reloads all day holds: memory, descriptors and threads stay flat."""

from pathlib import Path

import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.crowd import Crowd, failures
from tests.e2e.proc import open_files, resident_bytes, threads
from tests.e2e.rig import Rig
from tests.onnx_models import big

MIB = 1 << 20
RELOADS = 100
MODEL_MB = 50
WARM = 10
"""Reloads after which everything that is allocated once is there."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_memory_is_flat_over_100_reloads_of_a_large_model(new_rig: NewRig) -> None:
    # With one session a model: whether the second one of a release is made depends on how soon the next one comes, and
    # what both of them map counts twice.
    rig = new_rig(deploy={"allowed_dirs": ["models"]}, history={"keep": 1}, runtime={"threads": 2}).start()
    paths = [big(rig.folder / "models" / f"{name}.onnx", MODEL_MB, name) for name in (1, 2)]
    _reload(rig, paths[0])
    held = []
    with Crowd(rig.port, clients=1) as crowd:
        for number in range(1, RELOADS + 1):
            _reload(rig, paths[number % 2])
            held.append((resident_bytes(rig.pid), open_files(rig.pid), threads(rig.pid)))
            if number in (1, WARM, RELOADS // 2, RELOADS):
                print(_figures(number, *held[-1]))
    assert failures(crowd.answers) == []
    _expect_flat(held[WARM:])


def _reload(rig: Rig, path: Path) -> None:
    answer = rig.post("/update_model", {"model_path": path.name})
    assert (answer.status, answer.json["outcome"]) == (200, "live")


def _figures(number: int, memory: int, files: int, running: int) -> str:
    return f"after {number:>3} reloads: {memory / MIB:.0f} MiB resident, {files} descriptors, {running} threads"


def _expect_flat(held: list[tuple[int, int, int]]) -> None:
    """The last fifth is as the first fifth, but for what was not yet freed when it was looked at."""
    fifth = len(held) // 5
    for what, (first, last) in {
        "memory": _lowest(held, 0, fifth),
        "descriptors": _lowest(held, 1, fifth),
        "threads": _lowest(held, 2, fifth),
    }.items():
        room = MODEL_MB * MIB // 4 if what == "memory" else 1
        assert last <= first + room, f"{what} grew from {first} to {last}"
    assert max(memory for memory, _, _ in held) < 8 * MODEL_MB * MIB


def _lowest(held: list[tuple[int, int, int]], place: int, fifth: int) -> tuple[int, int]:
    column = [each[place] for each in held]
    return min(column[:fifth]), min(column[-fifth:])
