"""``/invocations`` answers MLflow's and SageMaker's clients as their own servers do, and as scikit-learn itself."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from werkzeug.test import Client, TestResponse

from daemon.web.door import PredictDoor
from daemon.web.routes import RouteClass, class_of
from tests import onnx_models
from tests.sklearn_models import COLUMNS, churn, houses, people
from tests.web_rig import LIMIT_BYTES, WebRig

CHURN = "/models/churn/invocations"
HOUSES = "/models/houses/invocations"
MODELS = ["default", "churn", "houses", "pair", "optional", "zip", "strings", "count", "odd", "nests", "words", "total"]
ENDS = ("invocations", "invoke")
PLAIN_PEOPLE = [[30.5, "Bern", 3, True], [41.5, "Köln", 33, False]]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    """The classroom's kind of model as ``default``, a classifier of named columns, a regressor, and odd ones."""
    with WebRig(tmp_path_factory.mktemp("invocations")) as rig:
        rig.update(1.5)
        for name, (_, model) in {"churn": churn(), "houses": houses()}.items():
            (rig.drop / f"{name}.onnx").write_bytes(model)
        onnx_models.two_inputs(rig.drop / "pair.onnx")
        onnx_models.optional_input(rig.drop / "optional.onnx")
        onnx_models.zipmap_like(rig.drop / "zip.onnx")
        onnx_models.strings(rig.drop / "strings.onnx")
        onnx_models.row_count(rig.drop / "count.onnx")
        onnx_models.odd_numbers(rig.drop / "odd.onnx")
        onnx_models.odd_nests(rig.drop / "nests.onnx")
        onnx_models.identity(rig.drop / "words.onnx", "string", ["n", 1])
        rows_and_total(rig.drop / "total.onnx")
        for name in MODELS[1:]:
            answer = rig.post("/update_model", {"model_path": f"{name}.onnx", "model": name})
            assert answer.status_code == 200, answer.get_json()
        rig.settle()
        yield rig


def rows_and_total(path: Path) -> Path:
    """``x`` float32 [batch, 4] → ``y`` = x, and ``total`` [1, 4], the sum of its rows."""
    return onnx_models.save(
        path,
        [
            helper.make_node("Identity", ["x"], ["y"]),
            helper.make_node("ReduceSum", ["x", "first"], ["total"], keepdims=1),
        ],
        [onnx_models.value("x", "float32", ["batch", 4])],
        [onnx_models.value("y", "float32", ["batch", 4]), onnx_models.value("total", "float32", [1, 4])],
        [onnx_models.constant("first", np.array([0], np.int64))],
    )


def ask(
    rig: WebRig, path: str, body: object, kind: str = "application/json", accept: str | None = None
) -> TestResponse:
    headers = {} if accept is None else {"Accept": accept}
    sent = body.encode() if isinstance(body, str) else body
    return rig.post(path, sent, content_type=kind, headers=headers)


def predictions(answer: TestResponse) -> Any:
    assert answer.status_code == 200, answer.get_json()
    assert answer.content_type == "application/json"
    (key,) = answer.get_json()
    assert key == "predictions"
    return answer.get_json()[key]


def refusal(answer: TestResponse, status: int = 400, code: str = "invalid_input") -> str:
    assert (answer.status_code, answer.get_json()["code"]) == (status, code), answer.get_json()
    return str(answer.get_json()["error"])


def split(table: Any, columns: Any = COLUMNS) -> bytes:
    """The body that MLflow's client makes of a table, with Python's literal for what is missing."""
    return json.dumps({"dataframe_split": {"columns": list(columns), "data": table.tolist()}}).encode()


def csv_of(table: Any, header: Any = COLUMNS) -> str:
    """The table as pandas writes it."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerows([header] if header else [])
    writer.writerows([["" if cell != cell else cell for cell in row] for row in table.tolist()])
    return lines.getvalue()


# Tables: a column for each input.


def expect_churn(found: Any, table: Any) -> None:
    pipeline, _ = churn()
    assert [row["output_label"] for row in found] == pipeline.predict(table).tolist()
    given = [[row["output_probability"][name] for name in pipeline.classes_] for row in found]
    np.testing.assert_allclose(given, pipeline.predict_proba(table), atol=1e-5)


def test_split_table_is_answered_by_rows_as_the_pipeline_does(rig: WebRig) -> None:
    table = people(60, seed=2)
    body = split(table)
    assert b"NaN" in body
    expect_churn(predictions(ask(rig, CHURN, body)), table)


def test_records_are_answered_as_the_pipeline_does_in_any_order_and_with_null(rig: WebRig) -> None:
    table = people(20, seed=3)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in table.tolist()]
    records = [dict(reversed([(name, None if cell != cell else cell) for name, cell in row.items()])) for row in rows]
    expect_churn(predictions(ask(rig, CHURN, orjson.dumps({"dataframe_records": records}))), table)


@pytest.mark.parametrize("header", [COLUMNS, None], ids=["names", "no names"])
def test_csv_is_answered_as_the_pipeline_does_with_and_without_a_row_of_names(rig: WebRig, header: Any) -> None:
    table = people(50, seed=4)
    expect_churn(predictions(ask(rig, CHURN, csv_of(table, header), "text/csv")), table)


def test_columns_of_csv_are_taken_by_name(rig: WebRig) -> None:
    table = people(30, seed=5)
    turned = csv_of(table[:, ::-1], COLUMNS[::-1])
    expect_churn(predictions(ask(rig, CHURN, turned, "text/csv; charset=UTF-8")), table)


def test_csv_of_windows_with_pandas_index_is_read(rig: WebRig) -> None:
    body = b"\xef\xbb\xbf" + b',age,city,visits,member\r\n0,30.5,"Bern",3,True\r\n1,41.5,"K\xc3\xb6ln",33.0,false\r\n'
    expect_churn(predictions(ask(rig, CHURN, body, "text/csv")), np.array(PLAIN_PEOPLE, dtype=object))


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {name: [row[at] for row in PLAIN_PEOPLE] for at, name in enumerate(COLUMNS)}},
        {"inputs": {name: [[row[at]] for row in PLAIN_PEOPLE] for at, name in enumerate(COLUMNS)}},
        {"instances": [dict(zip(COLUMNS, row, strict=True)) for row in PLAIN_PEOPLE]},
        {"instances": [{name: [cell] for name, cell in zip(COLUMNS, row, strict=True)} for row in PLAIN_PEOPLE]},
        {"instances": PLAIN_PEOPLE},
        {"dataframe_split": {"data": PLAIN_PEOPLE}},
        {"dataframe_split": {"data": PLAIN_PEOPLE, "columns": [0, 1, 2, 3], "index": [7, 9]}},
        PLAIN_PEOPLE,
    ],
    ids=["columns", "tensors", "objects", "objects of tensors", "rows", "no columns", "numbered columns", "bare"],
)
def test_every_form_of_a_table_means_the_same(rig: WebRig, body: object) -> None:
    answer = ask(rig, CHURN, orjson.dumps(body))
    assert answer.status_code == 200, answer.get_json()
    value = answer.get_json()
    found = value.get("predictions", value) if isinstance(value, dict) else value
    labels = found["output_label"] if isinstance(found, dict) else [row["output_label"] for row in found]
    pipeline, _ = churn()
    assert labels == pipeline.predict(np.array(PLAIN_PEOPLE, dtype=object)).tolist()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([30.5, "Bern", "x", True], "row 1, column 'visits': expected a whole number, found 'x'"),
        ([30.5, "Bern", 3.5, True], "row 1, column 'visits': expected a whole number, found 3.5"),
        ([30.5, "Bern", None, True], "row 1, column 'visits': expected a whole number, found no value"),
        ([30.5, "Bern", True, True], "row 1, column 'visits': expected a whole number, found a boolean"),
        ([30.5, "Bern", 1 << 63, True], "row 1, column 'visits': expected int64 from"),
        (["30", "Bern", 3, True], "row 1, column 'age': expected a number, found '30'"),
        ([1e39, "Bern", 3, True], "row 1, column 'age': expected a finite float32, found 1e+39"),
        ([30.5, 8000, 3, True], "row 1, column 'city': expected a string, found 8000"),
        ([30.5, None, 3, True], "row 1, column 'city': expected a string, found no value"),
        ([30.5, "Bern", 3, 2], "row 1, column 'member': expected true, false, 0 or 1, found 2"),
        ([30.5, "Bern", 3], "dataframe_split: expected 4 cells in row 1"),
        ([[1], "Bern", 3, True], "row 1, column 'age': expected a number, found a list"),
    ],
)
def test_wrong_cell_is_named_with_its_row_and_column(rig: WebRig, data: list[object], said: str) -> None:
    body = {"dataframe_split": {"columns": COLUMNS, "data": [data]}}
    assert refusal(ask(rig, CHURN, orjson.dumps(body))).startswith(said)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["age", "city", "visits"], "column 'member' is missing: expected 'age', 'city', 'visits', 'member'"),
        ([*COLUMNS, "shoe"], "unknown column 'shoe': expected 'age', 'city', 'visits', 'member'"),
        ([*COLUMNS, "age"], "column 'age' is there twice"),
    ],
)
def test_columns_that_are_missing_unknown_or_twice_are_named(rig: WebRig, columns: list[str], said: str) -> None:
    data = [[*PLAIN_PEOPLE[0], 1][: len(columns)]]
    body = orjson.dumps({"dataframe_split": {"columns": columns, "data": data}})
    assert refusal(ask(rig, CHURN, body)) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("age,city,visits,member\n1,Bern,2,true\n1,Bern,2.5,true", "row 2, column 'visits': expected a whole number"),
        ("age,city,visits,member\n1,Bern,,true", "row 1, column 'visits': expected a whole number, found no value"),
        ("age,city,visits,member\n1_0,Bern,2,true", "row 1, column 'age': expected a number, found '1_0'"),
        ("age,city,visits,member\ninf,Bern,2,true", "row 1, column 'age': expected a finite float32, found 'inf'"),
        ("age,city,visits,member\n1,Bern,2,yes", "row 1, column 'member': expected true, false, 0 or 1, found 'yes'"),
        ("age,city,visits\n1,Bern,2", "column 'member' is missing: expected 'age', 'city', 'visits', 'member'"),
        ("Age,City,Visits,Member\n1,Bern,2,true",
         "row 1 (read as values, not as names), column 'age': expected a number, found 'Age'"),
        ("1,Bern,2\n", "expected 4 columns in the order of the model's inputs, 'age', 'city', 'visits', 'member'; "),
        ("1,Bern,2,true\n1,Bern\n", "expected 4 cells in row 2, as in the first, found 2"),
        ("", "the body has no rows"),
        ("\n\n", "the body has no rows"),
    ],
)  # fmt: skip
def test_csv_that_does_not_fit_is_told_where(rig: WebRig, body: str, said: str) -> None:
    assert refusal(ask(rig, CHURN, body, "text/csv")).startswith(said)


@pytest.mark.parametrize(
    "body", [b'age,"Bern\n', b'"a"b,c\n', b"age\xff,1"], ids=["open quote", "after quote", "bytes"]
)
def test_what_is_no_csv_is_refused(rig: WebRig, body: bytes) -> None:
    assert refusal(ask(rig, CHURN, body, "text/csv"), code="bad_request").startswith("the body is no")


def test_content_type_says_whether_csv_has_names(rig: WebRig) -> None:
    row = "city,Bern\n"
    strings = "/models/strings/invocations"
    assert "header" not in ask(rig, strings, row, "text/csv").get_data(as_text=True)
    error = refusal(ask(rig, CHURN, "1,age,2,true\n", "text/csv"))
    assert error.startswith("column 'age' is missing") or "twice" in error or "missing" in error
    assert ask(rig, CHURN, "1,age,2,true\n", "text/csv; header=absent").status_code == 200
    assert refusal(ask(rig, CHURN, csv_of(people(2)), "text/csv;header=absent")).startswith("row 1 (read as values")
    assert refusal(ask(rig, CHURN, "1,Bern,2,true\n", "text/csv;header=present")).startswith("column 'age' is missing")


# One input for all columns.


def test_regressor_takes_its_columns_in_the_order_given(rig: WebRig) -> None:
    forest, _ = houses()
    table = np.random.default_rng(2).random((9, 4), dtype=np.float32)
    wanted = forest.predict(table)
    names = ["d", "a", "c", "b"]
    rows = table.astype(float).tolist()
    bodies = [
        {"dataframe_split": {"columns": names, "data": rows}},
        {"dataframe_records": [dict(zip(names, row, strict=True)) for row in rows]},
        {"instances": [dict(zip(names, row, strict=True)) for row in rows]},
        {"inputs": rows},
        {"instances": rows},
        {"inputs": {"X": rows}},
    ]
    for body in bodies:
        found = np.array(predictions(ask(rig, HOUSES, orjson.dumps(body))))
        np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-5)
    lines = "\n".join(",".join(map(str, row)) for row in rows)
    indexed = "\n".join(f"{at},{line}" for at, line in enumerate(lines.split()))
    for body_csv in (lines, "w,x,y,z\n" + lines, ",w,x,y,z\n" + indexed):
        found = np.array(predictions(ask(rig, HOUSES, body_csv, "text/csv")))
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("1,2,3\n", "input 'X' takes float32 [?, 4]: expected 4 columns, found 3"),
        ("1,2,3,4\n1,2,x,4\n", "row 2, column 3: expected a number, found 'x'"),
        ("a,b,c,d\n1,2,3,4\n1,2,3,x\n", "row 2, column 'd': expected a number, found 'x'"),
    ],
)
def test_wrong_cell_of_one_input_is_named_too(rig: WebRig, body: str, said: str) -> None:
    header = "text/csv; header=absent" if body.startswith("1") else "text/csv"
    assert refusal(ask(rig, HOUSES, body, header)) == said


def test_row_of_no_numbers_is_a_row_of_names_where_the_model_takes_numbers(rig: WebRig) -> None:
    assert len(predictions(ask(rig, HOUSES, "1,2,3,4\n,2,NaN,4\n", "text/csv"))) == 2
    assert len(predictions(ask(rig, HOUSES, "a,2,3,4\n1,2,3,4\n", "text/csv"))) == 1


def test_table_of_names_alone_has_no_rows_and_gives_none(rig: WebRig) -> None:
    assert predictions(ask(rig, "/invocations", ",".join(f"x{at}" for at in range(10)), "text/csv")) == []


def test_optional_inputs_may_be_left_out_of_tables(rig: WebRig) -> None:
    path = "/models/optional/invocations"
    spec = rig.get("/models/optional").get_json()["inputs"]
    required = [one["name"] for one in spec if not one.get("optional")]
    assert len(required) == 1 < len(spec)
    assert ask(rig, path, orjson.dumps({"dataframe_records": [{required[0]: 1.0}]})).status_code == 200
    error = refusal(ask(rig, path, orjson.dumps({"dataframe_records": [{required[0]: 1.0, "z": 2}]})))
    assert "columns" in error


# Tensors, as MLflow and SageMaker have them.


def test_tensors_are_answered_as_a_list_and_several_outputs_by_name(rig: WebRig) -> None:
    assert predictions(ask(rig, "/invocations", orjson.dumps({"inputs": [[1] * 10]}))) == [[1.5] * 5]
    pair = {"inputs": {"a": [1, 2], "b": [3, 4]}}
    assert predictions(ask(rig, "/models/pair/invocations", orjson.dumps(pair))) == {
        "sum": [4.0, 6.0],
        "product": [3.0, 8.0],
    }
    rows = {"instances": [{"a": 1, "b": 3}, {"a": 2, "b": 4}]}
    assert predictions(ask(rig, "/models/pair/invocations", orjson.dumps(rows)))["sum"] == [4.0, 6.0]
    table = {"dataframe_records": rows["instances"]}
    assert predictions(ask(rig, "/models/pair/invocations", orjson.dumps(table))) == [
        {"sum": 4.0, "product": 3.0},
        {"sum": 6.0, "product": 8.0},
    ]


def test_features_are_the_rows_of_the_only_input(rig: WebRig) -> None:
    rows = [{"features": [1] * 10}, {"features": [2] * 10}]
    assert predictions(ask(rig, "/invocations", orjson.dumps({"instances": rows}))) == [[1.5] * 5] * 2
    error = refusal(ask(rig, "/invocations", orjson.dumps({"instances": [*rows, {"feature": [1] * 10}]})))
    assert error.startswith("instances: expected an object with 'features' for row 3")


def test_bare_list_is_answered_bare(rig: WebRig) -> None:
    answer = ask(rig, "/invocations", orjson.dumps([[1] * 10, [2] * 10]))
    assert (answer.status_code, answer.get_json()) == (200, [[1.5] * 5] * 2)


def test_large_body_of_numbers_is_read_the_short_way(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.web.invoking.scoring.parsed", lambda _: pytest.fail("the long way"))
    rows = [[float(at)] * 10 for at in range(60)]
    assert len(predictions(ask(rig, "/invocations", orjson.dumps({"inputs": rows})))) == 60


def test_what_is_no_finite_number_is_null_in_json_and_named_in_csv(rig: WebRig) -> None:
    body, path = orjson.dumps({"inputs": [[0.5, 0.25]]}), "/models/odd/invocations"
    assert predictions(ask(rig, path, body)) == {"nan": [[None, None]], "infinite": [[None, None]]}
    assert ask(rig, path, body, accept="text/csv").get_data(as_text=True) == "nan,nan,inf,inf\n"


@pytest.mark.parametrize("params", [None, {}, {"temperature": 0.1}])
def test_params_and_other_keys_mean_nothing(rig: WebRig, params: object) -> None:
    body = {"inputs": [[1] * 10], "params": params, "signature_name": "serving_default"}
    assert predictions(ask(rig, "/invocations", orjson.dumps(body))) == [[1.5] * 5]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "expected exactly one of 'inputs', 'instances', 'dataframe_split' and 'dataframe_records', found an"),
        (b'{"inputs": [[1]], "instances": [[1]]}', "expected exactly one of"),
        (b'{"messages": []}', "expected exactly one of"),
        (b'{"inputs": [[1]], "params": 3}', "params: expected an object, got a number"),
        (b'{"inputs": [["1"]]}', "input 'input': expected numbers, got a string"),
        (b'{"inputs": {"z": 1}}', "unknown input 'z'"),
        (b'{"instances": [{"input": [1]}, {"inputs": [1]}]}', "instances: expected an object with 'input' for row 2"),
        (b'{"instances": [{"input": [1]}, 3]}', "instances: expected an object with 'input' for row 2"),
        (b'{"instances": {"input": [[1]]}}', "instances: expected a list of rows, got an object"),
        (b'{"dataframe_split": [[1]]}', "dataframe_split: expected an object"),
        (b'{"dataframe_split": {"columns": ["a"]}}', "dataframe_split: expected a key 'data'"),
        (b'{"dataframe_split": {"data": 3}}', "dataframe_split: expected a list of rows, got a number"),
        (b'{"dataframe_split": {"data": [[1], 3]}}', "dataframe_split: expected a list for row 2, got a number"),
        (b'{"dataframe_split": {"data": [[1], []]}}', "dataframe_split: expected 1 cells in row 2"),
        (b'{"dataframe_split": {"data": [[1]], "columns": "a"}}', "dataframe_split: expected 'columns' to be a list"),
        (b'{"dataframe_split": {"data": [[1]], "columns": [[1]]}}', "dataframe_split: expected the name of a column"),
        (b'{"dataframe_split": {"data": [[1]], "index": [1, 2]}}', "dataframe_split: expected an index with 1 labels"),
        (b'{"dataframe_split": {"data": [[1]], "shape": 1}}', "dataframe_split: unknown key 'shape'"),
        (b'{"dataframe_records": {"a": [1]}}', "dataframe_records: expected a list of objects"),
        (b'{"dataframe_records": []}', "dataframe_records: expected at least one object"),
        (b'{"dataframe_records": [{"a": 1}, 2]}', "dataframe_records: expected an object for row 2, got a number"),
    ],
)  # fmt: skip
def test_json_that_does_not_fit_is_told_why(rig: WebRig, body: bytes, said: str) -> None:
    assert refusal(ask(rig, "/invocations", body)).startswith(said)


def test_columns_of_different_lengths_are_refused(rig: WebRig) -> None:
    columns = {"age": [1, 2], "city": ["a", "b"], "visits": [1], "member": [True, False]}
    said = "inputs: expected columns of equal length, got 2 in 'age', 1 in 'visits'"
    assert refusal(ask(rig, CHURN, orjson.dumps({"inputs": columns}))) == said


def test_number_of_hundreds_of_digits_beside_nan_is_out_of_range(rig: WebRig) -> None:
    row = f'[NaN, "Bern", 1, true], [1{"0" * 400}, "Bern", 1, true]'
    body = f'{{"dataframe_split": {{"columns": {json.dumps(COLUMNS)}, "data": [{row}]}}}}'
    assert refusal(ask(rig, CHURN, body)) == "row 2, column 'age': expected a finite float32, found inf"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"3", b'"a"', b"null", b'{"inputs": [[NaN', b'{"inputs": [[Infinity]]}',
     b'{"inputs": [[Infinity, NaN]]}', b"[" * 2000 + b"NaN", b'{"inputs": "NaN\xff"}'],
)  # fmt: skip
def test_what_is_no_json_object_or_list_is_refused(rig: WebRig, body: bytes) -> None:
    assert refusal(ask(rig, "/invocations", body), code="invalid_json").startswith("the body is ")


def test_records_with_few_cells_in_many_columns_are_refused(rig: WebRig) -> None:
    records = [{str(number): 1} for number in range(200)]
    error = refusal(ask(rig, "/invocations", orjson.dumps({"dataframe_records": records})))
    assert error == "dataframe_records: expected the same columns in all objects, got 200 in 200 objects"


# Other forms, in and out.


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["application/x-npy", "application/octet-stream"])
def test_npy_is_the_only_input(rig: WebRig, kind: str) -> None:
    table = np.random.default_rng(3).random((6, 4))
    answer = ask(rig, HOUSES, npy(table), kind, accept="application/x-npy")
    assert (answer.status_code, answer.content_type) == (200, "application/x-npy")
    forest, _ = houses()
    np.testing.assert_allclose(np.load(io.BytesIO(answer.data)).ravel(), forest.predict(table.astype("f")), rtol=1e-5)


def test_npz_has_columns_and_outputs_by_name(rig: WebRig) -> None:
    table = people(7, seed=8)
    file = io.BytesIO()
    dtypes = (np.float32, np.str_, np.int64, np.bool_)
    np.savez(file, **{name: table[:, [at]].astype(dtypes[at]) for at, name in enumerate(COLUMNS)})
    answer = ask(rig, CHURN, file.getvalue(), "application/x-npz")
    assert answer.get_json()["output_label"] == churn()[0].predict(table).tolist()
    pair = ask(
        rig, "/models/pair/invocations", orjson.dumps({"inputs": {"a": [1], "b": [3]}}), accept="application/x-npz"
    )
    assert pair.content_type == "application/x-npz"
    assert dict(np.load(io.BytesIO(pair.data))) == {"sum": [4.0], "product": [3.0]}


def test_raw_bytes_are_the_only_input_with_one_open_dimension(rig: WebRig) -> None:
    table = np.random.default_rng(4).random((5, 4)).astype("<f4")
    forest, _ = houses()
    found = ask(rig, HOUSES, table.tobytes(), "application/octet-stream").get_json()
    np.testing.assert_allclose(np.ravel(found), forest.predict(table), rtol=1e-5)
    assert "expected a multiple of 16 bytes, got 15" in refusal(ask(rig, HOUSES, b"x" * 15, "application/octet-stream"))
    assert "4" in refusal(ask(rig, CHURN, b"x" * 16, "application/octet-stream"))
    assert "'age', 'city', 'visits', 'member'" in refusal(ask(rig, CHURN, npy(table), "application/x-npy"))


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("text/csv, application/json;q=0.5", "text/csv"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/*", "text/csv"),
        ("text/html", "application/json"),
        ("text/csv; header=present", "text/csv; header=present"),
    ],
)
def test_accept_says_what_goes_back(rig: WebRig, accept: str | None, wanted: str) -> None:
    answer = ask(rig, HOUSES, "1,2,3,4\n", "text/csv", accept)
    assert (answer.status_code, answer.content_type) == (200, wanted)
    lines = answer.get_data(as_text=True).splitlines()
    if wanted == "text/csv":
        assert len(lines) == 1
        assert float(lines[0]) > 0
    if wanted.endswith("present"):
        assert (len(lines), lines[0]) == (2, "variable")


def test_map_of_classes_is_a_column_for_each_in_csv_after_the_label(rig: WebRig) -> None:
    table = people(8, seed=6)
    pipeline, _ = churn()
    answer = ask(rig, CHURN, csv_of(table), "text/csv", "text/csv;header=present")
    head, *lines = answer.get_data(as_text=True).splitlines()
    assert head == "output_label,output_probability_leaves,output_probability_stays"
    rows = [line.split(",") for line in lines]
    assert [row[0] for row in rows] == pipeline.predict(table).tolist()
    np.testing.assert_allclose([list(map(float, row[1:])) for row in rows], pipeline.predict_proba(table), atol=1e-5)


def test_outputs_that_make_no_table_are_no_csv(rig: WebRig) -> None:
    body = orjson.dumps({"inputs": [[0.5, 0.25]]})
    error = refusal(ask(rig, "/models/nests/invocations", body, accept="text/csv"), 406, "not_acceptable")
    assert error == "output 'parts' is no table: ask for application/json"
    error = refusal(ask(rig, "/models/nests/invocations", body, accept="application/x-npy"), 406, "not_acceptable")
    assert error.startswith("an output is no tensor")


def test_outputs_with_other_numbers_of_rows_are_told_by_name_and_are_no_csv(rig: WebRig) -> None:
    body, path = orjson.dumps({"dataframe_split": {"data": [[1, 2, 3, 4]] * 2}}), "/models/total/invocations"
    assert predictions(ask(rig, path, body)) == {"y": [[1, 2, 3, 4]] * 2, "total": [[2, 4, 6, 8]]}
    error = refusal(ask(rig, path, body, accept="text/csv"), 406, "not_acceptable")
    assert error.startswith("the outputs differ in their number of rows, 2 of 'y', 1 of 'total'")


def test_column_of_strings_is_one_string_for_each_row_of_a_table(rig: WebRig) -> None:
    path = "/models/words/invocations"
    assert predictions(ask(rig, path, "a\nb c\n", "text/csv")) == ["a", "b c"]
    assert predictions(ask(rig, path, orjson.dumps({"inputs": [["a"], ["b c"]]}))) == [["a"], ["b c"]]


def test_scalar_is_one_row(rig: WebRig) -> None:
    table = orjson.dumps({"dataframe_split": {"data": [[1, 2, 3, 4]]}})
    assert predictions(ask(rig, "/models/count/invocations", table)) == 10.0
    assert ask(rig, "/models/count/invocations", table, accept="text/csv").data == b"10.0\n"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("application/json;charset=UTF8", 200),
        ("", 200),
        ("application/x-www-form-urlencoded", 200),
        ("application/json; charset=latin-1", 415),
        ("text/csv; charset=utf-16", 415),
        ("text/csv; header=maybe", 415),
        ("multipart/form-data; boundary=x", 415),
        ("image/png", 415),
        ("application/x-recordio-protobuf", 415),
        ("application/vnd.apache.parquet", 415),
        ("text/libsvm", 415),
    ],
)
def test_content_type_that_nobody_reads_is_refused(rig: WebRig, kind: str, status: int) -> None:
    answer = ask(rig, "/invocations", orjson.dumps({"inputs": [[1] * 10]}), kind)
    assert answer.status_code == status
    if status == 415:
        assert refusal(answer, 415, "unsupported_media_type").startswith("found ")


@pytest.mark.parametrize("kind", ["text/csv", "application/json", "application/x-npy", "application/octet-stream"])
def test_body_beyond_the_limit_is_refused(rig: WebRig, kind: str) -> None:
    refusal(ask(rig, "/invocations", b"1" * (LIMIT_BYTES + 1), kind), 413, "too_large")


# Routes.


def test_sagemakers_route_of_a_named_model_is_mlflows(rig: WebRig) -> None:
    body = orjson.dumps({"inputs": [[1, 2, 3, 4]]})
    headers = {"X-Amzn-SageMaker-Target-Model": "other.tar.gz", "X-Amzn-SageMaker-Custom-Attributes": "c"}
    invoked = rig.post("/models/houses/invoke", body, headers=headers)
    assert invoked.status_code == 200
    assert invoked.data == ask(rig, HOUSES, body).data
    assert invoked.headers["X-Model-Name"] == "houses"
    refusal(rig.post("/models/nobody/invoke", body), 404, "unknown_model")
    refusal(rig.get("/invocations"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/invocations", RouteClass.PREDICT),
        ("/models/a/invocations", RouteClass.PREDICT),
        ("/models/a/invoke", RouteClass.PREDICT),
        ("/models/a/invoke/", RouteClass.PREDICT),
        ("/ping", RouteClass.OPEN),
        ("/health", RouteClass.OPEN),
        ("/version", RouteClass.OPEN),
    ],
)
def test_routes_are_of_their_class(path: str, kind: RouteClass) -> None:
    assert class_of(path) is kind


# Whatever comes.

SCALAR = st.one_of(st.none(), st.booleans(), st.floats(width=32), st.integers(-(2**66), 2**66), st.text(max_size=3))
ANYTHING = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=10,
)
NAMES = st.lists(st.sampled_from([*COLUMNS, "x", "input", "a", "b", ""]), max_size=5)
SPLIT = st.fixed_dictionaries(
    {"data": st.lists(st.lists(SCALAR, min_size=4, max_size=4), max_size=3)},
    optional={"columns": st.one_of(st.just(list(COLUMNS)), NAMES, ANYTHING), "index": ANYTHING},
)
RECORDS = st.lists(st.dictionaries(st.sampled_from([*COLUMNS, "x"]), SCALAR, max_size=5), max_size=3)
JSON_BODIES = st.one_of(
    ANYTHING,
    st.dictionaries(st.sampled_from(["inputs", "instances", "params"]), ANYTHING, max_size=2),
    st.builds(lambda key, value: {key: value}, st.sampled_from(["inputs", "instances"]), RECORDS),
    st.builds(lambda value: {"dataframe_split": value}, st.one_of(SPLIT, ANYTHING)),
    st.builds(lambda value: {"dataframe_records": value}, st.one_of(RECORDS, ANYTHING)),
).map(lambda value: json.dumps(value).encode())
LINES = st.lists(st.lists(st.one_of(SCALAR.map(str), NAMES.map(",".join)), max_size=5).map(",".join), max_size=4)
BODIES = st.one_of(
    JSON_BODIES,
    LINES.map("\n".join).map(lambda text: text.encode(errors="replace")),
    st.binary(max_size=200),
    st.binary(max_size=30).map(lambda tail: npy(np.ones((2, 4)))[:-3] + tail),
    st.just(b"1" * (LIMIT_BYTES + 1)),
)
KINDS = st.sampled_from(
    ["", "application/json", "text/csv", "text/csv; header=present", "text/csv;header=absent", "application/x-npy",
     "application/octet-stream", "application/json; charset=latin-1", "image/png", "text/csv; charset"]
)  # fmt: skip
PATHS = st.sampled_from(["/invocations", *(f"/models/{name}/{end}" for name in [*MODELS, "nobody"] for end in ENDS)])
ACCEPTS = st.sampled_from(["*/*", "text/csv", "application/x-npy", "text/csv;header=present", "nonsense", "a/b;q=x"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, kind=KINDS, path=PATHS, accept=ACCEPTS)
def test_whatever_comes_is_answered_or_refused_in_json_by_both_ways(
    rig: WebRig, body: bytes, kind: str, path: str, accept: str
) -> None:
    door = rig.app.wsgi_app
    assert isinstance(door, PredictDoor)
    more: dict[str, Any] = {"data": body, "content_type": kind or None, "headers": {"Accept": accept}}
    answer, behind = Client(door).post(path, **more), Client(door._behind).post(path, **more)
    assert (answer.status_code, answer.data) == (behind.status_code, behind.data)
    assert sorted(answer.headers) == sorted(behind.headers)
    assert answer.status_code in (200, 400, 404, 406, 413, 415), answer.data
    if answer.status_code != 200:
        assert answer.get_json().keys() == {"error", "code"}
