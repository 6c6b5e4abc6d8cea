"""A real daemon tells Prometheus what happened to it, exactly, on either front."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests import onnx_models
from tests.e2e.rig import WAIT_SECONDS, Rig

pytestmark = pytest.mark.both_fronts

BODY = {"inputs": [[1] * 10]}
TOKEN = {"Authorization": "Bearer predicting"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon with two models and a token, of which the second came while it ran."""
    settings = {"server": {"max_body_mb": 1}, "auth": {"predict_token": "predicting"}}
    rig = Rig(tmp_path_factory.mktemp("metrics"), settings, front=front)
    onnx_models.constant_model(rig.drop / "a.onnx", 1.5)
    rig.start()
    yield rig
    rig.kill()


def scraped(rig: Rig) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample, by its name and labels."""
    page = rig.get("/metrics", headers=TOKEN)
    assert page.status == 200
    samples = [sample for family in parse(page.body.decode()) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(rig: Rig, name: str, **labels: str) -> float:
    return scraped(rig)[name, frozenset(labels.items())]


def wait_until_live(rig: Rig, model: str) -> None:
    last, deadline = 0, time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        told = rig.get(f"/events?model={model}&after={last}&wait=5", headers=TOKEN).json
        if any(event["event"] == "live" for event in told["events"]):
            return
        last = told["last"]
    raise AssertionError(f"{model} did not go live")


def test_nothing_is_lost_of_what_many_clients_ask(rig: Rig, front: str) -> None:
    wrong, nobody, large = {"inputs": [[1]]}, "/models/nobody/predict", b" " * (1 << 20 | 1)
    asked: list[tuple[str, object, dict[str, str]]] = [("/predict", BODY, TOKEN)] * 700
    asked += [("/predict", wrong, TOKEN)] * 30 + [(nobody, BODY, TOKEN)] * 20 + [("/predict", BODY, {})] * 10
    asked += [("/predict", large, TOKEN)] * 2
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda each: rig.post(each[0], each[1], headers=each[2]).status, asked))
    assert answers == [200] * 700 + [400] * 30 + [404] * 20 + [401] * 10 + [413] * 2
    told = scraped(rig)
    counts = {
        (labels["model"], labels["version"], labels["outcome"]): count
        for (name, pairs), count in told.items()
        if name == "modeldrop_requests_total" and (labels := dict(pairs))["protocol"] == "modeldrop"
    }
    assert counts == {
        ("default", "1", "ok"): 700,
        ("default", "1", "invalid_input"): 30,
        ("", "", "unknown_model"): 20,
        ("", "", "unauthorized"): 10,
        ("", "", "too_large"): 2,
    }
    release = {"model": "default", "version": "1"}
    assert value(rig, "modeldrop_batch_rows_sum", **release) == 700
    assert value(rig, "modeldrop_requests_in_flight", **release) == 0
    stages = [
        value(rig, "modeldrop_request_stage_duration_seconds_sum", **release, protocol="modeldrop", stage=stage)
        for stage in ("queue", "decode", "infer", "encode")
    ]
    assert all(seconds > 0 for seconds in stages)
    whole = value(rig, "modeldrop_request_duration_seconds_sum", **release, protocol="modeldrop")
    assert sum(stages) == pytest.approx(whole)
    assert value(rig, "modeldrop_http_refusals_total", code="unauthorized") >= 10


def test_drop_is_told_from_the_change_to_the_answer(rig: Rig, front: str) -> None:
    onnx_models.constant_model(rig.drop / "other" / "b.onnx", 2.5)
    wait_until_live(rig, "other")
    told = scraped(rig)
    assert told["modeldrop_model_version", frozenset({("model", "other")})] == 1
    assert told["modeldrop_events_total", frozenset({("event", "live")})] == 2
    assert told["modeldrop_events_total", frozenset({("event", "rejected")})] == 0
    for until in ("seen", "live"):
        labels = frozenset({("until", until)})
        assert told["modeldrop_detection_lag_seconds_count", labels] == 1
        assert 0 < told["modeldrop_detection_lag_seconds_sum", labels] < 30
    flags = ("modeldrop_ready", "modeldrop_watcher_alive", "modeldrop_watcher_armed")
    assert [told[name, frozenset()] for name in flags] == [1, 1, 1]
    (build,) = [dict(labels) for name, labels in told if name == "modeldrop_build_info"]
    assert build["front"] == front


def test_page_needs_a_token(rig: Rig) -> None:
    assert rig.get("/metrics").status == 401
