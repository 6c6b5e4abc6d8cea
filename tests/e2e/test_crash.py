"""``kill -9`` at any moment: what had been answered 200 is what serves after the next start, or a later one."""

import http.client
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any

import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.rig import Rig
from tests.e2e.swaps import ALLOWED, WAYS, Deployed, Swapper
from tests.e2e.waiting import eventually
from tests.onnx_models import constant_model

LATEST_KILL_SECONDS = 0.6
MOST_SWAPS = 500


@dataclass
class Witness:
    """What clients of one state directory were told over all its daemons, to hold each next one to it."""

    versions: dict[int, str] = field(default_factory=dict)
    event_ids: dict[int, str] = field(default_factory=dict)

    def hear(self, version: int, sha256: str) -> None:
        """A version is one content's for good."""
        assert self.versions.setdefault(version, sha256) == sha256, f"version {version} was used again"

    def hear_history(self, rig: Rig) -> None:
        """Versions rise from row to row, and neither they nor event ids are used again."""
        rows = [row for row in rig.get("/models/default/releases?limit=1000").json["releases"] if row["version"]]
        versions = [row["version"] for row in rows]
        assert versions == sorted(set(versions), reverse=True)
        for row in rows:
            self.hear(row["version"], row["sha256"])
        for event in rig.events():
            assert self.event_ids.setdefault(event["id"], event["time"]) == event["time"], "an event id was used again"


@pytest.mark.parametrize(
    ("seed", "kills"), [(1, 4), pytest.param(2, 40, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_killed_during_deploys_serves_what_was_answered(new_rig: NewRig, seed: int, kills: int) -> None:
    rig = new_rig(deploy={"allowed_dirs": [ALLOWED]}).start()
    random, swapper, witness = Random(seed), Swapper(rig), Witness()
    for way in ("upload", "upload"):
        swapper.swap(way)
    for _ in range(kills):
        told = _deploy_until_killed(swapper, random, witness)
        _expect_sound_journal(rig)
        rig.start()
        _expect_right_release(swapper, told, witness)
        witness.hear_history(rig)
        _expect_nothing_left_over(rig)


def _deploy_until_killed(swapper: Swapper, random: Random, witness: Witness) -> Deployed:
    """The last deploy that was answered; ``swapper.asked`` is then what the one that was cut had asked for."""
    rig = swapper.rig
    serving = rig.get("/models/default").json
    told = Deployed("upload", 0.0, serving["version"], serving["sha256"])
    killer = Timer(random.uniform(0.0, LATEST_KILL_SECONDS), rig.process.kill)  # type: ignore[union-attr]
    killer.start()
    try:
        for _ in range(MOST_SWAPS):
            told = swapper.swap(random.choice(WAYS))
            witness.hear(told.version, told.sha256)
    except (OSError, http.client.HTTPException):
        pass  # that was the kill
    finally:
        killer.join()
    assert rig.wait() == -9
    return told


def _expect_sound_journal(rig: Rig) -> None:
    journal = sqlite3.connect(rig.state / "journal.sqlite3")
    try:
        assert journal.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        journal.close()


def _expect_right_release(swapper: Swapper, told: Deployed, witness: Witness) -> None:
    answer = swapper.rig.predict()
    assert answer.status == 200
    version, sha256 = answer.json["version"], answer.headers["X-Model-SHA256"]
    assert answer.json["output"] == [[swapper.values[sha256]] * 5]
    witness.hear(version, sha256)
    assert version >= told.version
    if version == told.version:
        assert sha256 == told.sha256
    elif swapper.asked is not None:
        assert sha256 == swapper.asked, "neither what was answered nor what was asked for after it"
    serving = swapper.rig.get("/models/default").json
    assert (serving["version"], serving["sha256"]) == (version, sha256)
    rows = swapper.rig.get("/models/default/releases").json["releases"]
    assert rows[0]["version"] == version, "what serves is not the newest of the history"


def _expect_nothing_left_over(rig: Rig) -> None:
    on_its_way = rig.state / "store" / "tmp"
    eventually(lambda: not list(on_its_way.iterdir()), "what is pruned at the start to be gone")
    assert list((rig.state / "spool").iterdir()) == []


def _upload(rig: Rig, value: float, model: str = "default") -> dict[str, Any]:
    path = constant_model(rig.folder / f"{value}.onnx", value)
    answer = rig.request("PUT", f"/models/{model}/upload?filename={path.name}", path.read_bytes())
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def _stored(rig: Rig, sha256: str) -> Path:
    (path,) = (rig.state / "store" / sha256).glob("*.onnx")
    return path


@pytest.mark.parametrize("damage", ["bytes", "length", "missing"])
def test_damaged_store_entry_falls_back_under_a_new_version(rig: Rig, damage: str) -> None:
    first, second = _upload(rig, 1.0), _upload(rig, 2.0)
    rig.kill()
    _damage(_stored(rig, second["sha256"]), damage)
    rig.start()
    answer = rig.predict()
    assert answer.json["output"] == [[1.0] * 5]
    assert answer.headers["X-Model-SHA256"] == first["sha256"]
    assert answer.json["version"] == 3
    restored = rig.wait_for_event(event="restored")
    assert (restored["version"], restored["sha256"]) == (3, first["sha256"])
    assert second["sha256"] in restored["reason"]
    assert "restored" in rig.log
    assert rig.get("/readyz").status == 200


def _damage(path: Path, how: str) -> None:
    path.chmod(0o644)
    content = path.read_bytes()
    if how == "bytes":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "length":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()


def test_all_store_entries_damaged_leaves_the_daemon_running_and_not_ready(rig: Rig) -> None:
    _damage(_stored(rig, _upload(rig, 1.0)["sha256"]), "length")
    rig.kill()
    rig.start()
    assert (rig.predict().status, rig.predict().json["code"]) == (503, "no_model")
    readiness = rig.get("/readyz")
    assert readiness.status == 503
    assert readiness.json["reasons"]
    assert _upload(rig, 2.0)["version"] == 2
    assert rig.get("/readyz").status == 200


def test_version_after_a_fall_back_rises_over_the_next_restart(rig: Rig) -> None:
    _upload(rig, 1.0)
    _damage(_stored(rig, _upload(rig, 2.0)["sha256"]), "bytes")
    rig.kill()
    rig.start()
    rig.kill()
    rig.start()
    assert rig.predict().json["version"] == 3
    assert _upload(rig, 4.0)["version"] == 4


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_unloaded_model_stays_unloaded_over_a_restart(rig: Rig, end: str) -> None:
    _upload(rig, 1.0, "other")
    _upload(rig, 2.0)
    assert rig.post("/v2/repository/models/other/unload").status == 200
    getattr(rig, end)()
    rig.start()
    assert rig.predict(model="other").status == 503
    assert rig.get("/models/other").json["state"] == "unloaded"
    assert rig.predict().status == 200
    assert rig.post("/v2/repository/models/other/load").status == 200
    assert rig.predict(model="other").json["version"] == 1


def test_dropped_files_are_no_arrivals_again_after_a_restart(rig: Rig) -> None:
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.wait_for_event(event="live")
    _upload(rig, 2.0)
    before = rig.last_id()
    rig.kill()
    rig.start()
    assert [event["event"] for event in rig.events(before)] == ["restored"]
    assert rig.predict().json["version"] == 2


def test_files_dropped_while_down_are_deployed_before_ready(rig: Rig) -> None:
    _upload(rig, 1.0)
    rig.kill()
    constant_model(rig.drop / "a.onnx", 2.0)
    rig.start()
    answer = rig.predict()
    assert (answer.json["output"], answer.json["version"]) == ([[2.0] * 5], 2)


def test_bodies_and_copies_of_a_crash_are_removed(rig: Rig) -> None:
    rig.kill()
    half = rig.state / "store" / "tmp" / "half"
    half.mkdir()
    (half / "__model__.onnx").write_bytes(bytes(1000))
    rig.start()
    _expect_nothing_left_over(rig)
