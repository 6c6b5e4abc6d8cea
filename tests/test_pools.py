"""What takes next to no time is answered by the loop; what takes a little more is, while its client is the only one."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pytest

from daemon.http.pools import BRIEF_SECONDS, LONELY, QUICK_BODY_BYTES, QUICK_SECONDS, Pools
from daemon.http.values import NO_GROUPS, Limits
from tests.fakes import WAIT_SECONDS

QUICK, BRIEF, LONG = 0.9 * QUICK_SECONDS, 0.9 * BRIEF_SECONDS, BRIEF_SECONDS


@dataclass
class Asking:
    """A request whose path says how long it takes; which is answered when it ``may_end``."""

    path: str
    content_length: int = 0
    chunked: bool = False
    command: str = "POST"
    query: str = ""
    goes_alone: bool = True
    began: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)

    def service(self) -> None:
        self.began.set()
        assert self.may_end.wait(WAIT_SECONDS)

    def begin(self, _marks: Mapping[str, object]) -> Callable[[], None]:
        return self.service


@pytest.fixture
def pools() -> Iterator[Pools]:
    pools = Pools(Limits(threads=1), lambda *_: False, lambda _method, path: float(path), NO_GROUPS)
    pools.start()
    yield pools
    assert pools.stop(threading.TIMEOUT_MAX)


def asked(pools: Pools, seconds: float, times: int, *, company: int = 0) -> list[bool]:
    """Whether each of so many requests is for the loop."""
    return [pools.is_needless(Asking(str(seconds)), company=company) for _ in range(times)]


def test_what_is_quick_is_the_loops_whoever_else_asks(pools: Pools) -> None:
    assert asked(pools, QUICK, 3, company=5) == [True] * 3
    assert not pools.is_needless(Asking(str(QUICK), QUICK_BODY_BYTES + 1), company=0)
    assert not pools.is_needless(Asking(str(QUICK), chunked=True), company=0)


def test_what_is_brief_is_the_loops_once_its_client_was_alone_for_a_while(pools: Pools) -> None:
    assert asked(pools, BRIEF, LONELY + 2) == [False] * LONELY + [True] * 2
    assert asked(pools, BRIEF, 1, company=1) == [False]
    assert asked(pools, BRIEF, LONELY + 1) == [False] * LONELY + [True], "it was not alone: all begins anew"


def test_what_takes_long_is_never_the_loops(pools: Pools) -> None:
    assert asked(pools, LONG, 2 * LONELY) == [False] * 2 * LONELY


def test_client_is_not_alone_while_a_thread_is_busy(pools: Pools) -> None:
    work = Asking("1")
    assert pools.submit(work, work) is None  # type: ignore[arg-type]  # all that is used of it here
    assert work.began.wait(WAIT_SECONDS)
    assert asked(pools, BRIEF, 2 * LONELY) == [False] * 2 * LONELY
    work.may_end.set()
    wait_until_idle(pools)
    assert asked(pools, BRIEF, LONELY + 1)[-1]


def wait_until_idle(pools: Pools) -> None:
    for _ in range(int(WAIT_SECONDS * 1000)):
        if not pools.fast.is_busy:
            return
        threading.Event().wait(0.001)
    raise AssertionError("a thread is still busy")


class Groups:
    """All go together."""

    wait_seconds = 0.0

    def kind_of(self, *_: object) -> str:
        return "all"

    def most(self, _kind: object) -> int:
        return 8

    def abreast(self, _kind: object) -> int:
        return 1

    def together(self, _kind: object) -> AbstractContextManager[object]:
        return nullcontext(object())


def test_who_waits_for_those_before_is_company() -> None:
    pools = Pools(Limits(threads=1), lambda *_: False, lambda _method, path: float(path), Groups())
    pools.start()
    assert asked(pools, BRIEF, LONELY) == [False] * LONELY
    works = [Asking("1") for _ in range(2)]
    for work in works:
        work.goes_alone = False
        assert pools.submit(work, work) is None  # type: ignore[arg-type]  # all that is used of it here
        assert works[0].began.wait(WAIT_SECONDS)
    assert asked(pools, BRIEF, 1) == [False]
    for work in works:
        work.may_end.set()
    assert works[1].began.wait(WAIT_SECONDS)
    wait_until_idle(pools)
    assert asked(pools, BRIEF, LONELY + 1) == [False] * LONELY + [True], "all begins anew"
    assert pools.stop(threading.TIMEOUT_MAX)
