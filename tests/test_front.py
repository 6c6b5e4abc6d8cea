"""What is said of a request before its body is read."""

from pathlib import Path
from typing import Any

import pytest

from daemon import front
from daemon.api import RequestLimits
from daemon.config import load
from daemon.front import _guard, build_front
from daemon.http.values import ignore_refusal
from daemon.web.access import Tokens
from daemon.web.door import PredictGrouping
from daemon.web.predicting import Predictor
from tests.web_rig import WebRig

LIMITS = RequestLimits(max_body_bytes=10, max_upload_bytes=99, waiting_clients=1)
PREDICT = ["/predict", "/models/a/predict", "/v2/models/a/infer", "/v1/models/a:predict", "/invocations"]
BEARER = {"AUTHORIZATION": "Bearer yes"}


@pytest.mark.parametrize("path", PREDICT)
@pytest.mark.parametrize(
    ("tokens", "headers", "status"),
    [
        (Tokens(admin="", predict=""), {}, None),
        (Tokens(admin="yes", predict=""), {}, None),
        (Tokens(admin="", predict="yes"), {}, 401),
        (Tokens(admin="", predict="yes"), BEARER, None),
        (Tokens(admin="yes", predict="no"), BEARER, None),
    ],
)
def test_prediction_needs_a_token_where_there_is_one(
    path: str, tokens: Tokens, headers: dict[str, str], status: int | None
) -> None:
    admission = _guard(tokens, LIMITS)("POST", path, "", headers, "10.0.0.1")
    assert (admission.refusal and admission.refusal.status) == status
    assert (admission.max_body_bytes, admission.setting) == (10, "server.max_body_mb")


@pytest.mark.parametrize("path", ["/update_model", "/models/a/upload", "/predict/upload", "/models/predict/upload"])
def test_what_changes_models_is_never_open_to_strangers(path: str) -> None:
    admission = _guard(Tokens(admin="", predict=""), LIMITS)("POST", path, "", {}, "10.0.0.1")
    is_route = path != "/predict/upload"
    assert (admission.refusal is not None) is is_route
    assert admission.max_body_bytes == (99 if path.startswith("/models/") else 10)


def test_one_model_gets_half_of_the_threads_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(front, "_front", lambda _name: lambda *parts: made.extend(parts))
    monkeypatch.setattr(Predictor, "batches_abreast", lambda *_: 64)
    (tmp_path / "config.yaml").write_text("server: {threads: 12}", encoding="utf-8")
    settings, tokens = load(tmp_path / "config.yaml"), Tokens("", "")
    with WebRig(tmp_path) as rig:
        build_front(
            settings, None, [], predictor=rig.predictor, tokens=tokens, limits=LIMITS, on_refusal=ignore_refusal
        )
        (grouping,) = [part for part in made if isinstance(part, PredictGrouping)]
        assert grouping.abreast("default") == 6
