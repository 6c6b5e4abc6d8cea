"""The figures of a replay, each worked out by hand, and what is not a finite number."""

import math
from dataclasses import replace

import numpy as np
import pytest

from daemon.gate.drift import Drift, Pair, drift, has_non_finite
from daemon.runtime import Array, Output

NAN, INF = math.nan, math.inf
NOTHING = Drift(
    requests=1,
    errors=0.0,
    non_finite=0.0,
    max_abs=None,
    mean_abs=None,
    changed_argmax=None,
    changed_labels=None,
    incomparable=0,
)


def floats(*values: object) -> Array:
    return np.array(values, np.float32)


def pair(before: Output, now: Output) -> Pair:
    """One output, ``y``, of both."""
    return Pair({"y": before}, {"y": now})


def failed(before: Output = None) -> Pair:
    return Pair({"y": before}, None)


def test_same_answers_drift_by_nothing() -> None:
    assert drift([pair(floats([1, 2]), floats([1, 2]))]) == replace(NOTHING, max_abs=0, mean_abs=0, changed_argmax=0)


def test_differences_are_over_every_number_of_every_request() -> None:
    # |1-1|, |2-4|, |3-2.5|, and in the second request |8-8.5|, |0-0|: largest 2, sum 3 over 5 numbers
    figures = drift([pair(floats(1, 2, 3), floats(1, 4, 2.5)), pair(floats(8, 0), floats(8.5, 0))])
    assert (figures.max_abs, figures.mean_abs) == (2, 0.6)


def test_differences_are_over_every_output() -> None:
    live: dict[str, Output] = {"a": floats(1), "b": floats(1, 1, 1)}
    candidate: dict[str, Output] = {"a": floats(3), "b": floats(1, 1, 1.5)}
    figures = drift([Pair(live, candidate)])
    assert (figures.max_abs, figures.mean_abs) == (2, 0.625)  # 2 and 0.5 over 4 numbers


def test_output_that_only_one_of_them_has_does_not_count() -> None:
    figures = drift([Pair({"a": floats(1), "b": floats(9)}, {"a": floats(2), "c": floats(7)})])
    assert (figures.max_abs, figures.mean_abs, figures.incomparable) == (1, 1, 0)


def test_outputs_of_two_precisions_are_compared() -> None:
    assert drift([pair(np.array([1.5], np.float64), np.array([1.0], np.float16))]).max_abs == 0.5


def test_whole_numbers_are_no_differences() -> None:
    assert drift([pair(np.array([1, 9]), np.array([1, 2]))]).max_abs is None


def test_argmax_is_counted_by_rows_of_the_last_axis() -> None:
    before = floats([[0, 1], [3, 2]], [[5, 4], [6, 7]])
    now = floats([[0, 1], [2, 3]], [[5, 4], [9, 8]])  # the second row and the fourth have another first
    assert drift([pair(before, now)]).changed_argmax == 0.5


def test_argmax_is_counted_over_all_requests() -> None:
    pairs = [pair(floats([0, 1]), floats([0, 1]))] * 3 + [pair(floats([0, 1]), floats([1, 0]))]
    assert drift(pairs).changed_argmax == 0.25


@pytest.mark.parametrize(
    ("before", "now"),
    [(floats([1], [2]), floats([3], [4])), (np.float32(1), np.float32(2)), (floats(), floats())],
)
def test_argmax_needs_two_columns(before: Array, now: Array) -> None:
    assert drift([pair(np.asarray(before), np.asarray(now))]).changed_argmax is None


def test_argmax_of_one_vector_is_one_row() -> None:
    assert drift([pair(floats(1, 2, 3), floats(3, 2, 1))]).changed_argmax == 1


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        (np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4]), 0.25),
        (np.array([True, False]), np.array([True, True]), 0.5),
        (np.array(["a", "b", "c"], object), np.array(["a", "b", "c"], object), 0),
        (np.array(["a", "b"], object), np.array(["b", "a"], object), 1),
        (np.array([1, 2]), np.array(["1", "2"], object), 1),
    ],
)
def test_labels_are_counted_where_they_are_others(before: Array, now: Array, share: float) -> None:
    figures = drift([pair(before, now)])
    assert (figures.changed_labels, figures.incomparable) == (share, 0)


def test_labels_are_counted_over_all_requests() -> None:
    pairs = [pair(np.array([1, 2, 3]), np.array([1, 2, 3])), pair(np.array([1]), np.array([2]))]
    assert drift(pairs).changed_labels == 0.25


def test_failed_runs_are_a_share_of_the_requests_and_count_for_nothing_else() -> None:
    pairs = [pair(floats(1), floats(2)), failed(floats(NAN)), failed(floats(9)), pair(floats(1), floats(2))]
    figures = drift(pairs)
    assert (figures.requests, figures.errors, figures.non_finite, figures.mean_abs) == (4, 0.5, 0, 1)


def test_nothing_but_failed_runs_leaves_nothing_to_compare() -> None:
    assert drift([failed(floats(1)), failed(floats(2))]) == replace(NOTHING, requests=2, errors=1.0)


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        (floats(1), floats(NAN), 0.5),
        (floats(1), floats(INF), 0.5),
        (floats(1), floats(-INF), 0.5),
        (floats(NAN), floats(NAN), 0),
        (floats(NAN), floats(INF), 0),
        (floats(NAN), floats(1), 0),
        (floats(1), floats(2), 0),
    ],
)
def test_non_finite_answers_count_where_the_live_release_gave_none(before: Array, now: Array, share: float) -> None:
    assert drift([pair(before, now), pair(floats(1), floats(1))]).non_finite == share


def test_numbers_that_are_not_finite_are_left_out_of_the_differences() -> None:
    figures = drift([pair(floats(1, NAN, 2, 3), floats(INF, 4, 2.5, 3))])
    assert (figures.max_abs, figures.mean_abs) == (0.5, 0.25)


def test_difference_that_no_number_holds_is_infinite() -> None:
    assert drift([pair(np.array([-1.5e308]), np.array([1.5e308]))]).max_abs == INF


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (floats(1, 2), floats(1, 2, 3)),
        (floats([1, 2]), floats(1, 2)),
        (floats(1), np.array([1])),
        (np.array([1]), floats(1)),
        (np.array(["1"], object), floats(1)),
        ([floats(1), floats(2)], [floats(1)]),
        ([floats(1)], [floats(1), floats(2)]),
        ([{3: 0.5, 7: 0.5}], [{3: 0.5, 5: 0.25, 7: 0.25}]),
        ([{3: 0.5, 7: 0.5}], [{3: 0.5, 9: 0.5}]),
        ({3: 0.5}, {4: 0.5}),
        (None, floats(1)),
        (floats(1), None),
    ],
)
def test_outputs_of_another_type_or_shape_are_counted_and_not_compared(before: Output, now: Output) -> None:
    assert drift([pair(before, now), pair(floats(1, 2), floats(1, 3))]) == replace(
        NOTHING, requests=2, max_abs=1, mean_abs=0.5, changed_argmax=0, incomparable=1
    )


def test_sequence_is_compared_member_by_member() -> None:
    figures = drift([pair([floats(1), floats(2, 3)], [floats(1), floats(2, 6)])])
    assert (figures.max_abs, figures.mean_abs, figures.incomparable) == (3, 1, 0)


def test_sequence_of_maps_is_a_table_of_its_keys() -> None:
    before: Output = [{3: 0.75, 7: 0.25}, {3: 0.5, 7: 0.25}]
    now: Output = [{3: 0.25, 7: 0.75}, {3: 0.5, 7: 0.25}]  # |0.5| twice over 4 numbers, and one of two rows turned
    figures = drift([pair(before, now)])
    assert (figures.max_abs, figures.mean_abs, figures.changed_argmax) == (0.5, 0.25, 0.5)


def test_map_is_compared_by_its_values() -> None:
    figures = drift([pair({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 4.0})])
    assert (figures.max_abs, figures.mean_abs, figures.changed_argmax) == (2, 1, 0)


def test_empty_outputs_have_nothing_to_compare() -> None:
    assert drift([pair([], [])]) == NOTHING
    assert drift([pair(None, None)]) == NOTHING
    assert drift([pair(floats(), floats())]) == NOTHING


@pytest.mark.parametrize(
    ("outputs", "strange"),
    [
        ([], False),
        ([floats(1, 2)], False),
        ([floats(1, 2), floats([1, NAN])], True),
        ([floats(-INF)], True),
        ([np.array([1]), np.array(["nan"], object), None], False),
        ([[{3: 0.5}, {3: NAN}]], True),
        ([{3: INF}], True),
        ([[floats(1), floats(NAN)]], True),
        ([[{3: 0.5}, {4: 0.5}]], False),
        ([np.array(NAN, np.float16)], True),
    ],
)
def test_non_finite_numbers_are_found_wherever_they_are(outputs: list[Output], strange: bool) -> None:
    assert has_non_finite(outputs) is strange


def test_figures_are_plain_to_six_digits() -> None:
    third = replace(NOTHING, errors=1 / 3, max_abs=123456.789, changed_argmax=2e-9 / 3, speed_ratio=None)
    assert third.plain() == {
        "requests": 1,
        "errors": 0.333333,
        "non_finite": 0.0,
        "max_abs": 123457.0,
        "mean_abs": None,
        "changed_argmax": 6.66667e-10,
        "changed_labels": None,
        "incomparable": 0,
        "speed_ratio": None,
    }
