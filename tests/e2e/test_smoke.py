"""The shortest way through the whole: start, drop, predict, stop."""

import shutil

from tests.e2e.rig import ROOT, Rig

DEPLOY = ROOT / "examples" / "models" / "deploy.onnx"


def test_dropped_model_answers_and_sigterm_ends_with_0(rig: Rig) -> None:
    assert rig.predict().status == 503
    shutil.copy(DEPLOY, rig.drop / "deploy.onnx")
    live = rig.wait_for_event(event="live")
    answer = rig.predict()
    assert answer.status == 200
    assert answer.json["model_path"] == "model_drop/deploy.onnx"
    assert (answer.json["version"], answer.headers["X-Model-Version"]) == (1, "1")
    assert answer.headers["X-Model-SHA256"] == live["sha256"]
    assert rig.stop() == 0
