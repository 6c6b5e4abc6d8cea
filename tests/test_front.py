"""What is said of a request before its body is read."""

import pytest

from daemon.api import RequestLimits
from daemon.front import _guard
from daemon.web.access import Tokens

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
