"""Tables become the inputs of a model, by name or all in one, whatever the pieces in which they come."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import InvalidInput
from daemon.release import Dim, Signature, TensorSpec
from daemon.runtime.columns import from_texts, from_values
from daemon.runtime.tables import Table, fitter_of, header_test_of, is_tabular


def spec(
    name: str, dtype: str = "float32", shape: tuple[Dim, ...] | None = ("n", 1), *, optional: bool = False
) -> TensorSpec:
    return TensorSpec(name, dtype, shape, optional)


def signature(*inputs: TensorSpec) -> Signature:
    return Signature(inputs, ())


MIXED = signature(spec("a"), spec("b", "int64"), spec("c", "string"))


def table(
    names: Sequence[str] | None, rows: Sequence[Sequence[object]], read: Any = from_values, begin: int = 0
) -> Table:
    width = len(names) if names is not None else len(rows[0])
    columns: list[Any] = [[row[index] for row in rows] for index in range(width)]
    return Table(names=names, columns=columns, rows=len(rows), read=read, begin=begin)


def refused(of: Signature, *pieces: Table) -> str:
    with pytest.raises(InvalidInput) as caught:
        fitter_of(of)(pieces)
    return str(caught.value)


ROWS = st.lists(
    st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-9, 9), st.text(max_size=3))
)


@given(ROWS, st.permutations([0, 1, 2]), st.integers(1, 4))
def test_columns_go_by_name_in_any_order_and_in_any_pieces(rows: list[Any], order: list[int], most: int) -> None:
    names = ["abc"[index] for index in order]
    turned = [[row[index] for index in order] for row in rows]
    pieces = [table(names, turned[at : at + most], begin=at) for at in range(0, len(rows), most)] or [table(names, [])]
    found = fitter_of(MIXED)(pieces)
    assert found.keys() == {"a", "b", "c"}
    for index, (name, dtype) in enumerate((("a", np.float32), ("b", np.int64), ("c", object))):
        assert (found[name].dtype, found[name].shape) == (np.dtype(dtype), (len(rows), 1))
        assert found[name][:, 0].tolist() == [row[index] for row in rows]


@given(st.integers(0, 7), st.integers(1, 5), st.integers(1, 3))
def test_one_input_takes_all_columns_row_by_row(rows: int, columns: int, most: int) -> None:
    values = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    texts = [[str(cell) for cell in row] for row in values.tolist()]
    names = [f"x{index}" for index in range(columns)]
    for read, cells in ((from_values, values.tolist()), (from_texts, texts)):
        pieces = [table(names, cells[at : at + most], read, at) for at in range(0, rows, most)] or [
            table(names, [], read)
        ]
        for shape in (("n", columns), ("n", "c"), None):
            (found,) = fitter_of(signature(spec("x", shape=shape)))(pieces).values()
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        (("n",), (2,)),
        (("n", 1), (2, 1)),
        (("n", "m"), (2, 1)),
        (("n", 1, 1), (2, 1, 1)),
        ((2, 1), (2, 1)),
        (None, (2, 1)),
    ],
)
def test_column_has_the_rank_of_its_input(shape: tuple[Dim, ...] | None, wanted: tuple[int, ...]) -> None:
    found = fitter_of(signature(spec("a", shape=shape), spec("b")))([table(["a", "b"], [[1, 2], [3, 4]])])
    assert found["a"].shape == wanted


@pytest.mark.parametrize(
    ("shape", "columns", "wanted"),
    [
        (("n", 2, 3), 6, (2, 2, 3)),
        (("n", "c", 3), 6, (2, 2, 3)),
        (("n",), 1, (2,)),
        ((2, 6), 6, (2, 6)),
    ],
)
def test_rows_of_one_input_have_its_dimensions(shape: tuple[Dim, ...], columns: int, wanted: tuple[int, ...]) -> None:
    rows = [[float(at) for at in range(columns)], [float(at + 100) for at in range(columns)]]
    (found,) = fitter_of(signature(spec("x", shape=shape)))([table(None, rows)]).values()
    assert found.shape == wanted
    np.testing.assert_array_equal(found.reshape(2, -1), rows)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (("n", 4), "input 'x' takes float32 [n, 4]: expected 4 columns, found 3"),
        (("n", 2, "c"), "input 'x' takes float32 [n, 2, c]: expected 2 columns, found 3"),
        (("n", "b", "c"), "input 'x' takes float32 [n, b, c], which is no table"),
        (("n", 0), "input 'x' takes float32 [n, 0]: expected 0 columns, found 3"),
        ((5, 3), "input 'x': expected float32 [5, 3], got shape [1, 3]"),
        (("n",), "input 'x' takes float32 [n]: expected 1 columns, found 3"),
    ],
)
def test_columns_that_make_no_row_are_counted(shape: tuple[Dim, ...], said: str) -> None:
    assert refused(signature(spec("x", shape=shape)), table(None, [[1, 2, 3]])) == said


def test_cell_is_named_by_its_row_in_the_whole_table() -> None:
    pieces = [table(["a", "b", "c"], [[1, 2, "x"]] * 3), table(["a", "b", "c"], [[1, 2, "x"], [1, None, "x"]], begin=3)]
    assert refused(MIXED, *pieces) == "row 5, column 'b': expected a whole number, found no value"
    wide = signature(spec("x", shape=("n", 2)))
    pieces = [table(None, [[1, 2]] * 3), table(None, [[1, 2], [1, "x"]], begin=3)]
    assert refused(wide, *pieces) == "row 5, column 2: expected a number, found 'x'"


def test_columns_without_names_are_in_the_order_of_the_inputs() -> None:
    some = signature(spec("a"), spec("b"), spec("z", optional=True))
    assert fitter_of(some)([table(None, [[1, 2]])]).keys() == {"a", "b"}
    assert fitter_of(some)([table(None, [[1, 2, 3]])]).keys() == {"a", "b", "z"}
    assert refused(some, table(None, [[1]])) == (
        "expected 2 columns in the order of the model's inputs, 'a', 'b', 'z' (optional); found 1 without names"
    )
    assert refused(some, table(None, [[1, "x"]])) == "row 1, column 'b': expected a number, found 'x'"


def test_name_that_is_there_twice_is_found_among_many_in_no_time() -> None:
    names = [f"c{index}" for index in range(300_000)]
    assert refused(MIXED, table([*names, "c7"], [])) == "column 'c7' is there twice"


def test_names_of_many_inputs_are_not_all_told() -> None:
    many = signature(*(spec(f"c{index}") for index in range(300)))
    said = refused(many, table(["c0"], [[1]]))
    assert said.startswith("column 'c1' is missing: expected 'c0', 'c1'")
    assert said.endswith("'c19' and 280 more")


def test_optional_input_beside_one_that_is_required_is_a_column_of_its_name() -> None:
    some = signature(spec("x", shape=("n", 2)), spec("scale", shape=("n",), optional=True))
    assert fitter_of(some)([table(["p", "q"], [[1, 2]])])["x"].tolist() == [[1, 2]]
    both = fitter_of(some)([table(["x", "scale"], [[[1, 2], 3]])])
    assert (both["x"].tolist(), both["scale"].tolist()) == ([[1, 2]], [3])


def test_cells_may_be_lists_where_a_row_has_more_but_not_in_text() -> None:
    some = signature(spec("x", shape=("n", 3)), spec("b"))
    found = fitter_of(some)([table(["x", "b"], [[[1, 2, 3], 1], [[4, 5, 6], 2]])])
    assert found["x"].tolist() == [[1, 2, 3], [4, 5, 6]]
    said = refused(some, table(["x", "b"], [["1", "2"]], from_texts))
    assert said == "input 'x' takes float32 [n, 3], which is no column: send it as JSON"


@pytest.mark.parametrize(
    ("inputs", "cells", "wanted"),
    [
        ((spec("a"), spec("b")), ["a", "b"], True),
        ((spec("a"), spec("b")), ["1", " b "], True),
        ((spec("a"), spec("b")), ["A", "B"], False),
        ((spec("a"), spec("c", "string")), ["1", "Bern"], False),
        ((spec("x", shape=("n", 2)),), ["1", "2"], False),
        ((spec("x", shape=("n", 2)),), ["1", "nan"], False),
        ((spec("x", shape=("n", 2)),), ["1", "wide"], True),
        ((spec("x", "int64", ("n", 2)),), ["1.0", ""], False),
        ((spec("x", "bool", ("n", 2)),), ["true", "0"], False),
        ((spec("x", "bool", ("n", 2)),), ["true", "is_new"], True),
        ((spec("x", "string", ("n", 2)),), ["city", "street"], False),
        ((spec("x", "string", ("n", 1)),), ["x"], True),
    ],
)
def test_first_row_is_told_from_values(inputs: tuple[TensorSpec, ...], cells: list[str], wanted: bool) -> None:
    assert header_test_of(signature(*inputs))(cells) is wanted


def test_model_is_tabular_where_each_of_several_inputs_is_a_column() -> None:
    assert is_tabular(MIXED)
    assert not is_tabular(signature(spec("a")))
    assert not is_tabular(signature(spec("a"), spec("b", shape=("n", 2))))
