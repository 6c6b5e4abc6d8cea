"""Query parameters as typed values."""

import pytest

from daemon.errors import BadRequest
from daemon.web.queries import seconds, whole


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("7", 7), ("0" * 30 + "7", 7), ("99", 50), ("9" * 18, 50), ("9" * 5000, 50)]
)
def test_whole_number_is_taken_up_to_its_most(text: str, value: int) -> None:
    assert whole({"limit": text}, "limit", 3, most=50) == value


def test_whole_number_that_is_not_given_has_its_default() -> None:
    assert whole({}, "limit", 3, most=50) == 3


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", "x", "٣", "²", " 1", "1" * 19 + "x"])
def test_what_is_no_whole_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^limit: expected a whole number from 0 on, found "):
        whole({"limit": text}, "limit", 3, most=50)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("0.5", 0.5), ("1e1", 10), ("inf", 60), ("1e999", 60)])
def test_seconds_are_taken_up_to_their_most(text: str, value: float) -> None:
    assert seconds({"wait": text}, "wait", most=60) == value


def test_seconds_that_are_not_given_are_none() -> None:
    assert seconds({}, "wait", most=60) == 0


@pytest.mark.parametrize("text", ["", "-1", "nan", "soon", "-inf", "1_0", " 1", "٣"])
def test_what_are_no_seconds_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^wait: expected a number of seconds from 0 on, found "):
        seconds({"wait": text}, "wait", most=60)
