"""The four guarantees of a prediction, under eight clients with connections of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests import onnx_models
from tests.e2e.conftest import NewRig
from tests.e2e.crowd import Crowd, Taken, failures
from tests.e2e.rig import Answer, Rig
from tests.e2e.swaps import ALLOWED, Deployed, Swapper, Way, shuffled_ways

ROWS = 100
"""A batch that takes a while to read and to write, so that a swap meets requests at each of their steps."""
BATCH = orjson.dumps({"inputs": [[1.0] * 10] * ROWS})


@pytest.fixture
def swapper(new_rig: NewRig) -> Swapper:
    """A daemon that serves a first model, and what puts others in its place."""
    rig = new_rig(deploy={"allowed_dirs": [ALLOWED]}, watch={"incomplete_seconds": 0.3}).start()
    swapper = Swapper(rig)
    swapper.swap("upload")
    return swapper


@pytest.mark.timeout(120)
@pytest.mark.parametrize("swaps", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_every_answer_is_of_one_release_over_many_swaps(swapper: Swapper, swaps: int) -> None:
    answers, deployed = _swap_among_clients(swapper, swaps)
    print(f"{len(answers)} answers over {swaps} swaps, {len(failures(answers))} of them no 200")
    assert failures(answers) == []
    _expect_one_release_each(answers, swapper, swaps)
    _expect_no_older_than(answers, deployed)
    assert {each.version for each in deployed} <= {taken.version for taken in answers}


def _swap_among_clients(swapper: Swapper, swaps: int) -> tuple[list[Taken], list[Deployed]]:
    """Every answer that was taken while models changed, and every change."""
    with Crowd(swapper.rig.port, body=BATCH) as crowd:
        deployed = []
        for way in shuffled_ways(swaps, seed=1):
            deployed.append(swapper.swap(way))
            crowd.wait_for_more(9)  # one more than may be on their way: at least one is sent from here on
    return crowd.answers, deployed


def _expect_one_release_each(answers: list[Taken], swapper: Swapper, swaps: int) -> None:
    """Output, version and hash of an answer belong together, as the history has them."""
    rows = swapper.rig.get("/models/default/releases?limit=1000").json["releases"]
    history = {row["version"]: row["sha256"] for row in rows if row["outcome"] == "live"}
    assert len(history) == swaps + 1
    for taken in answers:
        assert taken.headers["X-Model-Version"] == str(taken.version)
        assert taken.headers["X-Model-Name"] == taken.body["model"] == "default"
        assert history[taken.version] == taken.sha256
        assert taken.body["output"] == [[swapper.values[taken.sha256]] * 5] * ROWS


def _expect_no_older_than(answers: list[Taken], deployed: list[Deployed]) -> None:
    """What was sent after a deploy was told is answered by that release or a newer one."""
    told = sorted(deployed, key=lambda each: each.told, reverse=True)
    for taken in sorted(answers, key=lambda taken: taken.sent):
        while told and told[-1].told <= taken.sent:
            newest = told.pop()
        if len(told) < len(deployed):
            assert taken.version >= newest.version, f"sent after {newest} was told"


@pytest.mark.parametrize("way", ["update", "upload", "rollback"])
def test_deploy_is_read_at_once_by_other_connections(swapper: Swapper, way: Way) -> None:
    swapper.swap("upload")
    with Crowd(swapper.rig.port, clients=4) as crowd:
        for _ in range(5):
            deployed = swapper.swap(way)
            before = len(crowd.answers)
            assert swapper.rig.predict().json["version"] == deployed.version
            crowd.wait_for_more(9)
            later = [taken for taken in crowd.answers[before:] if taken.sent >= deployed.told]
            assert later
            assert {taken.version for taken in later} == {deployed.version}
    assert failures(crowd.answers) == []


def _cut(folder: Path) -> bytes:
    return onnx_models.constant_model(folder / "cut.onnx", 66.0).read_bytes()[:-40]


def _failing(folder: Path) -> bytes:
    return onnx_models.failing(folder / "failing.onnx").read_bytes()


def _unfeedable(folder: Path) -> bytes:
    return onnx_models.sequence_input(folder / "unfeedable.onnx").read_bytes()


CANDIDATES: dict[str, Callable[[Path], bytes]] = {
    "text": lambda _: b"this is no model\n" * 100,
    "html": lambda _: b"<!doctype html><title>404</title>",
    "empty": lambda _: b"",
    "zeros": lambda _: bytes(4096),
    "cut": _cut,
    "failing": _failing,
    "unfeedable": _unfeedable,
}


def test_rejected_candidates_are_invisible_to_predictions(swapper: Swapper, tmp_path: Path) -> None:
    rig = swapper.rig
    before = rig.predict()
    with Crowd(rig.port) as crowd:
        for name, make in CANDIDATES.items():
            _offer_everywhere(rig, name, make(tmp_path))
            crowd.wait_for_more(8)
    assert failures(crowd.answers) == []
    assert {taken.sha256 for taken in crowd.answers} == {before.headers["X-Model-SHA256"]}
    assert {str(taken.body) for taken in crowd.answers} == {str(before.json)}
    rows = rig.get("/models/default/releases").json["releases"]
    assert [row["version"] for row in rows if row["outcome"] == "live"] == [1]
    assert len([row for row in rows if row["outcome"] == "rejected"]) == 3 * len(CANDIDATES)


def _offer_everywhere(rig: Rig, name: str, content: bytes) -> None:
    """Uploads, names and drops what must not serve; each is rejected with a reason."""
    path = rig.folder / ALLOWED / f"{name}.onnx"
    path.write_bytes(content)
    _expect_rejected(rig.request("PUT", f"/models/default/upload?filename={path.name}", content))
    _expect_rejected(rig.post("/update_model", {"model_path": path.name}))
    before = rig.last_id()
    shutil.copy(path, rig.drop)
    rejected = rig.wait_for_event(before, event="rejected", model_path=f"model_drop/{path.name}")
    assert rejected["reason"]
    assert rejected["check"]


def _expect_rejected(answer: Answer) -> None:
    assert (answer.status, answer.json["code"]) == (422, "rejected")
    assert answer.json["reason"]
    assert answer.json["check"]


def _many_nodes(path: Path) -> Path:
    return onnx_models.chain(path, 60_000)


def _many_bytes(path: Path) -> Path:
    return onnx_models.big(path, 300)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("model", ["default", "other"])
@pytest.mark.parametrize("make", [_many_nodes, pytest.param(_many_bytes, marks=pytest.mark.slow)])
def test_slow_load_delays_no_prediction(swapper: Swapper, make: Callable[[Path], Path], model: str) -> None:
    rig = swapper.rig
    path = make(rig.folder / ALLOWED / "slow.onnx")
    with Crowd(rig.port, clients=2) as crowd:
        before = len(crowd.answers)
        answer = rig.post("/update_model", {"model_path": path.name, "model": model})
        during = crowd.answers[before:]
    assert answer.status == 200
    assert failures(crowd.answers) == []
    took = rig.wait_for_event(event="live", model_path=path.name)["seconds"]["total"]
    assert took > 0.8, "the load was not slow enough to show anything"
    slowest = max(taken.seconds for taken in during)
    print(f"the deploy took {took:.2f} s, {len(during)} predictions meanwhile, the slowest {slowest:.3f} s")
    assert slowest < took / 3
