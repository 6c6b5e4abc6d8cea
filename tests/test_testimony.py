"""What a trial's process says, taken for no more than a claim: what makes no sense makes no proof."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from daemon.errors import Rejected
from daemon.gate.testimony import proof_from, unreadable
from tests.fakes import SIGNATURE

WHY_NOT = "off: gate.trial.compile"


def answer(**changes: Any) -> dict[str, Any]:
    """What an honest process says, but for ``changes``; ``...`` leaves something out."""
    said = {
        "signature": json.loads(json.dumps(asdict(SIGNATURE))),
        "metadata": {"producer_name": "tests", "custom": {"é": "日本"}},
        "load_seconds": 0.5,
        "unguessed": "",
        "compiled": {"load_seconds": 0.25, "run_seconds": 0.125},
        "memory": {"peak_bytes": 7, "resident_bytes": 5},
        "runs": [{"batch": 1, "seconds": 0.5}, {"batch": 2, "seconds": 0.75}],
        "batch": {"equals_single": True, "max_difference": 0.0},
    }
    return {name: value for name, value in {**said, **changes}.items() if value is not ...}


def trial_of(said: Mapping[str, Any], *, why_not: str | None = None) -> Mapping[str, object]:
    return proof_from(said, why_not_compiled=why_not).trial


def test_proof_is_what_was_said() -> None:
    proof = proof_from(answer(), why_not_compiled=None)
    assert proof.signature == SIGNATURE
    assert proof.metadata == answer()["metadata"]
    assert proof.trial == {
        "load_seconds": 0.5,
        "compiled": {"load_seconds": 0.25},
        "memory": {"peak_bytes": 7, "resident_bytes": 5},
        "runs": [{"batch": 1, "seconds": 0.5}, {"batch": 2, "seconds": 0.75}],
        "batch": {"equals_single": True, "max_difference": 0.0},
    }


def test_compiled_form_that_failed_is_told_with_the_reason() -> None:
    assert trial_of(answer(compiled={"failed": "it is slow"}))["compiled"] == "failed: it is slow"


@pytest.mark.parametrize("said", [..., {"load_seconds": 0.25}, {"failed": "x"}, 7], ids=["nothing", "yes", "no", "odd"])
def test_what_is_said_of_a_form_that_nobody_asked_for_does_not_count(said: object) -> None:
    assert trial_of(answer(compiled=said), why_not=WHY_NOT)["compiled"] == WHY_NOT


@pytest.mark.parametrize("equals", [False, None])
def test_batches_that_are_not_proved_equal_come_with_the_reason(equals: bool | None) -> None:
    said = {"equals_single": equals, "reason": "it is odd", "max_difference": 0.0}
    assert trial_of(answer(batch=said))["batch"] == {"equals_single": equals, "reason": "it is odd"}


def test_inputs_that_could_not_be_guessed_are_told() -> None:
    assert trial_of(answer(unguessed="nobody knows"))["unguessed"] == "nobody knows"


def test_nothing_else_that_was_said_goes_on() -> None:
    said = answer(
        more=1,
        memory={"peak_bytes": 7, "resident_bytes": 5, "more": 1},
        runs=[{"batch": 1, "seconds": 0.5, "more": 1}],
        batch={"equals_single": True, "max_difference": 0.0, "more": 1},
    )
    assert "more" not in json.dumps(trial_of(said))


SPEC = answer()["signature"]["inputs"][0]


def signature(**changes: Any) -> dict[str, Any]:
    return {
        "inputs": [{name: value for name, value in {**SPEC, **changes}.items() if value is not ...}],
        "outputs": [SPEC],
    }


NONSENSE: dict[str, dict[str, Any]] = {
    "signature missing": {"signature": ...},
    "signature a number": {"signature": 5},
    "signature a list": {"signature": [1, 2]},
    "signature without outputs": {"signature": {"inputs": [SPEC], "outputs": []}},
    "outputs missing": {"signature": {"inputs": [SPEC]}},
    "inputs a number": {"signature": {"inputs": 5, "outputs": [SPEC]}},
    "input a text": {"signature": {"inputs": ["x"], "outputs": [SPEC]}},
    "name missing": {"signature": signature(name=...)},
    "name a number": {"signature": signature(name=5)},
    "dtype none": {"signature": signature(dtype=None)},
    "optional a text": {"signature": signature(optional="no")},
    "shape a number": {"signature": signature(shape=5)},
    "shape an array": {"signature": signature(shape=np.zeros(2))},
    "dimension a fraction": {"signature": signature(shape=[1.5])},
    "dimension a list": {"signature": signature(shape=[[1]])},
    "field more": {"signature": signature(more=1)},
    "metadata missing": {"metadata": ...},
    "metadata a number": {"metadata": 5},
    "metadata none": {"metadata": None},
    "metadata with an array": {"metadata": {"producer_name": np.zeros(2)}},
    "metadata with an array inside": {"metadata": {"custom": {"a": [np.zeros(2)]}}},
    "load_seconds missing": {"load_seconds": ...},
    "load_seconds a text": {"load_seconds": "soon"},
    "load_seconds none": {"load_seconds": None},
    "load_seconds an array": {"load_seconds": np.zeros(2)},
    "unguessed missing": {"unguessed": ...},
    "compiled missing": {"compiled": ...},
    "compiled a number": {"compiled": 5},
    "compiled without seconds": {"compiled": {}},
    "compiled with a text": {"compiled": {"load_seconds": "soon"}},
    "memory missing": {"memory": ...},
    "memory a list": {"memory": [1, 2]},
    "memory half": {"memory": {"peak_bytes": 1}},
    "memory infinite": {"memory": {"peak_bytes": math.inf, "resident_bytes": 1}},
    "memory not a number": {"memory": {"peak_bytes": math.nan, "resident_bytes": 1}},
    "runs missing": {"runs": ...},
    "runs a number": {"runs": 5},
    "runs of numbers": {"runs": [1, 2]},
    "runs of texts": {"runs": {"a": 1}},
    "run without seconds": {"runs": [{"batch": 1}]},
    "run with a text": {"runs": [{"batch": 1, "seconds": "soon"}]},
    "batch missing": {"batch": ...},
    "batch a text": {"batch": "yes"},
    "batch neither yes nor no": {"batch": {"equals_single": "yes", "max_difference": 0.0}},
    "batch an array": {"batch": {"equals_single": np.ones(2), "max_difference": 0.0}},
    "batch 1": {"batch": {"equals_single": 1, "max_difference": 0.0}},
    "batch without a difference": {"batch": {"equals_single": True}},
    "batch without a reason": {"batch": {"equals_single": False}},
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_answer_that_makes_no_sense_is_refused(nonsense: str) -> None:
    with pytest.raises(Rejected) as refusal:
        proof_from(answer(**NONSENSE[nonsense]), why_not_compiled=None)
    assert (refusal.value.check, refusal.value.reason) == (unreadable().check, unreadable().reason)


def test_answer_that_is_nested_without_end_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(Rejected):
        proof_from(answer(metadata={"a": nested}), why_not_compiled=None)
    while nested:
        nested = nested.pop()  # taken apart from the outside, as freeing it is recursive too
