"""A candidate's inputs and outputs against those of what serves, under each policy."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.e2e.arrivals import made
from tests.e2e.rig import Answer, Rig
from tests.onnx_models import TYPES, Dims, constant, save, value

POLICIES = ("warn", "compatible", "exact", "off")
_NUMBERS = itertools.count(1)


def model(
    path: Path,
    *,
    name: str = "x",
    dtype: str = "float32",
    dims: Dims = ("batch", 4),
    scale: str = "optional",
    extra: str = "",
    outputs: tuple[str, ...] = ("y", "label"),
    label: str = "int64",
    keepdims: int = 0,
    shift: float = 0.0,
) -> Path:
    """``x`` and ``scale`` (which has a default) → ``y`` = x · scale + shift, ``label``, where each row is largest.

    What is not said is as in the model that serves; ``scale`` and ``extra`` are ``optional``, ``required`` or empty.
    """
    dims = list(dims or ())
    inputs = [value(name, dtype, dims)]
    inputs += [value("scale", "float32", [1])] if scale else []
    inputs += [value("extra", "float32", [1])] if extra else []
    constants = [constant("shift", np.array([shift], np.float32)), constant("none", np.array([0], np.float32))]
    constants += [constant("scale", np.array([1], np.float32))] if scale == "optional" else []
    constants += [constant("extra", np.array([0], np.float32))] if extra == "optional" else []
    shapes: dict[str, tuple[str, Dims]] = {
        "y": ("float32", dims),
        "label": (label, [dims[0], 1, *dims[2:]] if keepdims else [dims[0], *dims[2:]]),
        "more": ("float32", dims),
    }
    return save(
        path,
        [
            helper.make_node("Cast", [name], ["number"], to=TYPES["float32"]),
            helper.make_node("Mul", ["number", "scale" if scale else "number"], ["scaled"]),
            helper.make_node("Add", ["scaled", "extra" if extra else "none"], ["more"]),
            helper.make_node("Add", ["more", "shift"], ["y"]),
            helper.make_node("ArgMax", ["y"], ["largest"], axis=1, keepdims=keepdims),
            helper.make_node("Cast", ["largest"], ["label"], to=TYPES[label]),
        ],
        inputs,
        [value(each, *shapes[each]) for each in outputs],
        constants,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A candidate that is a ``model`` of ``after``, where one of ``before`` serves.

    What is said of it, and whether a client of what serves breaks by it.
    """

    called: str
    says: str
    breaking: bool
    after: dict[str, Any]
    before: dict[str, Any]


def _breaking(called: str, says: str, before: dict[str, Any] | None = None, **after: Any) -> Change:
    return Change(called, says, True, after, before or {})


def _fine(called: str, says: str, before: dict[str, Any] | None = None, **after: Any) -> Change:
    return Change(called, says, False, after, before or {})


CHANGES = (
    _breaking("input-renamed", "input 'x' is gone; input 'z' is new and required", name="z"),
    _breaking("optional-input-gone", "input 'scale' is gone", scale=""),
    _breaking("input-of-another-dtype", "input 'x' is float64, was float32", dtype="float64"),
    _breaking("input-narrower", r"input 'x' has the shape \[1, 4\], had \[batch, 4\]", dims=(1, 4)),
    _breaking("input-of-another-size", r"input 'x' has the shape \[batch, 5\], had \[batch, 4\]", dims=("batch", 5)),
    _breaking("input-of-another-rank", r"input 'x' has the shape \[batch, 4, 1\], had", dims=("batch", 4, 1)),
    _breaking("new-required-input", "input 'extra' is new and required", extra="required"),
    _breaking("optional-input-required", "input 'scale' must be sent now", scale="required"),
    _breaking("output-gone", "output 'label' is gone", outputs=("y",)),
    _breaking("outputs-in-another-order", "output 'y' is no longer the first, 'label' is", outputs=("label", "y")),
    _breaking("new-output-first", "output 'y' is no longer the first, 'more' is", outputs=("more", "y", "label")),
    _breaking("output-of-another-dtype", "output 'label' is int32, was int64", label="int32"),
    _breaking("output-of-another-rank", r"output 'label' has the shape \[batch, 1\], had \[batch\]", keepdims=1),
    _fine("input-wider", r"input 'x' has the shape \[batch, 4\], had \[2, 4\]", {"dims": (2, 4)}),
    _fine("new-optional-input", "input 'extra' is new and optional", extra="optional"),
    _fine("required-input-optional", "input 'scale' may be left out now", {"scale": "required"}),
    _fine("new-output-last", "output 'more' is new", outputs=("y", "label", "more")),
)
SAME = (
    Change("weights-alone", "", False, {"shift": 1.0}, {}),
    Change("names-of-open-dimensions", "", False, {"dims": ("rows", 4)}, {}),
)


@pytest.fixture(scope="module", params=POLICIES)
def policed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Rig]]:
    """A policy, and a daemon that has it."""
    rig = Rig(tmp_path_factory.mktemp("policed"), {"gate": {"signature": request.param}}).start()
    yield request.param, rig
    rig.kill()


def _upload(rig: Rig, path: Path, name: str) -> Answer:
    return rig.request("PUT", f"/models/{name}/upload?filename={path.name}", path.read_bytes())


def _serve(rig: Rig, change: Change) -> tuple[str, Path]:
    """A name for which the model before the change serves, and the file of the one after it."""
    name = f"{change.called}-{next(_NUMBERS)}"
    assert _upload(rig, model(rig.folder / "before.onnx", **change.before), name).status == 200
    return name, model(rig.folder / "after.onnx", **change.after)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.called)
def test_change_of_signature_is_dealt_with_by_the_policy(policed: tuple[str, Rig], change: Change) -> None:
    policy, rig = policed
    name, path = _serve(rig, change)
    before = rig.last_id()
    answer = _upload(rig, path, name)
    if policy == "exact" or (policy == "compatible" and change.breaking):
        _expect_refused(rig, name, answer, before, change.says)
    else:
        _expect_live(rig, name, answer, before, change.says if policy != "off" else "")


@pytest.mark.parametrize("change", SAME, ids=lambda change: change.called)
def test_model_of_the_same_signature_deploys_under_every_policy(policed: tuple[str, Rig], change: Change) -> None:
    _, rig = policed
    name, path = _serve(rig, change)
    before = rig.last_id()
    _expect_live(rig, name, _upload(rig, path, name), before, "")


def test_first_release_deploys_under_every_policy(policed: tuple[str, Rig]) -> None:
    policy, rig = policed
    assert _upload(rig, model(rig.folder / "first.onnx"), f"first-{policy}").status == 200


def _expect_refused(rig: Rig, name: str, answer: Answer, before: int, says: str) -> None:
    assert (answer.status, answer.json["code"], answer.json["check"]) == (409, "breaking_signature", "signature")
    reason = answer.json["reason"]
    assert re.search(f"^against version 1: .*{says}", reason), reason
    assert "give it a folder of its own if it is another model, or deploy it with force" in reason
    event = rig.wait_for_event(before, event="rejected", model=name)
    assert (event["check"], event["reason"]) == ("signature", reason)
    assert rig.get(f"/models/{name}").json["version"] == 1


def _expect_live(rig: Rig, name: str, answer: Answer, before: int, says: str) -> None:
    """``says`` is what event and log line tell of the change; empty where there is nothing to tell."""
    assert (answer.status, answer.json["version"]) == (200, 2), answer.body
    event = rig.wait_for_event(before, event="live", model=name)
    (line,) = [line for line in rig.log.splitlines() if f" live model={name} version=2 " in line]
    if says:
        assert re.search(f"^against version 1: .*{says}", event["changed"]), event
        assert event["changed"] in line.replace("\\", "")
    else:
        assert "changed" not in event
        assert "changed=" not in line


@pytest.mark.parametrize("policed", ["compatible"], indirect=True)
def test_dropped_model_that_would_break_clients_is_rejected(policed: tuple[str, Rig]) -> None:
    _, rig = policed
    model(rig.folder / "1.onnx").rename(made(rig.drop / "dropped") / "1.onnx")
    rig.wait_for_event(event="live", model="dropped")
    model(rig.folder / "2.onnx", name="z").rename(rig.drop / "dropped" / "2.onnx")
    rejected = rig.wait_for_event(event="rejected", model="dropped")
    assert rejected["check"] == "signature"
    assert rig.predict([[1, 2, 3, 4]], model="dropped").json["output"] == [[1, 2, 3, 4]]


@pytest.mark.parametrize("policed", ["compatible"], indirect=True)
def test_rollback_that_would_break_clients_is_refused_unless_forced(policed: tuple[str, Rig]) -> None:
    _, rig = policed
    _upload(rig, model(rig.folder / "1.onnx"), "back")
    _upload(rig, model(rig.folder / "2.onnx", outputs=("y", "label", "more")), "back")
    refused = rig.post("/models/back/rollback")
    assert (refused.status, refused.json["code"]) == (409, "breaking_signature")
    assert "against version 2: output 'more' is gone" in refused.json["reason"]
    forced = rig.post("/models/back/rollback", {"force": True})
    assert (forced.status, forced.json["version"]) == (200, 3)
