"""What the clients of what serves would notice: the comparison in tables, and what each policy makes of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import BreakingSignature
from daemon.gate import SignatureCheck, Subject
from daemon.gate.signature import Policy, differences
from daemon.release import Candidate, Dim, Signature, TensorSpec
from tests.fakes import FakeTried, release_of

Shape = tuple[Dim, ...] | None


def spec(name: str = "x", dtype: str = "float32", shape: Shape = ("n", 2), *, optional: bool = False) -> TensorSpec:
    return TensorSpec(name, dtype, shape, optional)


X, Y = spec("x"), spec("y")


def inputs(*specs: TensorSpec) -> Signature:
    return Signature(specs, (Y,))


def outputs(*specs: TensorSpec) -> Signature:
    return Signature((X,), specs)


def found(old: Signature, new: Signature) -> list[tuple[str, bool]]:
    return [(each.clause, each.breaking) for each in differences(old, new)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([X], [X]),
        ([spec(shape=("n", 2))], [spec(shape=("batch", 2))]),
        ([spec(shape=("n", 2))], [spec(shape=(None, 2))]),
        ([spec(shape=("n", "n"))], [spec(shape=("a", "b"))]),
        ([spec(shape=None)], [spec(shape=None)]),
        ([spec(shape=())], [spec(shape=())]),
        ([spec("a"), spec("b")], [spec("b"), spec("a")]),
        ([], []),
    ],
)
def test_inputs_that_take_the_same_do_not_differ(old: list[TensorSpec], new: list[TensorSpec]) -> None:
    assert found(inputs(*old), inputs(*new)) == []


@pytest.mark.parametrize(
    ("old", "new", "clause", "breaking"),
    [
        ([X, spec("z")], [X], "input 'z' is gone", True),
        ([X, spec("z", optional=True)], [X], "input 'z' is gone", True),
        ([X], [X, spec("z")], "input 'z' is new and required", True),
        ([X], [X, spec("z", optional=True)], "input 'z' is new and optional", False),
        ([X], [spec(dtype="float64")], "input 'x' is float64, was float32", True),
        ([X], [spec(optional=True)], "input 'x' may be left out now", False),
        ([spec(optional=True)], [X], "input 'x' must be sent now", True),
    ],
)
def test_input_that_is_another_breaks_whoever_has_to_send_something_else(
    old: list[TensorSpec], new: list[TensorSpec], clause: str, breaking: bool
) -> None:
    assert found(inputs(*old), inputs(*new)) == [(clause, breaking)]


@pytest.mark.parametrize(
    ("old", "new", "clause", "breaking"),
    [
        ((1, 2), ("n", 2), "has the shape [n, 2], had [1, 2]", False),
        ((1, 2), (None, None), "has the shape [?, ?], had [1, 2]", False),
        (("n", 2), None, "of any rank", False),
        ((), None, "of any rank", False),
        (("n", 2), (1, 2), "has the shape [1, 2], had [n, 2]", True),
        ((None, 2), (1, 2), "has the shape [1, 2], had [?, 2]", True),
        (("n", 2), ("n", 3), "has the shape [n, 3], had [n, 2]", True),
        ((1, "m"), ("n", 3), "has the shape [n, 3], had [1, m]", True),
        (("n", 2), ("n", 2, 1), "has the shape [n, 2, 1], had [n, 2]", True),
        (("n", 2), ("n",), "has the shape [n], had [n, 2]", True),
        (("n",), (), "has the shape [], had [n]", True),
        (None, ("n", 2), "had of any rank", True),
        (None, ("n", "m"), "had of any rank", True),
    ],
)
def test_input_shape_breaks_where_it_takes_less_than_it_took(
    old: Shape, new: Shape, clause: str, breaking: bool
) -> None:
    ((said, breaks),) = found(inputs(spec(shape=old)), inputs(spec(shape=new)))
    assert said.startswith("input 'x' ")
    assert clause in said
    assert breaks is breaking


def test_input_that_changed_in_every_way_is_told_in_every_way() -> None:
    new = spec(dtype="int64", shape=("n", 3), optional=True)
    assert found(inputs(X), inputs(new)) == [
        ("input 'x' is int64, was float32", True),
        ("input 'x' may be left out now", False),
        ("input 'x' has the shape [n, 3], had [n, 2]", True),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([Y], [Y]),
        ([spec("y", shape=("n", 2))], [spec("y", shape=("batch", 2))]),
        ([spec("y", shape=None)], [spec("y", shape=None)]),
        ([Y, spec("a"), spec("b")], [Y, spec("b"), spec("a")]),
        ([spec("y", "seq(map(int64,tensor(float)))", None)], [spec("y", "seq(map(int64,tensor(float)))", None)]),
    ],
)
def test_outputs_that_give_the_same_do_not_differ(old: list[TensorSpec], new: list[TensorSpec]) -> None:
    assert found(outputs(*old), outputs(*new)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([Y, spec("z")], [Y], [("output 'z' is gone", True)]),
        ([Y], [Y, spec("z")], [("output 'z' is new", False)]),
        (
            [Y],
            [spec("z"), Y],
            [("output 'y' is no longer the first, 'z' is", True), ("output 'z' is new", False)],
        ),
        ([Y, spec("z")], [spec("z"), Y], [("output 'y' is no longer the first, 'z' is", True)]),
        ([Y], [spec("z")], [("output 'y' is gone", True), ("output 'z' is new", False)]),
        ([Y], [spec("y", "float64")], [("output 'y' is float64, was float32", True)]),
        ([Y], [spec("y", "float64", ("n", 3))], [("output 'y' is float64, was float32", True)]),
        (
            [spec("y", "seq(map(int64,tensor(float)))", None)],
            [spec("y", "seq(map(string,tensor(float)))", None)],
            [("output 'y' is seq(map(string,tensor(float))), was seq(map(int64,tensor(float)))", True)],
        ),
        (
            [spec("y", "seq(map(int64,tensor(float)))", None)],
            [Y],
            [("output 'y' is float32, was seq(map(int64,tensor(float)))", True)],
        ),
    ],
)
def test_output_that_is_gone_moved_or_of_another_dtype_breaks_and_a_new_one_does_not(
    old: list[TensorSpec], new: list[TensorSpec], expected: list[tuple[str, bool]]
) -> None:
    assert found(outputs(*old), outputs(*new)) == expected


@pytest.mark.parametrize(
    ("old", "new", "breaking"),
    [
        (("n", 2), ("n", 3), False),
        (("n", 2), (1, 2), False),
        ((1, 2), ("n", 2), False),
        (("n", 2), ("n", 2, 1), True),
        (("n", 2), ("n",), True),
        (("n",), (), True),
        (("n", 2), None, False),
        (None, ("n", 2), False),
    ],
)
def test_output_shape_breaks_where_its_rank_is_known_to_be_another(old: Shape, new: Shape, breaking: bool) -> None:
    ((said, breaks),) = found(outputs(spec("y", shape=old)), outputs(spec("y", shape=new)))
    assert said.startswith("output 'y' has the shape ")
    assert breaks is breaking


def test_inputs_are_told_before_outputs() -> None:
    old, new = Signature((X,), (Y,)), Signature((), (Y, spec("z")))
    assert [clause for clause, _ in found(old, new)] == ["input 'x' is gone", "output 'z' is new"]


OLD = Signature((X,), (Y,))
WIDER = Signature((X, spec("z", optional=True)), (Y,))
BROKEN = Signature((X, spec("z", optional=True)), (spec("q"),))


def subject_of(serving: Signature | None = OLD) -> Subject:
    release = replace(release_of(7), signature=serving) if serving else None
    return Subject(Candidate("a" * 64, Path("m.onnx"), "a" * 64, 1), "default", serving=release)


def examined(policy: Policy, new: Signature, serving: Signature | None = OLD) -> dict[str, Any]:
    return dict(SignatureCheck(policy).examine(subject_of(serving), FakeTried(signature=new)))


def refused(policy: Policy, new: Signature) -> BreakingSignature:
    with pytest.raises(BreakingSignature) as caught:
        examined(policy, new)
    return caught.value


@pytest.mark.parametrize("policy", ["warn", "compatible", "exact", "off"])
def test_same_signature_passes_without_a_word(policy: Policy) -> None:
    assert examined(policy, OLD) == {}


@pytest.mark.parametrize("policy", ["warn", "compatible", "exact", "off"])
def test_first_release_has_no_clients_to_break(policy: Policy) -> None:
    assert examined(policy, BROKEN, serving=None) == {}


def test_warn_lets_what_breaks_pass_and_says_it() -> None:
    assert examined("warn", BROKEN) == {
        "changed": ("against version 7: input 'z' is new and optional; output 'y' is gone; output 'q' is new"),
        "breaking": True,
    }


@pytest.mark.parametrize("policy", ["warn", "compatible"])
def test_what_breaks_nobody_passes_and_is_said(policy: Policy) -> None:
    assert examined(policy, WIDER) == {
        "changed": "against version 7: input 'z' is new and optional",
        "breaking": False,
    }


def test_off_lets_everything_pass_without_a_word() -> None:
    assert examined("off", BROKEN) == {}


def test_compatible_refuses_what_breaks_and_names_both_ways_on() -> None:
    refusal = refused("compatible", BROKEN)
    assert refusal.check == "signature"
    assert refusal.reason == (
        "against version 7: output 'y' is gone; give it a folder of its own if it is another model, or "
        "deploy it with force (gate.signature is compatible)"
    )


def test_refusal_tells_besides_what_breaks_nobody() -> None:
    assert refused("compatible", BROKEN).detail == {
        "changed": "against version 7: input 'z' is new and optional; output 'y' is gone; output 'q' is new"
    }


def test_exact_refuses_whatever_differs_and_names_both_ways_on() -> None:
    assert refused("exact", WIDER).reason == (
        "against version 7: input 'z' is new and optional; give it a folder of its own if it is another model, or "
        "deploy it with force (gate.signature is exact)"
    )


def test_long_list_of_differences_is_cut_and_counted() -> None:
    many = Signature((X,), (Y, *(spec(f"o{number}") for number in range(7))))
    changed = examined("warn", many)["changed"]
    assert changed.startswith("against version 7: output 'o0' is new; ")
    assert changed.endswith("output 'o4' is new; 2 more")


def test_list_of_as_many_differences_as_are_shown_is_whole() -> None:
    five = Signature((X,), (Y, *(spec(f"o{number}") for number in range(5))))
    assert examined("warn", five)["changed"].endswith("output 'o3' is new; output 'o4' is new")
