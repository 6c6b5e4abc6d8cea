"""The log's level in the form of Triton's settings: what it says, and what can be changed."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.web.open_inference.logging_view import level_of, settings_of
from tests.web_rig import WebRig

PATH = "/v2/logging"
FILE = "logs/daemon.log"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    with WebRig(tmp_path) as rig:
        yield rig
    root.setLevel(before)


def flags(number: int) -> tuple[object, ...]:
    return tuple(settings_of(number, FILE).values())[1:5]


def test_settings_tell_the_level_and_the_file(rig: WebRig) -> None:
    assert rig.get(PATH).get_json() == {
        "log_file": FILE,
        "log_info": True,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 0,
        "log_format": "default",
    }


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (logging.DEBUG, (True, True, True, 1)),
        (logging.INFO, (True, True, True, 0)),
        (logging.WARNING, (False, True, True, 0)),
        (logging.ERROR, (False, False, True, 0)),
        (logging.CRITICAL, (False, False, False, 0)),
    ],
)
def test_each_level_has_its_flags_and_is_found_by_them(number: int, expected: tuple[object, ...]) -> None:
    assert flags(number) == expected
    assert level_of(settings_of(number, FILE), logging.INFO, FILE) == number


def test_change_holds_for_the_log_and_is_told_in_it(rig: WebRig, caplog: pytest.LogCaptureFixture) -> None:
    answer = rig.post(PATH, {"log_info": False})
    assert (answer.status_code, answer.get_json()["log_info"]) == (200, False)
    assert rig.get(PATH).get_json() == answer.get_json()
    assert logging.getLogger("modeldrop.api").getEffectiveLevel() == logging.WARNING
    assert caplog.messages == ["the log's level is WARNING from here on, it was INFO"]
    assert rig.post(PATH, {"log_verbose_level": 3, "log_info": True}).get_json()["log_verbose_level"] == 1
    assert logging.getLogger().level == logging.DEBUG


@pytest.mark.parametrize("body", [None, {}, {"log_file": FILE, "log_format": "default", "log_error": True}])
def test_nothing_changes_where_nothing_is_to(rig: WebRig, body: object, caplog: pytest.LogCaptureFixture) -> None:
    assert rig.post(PATH, body).get_json() == rig.get(PATH).get_json()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("now", "wanted", "expected"),
    [
        (logging.DEBUG, {"log_info": False}, logging.WARNING),
        (logging.DEBUG, {"log_verbose_level": 0}, logging.INFO),
        (logging.INFO, {"log_warning": False}, logging.ERROR),
        (logging.INFO, {"log_error": False}, logging.CRITICAL),
        (logging.ERROR, {"log_verbose_level": 2}, logging.DEBUG),
        (logging.CRITICAL, {"log_warning": True}, logging.WARNING),
        (logging.ERROR, {"log_info": False}, logging.ERROR),
        (logging.ERROR, {"log_verbose_level": 1.0}, logging.DEBUG),
        (logging.ERROR, {"log_info": True, "log_verbose_level": 0}, logging.INFO),
    ],
)
def test_what_is_not_named_changes_only_with_what_is(now: int, wanted: dict[str, object], expected: int) -> None:
    assert level_of(wanted, now, FILE) == expected
