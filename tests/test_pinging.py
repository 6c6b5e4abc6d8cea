"""What MLflow's and SageMaker's clients ask before they ask for predictions."""

from pathlib import Path

import pytest

from daemon import __version__
from daemon.web.access import Tokens
from tests.web_rig import WebRig


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_ping_says_to_anybody_whether_the_default_model_serves(tmp_path: Path, path: str) -> None:
    admin = {"Authorization": "Bearer a"}
    with WebRig(tmp_path, tokens=Tokens("a", "p")) as rig:
        answer = rig.get(path)
        assert (answer.status_code, answer.get_json()["code"]) == (503, "no_model")
        file = rig.model_file(1)
        assert rig.post("/update_model", {"model_path": file.name}, headers=admin).status_code == 200
        assert (rig.get(path).status_code, rig.get(path).get_json()) == (200, {"status": "ok"})
        assert rig.post("/v2/repository/models/default/unload", headers=admin).status_code == 200
        assert rig.get(path).status_code == 503
        rig.settle()


def test_version_is_told_to_anybody_as_text(tmp_path: Path) -> None:
    with WebRig(tmp_path, tokens=Tokens("a", "p")) as rig:
        answer = rig.get("/version")
        assert (answer.status_code, answer.get_data(as_text=True)) == (200, __version__)
        assert answer.content_type == "text/plain; charset=utf-8"


def test_predictions_need_the_token(tmp_path: Path) -> None:
    with WebRig(tmp_path, tokens=Tokens("a", "p")) as rig:
        for path in ("/invocations", "/models/default/invocations", "/models/default/invoke"):
            assert rig.post(path, {"inputs": [[1] * 10]}).status_code == 401
