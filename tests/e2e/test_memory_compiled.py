"""What a daemon that compiles all day holds: memory, descriptors, threads, processes and the store stay flat.

And what it holds of a large network while a crowd asks for it: two engines at most.
"""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

import pytest

from bench.models import case_of
from tests.e2e.conftest import NewRig
from tests.e2e.crowd import Crowd, failures
from tests.e2e.proc import descendants, open_files, peak_bytes, reset_peak, resident_bytes, threads, warm_parent
from tests.e2e.rig import Rig
from tests.e2e.waiting import eventually
from tests.onnx_models import big

MIB = 1 << 20
RELOADS = 300
WARM = 30
"""Reloads after which everything that is allocated once is there."""
MODEL_MB = 4
KEEP = 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@dataclass(frozen=True, slots=True)
class Held:
    """What the daemon and its warm parent hold at a moment, in bytes and numbers."""

    memory: int
    memory_of_parent: int
    descriptors: int
    descriptors_of_parent: int
    threads: int
    processes: int
    store: int


ROOM = Held(2 * MODEL_MB * MIB, MIB, 1, 0, 1, 0, MIB // 4)
"""By how much the last may exceed the first: of memory, two models' worth, as it swings by four between two looks."""


def test_everything_is_flat_over_300_reloads_of_compiled_models(new_rig: NewRig) -> None:
    rig = new_rig(gate={"trial": {"compile": "on"}}, history={"keep": KEEP}).start()
    held: list[Held] = []
    _reload(rig, 0)
    with Crowd(rig.port, clients=1) as crowd:
        for number in range(1, RELOADS + 1):
            _reload(rig, number)
            held.append(_held(rig))
            if number in (1, WARM, RELOADS // 2, RELOADS):
                print(f"after {number} reloads: {held[-1]}")
    assert failures(crowd.answers) == []
    assert len({taken.version for taken in crowd.answers}) > RELOADS // 2
    _expect_flat(held[WARM:])


SWAPS = 50
CONTENTS = 3
"""One serves, one stands by, so a third is loaded each time."""
CLIENTS = 8
SOME = 5
"""So many looks make a figure: the requests of a moment come and go."""


def test_memory_of_a_large_network_under_load_is_flat_and_never_that_of_three_engines(new_rig: NewRig) -> None:
    rig = new_rig(deploy={"allowed_dirs": ["models"]}).start()
    case = case_of("cnn")
    (rig.folder / "models").mkdir()
    for number in range(CONTENTS):
        case.write(rig.folder / "models" / f"{number}.onnx", number)
    empty = resident_bytes(rig.pid)
    _swap_to(rig, 0)
    after: list[int] = []
    with Crowd(rig.port, clients=CLIENTS, body=case.body) as crowd:
        engine = median(_looks(rig, crowd)) - empty
        for number in range(1, CONTENTS):
            _swap_to(rig, number)
        reset_peak(rig.pid)
        for number in range(SWAPS):
            _swap_to(rig, number % CONTENTS)
            after.append(next(_looks(rig, crowd)))
        peak = peak_bytes(rig.pid)
    first, last = median(after[:SOME]), median(after[-SOME:])
    print(*(f"{name} {value / MIB:.0f} MiB" for name, value in locals().items() if isinstance(value, int | float)))
    assert failures(crowd.answers) == []
    assert last <= 1.05 * first
    assert peak <= empty + 2 * engine + 50 * MIB


def _swap_to(rig: Rig, number: int) -> None:
    answer = rig.post("/update_model", {"model_path": f"{number}.onnx"})
    assert (answer.status, answer.json["outcome"]) == (200, "live")


def _looks(rig: Rig, crowd: Crowd) -> Iterator[int]:
    """What is resident, each time after two more rounds of the crowd."""
    for _ in range(SOME):
        crowd.wait_for_more(2 * CLIENTS)
        yield resident_bytes(rig.pid)


def _reload(rig: Rig, number: int) -> None:
    """Deploys a content that was never there before, so that it is tried and compiled; waits until all is tidied."""
    content = big(rig.folder / "made.onnx", MODEL_MB, float(number)).read_bytes()
    answer = rig.request("PUT", "/models/default/upload", content)
    assert (answer.status, answer.json["version"]) == (200, number + 1)
    store = rig.state / "store"
    sealed = f"{answer.json['sha256']}/__made__/*/proof.json"
    eventually(lambda: list(store.glob(sealed)) and not list((store / "tmp").iterdir()), "the store to be tidied")
    eventually(lambda: len(descendants(rig.pid)) == 1, "nothing of the trial to be left")
    assert rig.get("/models/default").json["trial"]["compiled"]["load_seconds"] > 0


def _held(rig: Rig) -> Held:
    parent = warm_parent(rig.pid)
    assert parent is not None
    return Held(
        memory=resident_bytes(rig.pid),
        memory_of_parent=resident_bytes(parent),
        descriptors=open_files(rig.pid),
        descriptors_of_parent=open_files(parent),
        threads=threads(rig.pid),
        processes=len(descendants(rig.pid)),
        store=sum(path.stat().st_size for path in _files(rig.state / "store")),
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _expect_flat(held: list[Held]) -> None:
    """The last fifth is as the first fifth."""
    fifth = len(held) // 5
    columns = list(zip(*map(astuple, held), strict=True))
    for field, column, room in zip(fields(Held), columns, astuple(ROOM), strict=True):
        first, last = min(column[:fifth]), min(column[-fifth:])
        assert last <= first + room, f"{field.name} grew from {first} to {last}"
