"""How far an output is from what was expected: by hand, and held beside numpy's own ``allclose``."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from daemon.gate import Tolerance
from daemon.gate.comparing import Miss, miss_of
from daemon.runtime import Array

EXACT = Tolerance(0.0, 0.0)
NAN, INF = math.nan, math.inf


def floats(*values: Any) -> Array:
    return np.array(values, np.float32)


def missed(expected: object, found: object, tolerance: Tolerance = EXACT) -> Miss:
    miss = miss_of(expected, found, tolerance)
    assert miss is not None
    return miss


# Numbers in these tables are sums of powers of two, so that every difference is exact.


@pytest.mark.parametrize(
    ("expected", "found", "tolerance"),
    [
        ([1.0, 2.0], floats(1, 2), EXACT),
        ([1, 2], floats(1, 2), EXACT),
        ([1.0], floats(1.25), Tolerance(0.25, 0)),
        ([1.0], floats(0.75), Tolerance(0.25, 0)),
        ([8.0], floats(9), Tolerance(0, 0.125)),
        ([-8.0], floats(-9), Tolerance(0, 0.125)),
        ([8.0], floats(9.5), Tolerance(0.5, 0.125)),
        ([0.0], floats(-0.0), EXACT),
        ([[1.0], [2.0]], floats([1], [2]), EXACT),
        (3.0, np.array(3.0, np.float32), EXACT),
        (3, np.array(3.0, np.float64), EXACT),
        ([1.5], np.array([1.5], np.float16), EXACT),
        (floats(1, 2), floats(1, 2), EXACT),
        (np.array([1, 2], np.float64), floats(1, 2), EXACT),
    ],
)
def test_number_within_its_tolerance_is_no_miss(expected: object, found: Array, tolerance: Tolerance) -> None:
    assert miss_of(expected, found, tolerance) is None


@pytest.mark.parametrize(
    ("expected", "found", "tolerance", "size"),
    [
        ([1.0], floats(1.25), EXACT, 0.25),
        ([1.0], floats(1.25), Tolerance(0.125, 0), 0.25),
        ([1.0], floats(0.5), Tolerance(0.25, 0), 0.5),
        ([8.0], floats(9.5), Tolerance(0, 0.125), 1.5),
        ([8.0], floats(10.0), Tolerance(0.5, 0.125), 2.0),
        ([1.0], floats(2.0), Tolerance(0, 0.5), 1.0),
        (1.0, np.array(2.0, np.float32), EXACT, 1.0),
        (floats(1, 2), floats(1, 4), EXACT, 2.0),
    ],
)
def test_number_beyond_its_tolerance_is_missed_by_the_difference(
    expected: object, found: Array, tolerance: Tolerance, size: float
) -> None:
    assert missed(expected, found, tolerance).size == size


def test_tolerance_is_relative_to_what_is_expected() -> None:
    half = Tolerance(0, 0.5)
    assert miss_of([2.0], floats(1), half) is None
    assert missed([1.0], floats(2), half).size == 1


def test_largest_difference_is_told_with_its_place_both_numbers_and_the_tolerance() -> None:
    miss = missed([[1, 2], [3, 4]], floats([1, 2.5], [3, 6]), Tolerance(0.25, 0.125))
    assert miss.size == 2
    assert miss.clause == "differs by 2 at [1][1]: expected 4, found 6 (atol 0.25, rtol 0.125)"


def test_difference_that_is_allowed_is_not_told_though_it_is_larger() -> None:
    miss = missed([1, 1024], floats(2, 1124), Tolerance(0, 0.125))
    assert (miss.size, "at [0]" in miss.clause) == (1, True)


def test_scalar_has_no_place() -> None:
    assert missed(1.0, np.array(2.0, np.float32)).clause == "differs by 1: expected 1, found 2 (atol 0, rtol 0)"


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ([None], floats(NAN)),
        ([None], floats(INF)),
        ([None], floats(-INF)),
        ([None, 1.0], floats(INF, 1)),
        (None, np.array(NAN, np.float32)),
        (floats(NAN), floats(NAN)),
        (floats(INF), floats(INF)),
        (floats(-INF), floats(-INF)),
    ],
)
def test_what_is_not_finite_and_was_expected_so_is_no_miss(expected: object, found: Array) -> None:
    assert miss_of(expected, found, EXACT) is None


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ([1.0], floats(NAN)),
        ([1.0], floats(INF)),
        ([None], floats(1)),
        (floats(INF), floats(-INF)),
        (floats(INF), floats(NAN)),
        (floats(INF), floats(1)),
        (floats(NAN), floats(1)),
        (floats(NAN), floats(INF)),
        (floats(1), floats(-INF)),
    ],
)
def test_what_is_not_finite_and_was_expected_otherwise_is_infinitely_far(expected: object, found: Array) -> None:
    assert missed(expected, found, Tolerance(1e9, 1e9)).size == INF


def test_infinite_difference_is_the_largest() -> None:
    miss = missed([1, 1, 1], floats(1e6, NAN, 2))
    assert (miss.size, "at [1]: expected 1, found nan" in miss.clause) == (INF, True)


def test_numbers_so_far_apart_that_nothing_holds_their_difference_are_infinitely_far() -> None:
    assert missed([-1.5e308], np.array([1.5e308])).size == INF


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ([1, 2], np.array([1, 2], np.int64)),
        ([1.0], np.array([1], np.int32)),
        ([2**63 - 1], np.array([2**63 - 1], np.int64)),
        ([2**64 - 1], np.array([2**64 - 1], np.uint64)),
        ([True, False], np.array([True, False])),
        ([1, 0], np.array([True, False])),
        (["a", "é"], np.array(["a", "é"], object)),
        (np.array(["a"], object), np.array(["a"], object)),
        (np.array(["a"]), np.array(["a"], object)),
        ("a", np.array("a", object)),
    ],
)
def test_whole_numbers_booleans_and_strings_that_are_equal_are_no_miss(expected: object, found: Array) -> None:
    assert miss_of(expected, found, EXACT) is None


@pytest.mark.parametrize(
    ("expected", "found", "size", "clause"),
    [
        ([1, 2, 3], np.array([1, 4, 8]), 5, "expected 2, found 4 at [1], and 2 of 3 differ"),
        ([1.5], np.array([1]), 0.5, "expected 1.5, found 1 at [0], and 1 of 1 differ"),
        ([2**53], np.array([2**53 + 1]), 0, f"expected {2**53}, found {2**53 + 1} at [0], and 1 of 1 differ"),
        ([True], np.array([False]), 1, "expected True, found False at [0], and 1 of 1 differ"),
        ([["a", "b"]], np.array([["a", "c"]], object), INF, "expected b, found c at [0][1], and 1 of 2 differ"),
        ([1.0], np.array(["1.0"], object), INF, "expected 1.0, found 1.0 at [0], and 1 of 1 differ"),
        (["1"], np.array([1]), INF, "expected 1, found 1 at [0], and 1 of 1 differ"),
        (["a", None], np.array(["a", "b"], object), INF, "expected None, found b at [1], and 1 of 2 differ"),
        ([None], np.array([1]), 0, "expected nan, found 1 at [0], and 1 of 1 differ"),
    ],
)
def test_whole_numbers_booleans_and_strings_must_be_equal_whatever_the_default_tolerance(
    expected: object, found: Array, size: float, clause: str
) -> None:
    miss = missed(expected, found, Tolerance(1e9, 1e9))
    assert (miss.size, miss.clause) == (size, clause)


def test_whole_numbers_may_differ_where_the_tolerance_was_given_for_them() -> None:
    assert miss_of([10], np.array([12]), Tolerance(2, 0, is_given=True)) is None
    assert missed([10], np.array([13]), Tolerance(2, 0, is_given=True)).size == 3


def test_strings_must_be_equal_though_a_tolerance_was_given() -> None:
    assert missed(["a"], np.array(["b"], object), Tolerance(1e9, 0, is_given=True)).size == INF


@pytest.mark.parametrize(
    ("expected", "found", "clause"),
    [
        ([1.0, 2.0], floats(1), "expected the shape [2], found [1]"),
        ([[1.0, 2.0]], floats(1, 2), "expected the shape [1, 2], found [2]"),
        (1.0, floats(1), "expected the shape [], found [1]"),
        ([1.0], np.array(1.0, np.float32), "expected the shape [1], found []"),
        ([], floats(1), "expected the shape [0], found [1]"),
        (floats(1, 2), floats([1, 2]), "expected the shape [2], found [1, 2]"),
        ([[1.0], [2.0, 3.0]], floats(1), "what is expected is no tensor: "),
        ({"a": 1.0}, floats(1), "expected the shape [], found [1]"),
    ],
)
def test_another_shape_is_no_matter_of_degree(expected: object, found: Array, clause: str) -> None:
    miss = missed(expected, found, Tolerance(1e9, 1e9))
    assert miss.size == INF
    assert miss.clause.startswith(clause)


@pytest.mark.parametrize(
    ("expected", "shape"),
    [([], (0,)), ([], (0, 5)), ([[], []], (2, 0)), ([[], []], (2, 0, 3)), (np.empty((0, 5)), (0, 5))],
)
def test_empty_tensor_is_written_as_far_as_lists_can_tell(expected: object, shape: tuple[int, ...]) -> None:
    assert miss_of(expected, np.empty(shape, np.float32), EXACT) is None


@pytest.mark.parametrize(
    ("expected", "shape"), [([[], []], (3, 0)), ([], (2, 0)), ([[]], (0,)), (np.empty((0, 5)), (0, 4)), ([1.0], (0,))]
)
def test_empty_tensor_of_another_shape_is_missed(expected: object, shape: tuple[int, ...]) -> None:
    assert missed(expected, np.empty(shape, np.float32)).size == INF


def test_map_is_compared_by_its_keys_as_text() -> None:
    assert miss_of({"3": 0.5, "7": 0.25}, {3: 0.5, 7: 0.25}, EXACT) is None
    assert miss_of({"nein": 0.5}, {"nein": 0.5}, EXACT) is None


def test_map_is_missed_at_its_worst_key() -> None:
    miss = missed({"3": 0.5, "7": 0.25}, {3: 0.75, 7: 1.25})
    assert miss.size == 1
    assert miss.clause == "at ['7']: differs by 1: expected 0.25, found 1.25 (atol 0, rtol 0)"


def test_value_of_a_map_may_differ_by_its_tolerance_or_be_null() -> None:
    assert miss_of({"3": 0.5}, {3: 0.75}, Tolerance(0.25, 0)) is None
    assert miss_of({"3": None}, {3: NAN}, EXACT) is None


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        ({"a": 1.0}, {"b": 1.0}, "expected the keys ['a'], found ['b']"),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0}, "expected the keys ['a', 'b'], found ['a']"),
        ([1.0], {"a": 1.0}, "expected the keys [], found ['a']"),
        ({"a": "x"}, {"a": "y"}, "at ['a']: expected 'x', found 'y'"),
        ({"a": [1.0]}, {"a": 1.0}, "at ['a']: expected [1.0], found 1.0"),
        ({"a": 1}, {"a": 2}, "at ['a']: expected 1, found 2"),
    ],
)
def test_map_of_other_keys_or_kinds_is_no_matter_of_degree(expected: object, found: object, said: str) -> None:
    miss = missed(expected, found, Tolerance(1e9, 1e9))
    assert (miss.size, miss.clause) == (INF, said)


def test_sequence_is_compared_member_by_member() -> None:
    assert miss_of([[1.0], [2.0, 3.0]], [floats(1), floats(2, 3)], EXACT) is None
    assert miss_of([{"3": 0.5}, {"3": 0.25}], [{3: 0.5}, {3: 0.25}], EXACT) is None
    assert miss_of([floats(1), floats(2, 3)], [floats(1), floats(2, 3)], EXACT) is None
    assert miss_of([], [], EXACT) is None


def test_sequence_is_missed_at_its_worst_member() -> None:
    miss = missed([[1.0], [2.0, 3.0]], [floats(1.5), floats(2, 5)])
    assert miss.size == 2
    assert miss.clause == "at [1]: differs by 2 at [1]: expected 3, found 5 (atol 0, rtol 0)"


@pytest.mark.parametrize(
    ("expected", "clause"),
    [([[1.0]], "expected a list of 1, found a list of 2"), ({"a": 1}, "expected dict, found a list of 2")],
)
def test_sequence_of_another_length_or_kind_is_no_matter_of_degree(expected: object, clause: str) -> None:
    miss = missed(expected, [floats(1), floats(2)])
    assert (miss.size, miss.clause) == (INF, clause)


def test_empty_optional_is_null() -> None:
    assert miss_of(None, None, EXACT) is None
    assert missed([1.0], None).clause == "expected [1.0], found None"


def test_long_value_is_cut_in_the_clause() -> None:
    assert len(missed(["x" * 1000], np.array(["y" * 1000], object)).clause) < 250


numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)
near = st.sampled_from([0.0, 1.0, 1.25, -1.0, 8.0, 9.0, NAN, INF, -INF, 1e300, -1e308])
tolerances = st.builds(Tolerance, st.floats(0, 16), st.floats(0, 16))
pairs = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3).flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.float64, shape, elements=numbers | near),
        arrays.arrays(np.float64, shape, elements=numbers | near),
    )
)


@given(pairs, tolerances)
def test_arrays_are_missed_just_where_numpy_would_not_call_them_close(
    pair: tuple[Array, Array], tolerance: Tolerance
) -> None:
    expected, found = pair
    with np.errstate(all="ignore"):
        close = np.allclose(found, expected, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True)
    assert (miss_of(expected, found, tolerance) is None) == close


def test_nan_is_missed_even_where_the_tolerance_overflows() -> None:
    miss = miss_of(np.array(8.98846567e307), np.array(math.nan), Tolerance(0.0, 2.0))
    assert miss is not None
    assert miss.size == INF


@given(pairs, tolerances)
def test_size_of_a_miss_is_the_largest_difference_of_those_beyond_the_tolerance(
    pair: tuple[Array, Array], tolerance: Tolerance
) -> None:
    expected, found = pair
    miss = miss_of(expected, found, tolerance)
    sizes = [
        abs(ours - theirs) if math.isfinite(ours) and math.isfinite(theirs) else INF
        for theirs, ours in zip(expected.ravel().tolist(), found.ravel().tolist(), strict=True)
        if not np.allclose(ours, theirs, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True)
    ]
    assert (miss.size if miss else None) == max(sizes, default=None)


@given(
    arrays.arrays(np.float64, arrays.array_shapes(min_dims=0, max_dims=3), elements=st.floats(-100, 100)),
    st.integers(0, 2**32),
    tolerances,
)
def test_nested_lists_are_missed_just_as_the_array_that_they_make(
    expected: Array, seed: int, tolerance: Tolerance
) -> None:
    found = np.asarray(expected + np.random.default_rng(seed).normal(size=expected.shape))
    assert miss_of(expected.tolist(), found, tolerance) == miss_of(expected, found, tolerance)
