"""Classes of routes: the contract's table, and nothing that slips between its lines."""

import pytest

from daemon.web.routes import RouteClass, class_of, is_load, is_slow, is_upload

OPEN, PREDICT, READ, ADMIN = RouteClass.OPEN, RouteClass.PREDICT, RouteClass.READ, RouteClass.ADMIN


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", OPEN),
        ("/healthz", OPEN),
        ("/readyz", OPEN),
        ("/v2", OPEN),
        ("/v2/", OPEN),
        ("/v2/health/live", OPEN),
        ("/v2/health/ready", OPEN),
        ("/ping", OPEN),
        ("/predict", PREDICT),
        ("/models/NAME/predict", PREDICT),
        ("/models/models/predict", PREDICT),
        ("/v2/models/NAME/infer", PREDICT),
        ("/v2/models/NAME/versions/3/infer", PREDICT),
        ("/v1/models/NAME:predict", PREDICT),
        ("/v1/models/NAME/versions/3:predict", PREDICT),
        ("/invocations", PREDICT),
        ("/models", READ),
        ("/models/", READ),
        ("/models/NAME", READ),
        ("/models/predict", READ),
        ("/models/NAME/releases", READ),
        ("/models/NAME\n", READ),
        ("/models/NAME/predict/more", READ),
        ("/events", READ),
        ("/metrics", READ),
        ("/openapi.json", READ),
        ("/v2/models/NAME", READ),
        ("/v2/models/NAME/versions/3", READ),
        ("/v2/models/NAME/stats", READ),
        ("/v2/models/stats", READ),
        ("/v2/repository/index", READ),
        ("/v1/models/NAME", READ),
        ("/update_model", ADMIN),
        ("/update_model/", ADMIN),
        ("/models/NAME/upload", ADMIN),
        ("/models/NAME/rollback", ADMIN),
        ("/models/upload/upload", ADMIN),
        ("/models/a\nb/upload", ADMIN),
        ("/v2/repository/models/NAME/load", ADMIN),
        ("/v2/repository/models/NAME/unload", ADMIN),
        ("/v2/repository/models/NAME/load/", ADMIN),
        ("/v2/repository/models/index/load", ADMIN),
        ("/v2/logging", ADMIN),
        ("/v2/logging/", ADMIN),
        ("/v2/health/live/", OPEN),
        ("/v2/models/NAME/ready", READ),
        ("/v2/models/NAME/config/", READ),
        ("/v2/models/NAME/versions/3/ready", READ),
        ("/v2/models/NAME/versions/3/config", READ),
        ("/v2/models/NAME/versions/3/stats", READ),
        ("/v2/models/stats/", READ),
        ("/v2/repository/index/", READ),
        ("/nothing", OPEN),
    ],
)
def test_every_route_of_the_contract_has_its_class(path: str, expected: RouteClass) -> None:
    assert class_of(path) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/models/NAME/upload", True), ("/models/NAME/predict", False), ("/update_model", False), ("/upload", False)],
)
def test_only_an_uploads_body_is_a_model(path: str, expected: bool) -> None:
    assert is_upload(path) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/repository/models/NAME/load", True),
        ("/v2/repository/models/NAME/unload", False),
        ("/v2/repository/models/NAME/load/more", False),
        ("/models/load/upload", False),
        ("/load", False),
    ],
)
def test_only_a_loads_body_may_bring_a_model_as_base64(path: str, expected: bool) -> None:
    assert is_load(path) is expected


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("POST", "/update_model", "", True),
        ("PUT", "/models/NAME/upload", "filename=x.onnx", True),
        ("POST", "/models/NAME/rollback", "", True),
        ("GET", "/events", "wait=5", True),
        ("GET", "/events", "after=3&wait=5", True),
        ("GET", "/events", "%77ait=60", True),
        ("GET", "/events", "wai%74=60", True),
        ("GET", "/metrics", "", True),
        ("GET", "/events", "after=3", False),
        ("GET", "/events", "", False),
        ("POST", "/predict", "wait=5", False),
        ("GET", "/models", "wait=5", False),
        ("GET", "/healthz", "", False),
    ],
)
def test_what_may_wait_never_takes_a_predictions_thread(method: str, path: str, query: str, expected: bool) -> None:
    assert is_slow(method, path, query) is expected
