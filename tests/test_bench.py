"""The parts of the bench that compute: figures, tables, what wrk says, verdicts, and models that can be run."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnxruntime as ort
import pytest

from bench import (
    aims,
    binary_bodies,
    company,
    configurations,
    limits,
    page,
    profiles,
    raw_limit,
    report,
    serving,
    slow_answers,
    svg,
    swap,
    wrk,
)
from bench.body_size import body_of
from bench.cells import AIMED, RAW, Cell, cells, groups
from bench.configurations import DEFAULT
from bench.crowd import FAILED, Taken
from bench.figures import median, percentile, ratio
from bench.models import NAMES, Case, case_of
from bench.page import Facts, Plot, Section, Table, number, section_of, times
from bench.procfs import await_quiet, memory_of
from bench.servers import FLASK_WAITRESS, HELLO_WAITRESS

FELT = 'felt {"requests":200,"microseconds":2000000,"failures":3,"p50":1500.0,"p99":9000.0,"max":12000.0}'
ROLLUP = """55d0-7ffd ---p 00000000 00:00 0    [rollup]
Rss:                1000 kB
Pss:                 800 kB
Pss_Anon:            300 kB
Anonymous:           400 kB
"""
TINY = Cell("tiny", "pinned", 8)


@pytest.mark.parametrize("name", [name for name in (*NAMES, "sum", "0.01") if name != "cnn"])
def test_model_answers_its_request(name: str, tmp_path: Path) -> None:
    case = case_of(name)
    session = ort.InferenceSession(str(case.write(tmp_path / "model.onnx", 0)), providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    first, *_ = session.run(None, {source.name: case.inputs})
    assert len(first) == 1
    assert json.loads(case.body)["inputs"] == case.inputs.tolist()


def test_model_has_other_bytes_for_another_seed(tmp_path: Path) -> None:
    written = [
        case_of(name).write(tmp_path / "m", seed).read_bytes() for name in ("tiny", "gbdt") for seed in (0, 1, 1)
    ]
    assert written[0] != written[1] == written[2]
    assert written[3] != written[4] == written[5]


def test_ratio_is_of_values_of_the_same_round() -> None:
    assert ratio([10, 30, 20], [1, 2, 4]) == 10
    assert ratio([10], [0]) != ratio([10], [0])  # NaN: there is none


def test_percentile_is_one_of_the_values() -> None:
    assert percentile(list(range(100)), 99) == 99
    assert percentile([5.0], 99) == 5.0
    assert percentile([], 50) != percentile([], 50)
    assert median([]) != median([])


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123")],
)
def test_number_has_three_digits_that_count(value: float, told: str) -> None:
    assert number(value) == told


def test_number_that_is_none_is_a_dash() -> None:
    assert number(float("nan")) == times(float("nan")) == "–"


def test_section_is_the_same_after_it_was_kept() -> None:
    section = Section("Title", ["a note"])
    section.tables = [Table("Table", ("a", "b"), [("1", "2")])]
    section.plots = [Plot("name", "Plot", "x", "y", {"line": [(1.0, 2.0)]})]
    section.facts = {"fact": [1.0]}
    assert section_of(json.loads(json.dumps(section.as_json()))).markdown() == section.markdown()
    assert "| a | b |\n|---|--:|\n| 1 | 2 |" in section.markdown()
    assert "![Plot](name.svg)" in section.markdown()


def test_felt_is_what_wrk_said_in_its_last_line() -> None:
    felt = wrk.felt_of(f"Running 2s test\n{FELT}\n", server_seconds=1.0, client_seconds=0.5, took=2.0)
    assert (felt.rate, felt.p50, felt.p99, felt.longest, felt.failures) == (100, 0.0015, 0.009, 0.012, 3)
    assert (felt.server, felt.client, felt.busy) == (0.005, 0.0025, 0.75)


@pytest.mark.parametrize(
    ("computed", "looks"),
    [([0.0, 0.0], 2), ([0.0, 0.05, 0.1, 0.11], 4), ([number * 0.05 for number in range(1000)], 101)],
    ids=["idle", "with a rest to do", "always at work"],
)
def test_server_is_quiet_once_it_computes_next_to_nothing(
    computed: list[float], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    left = list(computed)
    monkeypatch.setattr("bench.procfs.computed_seconds", lambda _pid: left.pop(0))
    monkeypatch.setattr("bench.procfs.time.monotonic", lambda: round(now, 6))
    monkeypatch.setattr("bench.procfs.time.sleep", sleep)
    await_quiet(1)
    assert len(computed) - len(left) == looks


def test_felt_refuses_what_wrk_did_not_finish() -> None:
    with pytest.raises(RuntimeError, match="unable to connect"):
        wrk.felt_of("unable to connect", 0, 0, 1)


def test_script_asks_every_path_with_the_body(tmp_path: Path) -> None:
    script = wrk.script(tmp_path, b"body", paths=["/a", "/b"]).read_text(encoding="utf-8")
    assert '"/a /b"' in script
    assert '{["Content-Type"] = "application/json"}' in script
    assert "%%" not in script
    assert (tmp_path / "body").read_bytes() == b"body"


def test_script_sends_further_headers(tmp_path: Path) -> None:
    asked = wrk.script(tmp_path, b"body", media_type="a/b", headers={"X-Y": "1"}).read_text(encoding="utf-8")
    assert '{["Content-Type"] = "a/b", ["X-Y"] = "1"}' in asked


def test_binary_body_is_what_its_header_says() -> None:
    case = Case("some", lambda path, _seed: path, np.ones((2, 3), np.float32))
    body, headers = binary_bodies.body_of(case, "x")
    length = int(headers["Inference-Header-Content-Length"])
    assert json.loads(body[:length])["inputs"][0]["shape"] == [2, 3]
    assert body[length:] == case.inputs.tobytes()


def test_binary_body_has_the_datatype_of_its_numbers() -> None:
    case = Case("some", lambda path, _seed: path, np.ones((2, 3), np.int64))
    body, headers = binary_bodies.body_of(case, "x")
    entry = json.loads(body[: int(headers["Inference-Header-Content-Length"])])["inputs"][0]
    assert entry["datatype"] == "INT64"


def test_memory_is_read_in_bytes() -> None:
    found = memory_of(ROLLUP)
    assert (found.rss, found.pss, found.anonymous, found.file) == (1024000, 819200, 409600, 614400)


def test_cells_of_aims_are_measured() -> None:
    assert {cell for group in groups() for cell in cells(*group)} >= set(AIMED)


@pytest.mark.parametrize("size", [10, 100, 10_000, 1_000_000])
def test_body_has_about_the_size_that_was_asked_for(size: int) -> None:
    assert len(body_of(size)) == pytest.approx(size, rel=0.1, abs=10)


def test_best_setting_of_one_connection_has_one_thread() -> None:
    found = {"default": 3.0, "1 x intra 1": 2.0, "2 x intra 1": 5.0, raw_limit.COMPUTED: 9.0}
    assert raw_limit.best(found, 1) == ("default", 3.0)
    assert raw_limit.best(found, 8) == ("2 x intra 1", 5.0)


def test_swap_tells_before_from_during() -> None:
    slow = [Taken(start, start + 0.2, 200, "old") for start in (10.0, 10.1)]
    answers = [Taken(8.0, 8.1, 200, "old"), *slow, Taken(10.5, 10.6, FAILED, ""), Taken(10.7, 10.8, 200, "new")]
    felt = swap.felt([*answers, Taken(11.5, 19.5, 200, "new")], start=10.0, sha256="new", computed=0.5)
    assert felt.p99 == pytest.approx(0.1)
    assert felt.worst_during == pytest.approx(0.2)
    assert felt.first == pytest.approx(0.8)
    assert felt.failures == 1


def test_company_is_felt_by_what_was_asked_and_answered_beside_it() -> None:
    facts: Facts = {}
    before, beside, after = (9.9, 10.3), (10.5, 10.6), (10.8, 11.1)
    company.keep([Taken(*span, 200, "") for span in (before, beside, after)], (10.0, 11.0), "mlp", facts)
    assert facts == {company.key("mlp"): [pytest.approx(0.1)]}


def test_profile_counts_the_innermost_functions() -> None:
    stacks = (
        "main (run_daemon.py:1);parse (waitress/parser.py:9) 3\nmain (run_daemon.py:1);run (daemon/holder.py:2) 1\n"
    )
    total, groups_, functions = profiles.shares(stacks)
    assert total == 4
    assert (groups_["HTTP"], groups_["around it"]) == (0.75, 0.25)
    assert functions[0] == ("`parse` in parser.py", 0.75)


@pytest.mark.parametrize(("rates", "verdict"), [([50.0, 60.0], "reached"), ([20.0, 26.0], "**not reached**")])
def test_aim_is_judged_by_the_ratio_of_its_rounds(rates: list[float], verdict: str) -> None:
    facts = {**served(), TINY.key("rate", DEFAULT): rates, TINY.key("rate", FLASK_WAITRESS): [10.0, 20.0]}
    row = aims.AIMS[0].verdict(facts)
    assert row[3] == verdict
    assert "HTTP and the rest 90%" in row[4]


def test_aim_that_was_not_measured_says_so() -> None:
    assert {row[3] for row in aims.table({}).rows} == {aims.NOT_MEASURED}


def test_aim_that_is_a_bound_from_above_is_reached_on_it() -> None:
    failures = next(aim for aim in aims.AIMS if aim.what.endswith("mlp under 8 connections: failures"))
    none = {f"failures, {way}, mlp": [0.0] for way in swap.WAYS}
    assert failures.verdict(none)[3] == "reached"
    assert failures.verdict({**none, "failures, drop, mlp": [0.0, 1.0]})[3] == "**not reached**"


def test_limit_of_one_connection_is_the_wait_between_requests() -> None:
    facts = {key.replace(", 8,", ", 1,"): values for key, values in served().items()}
    facts[replace(TINY, connections=1).key("rate", DEFAULT)] = [10.0]
    told = limits.verdict(replace(TINY, connections=1), DEFAULT, {"inference": 0.2, "JSON in": 0.8}, facts)
    assert told == "JSON in: one request at a time leaves cores idle in between"


def test_report_binds_all_sections_and_plots_are_well_formed() -> None:
    plot = Plot("p", "a < b", "x", "y", {"ours": [(1.0, 10.0), (1000.0, 0.5), (2.0, 0.0)], "none": []})
    told = report.bound({"one": Section("One", plots=[plot])}, {}, {"one": ("now", 12.0)})
    assert "## One" in told
    assert "| all |  | 12.0 |" in told
    root = ElementTree.fromstring(svg.drawn(plot))
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == 2


def test_configuration_that_the_daemon_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = configurations.Configuration("unknown", [{"MODELDROP_NO__SUCH": "off"}])
    missing = configurations.Configuration("missing", needs="no_such_package")
    monkeypatch.setattr(configurations, "CONFIGURATIONS", (configurations.Configuration(DEFAULT), unknown, missing))
    configurations._known.cache_clear()
    try:
        assert list(configurations.available("tiny")) == [DEFAULT]
    finally:
        configurations._known.cache_clear()


def served() -> Facts:
    """What limits are made of, for the cell TINY."""
    return {
        TINY.key("rate", DEFAULT): [50.0],
        TINY.key("rate", FLASK_WAITRESS): [10.0],
        TINY.key("rate", HELLO_WAITRESS): [100.0],
        TINY.key("server", DEFAULT): [100e-6],
        TINY.key("server", HELLO_WAITRESS): [50e-6],
        TINY.key("busy", DEFAULT): [1.0],
        TINY.key("others", DEFAULT): [0.0],
        TINY.key("computed", RAW): [5e-6],
        "json, tiny, pinned": [5e-6],
    }


def test_row_of_a_server_tells_how_many_cores_it_used() -> None:
    facts: Facts = {TINY.key(what, DEFAULT): [0.001] for what in ("p50", "p99")}
    facts |= {TINY.key("rate", DEFAULT): [100.0], TINY.key("server", DEFAULT): [0.015]}
    assert serving._row(DEFAULT, [TINY], facts) == (DEFAULT, "100 / 1.00 / 1.00", "1.00", "15,000", "1.50")


def test_times_has_two_decimals() -> None:
    assert page.times(2.345) == "2.35"


def test_slow_answers_are_told_by_the_stage_of_the_deploy_in_which_they_were_given() -> None:
    seconds = {"total": 6.0, "settle": 1.0, "store": 1.0, "gate": 3.0, "gate.memory": 0.5, "gate.trial": 2.0}
    event = {"monotonic": 106.0, "seconds": {**seconds, "gate.replay": 0.5, "load": 0.75, "swap": 0.25}}
    spans = list(slow_answers.spans(event, 106.5))
    assert spans == [
        ("the copy", 100.0, 102.0),
        ("checks before the trial", 102.0, 102.5),
        ("the trial", 102.5, 104.5),
        ("checks after it", 104.5, 105.0),
        ("load and swap", 105.0, 106.0),
        ("half a second after", 106.0, 106.5),
    ]
    answers = [
        Taken(sent, sent + took, 200, "a") for sent, took in ((103.0, 0.1), (103.5, 0.3), (105.4, 0.3), (110, 9))
    ]
    facts: dict[str, list[float]] = {}
    slow_answers.keep(answers, event, slow=0.2, until=106.5, name="a", facts=facts)
    found = {stage: [facts[f"{what} in {stage}, a"] for what in ("answers", "slow")] for stage, _, _ in spans}
    assert found["the trial"] == [[2.0], [1.0]]
    assert found["load and swap"] == [[1.0], [1.0]]
    assert found["the copy"] == [[0.0], [0.0]]
    assert slow_answers.table(["a"], facts).rows[2][:2] == ("a", "the trial")
    told = slow_answers.where("a", facts)
    assert told == "of the answers slower than the p99 before, 1 in the trial, 1 in load and swap"


def test_time_of_an_event_is_told_by_the_clock_that_does_not_jump() -> None:
    assert slow_answers.monotonic_of("1970-01-01T00:01:40.500Z", now=103.0, monotonic_now=10.0) == pytest.approx(7.5)
