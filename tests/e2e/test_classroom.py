"""The classroom's load test against a real daemon: what it sends, and its script."""

import asyncio
import subprocess
import sys
from pathlib import PurePath
from typing import Any

import aiohttp
import pytest

from examples.classroom_load_test import ANSWERS
from tests.e2e.conftest import NewRig
from tests.e2e.rig import ROOT, Rig

PREDICTIONS = 10


@pytest.fixture
def classroom(new_rig: NewRig) -> Rig:
    """A daemon with the settings that are shipped, but for where it listens and what it writes."""
    rig = new_rig()
    rig.environment |= {
        "MODELDROP_SERVER__PORT": "0",
        "MODELDROP_STATE_DIR": str(rig.state),
        "MODELDROP_LOG__FILE": str(rig.folder / "logs" / "daemon.log"),
    }
    return rig.start("--config", str(ROOT / "config.yaml"))


async def _everything_at_once(port: int) -> list[tuple[int, dict[str, Any]]]:
    """Ten predictions, an update, ten predictions, the update back, ten predictions: all in flight together."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def post(route: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            async with session.post(route, json=body) as response:
                return response.status, await response.json()

        asked = []
        for update in ("deploy_new.onnx", "deploy.onnx", ""):
            asked += [post("/predict", {"inputs": [[1.0] * 10]}) for _ in range(PREDICTIONS)]
            asked += [post("/update_model", {"model_path": update})] if update else []
        return await asyncio.gather(*asked)


def test_predictions_and_updates_all_at_once_are_answered_200(classroom: Rig) -> None:
    for _ in range(5):
        answers = asyncio.run(_everything_at_once(classroom.port))
        assert [status for status, _ in answers] == [200] * 32
        updates = [body for _, body in answers if "message" in body]
        assert [body["message"] for body in updates] == ["模型已更新成功"] * 2
        predictions = [body for _, body in answers if "output" in body]
        assert len(predictions) == 30
        for body in predictions:
            expected = ANSWERS[PurePath(body["model_path"]).name]
            assert body["output"] == [pytest.approx(expected, abs=1e-6)]


def test_predictions_after_both_updates_have_come_from_both_models(classroom: Rig) -> None:
    first = classroom.predict().json
    assert first["model_path"] == "model_drop/deploy.onnx"
    assert first["output"] == [pytest.approx(ANSWERS["deploy.onnx"], abs=1e-6)]
    for name in ("deploy_new.onnx", "deploy.onnx"):
        assert classroom.post("/update_model", {"model_path": name}).status == 200
        answer = classroom.predict().json
        assert answer["model_path"] == name
        assert answer["output"] == [pytest.approx(ANSWERS[name], abs=1e-6)]


def test_script_of_the_classroom_passes(classroom: Rig) -> None:
    script = [sys.executable, str(ROOT / "examples" / "classroom_load_test.py")]
    ran = subprocess.run(
        [*script, "--url", f"http://127.0.0.1:{classroom.port}"], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "32 of 32 answers are right" in ran.stdout
    assert ran.stderr == ""
