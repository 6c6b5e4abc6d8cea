"""Recent requests are run through a candidate: figures of how far it drifts come out, and nothing else of them."""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.e2e.conftest import NewRig
from tests.e2e.rig import Answer, Rig
from tests.onnx_models import (
    TYPES,
    Dims,
    chain,
    constant,
    constant_model,
    gemm,
    greeting,
    save,
    strings,
    value,
)

EVERYTHING = {"per_second": 1e6, "budget_ms": 10_000}
"""Each request is kept, and there is time for all."""


@pytest.fixture(scope="module")
def replaying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon for all tests that have a model of their own; it refuses no drift."""
    rig = Rig(tmp_path_factory.mktemp("replaying"), {"gate": {"replay": EVERYTHING}}).start()
    yield rig
    rig.kill()


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    name = str(request.node.name)
    return "".join(mark if mark.isalnum() else "-" for mark in name)[:90].strip("-")


def _upload(rig: Rig, model: str, path: Path, query: str = "") -> Answer:
    address = f"/models/{model}/upload?filename={path.name}{query}"
    return rig.request("PUT", address, path.read_bytes())


def _live_with(rig: Rig, model: str, path: Path, query: str = "") -> dict[str, Any]:
    """Deploys, and gives the ``live`` event."""
    before = rig.last_id()
    answer = _upload(rig, model, path, query)
    assert (answer.status, answer.json["outcome"]) == (200, "live"), answer.body
    return rig.wait_for_event(before, event="live", model=model)


def _ask(rig: Rig, model: str, requests: list[object]) -> None:
    for inputs in requests:
        answer = rig.predict(inputs, model=model)
        assert answer.status == 200, answer.body


def _figures(rig: Rig, model: str, live: Path, candidate: Path, requests: list[object]) -> dict[str, Any]:
    """What the event of ``candidate`` says of ``requests`` that ``live`` has answered; the speed left out."""
    _live_with(rig, model, live)
    _ask(rig, model, requests)
    figures: dict[str, Any] = _live_with(rig, model, candidate)["replay"]
    assert figures.pop("speed_ratio") > 0
    return figures


def first_five(path: Path, bias: tuple[float, ...] = (0, 0, 0, 0, 0)) -> Path:
    """``input`` float32 [batch, 10] → its first five columns plus ``bias``."""
    return gemm(path, np.eye(10, 5, dtype=np.float32), np.array(bias, np.float32))


def one(path: Path, operator: str, *, to: str = "float32", dims: Dims = ("n",), **attributes: Any) -> Path:
    """``x`` float32 [n, …] → ``y`` = operator(x)."""
    nodes = [helper.make_node(operator, ["x"], ["y"], **attributes)]
    return save(path, nodes, [value("x", "float32", dims)], [value("y", to, ["n"])])


def failing_from(path: Path, limit: float) -> Path:
    """``x`` float32 [n] → ``y`` = x; a run with an element of ``limit`` or more fails, and not for the input's sake."""
    return save(
        path,
        [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=1),
            helper.make_node("GreaterOrEqual", ["most", "limit"], ["is_beyond"]),
            helper.make_node("Where", ["is_beyond", "wrong", "right"], ["shape"]),
            helper.make_node("Reshape", ["x", "shape"], ["y"]),
        ],
        [value("x", "float32", ["n"])],
        [value("y", "float32", ["n"])],
        [
            constant("limit", np.array([limit], np.float32)),
            constant("wrong", np.array([1009], np.int64)),
            constant("right", np.array([-1], np.int64)),
        ],
    )


# The figures.


def test_figures_of_numbers_are_those_worked_out_by_hand(replaying: Rig, model: str) -> None:
    rows: list[list[float]] = [[1, 0, 0, 0, 0], [0, 0.25, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]
    requests: list[object] = [[[*row, 0, 0, 0, 0, 0]] for row in rows]
    live, candidate = (
        first_five(replaying.folder / "1.onnx"),
        first_five(replaying.folder / "2.onnx", (0.5, 0, 0, 0, 0)),
    )
    assert _figures(replaying, model, live, candidate, requests) == {
        "requests": 4,
        "errors": 0,
        "non_finite": 0,
        "max_abs": 0.5,
        "mean_abs": 0.1,  # half of one in five numbers
        "changed_argmax": 0.25,  # the second row's: 0.5 beside 0.25
        "changed_labels": None,
        "incomparable": 0,
    }


def test_figures_of_labels_are_those_worked_out_by_hand(replaying: Rig, model: str) -> None:
    two: Dims = ("n", 2)
    live = one(replaying.folder / "1.onnx", "ArgMax", to="int64", dims=two, axis=1, keepdims=0)
    candidate = one(replaying.folder / "2.onnx", "ArgMin", to="int64", dims=two, axis=1, keepdims=0)
    requests: list[object] = [[[0, 1], [1, 0]], [[3, 3]]]
    figures = _figures(replaying, model, live, candidate, requests)
    assert (figures["requests"], figures["changed_labels"]) == (2, 0.666667)  # of three rows only the last stays
    assert (figures["max_abs"], figures["changed_argmax"]) == (None, None)


def test_figures_of_what_is_not_finite_are_those_worked_out_by_hand(replaying: Rig, model: str) -> None:
    live, candidate = one(replaying.folder / "1.onnx", "Identity"), one(replaying.folder / "2.onnx", "Sqrt")
    figures = _figures(replaying, model, live, candidate, [[4], [9], [-1], [-1, 4]])
    assert figures["non_finite"] == 0.5
    assert figures["max_abs"] == 6
    assert figures["mean_abs"] == 3.33333  # of 2, 6 and 2: what is no number is left out


def test_figures_of_runs_that_fail_are_those_worked_out_by_hand(replaying: Rig, model: str) -> None:
    live, candidate = one(replaying.folder / "1.onnx", "Identity"), failing_from(replaying.folder / "2.onnx", 100)
    figures = _figures(replaying, model, live, candidate, [[1], [2], [100], [99, 101, 1]])
    assert (figures["requests"], figures["errors"], figures["max_abs"]) == (4, 0.5, 0)


def test_output_of_another_shape_is_counted_as_incomparable(replaying: Rig, model: str) -> None:
    live = one(replaying.folder / "1.onnx", "Identity", dims=("n", 2))
    candidate = one(replaying.folder / "2.onnx", "ReduceSum", dims=("n", 2), keepdims=0)
    figures = _figures(replaying, model, live, candidate, [[[1, 2]], [[3, 4]]])
    assert (figures["incomparable"], figures["max_abs"]) == (2, None)


def test_figures_are_on_the_log_line_too(replaying: Rig, model: str) -> None:
    live, candidate = constant_model(replaying.folder / "1.onnx", 1.0), constant_model(replaying.folder / "2.onnx", 3.5)
    _figures(replaying, model, live, candidate, [[[1.0] * 10]] * 3)
    (line,) = [line for line in replaying.log.splitlines() if f" live model={model} version=2 " in line]
    assert "replay.requests=3 replay.errors=0 replay.non_finite=0 replay.max_abs=2.5 replay.mean_abs=2.5" in line


def test_only_what_the_release_that_serves_has_answered_is_replayed(replaying: Rig, model: str) -> None:
    _live_with(replaying, model, constant_model(replaying.folder / "1.onnx", 1.0))
    _ask(replaying, model, [[[1.0] * 10]] * 5)
    _live_with(replaying, model, constant_model(replaying.folder / "2.onnx", 2.0))
    nothing = _live_with(replaying, model, constant_model(replaying.folder / "3.onnx", 3.0))["replay"]
    assert nothing == {"requests": 0}
    _ask(replaying, model, [[[1.0] * 10]] * 2)
    assert _live_with(replaying, model, constant_model(replaying.folder / "4.onnx", 4.0))["replay"]["requests"] == 2


def test_nothing_is_replayed_where_inputs_are_others(replaying: Rig, model: str) -> None:
    _live_with(replaying, model, constant_model(replaying.folder / "1.onnx", 1.0))
    _ask(replaying, model, [[[1.0] * 10]] * 5)
    assert _live_with(replaying, model, one(replaying.folder / "2.onnx", "Identity"))["replay"] == {"requests": 0}


def test_requests_that_were_refused_are_not_replayed(replaying: Rig, model: str) -> None:
    _live_with(replaying, model, failing_from(replaying.folder / "1.onnx", 100))
    _ask(replaying, model, [[1.0]])
    assert replaying.predict([100.0], model=model).status == 500
    assert replaying.predict(["a"], model=model).status == 400
    assert _live_with(replaying, model, one(replaying.folder / "2.onnx", "Identity"))["replay"]["requests"] == 1


@pytest.mark.parametrize(("settings", "most"), [({"requests": 0}, 0), ({"requests": 3}, 3), ({"per_second": 1e-3}, 1)])
def test_as_many_requests_are_kept_as_the_settings_say(new_rig: NewRig, settings: dict[str, float], most: int) -> None:
    rig = new_rig(gate={"replay": {**EVERYTHING, **settings}}).start()
    _live_with(rig, "default", constant_model(rig.folder / "1.onnx", 1.0))
    _ask(rig, "default", [[[1.0] * 10]] * 10)
    event = _live_with(rig, "default", constant_model(rig.folder / "2.onnx", 2.0))
    assert event.get("replay", {"requests": 0})["requests"] == most


# The limits.


@dataclass(frozen=True, slots=True)
class Drifting:
    """A candidate that goes beyond one limit, and what is asked before of ``live``."""

    figure: str
    limit: str
    live: Callable[[Path], Path]
    candidate: Callable[[Path], Path]
    requests: list[object]


LIMITS = {
    "max_errors": 0.3,
    "max_non_finite": 0.3,
    "max_abs": 10.0,
    "max_mean_abs": 5.0,
    "max_changed_argmax": 0.3,
    "max_changed_labels": 0.3,
}
TEN: list[object] = [[[float(number), *[0.0] * 9]] for number in range(1, 4)]

DRIFTING = (
    Drifting("errors", "max_errors", lambda p: one(p, "Identity"), lambda p: failing_from(p, 9), [[1], [9]]),
    Drifting("non_finite", "max_non_finite", lambda p: one(p, "Identity"), lambda p: one(p, "Sqrt"), [[1], [-1]]),
    Drifting("max_abs", "max_abs", first_five, lambda p: first_five(p, (11, 0, 0, 0, 0)), TEN),
    Drifting("mean_abs", "max_mean_abs", first_five, lambda p: first_five(p, (6, 6, 6, 6, 6)), TEN),
    Drifting("changed_argmax", "max_changed_argmax", first_five, lambda p: first_five(p, (0, 4, 0, 0, 0)), TEN),
    Drifting(
        "changed_labels",
        "max_changed_labels",
        lambda p: one(p, "ArgMax", to="int64", dims=("n", 2), axis=1, keepdims=0),
        lambda p: one(p, "ArgMin", to="int64", dims=("n", 2), axis=1, keepdims=0),
        [[[0, 1]], [[1, 0]]],
    ),
)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon that has a limit for every figure but the speed, which a test cannot foretell."""
    rig = Rig(tmp_path_factory.mktemp("strict"), {"gate": {"replay": {**EVERYTHING, **LIMITS}}}).start()
    yield rig
    rig.kill()


@pytest.mark.parametrize("drifting", DRIFTING, ids=lambda drifting: drifting.figure)
def test_drift_beyond_a_limit_is_refused_with_the_figures(strict: Rig, model: str, drifting: Drifting) -> None:
    _live_with(strict, model, drifting.live(strict.folder / "live.onnx"))
    _ask(strict, model, drifting.requests)
    before = strict.last_id()
    answer = _upload(strict, model, drifting.candidate(strict.folder / "candidate.onnx"))
    assert (answer.status, answer.json["check"]) == (422, "replay"), answer.body
    event = strict.wait_for_event(before, event="rejected", model=model)
    limit = LIMITS[drifting.limit]
    figures = event["replay"]
    assert figures[drifting.figure] > limit
    assert figures["requests"] == len(drifting.requests)
    assert (
        event["reason"]
        == answer.json["reason"]
        == (
            f"over {len(drifting.requests)} replayed requests, {drifting.figure} is {figures[drifting.figure]} "
            f"(gate.replay.{drifting.limit} is {limit:g}); deploy it with force to accept that"
        )
    )
    assert strict.get(f"/models/{model}").json["version"] == 1


def test_candidate_that_is_too_slow_is_refused_with_the_figure(new_rig: NewRig) -> None:
    rig = new_rig(gate={"replay": {**EVERYTHING, "max_speed_ratio": 10}}).start()
    _live_with(rig, "default", chain(rig.folder / "1.onnx", 1))
    _ask(rig, "default", TEN * 3)
    answer = _upload(rig, "default", chain(rig.folder / "2.onnx", 20_000))
    assert (answer.status, answer.json["check"]) == (422, "replay")
    says = r"over 9 replayed requests, speed_ratio is (\S+) \(gate\.replay\.max_speed_ratio is 10\); deploy it .*"
    found = re.fullmatch(says, answer.json["reason"])
    assert found, answer.json["reason"]
    assert float(found[1]) > 10


def test_drift_within_the_limits_deploys(strict: Rig, model: str) -> None:
    _live_with(strict, model, first_five(strict.folder / "1.onnx"))
    _ask(strict, model, TEN)
    assert _live_with(strict, model, first_five(strict.folder / "2.onnx", (4, 4, 4, 4, 4)))["replay"]["max_abs"] == 4


def test_drift_beyond_a_limit_deploys_by_force_and_says_so(strict: Rig, model: str) -> None:
    _live_with(strict, model, first_five(strict.folder / "1.onnx"))
    _ask(strict, model, TEN)
    event = _live_with(strict, model, first_five(strict.folder / "2.onnx", (11, 0, 0, 0, 0)), "&force=true")
    (forced,) = event["forced"]
    assert forced.startswith("replay: over 3 replayed requests, max_abs is 11.0 (gate.replay.max_abs is 10); ")
    assert event["replay"]["max_abs"] == 11


def test_large_request_of_text_blocks_no_deploy(replaying: Rig, model: str) -> None:
    """It is tried on the candidate, and may be longer than what is not text in a message to a trial."""
    first = greeting(replaying.folder / "1.onnx")
    _live_with(replaying, model, first)
    _ask(replaying, model, [["你好" * 3_000_000]])
    assert _live_with(replaying, model, strings(replaying.folder / "2.onnx"))["replay"]["requests"] == 1


# What nobody may see.

NUMBER = 123456.789
INDEX = 987654321
WORD = "geheime-zeichenkette"


def telling(path: Path, shift: float = 0.0, *, fails_for: str = "") -> Path:
    """``number``, ``index`` and ``word`` [n] → the same, with ``shift`` added to the first.

    ``fails_for`` ``index`` is for most indices, and says for which; for ``word`` for all words but ``a``.
    """
    gather = helper.make_node("Gather", ["table", "index"], ["y_index"])
    of_word = [
        helper.make_node("Equal", ["word", "a"], ["is_a"]),
        helper.make_node("Cast", ["is_a"], ["ones"], to=TYPES["int64"]),
        helper.make_node("ReduceMin", ["ones"], ["choice"], keepdims=1),
        helper.make_node("Gather", ["sizes", "choice"], ["size"]),
        helper.make_node("Reshape", ["word", "size"], ["y_word"]),
    ]
    return save(
        path,
        [
            helper.make_node("Add", ["number", "shift"], ["y_number"]),
            gather if fails_for == "index" else helper.make_node("Identity", ["index"], ["y_index"]),
            *(of_word if fails_for == "word" else [helper.make_node("Identity", ["word"], ["y_word"])]),
        ],
        [value("number", "float32", ["n"]), value("index", "int64", ["n"]), value("word", "string", ["n"])],
        [value("y_number", "float32", ["n"]), value("y_index", "int64", ["n"]), value("y_word", "string", ["n"])],
        [
            constant("shift", np.array([shift], np.float32)),
            constant("table", np.arange(2, dtype=np.int64)),
            constant("a", np.array(["a"], dtype=object)),
            constant("sizes", np.array([1009, -1], np.int64)),
        ],
    )


def _traces(rig: Rig) -> list[str]:
    """Files of the daemon's in which anything of the requests is found."""
    marks = {
        "number as text": str(NUMBER).encode(),
        "number as float": struct.pack("<f", NUMBER),
        "number as double": struct.pack("<d", NUMBER),
        "number as rounded text": b"123456.78",
        "index as text": str(INDEX).encode(),
        "index as bytes": struct.pack("<q", INDEX),
        "word": WORD.encode(),
    }
    found = []
    for path in (path for path in rig.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found += [f"{what} in {path.relative_to(rig.folder)}" for what, mark in marks.items() if mark in content]
    return found


def test_nothing_of_a_request_is_ever_written_down(new_rig: NewRig, tmp_path: Path) -> None:
    gate = {"replay": {**EVERYTHING, "max_abs": 1}, "trial": {"compile": "on"}}
    rig = new_rig(gate=gate, log={"level": "debug"}).start()
    inputs = {"number": [NUMBER], "index": [INDEX], "word": [WORD]}
    _live_with(rig, "default", telling(tmp_path / "1.onnx"))
    for number in range(30):
        assert rig.predict(inputs).json["outputs"]["y_word"] == [WORD], number
    assert _upload(rig, "default", telling(tmp_path / "2.onnx", 2.0)).json["check"] == "replay"
    for cause, status in (("index", 400), ("word", 500)):
        _ask(rig, "default", [inputs] * 5)
        candidate = telling(tmp_path / f"{cause}.onnx", fails_for=cause)
        assert _live_with(rig, "default", candidate, "&force=true")["replay"]["errors"] == 1
        assert rig.predict(inputs).status == status
        assert rig.post("/models/default/rollback", {"version": 1, "force": True}).status == 200
    events = b"".join(rig.get(f"/events?after=0&limit=1000{more}").body for more in ("", "&model=default"))
    assert str(INDEX).encode() not in events
    assert WORD.encode() not in events
    assert _traces(rig) == []
    assert rig.stop() == 0
    assert _traces(rig) == []
    rig.start()
    rig.predict(inputs)
    rig.kill()
    assert _traces(rig) == []
