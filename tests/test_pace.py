"""What runs take while a release serves decides how much goes into one."""

import numpy as np
import pytest

from daemon.runtime import Pace, elements_of
from daemon.runtime.pace import DOUBLED_SECONDS
from daemon.runtime.plans import LONGEST_SECONDS

LIMIT_SECONDS = 0.25


def pace(*ran: tuple[int, float]) -> Pace:
    """One that was told of runs: elements and seconds."""
    told = Pace(LIMIT_SECONDS)
    for run in ran:
        told.ran(*run)
    return told


def test_everything_fits_while_nothing_is_known() -> None:
    assert pace().fits(1 << 40)
    assert pace().limit_seconds(1 << 40) == LIMIT_SECONDS


def test_what_fits_is_over_as_soon_as_a_batch_may_last() -> None:
    told = pace((100, LONGEST_SECONDS / 10))
    assert told.fits(1000)
    assert not told.fits(1001)


def test_inputs_without_elements_tell_nothing() -> None:
    told = pace((0, 5.0))
    told.overran(0, 5.0)
    assert told.fits(1 << 40)


def test_one_slow_run_among_many_is_soon_forgotten() -> None:
    told = pace(*[(100, 0.005)] * 20, (100, 0.5))
    assert not told.fits(1000)
    for _ in range(10):
        told.ran(100, 0.005)
    assert told.fits(1000)


def test_run_that_is_given_up_halves_the_next_one() -> None:
    told = pace()
    told.overran(1000, LONGEST_SECONDS)
    assert told.fits(500)
    assert not told.fits(501)


def test_run_that_is_given_up_never_makes_larger_ones() -> None:
    told = pace((100, LONGEST_SECONDS))
    told.overran(1000, LONGEST_SECONDS)
    assert not told.fits(101)


@pytest.mark.parametrize(("size", "seconds"), [(10, LIMIT_SECONDS), (100, 0.4), (200, 0.8), (10_000, 2.0)])
def test_run_is_given_up_far_beyond_what_was_to_be_expected(size: int, seconds: float) -> None:
    assert pace((100, 0.1)).limit_seconds(size) == pytest.approx(seconds)


def test_larger_runs_are_found_to_fit_where_a_run_costs_the_same_whatever_goes_in() -> None:
    told, size = pace((1, 0.06)), 1
    for _ in range(40):
        while told.fits(size + 1) and size < 32:
            size += 1
        told.ran(size, 0.06)
    assert size == 32


def test_elements_are_those_of_all_inputs() -> None:
    assert elements_of({"x": np.zeros((3, 4)), "k": np.zeros(3), "none": np.zeros((5, 0))}) == 15


def test_runs_of_a_model_that_mostly_costs_the_same_grow_to_what_fits() -> None:
    told, rows = Pace(LIMIT_SECONDS), 1
    for _ in range(200):
        told.ran(rows, 0.110 + 0.005 * (rows - 1))
        rows = max((more for more in range(1, 9) if told.fits(more)), default=1)
    assert rows == 8


def test_what_is_far_from_long_may_be_doubled_and_what_is_near_may_not() -> None:
    assert pace((10, DOUBLED_SECONDS)).fits(20)
    assert not pace((10, DOUBLED_SECONDS)).fits(21)
    assert not pace((10, DOUBLED_SECONDS * 1.01)).fits(20)


@pytest.mark.parametrize(("alone", "most_runs"), [(0, 1), (1, 2), (3, 2)])
def test_small_runs_in_between_do_not_make_the_large_ones_much_smaller(alone: int, most_runs: int) -> None:
    told, runs = Pace(LIMIT_SECONDS), list[int]()
    for _ in range(100):
        for _ in range(alone):
            told.ran(1, 0.064)
        left, made = 16, 0
        while left:  # a group, in runs as large as they may be
            rows = max((more for more in range(1, left + 1) if told.fits(more)), default=1)
            told.ran(rows, 0.060 + 0.004 * rows)
            left, made = left - rows, made + 1
        runs.append(made)
    assert max(runs[-20:]) <= most_runs
