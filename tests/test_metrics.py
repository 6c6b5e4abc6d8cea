"""``/metrics`` is what Prometheus reads, and says exactly what happened; nothing that a client made up gets into it."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from daemon.http.values import overloaded
from daemon.web.access import Tokens
from daemon.web.metrics import Watch, note_refusal
from daemon.web.metrics.page import OPENMETRICS, TEXT
from daemon.web.totals import BATCH_BOUNDS
from tests.fakes import WAIT_SECONDS
from tests.web_rig import LIMIT_BYTES, WebRig

Labels = dict[str, str]
WANTS_OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
"""What Prometheus 2 sends."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path) as rig:
        rig.update(1.0)
        yield rig


def scraped(rig: WebRig) -> dict[str, list[tuple[Labels, float]]]:
    """Every sample, by its name."""
    found: dict[str, list[tuple[Labels, float]]] = {}
    for family in parse(rig.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(rig: WebRig, name: str, **labels: str) -> float:
    """The one sample of this name and with these labels among its own."""
    (found,) = [value for each, value in scraped(rig).get(name, []) if labels.items() <= each.items()]
    return found


def requests(rig: WebRig) -> dict[tuple[str, str, str, str], float]:
    """How many requests had which outcome, by model, version, protocol and outcome."""
    rows = scraped(rig)["modeldrop_requests_total"]
    return {(row["model"], row["version"], row["protocol"], row["outcome"]): count for row, count in rows if count}


def test_page_is_in_prometheus_text_form(rig: WebRig) -> None:
    answer = rig.get("/metrics")
    assert answer.headers["Content-Type"] == TEXT
    families = list(parse(answer.text))
    assert len(families) > 25
    assert all(family.documentation for family in families)
    assert len({family.name for family in families}) == len(families)


def test_page_is_in_openmetrics_for_who_prefers_that(rig: WebRig) -> None:
    rig.predict()
    answer = rig.get("/metrics", headers={"Accept": WANTS_OPENMETRICS})
    assert answer.headers["Content-Type"] == OPENMETRICS
    told = {family.name: family.type for family in parse_openmetrics(answer.text)}  # type: ignore[no-untyped-call]
    text = {family.name.removesuffix("_info") for family in parse(rig.get("/metrics").text)}
    assert {name.removesuffix("_info") for name in told} == text
    assert (told["modeldrop_requests"], told["modeldrop_build"]) == ("counter", "info")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", TEXT),
        ("text/html", TEXT),
        ("text/plain", TEXT),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.1", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=x.y; escaping=\x7f", OPENMETRICS),
        ("application/openmetrics-text;q=0", TEXT),
        ("", TEXT),
    ],
)
def test_form_is_what_the_client_accepts(rig: WebRig, accept: str, form: str) -> None:
    answer = rig.get("/metrics", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, form)


def test_page_is_packed_for_who_takes_that(rig: WebRig) -> None:
    answer = rig.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.data) * 3 < len(gzip.decompress(answer.data))
    assert list(parse(gzip.decompress(answer.data).decode()))


def test_every_outcome_is_counted_as_often_as_it_came(rig: WebRig) -> None:
    sent = [("/predict", {"inputs": [[1] * 10]})] * 5
    sent += [("/predict", {"inputs": [[1] * 9]})] * 4
    sent += [("/models/nobody/predict", {"inputs": []})] * 3
    for path, body in sent:
        rig.post(path, body)
    for _ in range(2):
        rig.post("/predict", b"{")
    rig.post("/predict", b" " * (LIMIT_BYTES + 1))
    assert requests(rig) == {
        ("default", "1", "modeldrop", "ok"): 5,
        ("default", "1", "modeldrop", "invalid_input"): 4,
        ("default", "1", "modeldrop", "invalid_json"): 2,
        ("", "", "modeldrop", "unknown_model"): 3,
        ("", "", "modeldrop", "too_large"): 1,
    }


def test_each_dialect_is_counted_by_itself(rig: WebRig) -> None:
    tensor = {"name": "input", "shape": [1, 10], "datatype": "FP32", "data": [1] * 10}
    for _ in range(3):
        assert rig.post("/v2/models/default/infer", {"inputs": [tensor]}).status_code == 200
    rig.predict()
    counts = requests(rig)
    assert sorted(counts.values()) == [1, 3]
    assert counts["default", "1", "modeldrop", "ok"] == 1
    assert value(rig, "modeldrop_batch_rows_count", model="default", version="1") == 4


def test_surprise_is_counted_as_an_internal_error(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.holder.lease("default") as serving:
        monkeypatch.setattr(serving.engine, "run", lambda *_, **__: 1 / 0)
    rig.predict()
    assert requests(rig) == {("default", "1", "modeldrop", "internal_error"): 1}


def test_what_a_client_calls_a_model_is_no_label(rig: WebRig) -> None:
    evil = "evil%22%7D%20666%0Amodeldrop_ready%7B"
    for path in (f"/models/{evil}/predict", f"/v2/models/{evil}/infer", "/models/%C3%A4/predict", "/models/x1/predict"):
        rig.post(path, {"inputs": [[1] * 10]})
    text = rig.get("/metrics").text
    assert "evil" not in text
    assert "modeldrop_ready{" not in text
    models = {row.get("model", "") for rows in scraped(rig).values() for row, _ in rows}
    assert models == {"", "default"}


def test_histograms_add_up(rig: WebRig) -> None:
    for _ in range(7):
        rig.predict()
    whole = value(rig, "modeldrop_request_duration_seconds_sum", model="default")
    stages = {row["stage"]: total for row, total in scraped(rig)["modeldrop_request_stage_duration_seconds_sum"]}
    assert set(stages) == {"queue", "decode", "infer", "encode"}
    assert sum(stages.values()) == pytest.approx(whole)
    assert 0 < stages["infer"] < whole < 7 * WAIT_SECONDS


@pytest.mark.parametrize("name", ["request_duration_seconds", "request_stage_duration_seconds", "batch_rows"])
def test_buckets_rise_to_the_count(rig: WebRig, name: str) -> None:
    for rows in (1, 2, 70):
        rig.post("/predict", {"inputs": [[0] * 10] * rows})
    found = scraped(rig)
    counts = found[f"modeldrop_{name}_count"]
    for labels, count in counts:
        buckets = [
            (float(row["le"]), upto) for row, upto in found[f"modeldrop_{name}_bucket"] if labels.items() <= row.items()
        ]
        assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets})
        assert [upto for _, upto in buckets] == sorted(upto for _, upto in buckets)
        assert buckets[-1] == (float("inf"), count)
        assert count == 3


def test_rows_of_a_run_are_in_the_right_bucket(rig: WebRig) -> None:
    for rows in (1, 3, 3, 64):
        rig.post("/predict", {"inputs": [[0] * 10] * rows})
    buckets = {row["le"]: upto for row, upto in scraped(rig)["modeldrop_batch_rows_bucket"]}
    assert [buckets[f"{bound:.1f}"] for bound in BATCH_BOUNDS[:7]] == [1, 1, 3, 3, 3, 3, 4]
    assert value(rig, "modeldrop_batch_rows_sum", model="default") == 71


def test_series_of_a_retired_version_go_away(rig: WebRig) -> None:
    rig.predict()
    assert {row.get("version") for row, _ in scraped(rig)["modeldrop_requests_total"]} == {"1"}
    rig.update(2.0)
    rig.predict()
    versions = {
        row["version"]
        for rows in scraped(rig).values()
        for row, _ in rows
        if row.get("model") == "default" and "version" in row
    }
    assert versions == {"2"}


def test_series_of_an_unloaded_model_go_away(rig: WebRig) -> None:
    rig.predict()
    rig.deployer.unload("default").result(WAIT_SECONDS)
    found = scraped(rig)
    assert [row for rows in found.values() for row, _ in rows if row.get("model") == "default"] == []


def test_model_that_serves_is_described(rig: WebRig) -> None:
    rig.update(2.0, "other")
    rig.update(3.0, "other")
    release = rig.holder.release_of("other")
    assert release is not None
    assert value(rig, "modeldrop_model_version", model="other") == 2
    assert value(rig, "modeldrop_model_info", model="other", version="2", sha256=release.sha256) == 1
    assert value(rig, "modeldrop_model_load_duration_seconds", model="other") > 0
    assert value(rig, "modeldrop_model_released_timestamp_seconds", model="other") > 1.7e9


def test_events_are_counted_from_nothing_on(tmp_path: Path) -> None:
    with WebRig(tmp_path) as rig:
        assert {row["event"]: count for row, count in scraped(rig)["modeldrop_events_total"]} == dict.fromkeys(
            rig.happenings.told().events, 0
        )
        rig.update(1.0)
        rig.update(2.0)
        (rig.drop / "bad.onnx").write_bytes(b"no model")
        assert rig.post("/update_model", {"model_path": "bad.onnx"}).status_code == 422
        counted = {row["event"]: count for row, count in scraped(rig)["modeldrop_events_total"] if count}
        assert counted == {"live": 2, "retired": 1, "rejected": 1}


def test_deploys_are_timed_by_stage(rig: WebRig) -> None:
    rig.update(2.0)
    stages = {
        row["stage"] for row, count in scraped(rig)["modeldrop_deploy_stage_duration_seconds_count"] if count == 2
    }
    assert stages >= {"settle", "store", "gate", "load", "swap"}
    assert value(rig, "modeldrop_deploy_duration_seconds_count", outcome="live") == 2
    parts = {row["stage"]: total for row, total in scraped(rig)["modeldrop_deploy_stage_duration_seconds_sum"]}
    whole = value(rig, "modeldrop_deploy_duration_seconds_sum", outcome="live")
    assert sum(total for stage, total in parts.items() if "." not in stage) <= whole


def test_state_is_told(rig: WebRig) -> None:
    names = ("modeldrop_ready", "modeldrop_watcher_alive", "modeldrop_watcher_armed")
    assert [value(rig, name) for name in names] == [1, 1, 1]
    rig.faults.append("the daemon is starting")
    rig.watch = Watch(alive=False, armed=False, looked=2000.0)
    assert [value(rig, name) for name in names] == [0, 0, 0]
    assert value(rig, "modeldrop_watcher_last_scan_timestamp_seconds") == 2000.0
    assert value(rig, "modeldrop_build_info", version="1.2.3", onnxruntime_version="4.5.6", front="none") == 1


def test_servers_load_is_told(rig: WebRig) -> None:
    assert value(rig, "modeldrop_http_connections") == 3
    assert [value(rig, "modeldrop_http_queued_requests", pool=pool) for pool in ("fast", "slow")] == [5, 0]
    assert [value(rig, "modeldrop_http_threads_busy", pool=pool) for pool in ("fast", "slow")] == [2, 1]
    assert value(rig, "modeldrop_http_lined_up_requests") == 4


def test_refusal_by_the_server_is_counted_as_a_request_where_it_was_one(rig: WebRig) -> None:
    code = overloaded(3).code
    for method, path in (("POST", "/predict"), ("POST", "/models/a/predict"), ("GET", "/models"), ("", "")):
        note_refusal(rig.predictor.counting, rig.happenings, method, path, code)
    assert requests(rig) == {("", "", "modeldrop", "overloaded"): 2}
    assert value(rig, "modeldrop_http_refusals_total", code="overloaded") == 4


def test_process_is_described(rig: WebRig) -> None:
    assert value(rig, "process_resident_memory_bytes") > 1 << 20
    assert value(rig, "python_info") == 1
    assert value(rig, "python_gc_collections_total", generation="2") >= 0


def test_names_follow_the_conventions(rig: WebRig) -> None:
    rig.predict()
    own = [family for family in parse(rig.get("/metrics").text) if family.name.startswith("modeldrop_")]
    assert len(own) > 20
    for family in own:
        assert re.fullmatch(r"modeldrop_[a-z]+(_[a-z]+)*", family.name)
        assert not re.search(r"_(ms|milliseconds|us|ns|mb|kb|percent|count|sum|bucket)$", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        else:
            assert not family.name.endswith("_total")
        assert family.documentation.endswith(".")


def test_page_needs_a_token_where_one_is_set(tmp_path: Path) -> None:
    with WebRig(tmp_path, tokens=Tokens("", "secret")) as rig:
        assert rig.get("/metrics").status_code == 401
        assert rig.get("/metrics", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_page_is_whole_while_models_are_swapped(rig: WebRig) -> None:
    failed: list[Any] = []
    stop = Flag()

    def scrape() -> None:
        while not stop.is_set():
            answer = rig.get("/metrics")
            if answer.status_code != 200 or not answer.data.endswith(b"\n"):
                failed.append(answer.text)

    scraping = Thread(target=scrape)
    scraping.start()
    try:
        for number in range(2, 12):
            assert rig.update(float(number)).status_code == 200
            assert rig.predict().status_code == 200
    finally:
        stop.set()
        scraping.join()
    assert failed == []
    assert requests(rig) == {("default", "11", "modeldrop", "ok"): 1}
