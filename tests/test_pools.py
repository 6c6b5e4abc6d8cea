"""What takes next to no time is answered by the loop; what takes a little more is, while its client is the only one."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

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
    goes_alone = True
    may_end: threading.Event | None = None

    def service(self) -> None:
        assert self.may_end is not None
        assert self.may_end.wait(WAIT_SECONDS)


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
    may_end = threading.Event()
    work = Asking("1", may_end=may_end)
    assert pools.submit(work, work) is None  # type: ignore[arg-type]  # all that is used of it here
    assert asked(pools, BRIEF, 2 * LONELY) == [False] * 2 * LONELY
    may_end.set()
    for _ in range(int(WAIT_SECONDS * 1000)):
        if not pools.fast.is_busy:
            break
        threading.Event().wait(0.001)
    assert asked(pools, BRIEF, LONELY + 1)[-1]
