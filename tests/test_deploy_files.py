"""What is shipped for Prometheus and Grafana asks for metrics that there are, and the page of metrics tells of each."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from daemon.web.metrics import note_refusal
from tests.web_rig import WebRig

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "modeldrop.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
SCRAPING = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]

_NAME = re.compile(r"\b(?:modeldrop|process|python)_\w+\b")
_SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
OF_PROMETHEUS = {"up", "instance", "job", "le"}
"""What Prometheus itself adds."""


def queries() -> list[str]:
    """Every query of the dashboard and of the alerts."""
    shown = [target["expr"] for panel in PANELS for target in panel["targets"]]
    listed = [variable["definition"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    noted = [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    return [*shown, *listed, *noted, *(rule["expr"] for rule in ALERTS)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, set[str]]]]:
    """The type and the labels of every family of a real page, by name; ``le`` is a matter of the type."""
    with WebRig(tmp_path_factory.mktemp("metrics")) as rig:
        rig.update(1.0)
        rig.predict()
        rig.post("/predict", b"{")
        rig.happenings.noticed("default", "a.onnx", 2**62)
        note_refusal(rig.predictor.counting, rig.happenings, "POST", "/predict", "overloaded")
        families = list(parse(rig.get("/metrics").text))
        yield {_called(family): (_type(family), _labels(family)) for family in families}


def _called(family: Any) -> str:
    name: str = family.name
    return f"{name}_total" if family.type == "counter" else name


def _type(family: Any) -> str:
    """The text format has no info: it is a gauge that is 1."""
    name: str = family.name
    return "info" if name.endswith("_info") and name.startswith("modeldrop_") else str(family.type)


def _labels(family: Any) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def samples_of(told: dict[str, tuple[str, set[str]]]) -> dict[str, set[str]]:
    """The labels of everything that can be asked for, by its name."""
    found: dict[str, set[str]] = {}
    for name, (kind, labels) in told.items():
        if kind == "histogram":
            found |= {f"{name}_{end}": labels | {"le"} for end in ("bucket", "sum", "count")}
        else:
            found[name] = labels
    return found


@pytest.mark.parametrize("query", queries())
def test_query_asks_for_what_there_is(query: str, told: dict[str, tuple[str, set[str]]]) -> None:
    there = samples_of(told)
    names = set(_NAME.findall(query))
    assert names or query.startswith("up{")
    assert names <= there.keys()
    labels = set().union(*(there[name] for name in names)) | OF_PROMETHEUS
    for name, matchers in _SELECTOR.findall(query):
        asked = {matcher.partition("=")[0].strip().rstrip("!") for matcher in matchers.split(",") if matcher.strip()}
        assert asked <= there.get(name, set()) | OF_PROMETHEUS, name
    for grouped in _GROUPED.findall(query):
        assert {label.strip() for label in grouped.split(",")} <= labels


def test_dashboard_has_what_grafana_needs() -> None:
    assert (DASHBOARD["title"], DASHBOARD["uid"]) == ("modeldrop", "modeldrop")
    assert DASHBOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids) > 25
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance", "model"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_has_a_title_a_unit_and_its_place(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    place = panel["gridPos"]
    assert place["x"] + place["w"] <= 24
    over = [other for other in PANELS if other is not panel and _overlap(place, other["gridPos"])]
    assert over == []


def test_figure_of_no_requests_is_told_in_words() -> None:
    """Where nothing was asked, a share and a percentile are NaN, or there is no value at all."""
    stats = [panel for panel in PANELS if panel["type"] == "stat"]
    undefined = [panel for panel in stats if re.search(r"histogram_quantile|\) / ", panel["targets"][0]["expr"])]
    assert [panel["title"] for panel in undefined] == ["Server's errors", "99th percentile"]
    for panel in undefined:
        shown = panel["fieldConfig"]["defaults"]
        nan = {"type": "special", "options": {"match": "nan", "result": {"text": "no requests"}}}
        assert (shown["noValue"], nan in shown["mappings"]) == ("no requests", True)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (apart or above)


def test_series_of_one_panel_are_told_apart() -> None:
    for panel in PANELS:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names) >= 10
    assert len({group["name"] for group in RULES["groups"]}) == len(RULES["groups"])


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_alert_says_what_is_wrong_and_how_bad_it_is(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    for text in rule["annotations"].values():
        assert text.count("{{") == text.count("}}")
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert label == "instance" or f"{label}" in " ".join(_GROUPED.findall(rule["expr"])), label


def test_scraping_is_of_the_page_that_there_is(told: object) -> None:
    (job,) = SCRAPING["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("modeldrop", "/metrics")
    assert (ROOT / "deploy" / "prometheus" / SCRAPING["rule_files"][0]).is_file()
    of_any_process = [rule["expr"] for rule in ALERTS if re.search(r"\bprocess_|\bup\b", rule["expr"])]
    assert len(of_any_process) == 3
    assert all('job="modeldrop"' in expr for expr in of_any_process)


def test_page_of_metrics_tells_of_each_and_of_no_other(told: dict[str, tuple[str, set[str]]]) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in _ROW.findall(page)}
    assert listed == told
