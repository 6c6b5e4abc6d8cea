"""Which deploy comes next and which is skipped: tables, without threads."""

import pytest

from daemon.lane import Entry, left_behind, next_up, overtaken


def dropped(model: str, number: int, changed_ns: int) -> Entry:
    return Entry(model=model, number=number, changed_ns=changed_ns)


def asked(model: str, number: int) -> Entry:
    return Entry(model=model, number=number)


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
