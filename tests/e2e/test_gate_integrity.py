"""``gate.integrity.required``: only what comes with its digest may serve."""

import base64
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.e2e.arrivals import Spot, digest, made, rename_in
from tests.e2e.rig import Rig
from tests.onnx_models import constant_model


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon that wants digests, and is not patient."""
    settings = {
        "watch": {"incomplete_seconds": 1},
        "deploy": {"allowed_dirs": ["allowed"]},
        "gate": {"integrity": {"required": True}},
    }
    rig = Rig(tmp_path_factory.mktemp("wary"), settings).start()
    yield rig
    rig.kill()


def _state(path: Path, stated: str = "") -> None:
    """Puts a sidecar beside a model that lies or will lie at ``path``."""
    path.with_name(f"{path.name}.sha256").write_text(stated or digest(path))


def test_drop_without_a_sidecar_is_waited_for_then_rejected(spot: Spot) -> None:
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    assert spot.wait("waiting")["reason"] == "waiting for x.onnx.sha256"
    rejected = spot.wait("rejected")
    assert rejected["check"] == "integrity"
    assert rejected["reason"] == (
        "no sha256 was stated for it, expected x.onnx.sha256 beside it (gate.integrity.required)"
    )


def test_drop_whose_sidecar_comes_in_time_is_live(spot: Spot) -> None:
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("waiting")
    _state(spot.folder / "x.onnx")
    spot.wait("live")
    assert spot.answered() == 1.0


def test_drop_whose_sidecar_comes_late_is_live_then(spot: Spot) -> None:
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("rejected")
    _state(spot.folder / "x.onnx")
    spot.wait("live")
    assert spot.answered() == 1.0


def test_drop_after_its_sidecar_is_live_at_once(spot: Spot) -> None:
    _drop_stated(spot, spot.folder, 1.0)
    spot.wait("live")
    assert spot.names() == ["seen", "live"]


def test_drop_with_a_sidecar_of_other_bytes_is_rejected(spot: Spot) -> None:
    _state(spot.folder / "x.onnx", "0" * 64)
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    rejected = spot.wait("rejected")
    assert rejected["check"] == "integrity"
    assert "sidecar says 000000000000…, file has " in rejected["reason"]


def test_upload_without_a_digest_is_refused_with_the_ways_to_state_one(spot: Spot) -> None:
    answer = spot.rig.request("PUT", f"/models/{spot.model}/upload", spot.source(1.0).read_bytes())
    assert (answer.status, answer.json["check"]) == (422, "integrity")
    assert "the header X-Content-SHA256 or Content-Digest (gate.integrity.required)" in answer.json["reason"]


@pytest.mark.parametrize("header", ["X-Content-SHA256", "Content-Digest"])
def test_upload_with_its_digest_is_live(spot: Spot, header: str) -> None:
    content = spot.source(1.0).read_bytes()
    hashed = sha256(content)
    stated = f"sha-256=:{base64.b64encode(hashed.digest()).decode()}:" if "Digest" in header else hashed.hexdigest()
    answer = spot.rig.request("PUT", f"/models/{spot.model}/upload", content, headers={header: stated})
    assert (answer.status, answer.json["outcome"]) == (200, "live")


def test_upload_with_another_digest_is_refused_with_both(spot: Spot) -> None:
    content = spot.source(1.0).read_bytes()
    stated = "a" * 64
    headers = {"X-Content-SHA256": stated}
    answer = spot.rig.request("PUT", f"/models/{spot.model}/upload", content, headers=headers)
    assert (answer.status, answer.json["check"]) == (422, "integrity")
    assert answer.json["reason"] == f"expected sha256 {stated}, found {sha256(content).hexdigest()}"


def test_update_without_a_sidecar_is_refused(spot: Spot) -> None:
    path = constant_model(spot.allowed / "x.onnx", 1.0)
    answer = spot.rig.post("/update_model", {"model_path": f"{spot.model}/x.onnx", "model": spot.model})
    assert (answer.status, answer.json["check"]) == (422, "integrity")
    _state(path)
    answer = spot.rig.post("/update_model", {"model_path": f"{spot.model}/x.onnx", "model": spot.model})
    assert (answer.status, answer.json["outcome"]) == (200, "live")


def test_rollback_needs_no_digest(spot: Spot) -> None:
    for value in (1.0, 2.0):
        content = spot.source(value).read_bytes()
        headers = {"X-Content-SHA256": sha256(content).hexdigest()}
        assert spot.rig.request("PUT", f"/models/{spot.model}/upload", content, headers=headers).status == 200
    assert spot.rig.post(f"/models/{spot.model}/rollback").status == 200
    assert spot.answered() == 1.0


def test_what_serves_is_restored_without_a_digest(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "rig", {"gate": {"integrity": {"required": True}}}).start()
    try:
        source = constant_model(made(rig.folder / "made") / "x.onnx", 1.0)
        _state(rig.drop / "x.onnx", digest(source))
        rename_in(source, rig.drop / "x.onnx")
        rig.wait_for_event(event="live")
        (rig.drop / "x.onnx.sha256").unlink()
        rig.kill()
        rig.start()
        assert rig.predict().json["output"] == [[1.0] * 5]
    finally:
        rig.kill()


def test_sidecar_that_goes_leaves_what_serves(spot: Spot) -> None:
    _drop_stated(spot, spot.folder, 1.0)
    live = spot.wait("live")
    (spot.folder / "x.onnx.sha256").unlink()
    for value in (2.0, 3.0):  # the scan that finds the second is later than all that was there before the first
        fence = made(spot.rig.drop / "fence")
        before = spot.rig.last_id()
        _drop_stated(spot, fence, value)
        spot.rig.wait_for_event(before, event="live", model=fence.name)
    assert spot.names(live["id"]) == []
    assert spot.answered() == 1.0


def _drop_stated(spot: Spot, folder: Path, value: float) -> None:
    source = spot.source(value)
    _state(folder / "x.onnx", digest(source))
    rename_in(source, folder / "x.onnx")
