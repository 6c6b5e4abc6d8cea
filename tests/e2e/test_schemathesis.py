"""What ``/openapi.json`` says is what the daemon does: schemathesis asks with every check, and finds nothing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.rig import ROOT, Rig

TOKEN = "admin-of-the-test"
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon with tokens that serves the example model under two names, and may deploy another."""
    settings = {
        "auth": {"admin_token": TOKEN, "predict_token": "predict-of-the-test"},
        "deploy": {"allowed_dirs": ["allowed"]},
        "gate": {"trial": {"measure_ms": 20}},
    }
    rig = Rig(tmp_path_factory.mktemp("schemathesis"), settings, front=front)
    for place in (rig.drop / "deploy.onnx", rig.drop / "spare" / "deploy.onnx"):
        place.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "examples" / "models" / "deploy.onnx", place)
    (rig.folder / "allowed").mkdir()
    shutil.copy(ROOT / "examples" / "models" / "deploy_new.onnx", rig.folder / "allowed")
    rig.start()
    yield rig
    rig.kill()


def expect_nothing(rig: Rig, *arguments: str) -> None:
    """Fails with what schemathesis says of ``rig``, when it finds anything or leaves an operation out."""
    told = rig.working_directory / "openapi.json"
    told.write_bytes(rig.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).body)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", "--checks", "all"]
    ran = subprocess.run(
        [*command, *arguments, "--url", f"http://127.0.0.1:{rig.port}", str(told)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=rig.working_directory,
        env={**os.environ, "MODELDROP_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)},
        check=False,
        encoding="utf-8",
    )
    asked = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    tested = re.search(r"Selected: (\d+)/\1\n\s*Tested: \1\n", ran.stdout)
    if ran.returncode or not tested or not asked or int(asked[1]) != int(asked[2]):
        pytest.fail(ran.stdout, pytrace=False)


@pytest.mark.timeout(180)
def test_schemathesis_finds_nothing(guarded: Rig) -> None:
    expect_nothing(guarded, "--seed", "1", "--max-examples", "15")


@pytest.mark.slow
@pytest.mark.both_fronts
@pytest.mark.parametrize("seed", range(2))
def test_schemathesis_finds_nothing_in_many_more_requests(guarded: Rig, seed: int) -> None:
    expect_nothing(guarded, "--seed", str(seed), "--max-examples", "200")
