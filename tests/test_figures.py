"""What requests came to adds up exactly, whoever counts it and however many do so at once."""

import sys
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from daemon.errors import InvalidInput, InvalidJson
from daemon.web.figures import FOLD_AT, MOST_SIZES, Figures, record_of
from daemon.web.totals import BATCH_BOUNDS, BOUNDS_SECONDS, STAGES, Totals


def record(*steps: float, rows: int = 1, size: int = 1, runs: int = 1, at: float = 100.0) -> bytes:
    """An answer whose stages took ``steps`` seconds."""
    times = [at]
    for step in steps or (0.0,) * 4:
        times.append(times[-1] + step)
    return record_of(*times, rows, size, runs)


def test_nothing_was_counted_at_first() -> None:
    assert Figures().read() == Totals()


def test_answer_is_in_every_stage_and_in_the_whole() -> None:
    figures = Figures()
    figures.answered(record(0.001, 0.002, 0.004, 0.008))
    told = figures.read()
    assert [told.seconds[stage].total for stage in STAGES] == pytest.approx([0.001, 0.002, 0.004, 0.008])
    assert told.whole.total == pytest.approx(0.015)
    assert [told.answered, told.rows, told.runs] == [1, 1, 1]


@pytest.mark.parametrize("seconds", [0.0, 9.9e-6, 1.1e-5, 0.0049, 0.0051, 9.0, 11.0])
def test_time_is_in_the_bucket_up_to_the_next_bound(seconds: float) -> None:
    figures = Figures()
    figures.answered(record(0.0, 0.0, seconds, 0.0))
    buckets = figures.read().seconds["infer"].buckets
    below = [bound for bound in BOUNDS_SECONDS if bound < seconds]
    assert buckets.index(1) == len(below)
    assert sum(buckets) == 1
    assert len(buckets) == len(BOUNDS_SECONDS) + 1


def test_times_that_are_off_by_a_rounding_are_none() -> None:
    figures = Figures()
    figures.answered(record(-1e-12, 0.001, 0.001, 0.001))
    assert figures.read().seconds["queue"].total == 0.0


def test_failures_are_counted_by_their_class_and_are_no_answers() -> None:
    figures = Figures()
    for kind in (InvalidJson, InvalidInput, InvalidJson):
        figures.failed(kind, 0.25)
    told = figures.read()
    assert told.failed == {InvalidJson: 2, InvalidInput: 1}
    assert told.failed_seconds == 0.75
    assert told.answered == 0


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns at every chance."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_nothing_is_lost_under_threads() -> None:
    figures, each = Figures(), 5 * FOLD_AT + 7

    def work(number: int) -> None:
        for turn in range(each):
            figures.answered(record(0.0, 0.0, 0.5, 0.0, rows=number, size=number))
            figures.failed(InvalidJson if turn % 2 else InvalidInput, 1.0)
            if turn % 20 == 0:
                figures.read()

    threads = [Thread(target=work, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = figures.read()
    assert told.answered == told.runs == 4 * each
    assert told.rows == told.batches.total == 10 * each
    assert sum(told.failed.values()) == told.failed_seconds == 4 * each
    assert told.whole.total == pytest.approx(2.0 * each)
    assert {size: of.runs for size, of in told.sizes.items()} == dict.fromkeys((1, 2, 3, 4), each)


def test_records_do_not_pile_up() -> None:
    figures = Figures()
    for _ in range(3 * FOLD_AT):
        figures.answered(record())
        figures.failed(InvalidJson, 0.0)
    assert len(figures._records) < FOLD_AT
    assert len(figures._failures) < FOLD_AT


def test_run_of_several_counts_once() -> None:
    figures = Figures()
    for runs in (1, 0, 0):
        figures.answered(record(0.0, 0.5, 2.0, 0.25, rows=2, size=6, runs=runs))
    told = figures.read()
    assert [told.answered, told.rows, told.runs] == [3, 6, 1]
    assert told.seconds["infer"].total == 6.0, "each of them took that long"
    of_six = told.sizes[6]
    assert [of_six.runs, of_six.decode, of_six.infer, of_six.encode] == [1, 1.5, 2.0, 0.75]


def test_run_is_in_the_bucket_of_its_rows() -> None:
    figures = Figures()
    for rows in (1, 2, 3, 5000):
        figures.answered(record(rows=rows, size=rows))
    batches = figures.read().batches
    assert [batches.buckets[place] for place in (0, 1, 2, len(BATCH_BOUNDS))] == [1, 1, 1, 1]
    assert batches.total == 5006.0


def test_sizes_that_are_told_apart_are_bounded() -> None:
    figures = Figures()
    for rows in range(1, 3 * MOST_SIZES):
        figures.answered(record(rows=rows, size=rows))
    told = figures.read()
    assert len(told.sizes) == MOST_SIZES
    assert told.runs == 3 * MOST_SIZES - 1


def test_last_answer_is_told_by_the_wall_clock() -> None:
    figures = Figures()
    before = time.time()
    figures.answered(record(at=time.perf_counter()))
    figures.read()
    figures.answered(record(at=time.perf_counter() - 60))
    assert before - 0.1 <= figures.read().last <= time.time() + 0.1


def test_last_answer_is_told_alike_however_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = Figures()
    figures.answered(record(at=time.perf_counter()))
    told = figures.read().last
    monkeypatch.setattr(time, "time", lambda: 5e9)
    assert figures.read().last == told
    figures.answered(record(at=time.perf_counter() - 60))
    assert figures.read().last == told


def test_totals_add_up() -> None:
    one, other = Figures(), Figures()
    one.answered(record(0.0, 0.0, 0.5, 0.0, rows=2, size=2))
    one.in_flight.append(None)
    other.answered(record(0.0, 0.0, 0.25, 0.0, rows=3, size=3))
    other.failed(InvalidJson, 0.5)
    told = sum([one.read(), other.read()], Totals())
    assert [told.answered, told.rows, told.runs, told.in_flight] == [2, 5, 2, 1]
    assert told.seconds["infer"].total == 0.75
    assert told.failed == {InvalidJson: 1}
    assert sorted(told.sizes) == [2, 3]
    assert told.last == one.read().last
