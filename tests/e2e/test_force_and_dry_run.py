"""Deploying in spite of what only users can judge, and asking first what would come of it."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.arrivals import made
from tests.e2e.conftest import NewRig
from tests.e2e.crowd import Crowd, failures
from tests.e2e.rig import Answer, Rig
from tests.e2e.test_gate_signature import model as signed
from tests.e2e.waiting import eventually
from tests.onnx_models import constant_model, failing

ALLOWED = "offered"
CHECKS = ["integrity", "structure", "memory", "trial", "probation", "signature", "golden", "replay"]
ROW = [[1.0, 2.0, 3.0, 4.0]]
_NUMBERS = itertools.count(1)

Offer = Callable[["Spot", Path, bool, bool], Answer]
"""Offers a file, or goes back to the bytes of one that served, with ``force`` and ``dry_run``."""


@dataclass(frozen=True)
class Spot:
    """A model that nobody else has; a first one of it serves, and was asked some things."""

    rig: Rig
    name: str

    def deploy(self, path: Path) -> None:
        answer = self.rig.request("PUT", f"/models/{self.name}/upload?force=true", path.read_bytes())
        assert answer.json["outcome"] == "live", answer.body

    def ask(self) -> None:
        for _ in range(5):
            assert self.rig.predict(ROW, model=self.name).status == 200

    def expect(self, output: object) -> None:
        """Puts a golden example of ``ROW`` there."""
        content = {"inputs": ROW, "output": output}
        (made(self.rig.folder / "golden" / self.name) / "a.json").write_text(str(content).replace("'", '"'))

    def known(self) -> dict[str, Any]:
        """All that a change would change."""
        return {
            "serves": {**self.rig.get(f"/models/{self.name}").json, "probation": None},
            "releases": self.rig.get(f"/models/{self.name}/releases").json,
            "events": [event for event in self.rig.events() if event["model"] == self.name],
            "answers": self.rig.predict(ROW, model=self.name).json,
        }


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon with limits that are easily missed."""
    gate = {"signature": "exact", "replay": {"per_second": 1e6, "max_abs": 1, "budget_ms": 10_000}}
    rig = Rig(tmp_path_factory.mktemp("strict"), {"gate": gate, "deploy": {"allowed_dirs": [ALLOWED]}}).start()
    yield rig
    rig.kill()


@pytest.fixture
def spot(strict: Rig) -> Spot:
    spot = Spot(strict, f"model-{next(_NUMBERS)}")
    spot.deploy(signed(strict.folder / "first.onnx"))
    spot.ask()
    return spot


def _update(spot: Spot, path: Path, force: bool, dry_run: bool) -> Answer:
    offered = made(spot.rig.folder / ALLOWED) / path.name
    offered.write_bytes(path.read_bytes())
    asked = {"model_path": path.name, "model": spot.name, "force": force, "dry_run": dry_run}
    return spot.rig.post("/update_model", asked)


def _upload(spot: Spot, path: Path, force: bool, dry_run: bool) -> Answer:
    switches = f"force={str(force).lower()}&dry_run={int(dry_run)}"
    return spot.rig.request("PUT", f"/models/{spot.name}/upload?filename={path.name}&{switches}", path.read_bytes())


def _roll_back(spot: Spot, path: Path, force: bool, dry_run: bool) -> Answer:
    digest = sha256(path.read_bytes()).hexdigest()
    rows = spot.rig.get(f"/models/{spot.name}/releases?limit=1000").json["releases"]
    if all(row["sha256"] != digest for row in rows):
        spot.deploy(path)
        spot.deploy(signed(spot.rig.folder / "first.onnx"))
        spot.ask()
        rows = spot.rig.get(f"/models/{spot.name}/releases?limit=1000").json["releases"]
    (version, *_) = [row["version"] for row in rows if row["sha256"] == digest]
    asked = {"version": version, "force": force, "dry_run": dry_run}
    return spot.rig.post(f"/models/{spot.name}/rollback", asked)


OFFERS = pytest.mark.parametrize("offer", [_update, _upload, _roll_back], ids=lambda offer: offer.__name__[1:])


def _misfit(rig: Rig) -> Path:
    """What ``signature``, ``golden`` (see ``Spot.expect``) and ``replay`` refuse."""
    return signed(rig.folder / "misfit.onnx", outputs=("y", "label", "more"), shift=11)


# force


@OFFERS
def test_refused_deploy_serves_by_force_and_says_what_it_would_have_failed(spot: Spot, offer: Offer) -> None:
    rig, path = spot.rig, _misfit(spot.rig)
    refused = offer(spot, path, False, False)
    assert (refused.status, refused.json["check"]) == (409, "signature")
    spot.expect(ROW)
    before = rig.last_id()
    answer = offer(spot, path, True, False)
    assert (answer.status, answer.json["outcome"]) == (200, "live"), answer.body
    event = rig.wait_for_event(before, event="live", model=spot.name)
    assert [each.partition(":")[0] for each in event["forced"]] == ["signature", "golden", "replay"]
    assert "output 'more' is new" in event["forced"][0]
    assert "differs by 11 at [0][0]" in event["forced"][1]
    assert "max_abs is 11" in event["forced"][2]
    (line,) = [line for line in rig.log.splitlines() if f" live model={spot.name} version={event['version']} " in line]
    assert "forced=" in line
    (rig.folder / "golden" / spot.name / "a.json").unlink()


def test_forced_deploy_that_would_have_failed_nothing_says_so(spot: Spot) -> None:
    before = spot.rig.last_id()
    assert _upload(spot, signed(spot.rig.folder / "fine.onnx", shift=0.5), True, False).status == 200
    assert spot.rig.wait_for_event(before, event="live", model=spot.name)["forced"] == []


def test_deploy_that_was_not_forced_says_nothing_of_it(spot: Spot) -> None:
    before = spot.rig.last_id()
    assert _upload(spot, signed(spot.rig.folder / "fine.onnx", shift=0.5), False, False).status == 200
    assert "forced" not in spot.rig.wait_for_event(before, event="live", model=spot.name)


def test_refusal_tells_of_everything_else_that_would_have_refused(spot: Spot) -> None:
    spot.expect(ROW)
    before = spot.rig.last_id()
    assert _upload(spot, _misfit(spot.rig), False, False).status == 409
    event = spot.rig.wait_for_event(before, event="rejected", model=spot.name)
    assert event["check"] == "signature"
    assert [each.partition(":")[0] for each in event["also"]] == ["golden", "replay"]


@pytest.mark.parametrize("offer", [_update, _upload], ids=["update", "upload"])
@pytest.mark.parametrize(("bad", "check"), [("cut", "structure"), ("failing", "trial")])
def test_force_does_not_pass_what_is_about_the_file(spot: Spot, offer: Offer, bad: str, check: str) -> None:
    path = failing(spot.rig.folder / f"{bad}.onnx")
    if bad == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    answer = offer(spot, path, True, False)
    assert (answer.status, answer.json["check"]) == (422, check)
    assert spot.rig.predict(ROW, model=spot.name).json["version"] == 1


def test_force_does_not_pass_a_wrong_digest(spot: Spot) -> None:
    content = signed(spot.rig.folder / "x.onnx", shift=0.5).read_bytes()
    address = f"/models/{spot.name}/upload?force=true"
    answer = spot.rig.request("PUT", address, content, headers={"X-Content-SHA256": "0" * 64})
    assert (answer.status, answer.json["check"]) == (422, "integrity")


def test_force_does_not_pass_the_memory(new_rig: NewRig) -> None:
    rig = new_rig(gate={"memory": {"factor": 1e9}}).start()
    content = constant_model(rig.folder / "x.onnx", 1.0).read_bytes()
    answer = rig.request("PUT", "/models/default/upload?force=true", content)
    assert (answer.status, answer.json["check"]) == (422, "memory")


@pytest.mark.parametrize("switch", ["force", "dry_run"])
@pytest.mark.parametrize("value", ["yes", 1, None])
def test_switch_that_is_no_boolean_is_400(spot: Spot, switch: str, value: object) -> None:
    rig, before = spot.rig, spot.known()
    name = made(rig.folder / ALLOWED) / "switch.onnx"
    signed(name, shift=0.5)
    asked = {"model_path": name.name, "model": spot.name, switch: value}
    assert rig.post("/update_model", asked).status == 400
    assert rig.post(f"/models/{spot.name}/rollback", {switch: value}).status == 400
    answer = rig.request("PUT", f"/models/{spot.name}/upload?{switch}={value or ''}x", name.read_bytes())
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert spot.known() == before


# dry_run


@OFFERS
def test_dry_run_of_what_would_serve_changes_nothing(spot: Spot, offer: Offer) -> None:
    path = signed(spot.rig.folder / "fine.onnx", shift=0.5)
    if offer is _roll_back:
        _roll_back(spot, path, False, True)
    before = spot.known()
    answer = offer(spot, path, False, True)
    assert answer.status == 200
    report = answer.json
    assert (report["dry_run"], report["outcome"], report["model"]) == (True, "live", spot.name)
    assert report["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert [check["check"] for check in report["checks"]] == CHECKS
    assert all(check["passed"] and check["seconds"] >= 0 for check in report["checks"])
    assert "reason" not in report
    findings = {check["check"]: check.get("findings") for check in report["checks"]}
    assert findings["replay"]["max_abs"] == 0.5
    assert findings["trial"]["batch"]["equals_single"]
    assert spot.known() == before


@OFFERS
def test_dry_run_of_what_would_be_refused_tells_all_reasons_and_changes_nothing(spot: Spot, offer: Offer) -> None:
    path = _misfit(spot.rig)
    offer(spot, path, False, True)
    spot.expect(ROW)
    before = spot.known()
    answer = offer(spot, path, False, True)
    assert (answer.status, answer.json["outcome"], answer.json["check"]) == (200, "rejected", "signature")
    refused = {check["check"]: check["reason"] for check in answer.json["checks"] if not check["passed"]}
    assert list(refused) == ["signature", "golden", "replay"]
    assert answer.json["reason"] == refused["signature"]
    assert spot.known() == before


@OFFERS
def test_dry_run_with_force_tells_what_would_come_of_it_by_force(spot: Spot, offer: Offer) -> None:
    path = _misfit(spot.rig)
    offer(spot, path, True, True)
    before = spot.known()
    answer = offer(spot, path, True, True)
    assert (answer.status, answer.json["outcome"]) == (200, "live")
    assert [check["check"] for check in answer.json["checks"] if not check["passed"]] == ["signature", "replay"]
    assert spot.known() == before


@pytest.mark.parametrize("offer", [_update, _upload], ids=["update", "upload"])
@pytest.mark.parametrize(("bad", "check"), [("cut", "structure"), ("failing", "trial")])
def test_dry_run_of_a_bad_file_is_200_and_tells_why_it_is_refused(
    spot: Spot, offer: Offer, bad: str, check: str
) -> None:
    path = failing(spot.rig.folder / f"{bad}.onnx")
    if bad == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    before = spot.known()
    answer = offer(spot, path, False, True)
    assert (answer.status, answer.json["outcome"], answer.json["check"]) == (200, "rejected", check)
    assert [each["check"] for each in answer.json["checks"] if not each["passed"]] == [check]
    assert spot.known() == before


def test_dry_run_of_what_serves_is_unchanged(spot: Spot) -> None:
    answer = _upload(spot, signed(spot.rig.folder / "first.onnx"), False, True)
    assert (answer.status, answer.json["outcome"]) == (200, "unchanged")


@pytest.mark.parametrize("offer", [_update, _upload], ids=["update", "upload"])
def test_dry_run_for_a_new_model_makes_none(strict: Rig, offer: Offer) -> None:
    spot = Spot(strict, f"never-{next(_NUMBERS)}")
    assert offer(spot, signed(strict.folder / "x.onnx", shift=3), False, True).json["outcome"] == "live"
    assert strict.get(f"/models/{spot.name}").status == 404


def test_dry_run_of_a_rollback_of_an_unknown_model_is_404(strict: Rig) -> None:
    assert strict.post("/models/nobody/rollback", {"dry_run": True}).status == 404


def test_dry_run_leaves_nothing_in_the_store(spot: Spot) -> None:
    path = signed(spot.rig.folder / "left.onnx", shift=0.125)
    assert _upload(spot, path, False, True).json["outcome"] == "live"
    entry = spot.rig.state / "store" / sha256(path.read_bytes()).hexdigest()
    eventually(lambda: not entry.exists(), "the entry to be removed")


def test_dry_run_costs_no_prediction(spot: Spot) -> None:
    body = b'{"inputs": [[1, 2, 3, 4]]}'
    with Crowd(spot.rig.port, clients=4, path=f"/models/{spot.name}/predict", body=body) as crowd:
        for shift in range(1, 6):
            _upload(spot, signed(spot.rig.folder / "x.onnx", shift=shift / 10), False, True)
            crowd.wait_for_more(5)
    assert failures(crowd.answers) == []
    assert {taken.version for taken in crowd.answers} == {1}
