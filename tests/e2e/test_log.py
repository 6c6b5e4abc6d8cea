"""The log of a real daemon: its lines, its rotation, and what libraries write."""

import re
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import helper

from tests.e2e.conftest import NewRig
from tests.e2e.rig import Rig
from tests.e2e.waiting import eventually
from tests.onnx_models import constant, constant_model, save, value

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (?P<level>INFO |WARN |ERROR|FATAL|DEBUG) (?P<text>\S.*)"
)


def _lines(rig: Rig) -> list[re.Match[str]]:
    """Every line of the log, each of which must have the log's form."""
    found = [LINE.fullmatch(line) for line in rig.log.splitlines()]
    assert None not in found, rig.log
    return [each for each in found if each]


def test_live_line_has_the_form_of_the_contract(rig: Rig) -> None:
    constant_model(rig.drop / "new.onnx", 1.0)
    live = rig.wait_for_event(event="live")
    eventually(lambda: "live" in rig.log, "the line")
    (line,) = [each for each in _lines(rig) if each["text"].startswith("live ")]
    form = (
        r"live +model=default version=1 path=model_drop/new\.onnx sha256=(?P<sha>[0-9a-f]{8})… cause=dropped"
        r"  total=(?P<total>\d+\.\d{3})s settle=[\d.]+ store=[\d.]+ gate=[\d.]+ load=[\d.]+ swap=0\.000"
    )
    found = re.fullmatch(form, line["text"])
    assert found, line["text"]
    assert live["sha256"].startswith(found["sha"])
    assert float(found["total"]) == pytest.approx(live["seconds"]["total"], abs=0.001)
    assert line["level"] == "INFO "
    datetime.strptime(line["time"], "%Y-%m-%d %H:%M:%S.%f")


def test_every_event_has_one_line_in_the_file_and_on_stderr(rig: Rig) -> None:
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.wait_for_event(event="live")
    rig.request("PUT", "/models/default/upload", b"no model")
    (rig.drop / "a.onnx").unlink()
    rig.wait_for_event(event="removed")
    names = [event["event"] for event in rig.events()]
    assert rig.stop() == 0
    for lines in (rig.log.splitlines(), rig.stderr.splitlines()):
        told = [found["text"].split()[0] for line in lines if (found := LINE.fullmatch(line))]
        assert sorted(word for word in told if word in names) == sorted(names)
    assert [each["level"] for each in _lines(rig) if each["text"].startswith("rejected")] == ["WARN "]


@pytest.mark.parametrize("name", ["two words.onnx", 'quo"te.onnx', "line\nbreak.onnx", "\x1b[31mred.onnx", "名.onnx"])
def test_odd_name_stays_on_one_line(rig: Rig, name: str) -> None:
    constant_model(rig.drop / name, 1.0)
    live = rig.wait_for_event(event="live")
    eventually(lambda: " live " in rig.log, "the line")
    assert len([each for each in _lines(rig) if each["text"].startswith("live ")]) == 1
    assert "\x1b" not in rig.log
    assert "\n" not in live["model_path"]
    assert rig.predict().json["model_path"] == live["model_path"]


def test_json_log_is_one_object_a_line(new_rig: NewRig) -> None:
    rig = new_rig(log={"format": "json"})
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.start()
    live = rig.wait_for_event(event="live")
    assert rig.stop() == 0
    objects: list[dict[str, Any]] = [orjson.loads(line) for line in rig.log.splitlines()]
    assert [orjson.loads(line) for line in rig.stderr.splitlines()] == objects
    (line,) = [each for each in objects if each.get("event") == "live"]
    for key in ("id", "model", "model_path", "version", "sha256", "cause"):
        assert line[key] == live[key]
    assert line["level"] == "INFO"
    assert line["seconds"]["total"] == pytest.approx(live["seconds"]["total"])
    assert all(each["time"].endswith("Z") for each in objects)


def test_renamed_log_file_is_opened_anew_and_no_line_is_lost(rig: Rig) -> None:
    path = rig.folder / "logs" / "daemon.log"
    for number in range(3):
        constant_model(rig.drop / f"{number}.onnx", float(number))
        eventually(partial(_says_live, rig, number), "the line")
        path.rename(path.with_suffix(f".log.{number}"))
    assert rig.stop() == 0
    older = [path.with_suffix(f".log.{number}").read_text(encoding="utf-8") for number in range(3)]
    together = "".join([*older, rig.log])
    assert len(together.splitlines()) == len(rig.stderr.splitlines())
    assert [len(_live_lines(text, number)) for number, text in enumerate(older)] == [1, 1, 1]


def _says_live(rig: Rig, number: int) -> bool:
    return bool(_live_lines(rig.log, number))


def _live_lines(text: str, number: int) -> list[str]:
    return re.findall(rf" live +model=default version={number + 1} path=model_drop/{number}\.onnx ", text)


def test_full_log_file_is_rotated(new_rig: NewRig) -> None:
    rig = new_rig(log={"max_mb": 0.002, "keep": 2}).start()
    for number in range(20):
        assert rig.request("PUT", f"/models/m{number}/upload", b"no model").status == 422
    assert rig.stop() == 0
    files = sorted(path.name for path in (rig.folder / "logs").iterdir())
    assert files == ["daemon.log", "daemon.log.1", "daemon.log.2"]
    assert max(path.stat().st_size for path in (rig.folder / "logs").iterdir()) < 4096


def test_no_log_file_is_made_where_none_is_wanted(new_rig: NewRig) -> None:
    rig = new_rig(log={"file": ""})
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.start()
    assert rig.stop() == 0
    assert not (rig.folder / "logs").exists()
    assert " live " in rig.stderr


def test_warnings_of_onnx_runtime_arrive_as_lines_of_the_log(rig: Rig) -> None:
    """An initialiser that no node reads is what ONNX Runtime warns of."""
    save(
        rig.drop / "warned.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", "float32", ["n"])],
        [value("y", "float32", ["n"])],
        [constant("nobody_reads_me", np.zeros(3, np.float32))],
    )
    rig.wait_for_event(event="live")
    eventually(lambda: "nobody_reads_me" in rig.log, "the warning")
    warned = [each for each in _lines(rig) if "nobody_reads_me" in each["text"]]
    assert {each["level"] for each in warned} == {"WARN "}
    assert all(each["text"].startswith("onnxruntime: ") for each in warned)
    assert rig.stop() == 0
    raw = [line for line in rig.stderr.splitlines() if not LINE.fullmatch(line)]
    assert raw == []


def test_failed_run_and_refused_candidate_write_no_raw_line(rig: Rig) -> None:
    rig.request("PUT", "/models/default/upload", b"no model")
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.wait_for_event(event="live")
    assert rig.predict([[1.0]]).status == 400
    assert rig.stop() == 0
    assert [line for line in rig.stderr.splitlines() if not LINE.fullmatch(line)] == []


def test_level_leaves_out_what_is_below_it(new_rig: NewRig) -> None:
    rig = new_rig(log={"level": "warning"})
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.start()
    rig.request("PUT", "/models/default/upload", b"no model")
    assert rig.stop() == 0
    assert {each["level"] for each in _lines(rig)} == {"WARN "}
