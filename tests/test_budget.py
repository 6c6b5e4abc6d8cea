"""Cores are lent first come, first served, and never more of them than there are."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon.errors import RunTimeout
from daemon.runtime import CoreBudget
from tests.fakes import WAIT_SECONDS


def test_run_that_is_alone_gets_all_that_it_wants() -> None:
    budget = CoreBudget(4)
    with budget.claim(4, timeout_seconds=1) as cores:
        assert cores == 4
    with budget.claim(2, timeout_seconds=1) as cores:
        assert cores == 2


def test_nobody_gets_more_than_there_are() -> None:
    with CoreBudget(2).claim(64, timeout_seconds=1) as cores:
        assert cores == 2


def test_run_beside_another_gets_one_core_where_not_all_are_free() -> None:
    budget = CoreBudget(3)
    with budget.claim(1, timeout_seconds=1), budget.claim(3, 1, timeout_seconds=1) as second:
        assert second == 1
        with budget.claim(1, timeout_seconds=1) as third:
            assert third == 1


def test_run_waits_for_a_core_and_gives_up_at_its_deadline() -> None:
    budget = CoreBudget(1)
    with budget.claim(1, timeout_seconds=1):
        with (
            pytest.raises(RunTimeout, match=r"no free core within 10 ms"),
            budget.claim(1, timeout_seconds=0.01),
        ):
            raise AssertionError("there was no core to be had")
    with budget.claim(1, timeout_seconds=0) as cores:
        assert cores == 1, "who gave up holds nothing"


def test_those_who_wait_come_in_their_order() -> None:
    budget = CoreBudget(1)
    order: list[int] = []

    def run(number: int) -> None:
        with budget.claim(1, timeout_seconds=WAIT_SECONDS):
            order.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(5)]
    with budget.claim(1, timeout_seconds=1):
        for number, thread in enumerate(threads):
            thread.start()
            wait_until_waiting(budget, number + 1)
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert order == [0, 1, 2, 3, 4]


def wait_until_waiting(budget: CoreBudget, number: int) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_SECONDS * 1000)):
        if len(budget._waiting) == number:
            return
        pause.wait(0.001)
    raise AssertionError(f"{len(budget._waiting)} wait, expected {number}")


def test_wide_run_gets_one_core_each_time_others_wait_too() -> None:
    budget = CoreBudget(2)
    granted: list[int] = []

    def run() -> None:
        with budget.claim(2, 1, timeout_seconds=WAIT_SECONDS) as cores:
            granted.append(cores)

    threads = [threading.Thread(target=run) for _ in range(2)]
    with budget.claim(2, timeout_seconds=1):
        for number, thread in enumerate(threads):
            thread.start()
            wait_until_waiting(budget, number + 1)
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert granted == [1, 1]


def test_those_who_wait_share_what_is_free() -> None:
    budget = CoreBudget(16)
    granted: list[int] = []
    may_end = threading.Event()

    def run() -> None:
        with budget.claim(16, 4, 2, timeout_seconds=WAIT_SECONDS) as cores:
            granted.append(cores)
            assert may_end.wait(WAIT_SECONDS)

    threads = [threading.Thread(target=run) for _ in range(9)]
    with budget.claim(16, 4, 2, timeout_seconds=1) as cores:
        assert cores == 16
        for number, thread in enumerate(threads[:3]):
            thread.start()
            wait_until_waiting(budget, number + 1)
    wait_until_waiting(budget, 0)
    for thread in threads[3:]:
        thread.start()
    wait_until_waiting(budget, 5)
    may_end.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert granted[:4] == [4, 4, 4, 4], "a share of five is four for each of three; the next finds four"
    assert all(cores in (2, 4, 16) for cores in granted)
    assert len(granted) == 9


def test_sum_of_what_is_lent_never_exceeds_the_cores() -> None:
    budget = CoreBudget(3)
    lock, lent, worst = threading.Lock(), 0, 0

    def run(wanted: int) -> None:
        nonlocal lent, worst
        for _ in range(200):
            with budget.claim(wanted, 1, timeout_seconds=WAIT_SECONDS) as cores:
                assert 1 <= cores <= wanted
                with lock:
                    lent += cores
                    worst = max(worst, lent)
                with lock:
                    lent -= cores

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, [1, 2, 3, 1, 2, 3]))
    assert worst <= 3
    with budget.claim(3, timeout_seconds=0) as cores:
        assert cores == 3, "all came back"


def test_run_that_needs_several_cores_waits_for_them_and_those_behind_it_wait_too() -> None:
    budget = CoreBudget(3)
    order: list[str] = []

    def run(name: str, least: int) -> None:
        with budget.claim(3, least, timeout_seconds=WAIT_SECONDS):
            order.append(name)

    with budget.claim(1, timeout_seconds=1):
        wide, narrow = (threading.Thread(target=run, args=given) for given in (("wide", 3), ("narrow", 1)))
        wide.start()
        wait_until_waiting(budget, 1)
        narrow.start()
        wait_until_waiting(budget, 2)
        assert order == []
    for thread in (wide, narrow):
        thread.join(WAIT_SECONDS)
    assert order == ["wide", "narrow"]


def test_who_stood_behind_one_that_gave_up_goes_on() -> None:
    budget = CoreBudget(2)
    with budget.claim(1, timeout_seconds=1), ThreadPoolExecutor(2) as pool:

        def run(least: int, seconds: float) -> int:
            with budget.claim(least, timeout_seconds=seconds) as cores:
                return cores

        impatient = pool.submit(run, 2, 0.05)
        wait_until_waiting(budget, 1)
        patient = pool.submit(run, 1, WAIT_SECONDS)
        assert isinstance(impatient.exception(WAIT_SECONDS), RunTimeout)
        assert patient.result(WAIT_SECONDS) == 1


def test_nobody_needs_more_cores_than_there_are() -> None:
    with CoreBudget(2).claim(8, timeout_seconds=0) as cores:
        assert cores == 2
