"""CSV is read as the csv module writes it, by pieces, and outputs are written so that it reads them back."""

import csv
import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import BadRequest, InvalidInput, NotAcceptable
from daemon.release import Signature, TensorSpec
from daemon.web.invoking import csv_tables
from daemon.web.invoking.csv_tables import read_csv, write_csv

MAPS = "seq(map(string,tensor(float)))"


def outputs(*dtypes: str) -> Signature:
    return Signature((), tuple(TensorSpec(f"o{index}", dtype, None) for index, dtype in enumerate(dtypes)))


def written(rows: list[list[str]], **form: Any) -> bytes:
    lines = io.StringIO()
    csv.writer(lines, **form).writerows(rows)
    return lines.getvalue().encode()


def no_names(_: object) -> bool:
    return False


def names(_: object) -> bool:
    return True


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)),
    st.sampled_from(["\r\n", "\n"]),
    st.integers(1, 7),
    st.booleans(),
)
def test_cells_come_back_as_they_were_written(rows: list[list[str]], end: str, most: int, with_names: bool) -> None:
    body = written(rows, lineterminator=end, quoting=csv.QUOTE_ALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_tables, "PIECE_CELLS", most)
        pieces = list(read_csv(body, names if with_names else no_names))
    wanted = rows[1:] if with_names else rows
    left_out = with_names and len(rows[0]) > 1 and not rows[0][0].strip()
    found = [list(row) for piece in pieces for row in zip(*piece.columns, strict=True)]
    assert found == [row[1:] if left_out else row for row in wanted]
    assert [piece.begin for piece in pieces] == [sum(each.rows for each in pieces[:at]) for at in range(len(pieces))]
    if with_names:
        assert pieces[0].names == [name.strip() for name in rows[0]][1 if left_out else 0 :]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"1,2\n\n3,4\n\n", [["1", "3"], ["2", "4"]]),
        (b"1,2\r\n3,4", [["1", "3"], ["2", "4"]]),
        (b"\xef\xbb\xbf1,2\n", [["1"], ["2"]]),
        (b'"a ""b"", c","d\ne"\n', [['a "b", c'], ["d\ne"]]),
        (b"1,\n", [["1"], [""]]),
    ],
)
def test_forms_of_csv(body: bytes, wanted: list[list[str]]) -> None:
    (piece,) = read_csv(body, no_names)
    assert [list(column) for column in piece.columns] == wanted


def test_uneven_row_is_counted_over_all_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_tables, "PIECE_CELLS", 4)
    with pytest.raises(InvalidInput, match=r"^expected 2 cells in row 4, as in the first, found 3$"):
        list(read_csv(b"1,2\n" * 3 + b"1,2,3\n", no_names))
    with pytest.raises(InvalidInput, match=r"^expected 2 cells in row 3, as in the row of names, found 1$"):
        list(read_csv(b"1,2\n" * 3 + b"1\n", names))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'1,2\n"3,4\n', "the body is no CSV, at line 2"),
        (b'1,2\n"3"x,4\n', "the body is no CSV, at line 2"),
        (b"1,2\n3,\xff\n", "the body is not UTF-8: it has a byte 0xff"),
        ("1,2\n".encode("utf-16"), "the body is not UTF-8: it has a byte 0xff"),
        (b"1," + b"x" * 200_000, "the body is no CSV, at line 1: field larger than field limit"),
    ],
)
def test_what_is_no_csv_is_told_with_its_line(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        list(read_csv(body, no_names))
    assert str(caught.value).startswith(said)


# Written.


def test_outputs_are_columns_next_to_each_other_with_their_names() -> None:
    values: list[Any] = [
        np.array(["a,b", 'c"d'], object),
        np.array([[1], [2]]),
        np.array([[0.1, np.nan], [np.inf, -np.inf]], np.float32),
        [{"x": 0.10000000149011612, "y": 0.5}, {"x": 1.0, "y": 2.0}],
        np.array([True, False]),
    ]
    of = outputs("string", "int64", "float32", MAPS, "bool")
    assert write_csv(values, of, header=True).decode().splitlines() == [
        "o0,o1,o2_0,o2_1,o3_x,o3_y,o4",
        '"a,b",1,0.1,nan,0.1,0.5,true',
        '"c""d",2,inf,-inf,1.0,2.0,false',
    ]
    assert write_csv(values, of) == b"".join(write_csv(values, of, header=True).splitlines(keepends=True)[1:])


@given(
    st.integers(0, 4).flatmap(
        lambda width: st.lists(st.lists(st.floats(width=32), min_size=width, max_size=width), min_size=1)
    ),
    st.sampled_from(["float32", "float64", "float16"]),
)
def test_numbers_are_read_back_as_they_were(rows: list[list[float]], dtype: str) -> None:
    with np.errstate(over="ignore"):
        array = np.array(rows, dtype).reshape(len(rows), -1)
    lines = write_csv([array], outputs(dtype)).decode().splitlines()
    found = np.array([list(map(float, line.split(","))) if line else [] for line in lines], dtype)
    np.testing.assert_array_equal(found.reshape(array.shape), array)


@given(st.data())
def test_cells_of_several_outputs_are_those_that_each_has_alone(data: st.DataObject) -> None:
    rows, kinds = data.draw(st.integers(0, 4)), ["float32", "int64", "bool", "string"]
    numbers = st.one_of(st.floats(width=32), st.sampled_from([np.nan, np.inf, -np.inf]))
    elements: dict[str, st.SearchStrategy[Any]] = {"float32": numbers, "string": CELL}
    values = []
    dtypes = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    for dtype in dtypes:
        of = elements.get(dtype, st.integers(0, 1))
        cells = data.draw(st.lists(of, min_size=2 * rows, max_size=2 * rows))
        values.append(np.array(cells, object if dtype == "string" else dtype).reshape(rows, 2))
    found = list(csv.reader(io.StringIO(write_csv(values, outputs(*dtypes)).decode(), newline="")))
    alone = [
        list(csv.reader(io.StringIO(write_csv([value], outputs(dtype)).decode(), newline="")))
        for value, dtype in zip(values, dtypes, strict=True)
    ]
    assert found == [[cell for row in parts for cell in row] for parts in zip(*alone, strict=True)]
    assert [[str(cell) for cell in row] for row in values[0].tolist()] == alone[0] or dtypes[0] != "string"


@pytest.mark.parametrize("shape", [(1, 300_000), (300_000, 1)])
@pytest.mark.parametrize("number", [1.0, np.inf])
def test_wide_tables_cost_no_more_than_their_text(shape: tuple[int, int], number: float) -> None:
    array = np.full(shape, number, np.float32)
    tracemalloc.start()
    try:
        written = write_csv([array], outputs("float32"))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(written) == 1_200_000
    assert most < 16 << 20


def test_ends_of_lines_within_a_cell_are_quoted() -> None:
    assert write_csv([np.array(["a\r", "b\n"], object)], outputs("string")) == b'"a\r"\n"b\n"\n'


def test_inner_dimensions_are_columns_in_their_order() -> None:
    array = np.arange(12).reshape(2, 3, 2)
    lines = write_csv([array], outputs("int64"), header=True).decode().splitlines()
    assert lines == ["o0_0,o0_1,o0_2,o0_3,o0_4,o0_5", "0,1,2,3,4,5", "6,7,8,9,10,11"]


@pytest.mark.parametrize(
    ("value", "dtype", "wanted"),
    [
        (np.float32(2.5).reshape(()), "float32", b"o0\n2.5\n"),
        (np.empty((0, 2), np.float32), "float32", b"o0_0,o0_1\n"),
        (np.empty(0, object), "string", b"o0\n"),
        ([], MAPS, b"\n"),
    ],
)
def test_scalars_are_one_row_and_no_rows_none(value: Any, dtype: str, wanted: bytes) -> None:
    assert write_csv([value], outputs(dtype), header=True) == wanted


@pytest.mark.parametrize(
    ("values", "dtypes", "said"),
    [
        (
            [np.zeros(2), np.zeros(3)],
            ["float64"] * 2,
            "the outputs differ in their number of rows, 2 of 'o0', 3 of 'o1'",
        ),
        ([[np.zeros(2)]], ["seq(tensor(float))"], "output 'o0' is no table"),
        ([[{"a": 1.0}, {"b": 1.0}]], [MAPS], "output 'o0' is no table"),
        ([None], ["optional(tensor(float))"], "output 'o0' is no table"),
    ],
)
def test_what_makes_no_table_is_told(values: list[Any], dtypes: list[str], said: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        write_csv(values, outputs(*dtypes))
    assert str(caught.value) == f"{said}: ask for application/json"
