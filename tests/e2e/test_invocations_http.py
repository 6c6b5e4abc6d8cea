"""A real daemon answers MLflow's and SageMaker's clients with scikit-learn's own answers, by both fronts."""

import csv
import io
from typing import Any

import numpy as np
import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.rig import Rig
from tests.sklearn_models import COLUMNS, churn, people

pytestmark = pytest.mark.both_fronts


def labels_and_chances(rig: Rig, path: str, body: object, kind: str) -> tuple[list[str], list[list[float]]]:
    """What is answered in CSV: a label and the chances of the classes for each row."""
    answer = rig.post(path, body, headers={"Content-Type": kind, "Accept": "text/csv"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv"), answer.body
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    return [row[0] for row in rows], [list(map(float, row[1:])) for row in rows]


def expect(found: tuple[list[str], list[list[float]]], table: Any) -> None:
    pipeline, _ = churn()
    assert found[0] == pipeline.predict(table).tolist()
    np.testing.assert_allclose(found[1], pipeline.predict_proba(table), atol=1e-5)


def test_classifier_of_named_columns_is_dropped_pinged_and_asked(new_rig: NewRig) -> None:
    rig = new_rig().start()
    assert rig.get("/ping").status == 503
    assert rig.post("/invocations", b"1,2\n", headers={"Content-Type": "text/csv"}).status == 503
    (rig.drop / "churn.onnx").write_bytes(churn()[1])
    rig.wait_for_event(event="live")
    assert rig.get("/ping").status == 200
    table = people(3000, seed=9)
    rows = [["" if cell != cell else cell for cell in row] for row in table.tolist()]
    lines = io.StringIO()
    csv.writer(lines).writerows([COLUMNS, *rows])
    expect(labels_and_chances(rig, "/invocations", lines.getvalue().encode(), "text/csv; charset=utf-8"), table)
    split = {"columns": COLUMNS, "data": [[None if cell == "" else cell for cell in row] for row in rows]}
    expect(labels_and_chances(rig, "/models/default/invoke", {"dataframe_split": split}, "application/json"), table)
    one = rig.post("/invocations", {"dataframe_split": {"columns": COLUMNS, "data": split["data"][:1]}}).json
    assert one["predictions"][0]["output_label"] == churn()[0].predict(table[:1])[0]
    wrong = rig.post("/invocations", b"30,Bern,x,true\n", headers={"Content-Type": "text/csv"})
    assert (wrong.status, wrong.json["code"]) == (400, "invalid_input")
    assert wrong.json["error"].endswith("column 'visits': expected a whole number, found 'x'")
