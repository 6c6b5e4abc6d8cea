"""Statistics in Triton's form: true figures, of each version that is loaded, whatever dialect it was asked in."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from orjson import dumps, loads

from daemon.errors import InferenceFailed, InvalidInput
from daemon.lane.probation import ProbationTerms
from daemon.web.dialects.plain import PLAIN
from daemon.web.open_inference.statistics import statistics_of
from daemon.web.totals import OfSize, Totals
from tests import onnx_models
from tests.fakes import asked, release_of
from tests.web_rig import WebRig

STANDING_BY = ProbationTerms(seconds=60, max_error_rate=0.1, min_requests=10, non_finite="warn", keep_previous=True)
STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path, probation_terms=STANDING_BY) as rig:
        yield rig


def statistics(rig: WebRig, path: str = "/v2/models/default/stats") -> list[dict[str, Any]]:
    answer = rig.get(path)
    assert answer.status_code == 200
    rows: list[dict[str, Any]] = answer.get_json()["model_stats"]
    return rows


def counts(row: dict[str, Any]) -> dict[str, int]:
    return {name: duration["count"] for name, duration in row["inference_stats"].items()}


def test_release_that_was_never_asked_has_no_figures(rig: WebRig) -> None:
    rig.update(1)
    (row,) = statistics(rig)
    assert (row["name"], row["version"], row["last_inference"]) == ("default", "1", 0)
    assert (row["inference_count"], row["execution_count"], row["batch_stats"]) == (0, 0, [])
    assert set(counts(row).values()) == {0}


def test_every_answer_counts_with_its_rows_and_its_time(rig: WebRig) -> None:
    rig.update(1)
    before = time.time()
    rig.predict()
    rig.post("/predict", {"inputs": [[1] * 10] * 3})
    v2 = {"inputs": [{"name": "input", "shape": [3, 10], "datatype": "FP32", "data": [1] * 30}]}
    assert rig.post("/v2/models/default/infer", v2).status_code == 200
    after = time.time()
    (row,) = statistics(rig)
    assert (row["inference_count"], row["execution_count"]) == (7, 3)
    assert counts(row) == {**dict.fromkeys(("success", *STAGES), 3), "fail": 0, "cache_hit": 0, "cache_miss": 0}
    spent = [row["inference_stats"][stage]["ns"] for stage in STAGES]
    assert row["inference_stats"]["compute_infer"]["ns"] > 0
    assert abs(sum(spent) - row["inference_stats"]["success"]["ns"]) <= len(STAGES)
    assert sum(spent) < (after - before) * 1e9
    assert before * 1e3 - 5 <= row["last_inference"] <= after * 1e3 + 5
    assert [(batch["batch_size"], batch["compute_infer"]["count"]) for batch in row["batch_stats"]] == [(1, 1), (3, 2)]
    assert sum(batch["compute_infer"]["ns"] for batch in row["batch_stats"]) == pytest.approx(spent[2], abs=2)


def test_run_that_requests_have_together_is_one_execution(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.web.faces.batch_size", lambda _trial: 8)
    rig.update(1)
    bodies = [dumps({"inputs": [[1] * 10] * rows}) for rows in (1, 2)]
    with rig.predictor.together("default") as group:
        assert group is not None
        shares = [rig.predictor.join(group, PLAIN, asked(body)) for body in bodies]
        answers = [loads(share().pieces[0])["output"] for share in shares]
    assert list(map(len, answers)) == [1, 2]
    (row,) = statistics(rig)
    assert (row["inference_count"], row["execution_count"], counts(row)["success"]) == (3, 1, 2)
    assert [(batch["batch_size"], batch["compute_infer"]["count"]) for batch in row["batch_stats"]] == [(3, 1)]
    of_the_run, of_requests = (
        row["batch_stats"][0]["compute_infer"]["ns"],
        row["inference_stats"]["compute_infer"]["ns"],
    )
    assert of_requests == pytest.approx(2 * of_the_run, rel=1e-3)


def test_failures_count_as_such(rig: WebRig) -> None:
    rig.update(1)
    for body in (b"x", {"inputs": [[1]]}, {}):
        assert rig.post("/predict", body).status_code == 400
    (row,) = statistics(rig)
    assert (counts(row)["fail"], counts(row)["success"], row["execution_count"]) == (3, 0, 0)
    assert row["inference_stats"]["fail"]["ns"] > 0


def test_versions_are_told_apart(rig: WebRig) -> None:
    rig.update(1)
    rig.predict()
    rig.update(2)
    rig.predict()
    rig.predict()
    assert [(row["version"], row["execution_count"]) for row in statistics(rig)] == [("1", 1), ("2", 2)]
    for version in (1, 2):
        (row,) = statistics(rig, f"/v2/models/default/versions/{version}/stats")
        assert (row["version"], row["execution_count"]) == (str(version), version)


def test_all_models_are_told_by_name_and_those_that_do_not_serve_are_left_out(rig: WebRig) -> None:
    for name in ("zebra", "ant", "bee"):
        rig.update(1, model=name)
    rig.predict("/models/zebra/predict")
    rig.post("/v2/repository/models/bee/unload")
    rows = statistics(rig, "/v2/models/stats")
    assert [(row["name"], row["execution_count"]) for row in rows] == [("ant", 0), ("zebra", 1)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/nothing/stats", 404),
        ("/v2/models/default/versions/7/stats", 404),
        ("/v2/models/default/versions/x/stats", 404),
        ("/v2/models/bee/stats", 503),
    ],
)
def test_statistics_of_what_is_not_loaded_are_refused(rig: WebRig, path: str, status: int) -> None:
    rig.update(1)
    rig.update(1, model="bee")
    rig.post("/v2/repository/models/bee/unload")
    answer = rig.get(path)
    assert (answer.status_code, type(answer.get_json()["error"])) == (status, str)


def test_model_that_is_called_stats_is_told_by_its_version(rig: WebRig) -> None:
    onnx_models.constant_model(rig.drop / "x.onnx", 1.0)
    rig.post("/update_model", {"model_path": "x.onnx", "model": "stats"})
    rig.predict("/models/stats/predict")
    assert [row["name"] for row in statistics(rig, "/v2/models/stats")] == ["stats"]
    assert statistics(rig, "/v2/models/stats/stats") == statistics(rig, "/v2/models/stats/versions/1/stats")
    assert rig.get("/v2/models/stats/versions/1").get_json()["name"] == "stats"
    assert rig.get("/v2/models/stats/ready").get_json() == {"name": "stats", "ready": True}


def test_form_is_tritons() -> None:
    totals = Totals(
        failed={InvalidInput: 2, InferenceFailed: 1}, failed_seconds=0.5, sizes={4: OfSize(2, 1e-6, 2e-6, 3e-6)}
    )
    told = statistics_of(release_of(version=3, model="m"), totals)
    assert list(told) == [
        "name",
        "version",
        "last_inference",
        "inference_count",
        "execution_count",
        "inference_stats",
        "response_stats",
        "batch_stats",
        "memory_usage",
    ]
    assert told["inference_stats"]["fail"] == {"count": 3, "ns": 500_000_000}  # type: ignore[index]
    assert told["batch_stats"] == [
        {
            "batch_size": 4,
            "compute_input": {"count": 2, "ns": 1000},
            "compute_infer": {"count": 2, "ns": 2000},
            "compute_output": {"count": 2, "ns": 3000},
        }
    ]
