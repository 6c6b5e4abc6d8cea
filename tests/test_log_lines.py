"""Log lines: one line whatever the event holds, readable by people in the one format and by programs in the other."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.log import JsonFormatter, TextFormatter, configure, event_fields, event_line, level_of, log_event, visible
from daemon.release import Event

LIVE = Event(
    id=12,
    time="2026-11-22T10:15:02.318Z",
    event="live",
    model="default",
    version=4,
    model_path="model_drop/new.onnx",
    sha256="9c1e04a2" + "0" * 56,
    seconds={"settle": 0.004, "total": 0.2119, "swap": 0.0},
)
ODD = Event(event="rejected", model="m", model_path='a "b"\n\x1b[31m\udcff\u202e.onnx', reason="two\nlines", check="c")


def record_of(message: str, level: int = logging.INFO, name: str = "modeldrop.x", **more: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"msg": message, "levelno": level, "levelname": logging.getLevelName(level), "name": name} | more
    )


def test_live_event_reads_as_the_contract_shows() -> None:
    assert event_line(LIVE) == (
        "live model=default version=4 path=model_drop/new.onnx sha256=9c1e04a2…  total=0.212s settle=0.004 swap=0.000"
    )


def test_event_without_seconds_ends_after_its_words() -> None:
    assert event_line(Event(event="watch_restored")) == "watch_restored"
    assert event_line(Event(event="seen", model="default", cause="dropped")) == "seen model=default cause=dropped"


def test_odd_names_and_reasons_are_quoted_and_escaped() -> None:
    assert event_line(ODD) == (r'rejected model=m path="a \"b\"\n\x1b[31m\xff\u202e.onnx" check=c reason="two\nlines"')


def test_backslash_of_a_name_is_told_from_an_escape() -> None:
    assert event_line(Event(event="seen", model_path="a\\n")) == r'seen path="a\\n"'
    assert event_line(Event(event="seen", model_path="a\n")) == r'seen path="a\n"'


def test_details_follow_the_reason() -> None:
    event = Event(
        event="waiting",
        reason="incomplete",
        detail={
            "waiting_for": ["a.data", "b c.data"],
            "missing_bytes": 7,
            "rate": 0.5,
            "ok": True,
            "none": None,
            "of": {"a": 1},
        },
    )
    assert event_line(event) == (
        'waiting reason="incomplete" waiting_for="a.data,b c.data" missing_bytes=7 rate=0.5 ok=true of.a=1'
    )


def test_long_reason_is_cut_in_the_line() -> None:
    line = event_line(Event(event="rejected", reason="x" * 100_000))
    assert len(line) < 2_100
    assert line.endswith('x…"')


texts = st.text(max_size=10) | st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=3)


@given(
    st.builds(
        Event, event=st.just("seen"), model=texts, model_path=texts, reason=texts, detail=st.dictionaries(texts, texts)
    )
)
def test_every_event_is_one_printable_line(event: Event) -> None:
    assert event_line(event).isprintable()


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Event(event="live"), logging.INFO),
        (Event(event="seen"), logging.INFO),
        (Event(event="waiting", reason="incomplete"), logging.INFO),
        (Event(event="rejected", reason="cut"), logging.WARNING),
        (Event(event="watch_lost"), logging.WARNING),
        (Event(event="watch_restored"), logging.INFO),
        (Event(event="restored"), logging.INFO),
        (Event(event="restored", reason="version 3 is damaged"), logging.WARNING),
        (Event(event="rolled_back", cause="probation"), logging.WARNING),
        (Event(event="rolled_back", reason="asked to go back"), logging.INFO),
        (Event(event="live", cause="probation"), logging.INFO),
    ],
)
def test_level_says_whether_someone_should_look(event: Event, level: int) -> None:
    assert level_of(event) == level


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("模型 é 🎉", "模型 é 🎉"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800\u2028\U000e0001", r"\ud800\u2028\U000e0001"),
        ("C:\\n", "C:\\n"),
    ],
)
def test_visible_escapes_only_what_cannot_be_printed(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_event_fields_always_hold_the_five_and_else_what_there_is() -> None:
    assert event_fields(Event(event="watch_lost", detail={"tries": 3, "event": "forged"})) == {
        "id": 0,
        "event": "watch_lost",
        "time": "",
        "model": None,
        "model_path": None,
        "tries": 3,
    }
    assert event_fields(LIVE)["seconds"] == {"settle": 0.004, "total": 0.2119, "swap": 0.0}


def test_event_fields_of_odd_values_can_be_written_as_json() -> None:
    event = Event(
        event="seen",
        model_path="\udcff",
        detail={"big": 1 << 70, "set": {"\udcfe"}, "path": Path("x"), "m": {1: "a\nb"}},
    )
    fields = orjson.loads(orjson.dumps(event_fields(event)))
    assert fields["model_path"] == r"\xff"
    assert (fields["big"], fields["set"], fields["path"], fields["m"]) == (str(1 << 70), [r"\xfe"], "x", {"1": r"a\nb"})


def test_text_has_local_time_with_milliseconds_and_a_level_of_five() -> None:
    line = TextFormatter().format(record_of("ready"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO  ready", line)
    assert " WARN  " in TextFormatter().format(record_of("x", logging.WARNING))


def test_text_names_the_logger_of_others_only() -> None:
    assert TextFormatter().format(record_of("hello", name="waitress")).endswith("INFO  waitress: hello")
    assert TextFormatter().format(record_of("hello", name="modeldropper")).endswith("modeldropper: hello")
    assert TextFormatter().format(record_of("hello", name="modeldrop")).endswith("INFO  hello")


def raised(message: str) -> Any:
    try:
        raise ValueError(message)
    except ValueError as error:
        return (ValueError, error, error.__traceback__)


def test_text_escapes_line_breaks_of_the_message_and_indents_the_traceback() -> None:
    forged = "2026-11-22 10:15:02.318 INFO  live"
    first, *rest = TextFormatter().format(record_of(f"a\n{forged}", exc_info=raised(f"x\n{forged}"))).split("\n")
    assert first.endswith(rf"a\n{forged}")
    assert len(rest) >= 4
    assert all(line.startswith("    ") for line in rest)


def test_json_is_one_object_a_line_with_the_events_fields() -> None:
    line = JsonFormatter().format(record_of("the line", event=LIVE))
    fields = json.loads(line)
    assert "\n" not in line
    assert fields == {
        "time": "2026-11-22T10:15:02.318Z",
        "level": "INFO",
        "logger": "modeldrop.x",
        "message": "the line",
        "id": 12,
        "event": "live",
        "model": "default",
        "model_path": "model_drop/new.onnx",
        "version": 4,
        "sha256": LIVE.sha256,
        "seconds": {"settle": 0.004, "total": 0.2119, "swap": 0.0},
    }


def test_json_has_its_own_utc_time_where_there_is_no_event() -> None:
    fields = json.loads(JsonFormatter().format(record_of("x", created=1_795_342_502.318)))
    assert fields["time"] == "2026-11-22T10:15:02.318Z"


def test_json_holds_the_exception_as_text_and_survives_surrogates() -> None:
    fields = json.loads(JsonFormatter().format(record_of("bad \udcff", exc_info=raised("caf\udce9"))))
    assert fields["message"] == r"bad \xff"
    assert fields["exception"].startswith("Traceback")
    assert fields["exception"].endswith(r"ValueError: caf\xe9")


@pytest.fixture
def undo_all() -> Iterator[list[Any]]:
    undos: list[Any] = []
    yield undos
    for undo in undos:
        undo()


@pytest.mark.parametrize("form", ["text", "json"])
def test_configured_log_writes_events_to_stream_and_file(tmp_path: Path, undo_all: list[Any], form: str) -> None:
    stream, file = io.StringIO(), tmp_path / "logs" / "daemon.log"
    undo_all.append(configure(level="info", format=form, file=file, stream=stream))
    log_event(LIVE)
    logging.getLogger("modeldrop").debug("too fine")
    assert stream.getvalue() == file.read_text("utf-8")
    assert stream.getvalue().count("\n") == 1
    if form == "json":
        assert json.loads(stream.getvalue())["message"] == event_line(LIVE)
    else:
        assert stream.getvalue().endswith(f" INFO  {event_line(LIVE)}\n")


def test_configured_log_hears_waitress_only_when_something_is_wrong(undo_all: list[Any]) -> None:
    stream = io.StringIO()
    undo_all.append(configure(level="DEBUG", format="text", file=None, stream=stream))
    logging.getLogger("waitress").info("serving on")
    logging.getLogger("waitress.queue").critical("task queue depth is 1")
    logging.getLogger("waitress").warning("wrong")
    assert stream.getvalue().endswith(" WARN  waitress: wrong\n")
    assert stream.getvalue().count("\n") == 1


def test_undo_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.getLogger("waitress").level)
    stream = io.StringIO()
    configure(level="debug", format="text", file=tmp_path / "x.log", stream=stream)()
    assert (list(root.handlers), root.level, logging.getLogger("waitress").level) == before
    logging.getLogger("modeldrop").error("after")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("level", "form"), [("loud", "text"), ("info", "xml")])
def test_configure_refuses_what_it_does_not_know(level: str, form: str) -> None:
    before = list(logging.getLogger().handlers)
    with pytest.raises(ValueError):
        configure(level=level, format=form, file=None, stream=io.StringIO())
    assert logging.getLogger().handlers == before


GATED = Event(
    event="live",
    model="m",
    version=2,
    seconds={"total": 0.5, "settle": 0.1, "gate": 0.3, "gate.trial": 0.25, "gate.golden": 0.04, "load": 0.05},
    detail={
        "changed": "against version 1: output 'z' is new",
        "replay": {"requests": 64, "errors": 0.0, "max_abs": 0.25, "mean_abs": None, "speed_ratio": 1.03125},
    },
)


def test_parts_of_a_stage_stay_out_of_the_line_and_in_the_fields() -> None:
    assert event_line(GATED).endswith("  total=0.500s settle=0.100 gate=0.300 load=0.050")
    assert event_fields(GATED)["seconds"] == GATED.seconds


def test_keys_of_a_detail_that_is_a_mapping_follow_its_name_and_are_nested_in_the_fields() -> None:
    line = event_line(GATED)
    assert " replay.requests=64 replay.errors=0 replay.max_abs=0.25 replay.speed_ratio=1.03125 " in line
    assert "mean_abs" not in line
    assert event_fields(GATED)["replay"] == GATED.detail["replay"]


def test_mapping_in_a_mapping_is_named_by_both() -> None:
    event = Event(event="seen", detail={"a": {"b": {"c": 1, "d\n": "x y"}, "e": {}}})
    assert event_line(event) == r'seen a.b.c=1 a.b.d\n="x y"'
    assert event_fields(event)["a"] == {"b": {"c": 1, r"d\n": "x y"}, "e": {}}


def test_sentence_that_says_what_changed_is_quoted() -> None:
    assert """ changed="against version 1: output 'z' is new" """ in event_line(GATED)


def test_list_of_what_was_forced_is_one_word_of_the_line_and_a_list_in_the_fields() -> None:
    event = Event(event="live", detail={"forced": ["signature: output 'y' is gone", "golden: missed"]})
    assert event_line(event) == """live forced="signature: output 'y' is gone,golden: missed\""""
    assert event_fields(event)["forced"] == ["signature: output 'y' is gone", "golden: missed"]


nested = st.recursive(texts | st.integers() | st.floats(), lambda inner: st.dictionaries(texts, inner, max_size=3))


@given(st.dictionaries(texts, nested, max_size=3))
def test_every_nested_detail_is_one_printable_line_and_can_be_written_as_json(inner: dict[str, object]) -> None:
    event = Event(event="seen", detail={"found": inner})
    assert event_line(event).isprintable()
    written = orjson.loads(orjson.dumps(event_fields(event)))["found"]
    assert written.keys() == {visible(name) for name in inner}


def test_counts_that_all_are_0_stay_out_of_the_line_and_in_the_fields() -> None:
    event = Event(event="live", detail={"replay": {"requests": 0}, "golden": {"cases": 2, "failed": 0}})
    assert event_line(event) == "live golden.cases=2 golden.failed=0"
    assert event_fields(event)["replay"] == {"requests": 0}
