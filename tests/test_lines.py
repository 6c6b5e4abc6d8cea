"""Requests that go together form groups while others are answered, and nobody waits for company."""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from daemon.errors import TOGETHER
from daemon.http.lines import Lines
from daemon.http.pool import Pool
from tests.fakes import WAIT_SECONDS


class Grouping:
    """Requests of one path go together, three at most; those of /alone with nobody."""

    def __init__(
        self, *, wait_seconds: float = 0.0, abreast: int = 1, fails: bool = False, gives_none: bool = False
    ) -> None:
        self.wait_seconds = wait_seconds
        self.groups = abreast
        self.fails = fails
        self.gives_none = gives_none
        self.open = 0

    def kind_of(self, _method: str, path: str) -> Hashable | None:
        return None if path == "/alone" else path

    def most(self, _kind: Hashable) -> int:
        return 3

    def abreast(self, _kind: Hashable) -> int:
        return self.groups

    @contextmanager
    def together(self, kind: Hashable) -> Iterator[object]:
        if self.fails:
            raise RuntimeError("no group to be had")
        self.open += 1
        yield None if self.gives_none else f"group of {kind}"
        self.open -= 1


class Request:
    """Notes how it was answered; waits for ``may_end`` where that is given."""

    goes_alone = False

    def __init__(self, seen: list[Any], name: str, *, may_end: threading.Event | None = None, fails: str = "") -> None:
        self.seen, self.name, self.may_end, self.fails = seen, name, may_end, fails
        self.began, self.ended, self.discarded = threading.Event(), threading.Event(), threading.Event()

    def service(self) -> None:
        self.seen.append((self.name, "alone"))
        self.began.set()
        if self.may_end is not None:
            assert self.may_end.wait(WAIT_SECONDS)
        self.ended.set()

    def begin(self, marks: Mapping[str, object]) -> Callable[[], None]:
        self.seen.append((self.name, marks[TOGETHER]))
        if self.fails == "first":
            raise RuntimeError("the first half")
        return self.finish

    def finish(self) -> None:
        self.began.set()
        if self.may_end is not None:
            assert self.may_end.wait(WAIT_SECONDS)
        self.seen.append((self.name, "finished"))
        if self.fails == "second":
            raise RuntimeError("the second half")
        self.ended.set()

    def discard(self) -> None:
        self.discarded.set()


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool("test", threads=2, max_queue=10)
    pool.start()
    yield pool
    pool.finish()
    assert pool.join(threading.TIMEOUT_MAX)


def submit(lines: Lines, *requests: Request, path: str = "/m") -> None:
    for request in requests:
        assert lines.submit(request, "POST", path) is None


def held(lines: Lines, seen: list[Any], path: str = "/m") -> threading.Event:
    """Has a request of the line be answered until the event that is given is set."""
    may_end = threading.Event()
    first = Request(seen, "first", may_end=may_end)
    submit(lines, first, path=path)
    assert first.began.wait(WAIT_SECONDS)
    return may_end


def test_request_that_finds_nobody_is_answered_at_once(pool: Pool) -> None:
    seen: list[Any] = []
    request = Request(seen, "a")
    submit(Lines(pool, Grouping(), max_waiting=10), request)
    assert request.ended.wait(WAIT_SECONDS)
    assert seen == [("a", "group of /m"), ("a", "finished")]


def test_those_who_come_meanwhile_are_answered_together_as_many_as_go(pool: Pool) -> None:
    seen: list[Any] = []
    grouping = Grouping()
    lines = Lines(pool, grouping, max_waiting=10)
    may_end = held(lines, seen)
    others = [Request(seen, name) for name in "abcd"]
    submit(lines, *others)
    assert lines.waiting == 4
    seen.clear()
    may_end.set()
    for other in others:
        assert other.ended.wait(WAIT_SECONDS)
    begun = [(name, "group of /m") for name in "abc"]
    ended = [(name, "finished") for name in "abc"]
    assert seen == [("first", "finished"), *begun, *ended, ("d", "group of /m"), ("d", "finished")]
    assert grouping.open == 0
    assert lines.waiting == 0


def test_full_group_does_not_wait_for_the_one_before_it(pool: Pool) -> None:
    seen: list[Any] = []
    lines = Lines(pool, Grouping(abreast=2), max_waiting=10)
    may_end = held(lines, seen)
    others = [Request(seen, name) for name in "abcd"]
    submit(lines, *others[:2])
    assert not others[0].began.wait(0.05), "it may grow"
    submit(lines, *others[2:])
    for full in others[:3]:
        assert full.ended.wait(WAIT_SECONDS)
    submit(lines, late := Request(seen, "late"))
    assert not others[3].began.wait(0.05), "it forms the next one"
    may_end.set()
    assert late.ended.wait(WAIT_SECONDS)
    assert seen[-4:-2] == [("d", "group of /m"), ("late", "group of /m")]
    assert others[3].ended.wait(WAIT_SECONDS)
    assert ("first", "finished") in seen
    submit(lines, last := Request(seen, "last"))
    assert last.ended.wait(WAIT_SECONDS), "the line is gone, and another one began"


def test_groups_that_are_full_when_a_thread_is_free_are_answered_by_all_that_are() -> None:
    seen: list[Any] = []
    pool = Pool("test", threads=3, max_queue=100)
    pool.start()
    lines = Lines(pool, Grouping(abreast=3), max_waiting=100)
    first_may_end, *others_may_end = [held(lines, seen, path=path) for path in ("/m", "/a", "/b")]
    may_end = threading.Event()
    groups = [[Request(seen, f"{group}{each}", may_end=may_end) for each in range(3)] for group in range(2)]
    for group in groups:
        submit(lines, *group)
    for other in others_may_end:
        other.set()
    for group in groups:
        assert group[0].began.wait(WAIT_SECONDS)
    for each in (first_may_end, may_end):
        each.set()
    pool.finish()
    assert pool.join(threading.TIMEOUT_MAX)
    assert all(each.ended.is_set() for group in groups for each in group)


def test_no_more_groups_of_a_kind_are_answered_at_once_than_may() -> None:
    seen: list[Any] = []
    pool = Pool("test", threads=4, max_queue=100)
    pool.start()
    lines = Lines(pool, Grouping(abreast=2), max_waiting=100)
    first_may_end, may_end = held(lines, seen), threading.Event()
    groups = [[Request(seen, f"{group}{each}", may_end=may_end) for each in range(3)] for group in range(2)]
    for group in groups:
        submit(lines, *group)
    assert groups[0][0].began.wait(WAIT_SECONDS)
    assert not groups[1][0].began.wait(0.05), "two are being answered"
    first_may_end.set()
    assert groups[1][0].began.wait(WAIT_SECONDS)
    may_end.set()
    for group in groups:
        for each in group:
            assert each.ended.wait(WAIT_SECONDS)
    assert lines.waiting == 0
    pool.finish()
    assert pool.join(threading.TIMEOUT_MAX)


def test_other_requests_do_not_wait_behind_a_line(pool: Pool) -> None:
    seen: list[Any] = []
    lines = Lines(pool, Grouping(), max_waiting=10)
    may_end = held(lines, seen)
    waiting = Request(seen, "waiting")
    submit(lines, waiting)
    alone, other = Request(seen, "x"), Request(seen, "y")
    submit(lines, alone, path="/alone")
    submit(lines, other, path="/other")
    assert alone.ended.wait(WAIT_SECONDS)
    assert other.ended.wait(WAIT_SECONDS)
    assert not waiting.ended.is_set()
    may_end.set()
    assert waiting.ended.wait(WAIT_SECONDS)


def test_next_group_goes_behind_what_others_have_queued() -> None:
    seen: list[Any] = []
    pool = Pool("test", threads=1, max_queue=10)
    pool.start()
    lines = Lines(pool, Grouping(), max_waiting=10)
    may_end = held(lines, seen)
    waiting, other = [Request(seen, name) for name in "ab"], Request(seen, "other")
    submit(lines, *waiting)
    submit(lines, other, path="/other")
    seen.clear()
    may_end.set()
    for each in (*waiting, other):
        assert each.ended.wait(WAIT_SECONDS)
    pool.finish()
    assert pool.join(threading.TIMEOUT_MAX)
    assert seen[1] == ("other", "group of /other")


@pytest.mark.parametrize("half", ["first", "second"])
def test_half_that_fails_is_no_concern_of_the_others(pool: Pool, half: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []
    lines = Lines(pool, Grouping(), max_waiting=10)
    may_end = held(lines, seen)
    bad, good, later = Request(seen, "bad", fails=half), Request(seen, "good"), Request(seen, "later")
    submit(lines, bad, good)
    may_end.set()
    assert good.ended.wait(WAIT_SECONDS)
    submit(lines, later)
    assert later.ended.wait(WAIT_SECONDS)
    assert [record.getMessage() for record in caplog.records] == ["a connection failed while it was served"]


@pytest.mark.parametrize("how", ["fails", "none"])
def test_members_are_answered_by_themselves_where_no_group_is_to_be_had(
    pool: Pool, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []
    lines = Lines(pool, Grouping(fails=how == "fails", gives_none=how == "none"), max_waiting=10)
    others = [Request(seen, name) for name in "ab"]
    submit(lines, *others)
    for other in others:
        assert other.ended.wait(WAIT_SECONDS)
    assert sorted(seen) == [("a", "alone"), ("b", "alone")]
    assert bool(caplog.records) == (how == "fails")


def test_request_whose_answer_may_have_to_wait_goes_alone(pool: Pool) -> None:
    seen: list[Any] = []
    lines = Lines(pool, Grouping(), max_waiting=10)
    may_end = held(lines, seen)
    slow = Request(seen, "slow")
    slow.goes_alone = True
    submit(lines, slow)
    assert slow.ended.wait(WAIT_SECONDS)
    may_end.set()


@pytest.mark.parametrize("question", ["kind_of", "most", "abreast"])
def test_question_that_fails_loses_no_request(
    pool: Pool, question: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("nobody knows")

    monkeypatch.setattr(Grouping, question, fail)
    seen: list[Any] = []
    lines = Lines(pool, Grouping(), max_waiting=10)
    for name in "ab":
        request = Request(seen, name)
        submit(lines, request)
        assert request.ended.wait(WAIT_SECONDS)
    assert len(caplog.records) == 2


def test_no_more_wait_in_all_lines_than_may(pool: Pool) -> None:
    seen: list[Any] = []
    lines = Lines(pool, Grouping(), max_waiting=3)
    ends = [held(lines, seen, path=path) for path in ("/a", "/b")]
    others = [Request(seen, name) for name in "abc"]
    for other, path in zip(others, ("/a", "/b", "/c"), strict=True):
        submit(lines, other, path=path)
    for path in ("/a", "/d", "/alone"):
        refusal = lines.submit(Request(seen, "d"), "POST", path)
        assert refusal is not None
        assert (refusal.status, refusal.code) == (503, "overloaded")
    for may_end in ends:
        may_end.set()
    for other in others:
        assert other.ended.wait(WAIT_SECONDS)


def test_first_waits_for_company_where_that_is_wanted(pool: Pool) -> None:
    seen: list[Any] = []
    lines = Lines(pool, Grouping(wait_seconds=WAIT_SECONDS), max_waiting=10)
    members = [Request(seen, name) for name in "abc"]
    submit(lines, *members)
    for each in members:
        assert each.ended.wait(WAIT_SECONDS / 2), "a full group waits no longer"
    assert seen[:3] == [(name, "group of /m") for name in "abc"]


def test_those_who_came_while_others_ran_wait_for_nobody(pool: Pool) -> None:
    seen: list[Any] = []
    grouping = Grouping()
    lines = Lines(pool, grouping, max_waiting=10)
    may_end = held(lines, seen)
    grouping.wait_seconds = WAIT_SECONDS
    late = Request(seen, "late")
    submit(lines, late)
    may_end.set()
    assert late.ended.wait(WAIT_SECONDS / 2)


def test_those_in_line_are_let_go_of_at_the_end() -> None:
    pool = Pool("test", threads=1, max_queue=10)
    pool.start()
    seen: list[Any] = []
    lines = Lines(pool, Grouping(), max_waiting=10)
    may_end = held(lines, seen)
    left = Request(seen, "left")
    submit(lines, left)
    pool.finish()
    may_end.set()
    assert pool.join(threading.TIMEOUT_MAX)
    assert left.discarded.is_set()
