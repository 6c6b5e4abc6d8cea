"""Which deploy comes next and which is skipped: tables, without threads."""

import pytest

from daemon.lane import Entry, left_behind, next_up, overtaken
from daemon.lane.order import due, urgent


def dropped(model: str, number: int, changed_ns: int) -> Entry:
    return Entry(model=model, number=number, changed_ns=changed_ns)


def asked(model: str, number: int) -> Entry:
    return Entry(model=model, number=number)


def later(model: str, number: int, when: float) -> Entry:
    return Entry(model=model, number=number, due=when)


def pressing(model: str, number: int) -> Entry:
    return Entry(model=model, number=number, urgent=True)


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.number for entry in entries]


@pytest.mark.parametrize(
    ("waiting", "skipped"),
    [
        ([], []),
        ([dropped("a", 1, 10)], []),
        ([dropped("a", 1, 10), dropped("a", 2, 20)], [1]),
        ([dropped("a", 1, 20), dropped("a", 2, 10)], [2]),
        ([dropped("a", 1, 10), dropped("a", 2, 10)], [1]),
        ([dropped("a", 1, 10), dropped("a", 2, 30), dropped("a", 3, 20)], [1, 3]),
        ([dropped("a", 1, 10), dropped("b", 2, 20)], []),
        ([dropped("a", 1, 10), dropped("b", 2, 20), dropped("a", 3, 30), dropped("b", 4, 40)], [1, 2]),
        ([asked("a", 1), asked("a", 2)], []),
        ([asked("a", 1), dropped("a", 2, 20), asked("a", 3)], []),
        ([dropped("a", 1, 10), asked("a", 2), dropped("a", 3, 20)], [1]),
        ([dropped("a", 1, 0), dropped("a", 2, 10)], [1]),
        ([dropped("a", 1, 0), asked("a", 2)], []),
    ],
)
def test_dropped_files_that_a_newer_one_overtook_are_skipped_and_nothing_else(
    waiting: list[Entry], skipped: list[int]
) -> None:
    assert numbers(overtaken(waiting)) == skipped


@pytest.mark.parametrize(
    ("waiting", "last", "number"),
    [
        ([asked("a", 1)], None, 1),
        ([asked("a", 1)], "a", 1),
        ([asked("a", 2), asked("a", 1)], None, 1),
        ([asked("a", 1), asked("b", 2)], "a", 2),
        ([asked("a", 1), asked("b", 2)], "b", 1),
        ([asked("a", 1), asked("a", 2), asked("c", 3), asked("b", 4)], "a", 4),
        ([asked("a", 1), asked("c", 2)], "b", 2),
        ([asked("b", 1), asked("a", 2)], None, 2),
        ([dropped("a", 2, 10), asked("a", 1)], None, 1),
    ],
)
def test_models_take_turns_and_each_one_goes_in_order_of_arrival(
    waiting: list[Entry], last: str | None, number: int
) -> None:
    assert next_up(waiting, last).number == number


@pytest.mark.parametrize(
    ("waiting", "served", "behind"),
    [
        ([dropped("a", 1, 10)], dropped("a", 2, 20), [1]),
        ([dropped("a", 2, 10)], dropped("a", 1, 20), [2]),
        ([dropped("a", 2, 30)], dropped("a", 1, 20), []),
        ([dropped("b", 1, 10)], dropped("a", 2, 20), []),
        ([asked("a", 1)], dropped("a", 2, 20), []),
        ([dropped("a", 1, 10), dropped("a", 3, 5)], asked("a", 2), [1]),
    ],
)
def test_what_came_before_a_release_that_serves_is_left_behind(
    waiting: list[Entry], served: Entry, behind: list[int]
) -> None:
    assert numbers(left_behind(waiting, served)) == behind


@pytest.mark.parametrize(
    ("waiting", "now", "ready"),
    [
        ([], 5.0, []),
        ([asked("a", 1)], -1e9, [1]),
        ([later("a", 1, 5.0)], 4.9, []),
        ([later("a", 1, 5.0)], 5.0, [1]),
        ([later("a", 2, 7.0), asked("a", 3), later("b", 1, 4.0)], 5.0, [3, 1]),
    ],
)
def test_entry_is_due_from_its_time_on(waiting: list[Entry], now: float, ready: list[int]) -> None:
    assert numbers(due(waiting, now)) == ready


def test_urgent_ones_are_told_in_order_of_arrival() -> None:
    assert numbers(urgent([asked("a", 1), pressing("b", 4), dropped("a", 2, 10), pressing("a", 3)])) == [3, 4]


@pytest.mark.parametrize(
    ("waiting", "last", "number"),
    [
        ([asked("a", 1), pressing("b", 2)], None, 2),
        ([asked("b", 1), pressing("a", 2)], "a", 2),
        ([pressing("b", 3), pressing("a", 2), asked("a", 1)], "b", 2),
    ],
)
def test_urgent_entry_goes_before_all_others_whosever_turn_it_is(
    waiting: list[Entry], last: str | None, number: int
) -> None:
    assert next_up(waiting, last).number == number


def test_urgent_entry_is_neither_overtaken_nor_left_behind() -> None:
    waiting = [pressing("a", 1), dropped("a", 2, 20), dropped("a", 3, 30)]
    assert numbers(overtaken(waiting)) == [2]
    assert numbers(left_behind(waiting, dropped("a", 4, 40))) == [2, 3]
