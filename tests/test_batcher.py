"""Batches are put together, run and taken apart, and no member pays for another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.errors import HandOver, InferenceFailed, InvalidInput, RunTimeout
from daemon.release import Signature, TensorSpec
from daemon.runtime import Array, Batch, Output

SIGNATURE = Signature(
    (
        TensorSpec("x", "float32", ("batch", None)),
        TensorSpec("k", "int64", ("batch",)),
        TensorSpec("bias", "float32", (), optional=True),
    ),
    (TensorSpec("sum", "float32", ("batch",)), TensorSpec("maps", "seq(map(int64,tensor(float)))", None)),
)


class Model:
    """Sums each row; notes what it was run with, and fails where a row begins with -1."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.rows: list[int] = []
        self.failure = failure

    def run(self, inputs: Mapping[str, Array]) -> list[Output]:
        self.rows.append(len(inputs["x"]))
        if self.failure is not None and bool((inputs["x"][:, :1] == -1).any()):
            raise self.failure
        sums = inputs["x"].sum(axis=1) + inputs["k"]
        return [sums.astype(np.float32), [{0: float(each)} for each in sums]]


def member(*rows: Sequence[float]) -> dict[str, Array]:
    return {"x": np.array(rows, np.float32), "k": np.arange(len(rows), dtype=np.int64)}


def batch(model: Model, most: int = 8) -> Batch:
    return Batch(SIGNATURE, model.run, most=most)


def plain(outputs: list[Any]) -> list[object]:
    return [outputs[0].tolist(), outputs[1]]


def test_members_of_one_form_are_run_once_and_each_gets_its_own() -> None:
    model = Model()
    together = batch(model)
    members = [member([1, 2]), member([3, 4], [5, 6]), member([7, 8])]
    shares = [together.add(each) for each in members]
    assert model.rows == [], "nothing is run before somebody wants it"
    assert [plain(share()) for share in shares] == [plain(Model().run(each)) for each in members]
    assert model.rows == [4]


def test_rows_of_other_lengths_make_a_run_of_their_own() -> None:
    model = Model()
    together = batch(model)
    shares = [together.add(member(row)) for row in ([1, 2], [1, 2, 3], [4, 5], [4, 5, 6])]
    assert [share()[0].tolist() for share in shares] == [[3], [6], [9], [15]]  # type: ignore[union-attr]
    assert model.rows == [2, 2]


def test_no_run_has_more_rows_than_it_may() -> None:
    model = Model()
    together = batch(model, most=3)
    shares = [together.add(member([1, 1], [2, 2])), together.add(member([3, 3])), together.add(member([4, 4], [5, 5]))]
    shares.append(together.add(member([6, 6])))
    for share in shares:
        share()
    assert model.rows == [3, 3]


def test_no_run_has_more_elements_than_fit() -> None:
    model = Model()
    together = Batch(SIGNATURE, model.run, most=8, fits=lambda elements: elements <= 9)
    shares = [together.add(member([1, 2])) for _ in range(7)]  # three elements each, with k
    assert [share()[0].tolist() for share in shares] == [[3]] * 7  # type: ignore[union-attr]
    assert model.rows == [3, 3, 1]


def test_member_that_does_not_fit_even_by_itself_goes_alone() -> None:
    model = Model()
    together = Batch(SIGNATURE, model.run, most=8, fits=lambda elements: elements <= 3)
    long, short = together.add(member([1, 2, 3])), together.add(member([1, 2]))
    with pytest.raises(HandOver):
        long()
    assert plain(short()) == plain(Model().run(member([1, 2])))
    assert model.rows == [1]


@pytest.mark.parametrize(
    "failure", [InferenceFailed("no"), InvalidInput("index out of range"), RunTimeout("too long"), MemoryError()]
)
def test_run_that_fails_has_each_member_run_alone(failure: BaseException) -> None:
    model = Model(failure)
    together = batch(model)
    shares = [together.add(member(row)) for row in ([1, 2], [-1, 2], [3, 4])]
    for share in shares:
        with pytest.raises(HandOver):
            share()
    assert model.rows == [3], "it is not tried again"


def test_failure_of_one_form_is_no_concern_of_another() -> None:
    together = batch(Model(InferenceFailed("no")))
    bad = [together.add(member([-1, 2])), together.add(member([1, 2]))]
    good = [together.add(member([1, 2, 3])), together.add(member([4, 5, 6]))]
    for share in bad:
        with pytest.raises(HandOver):
            share()
    assert [share()[0].tolist() for share in good] == [[6], [15]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": np.zeros((0, 2), np.float32), "k": np.zeros(0, np.int64)},
        {"x": np.zeros((2, 2), np.float32), "k": np.zeros(1, np.int64)},
        {"x": np.zeros((1, 2), np.float32), "k": np.int64(1).reshape(())},
        {"x": np.zeros((1, 2), np.float32), "k": np.zeros(1, np.int64), "bias": np.zeros((), np.float32)},
        {"x": np.zeros((9, 2), np.float32), "k": np.zeros(9, np.int64)},
    ],
)
def test_what_goes_with_nothing_is_run_alone(inputs: dict[str, Array]) -> None:
    model = Model()
    with pytest.raises(HandOver):
        batch(model).add(inputs)()
    assert model.rows == []


def test_only_one_of_its_form_is_run_in_its_turn() -> None:
    model = Model(InferenceFailed("no"))
    together = batch(model)
    lonely, bad, *pair = (together.add(member(row)) for row in ([1, 2, 3], [-1, 2, 3, 4], [1, 2], [3, 4]))
    assert [share()[0].tolist() for share in (lonely, *pair)] == [[6], [3], [7]]  # type: ignore[union-attr]
    with pytest.raises(InferenceFailed):
        bad()
    assert model.rows == [1, 2, 1]


def test_only_one_of_its_form_that_takes_too_long_is_run_alone() -> None:
    together = batch(Model(RunTimeout("too long")))
    with pytest.raises(HandOver):
        together.add(member([-1, 2]))()


@pytest.mark.parametrize(
    "outputs",
    [
        [np.zeros(1, np.float32), [{}, {}]],
        [np.zeros((), np.float32), [{}, {}]],
        [np.zeros(2, np.float32), [{}]],
        [np.zeros(2, np.float32), None],
        [np.zeros(2, np.float32), {0: 1.0}],
    ],
)
def test_outputs_that_are_not_by_rows_are_nobodys(outputs: list[Output]) -> None:
    together = Batch(SIGNATURE, lambda _: outputs, most=8)
    shares = [together.add(member([1, 2])), together.add(member([3, 4]))]
    for share in shares:
        with pytest.raises(HandOver):
            share()


ROWS = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(st.integers(-1, 9), min_size=width, max_size=width), min_size=1, max_size=4)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=12), st.integers(1, 9))
def test_share_is_what_the_member_gets_alone_or_it_is_run_alone(members: list[list[list[float]]], most: int) -> None:
    model = Model(InferenceFailed("no"))
    together = batch(model, most)
    shares = [together.add(member(*rows)) for rows in members]
    for rows, share in zip(members, shares, strict=True):
        try:
            outputs = plain(share())
        except HandOver:
            continue
        except InferenceFailed:
            assert any(row[0] == -1 for row in rows), "it is not to blame"
            continue
        assert outputs == plain(Model().run(member(*rows)))
    assert all(count <= most for count in model.rows)
