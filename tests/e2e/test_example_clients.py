"""The example clients do what they say against a real daemon, and fail with a sentence where they are refused."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rig import ROOT, Rig

CLIENTS = ROOT / "examples" / "clients"
TOKEN = "for the examples"
OLD, NEW = "-0.285708", "0.5"
"""How the answer of the default model begins, and that of the model which the clients bring."""


def client(tool: str, file: str, model: str) -> Any:
    """A client, and the model that it deploys; skipped where its ``tool`` is missing."""
    missing = pytest.mark.skipif(shutil.which(tool) is None, reason=f"no {tool} here")
    return pytest.param(tool, file, model, id=file, marks=missing)


ALL = pytest.mark.parametrize(
    ("tool", "file", "model"),
    [
        client("curl", "curl.sh", "by-curl"),
        client("curl", "plain.sh", "by-plain-shell"),
        client("node", "fetch.mjs", "by-fetch"),
        client(sys.executable, "python_requests.py", "by-requests"),
        client(sys.executable, "python_tritonclient.py", "by-tritonclient"),
    ],
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon with tokens that serves the classroom's model."""
    rig = Rig(tmp_path_factory.mktemp("clients"), {"auth": {"admin_token": TOKEN, "predict_token": "less"}})
    shutil.copy(ROOT / "examples" / "models" / "deploy.onnx", rig.drop)
    rig.start()
    yield rig
    rig.kill()


def run(tool: str, file: str, url: str, token: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    program = "sh" if tool == "curl" else tool
    return subprocess.run(
        [program, str(CLIENTS / file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=50,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "URL": url, "MODELDROP_TOKEN": token},
    )


@ALL
def test_client_predicts_deploys_and_tells_an_error(
    guarded: Rig, tmp_path: Path, tool: str, file: str, model: str
) -> None:
    ran = run(tool, file, f"http://127.0.0.1:{guarded.port}", TOKEN, tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert OLD in ran.stdout
    assert NEW in ran.stdout.partition(model)[2]
    assert "unknown_model" in ran.stdout or "got shape [1, 3]" in ran.stdout or "got shape [2, 3]" in ran.stdout
    serving = guarded.get(f"/models/{model}", headers={"Authorization": f"Bearer {TOKEN}"}).json
    assert (serving["state"], serving["version"]) == ("live", 1)


@ALL
def test_client_that_is_refused_says_so_and_ends_as_failed(
    guarded: Rig, tmp_path: Path, tool: str, file: str, model: str
) -> None:
    ran = run(tool, file, f"http://127.0.0.1:{guarded.port}", "wrong", tmp_path)
    assert ran.returncode > 0
    assert "the bearer token is not one that opens this route" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


@ALL
def test_client_without_a_daemon_says_so_and_ends_as_failed(tmp_path: Path, tool: str, file: str, model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ran = run(tool, file, f"http://127.0.0.1:{port}", TOKEN, tmp_path)
    assert ran.returncode > 0
    assert "refused" in ran.stderr or "connect" in ran.stderr.lower()
    assert "Traceback" not in ran.stderr
