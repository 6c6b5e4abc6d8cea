"""Recent requests run through a candidate: which, for how long, what is found, and that nothing of them gets out."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.gate import Replay, ReplayLimits, RequestRing, Subject
from daemon.gate.tried import Ran
from daemon.release import Candidate, Signature, TensorSpec
from daemon.runtime import Array, Deadlines, EngineOptions, Output, load_engine
from tests import onnx_models
from tests.fakes import SIGNATURE, Clock, FakeTried, InlineTried, ScriptedTried, release_of

SERVING = replace(release_of(7, "m"), trial={"load_seconds": 0.25})
SUBJECT = Subject(Candidate("a" * 64, Path("m.onnx"), "a" * 64, 1), "m", serving=SERVING)
NO_LIMITS = ReplayLimits()
LONG_SECONDS = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("daemon.gate.replay.time", clock)
    return clock


@pytest.fixture
def ring() -> RequestRing:
    return RequestRing(most=100, per_second=1e9, most_bytes=1 << 20)


def column(*values: float) -> Array:
    return np.array([[value] for value in values], np.float32)


def served(ring: RequestRing, *answers: float, **more: Any) -> None:
    """One request for each answer, in which the input says what was answered."""
    for value in answers:
        inputs = {"input": np.full((1, 2), value, np.float32)}
        ring.offer(release_of(7, "m", **more), inputs, [column(value)])


def candidate(answer: Callable[[float], float], clock: Clock | None = None) -> ScriptedTried:
    """A candidate that makes its answer of what was answered before."""

    def run(inputs: Mapping[str, Array]) -> list[Output]:
        if clock is not None:
            clock.now += clock.step
        return [column(answer(float(inputs["input"][0, 0])))]

    tried = ScriptedTried(run)
    tried.live = lambda inputs: [inputs["input"][:, :1]]
    return tried


def examine(
    ring: RequestRing, tried: FakeTried, limits: ReplayLimits = NO_LIMITS, *, budget_seconds: float = LONG_SECONDS
) -> dict[str, object]:
    return dict(check_of(ring, limits, budget_seconds).examine(SUBJECT, tried))


def check_of(ring: RequestRing, limits: ReplayLimits = NO_LIMITS, budget_seconds: float = LONG_SECONDS) -> Replay:
    return Replay(
        ring,
        limits,
        lambda release: Path("store") / release.stored_as,
        budget_seconds=budget_seconds,
        timeout_seconds=5,
    )


def refused(ring: RequestRing, tried: FakeTried, limits: ReplayLimits) -> Rejected:
    with pytest.raises(Rejected) as caught:
        examine(ring, tried, limits)
    return caught.value


def test_first_release_has_nothing_to_be_held_beside(ring: RequestRing) -> None:
    served(ring, 1)
    tried = candidate(lambda value: value)
    subject = Subject(Candidate("a" * 64, Path("m.onnx"), "a" * 64, 1), "m")
    assert check_of(ring).examine(subject, tried) == {}
    assert tried.ran == []


def test_nothing_is_replayed_for_who_goes_back_to_an_earlier_release(ring: RequestRing) -> None:
    served(ring, 1)
    tried = candidate(lambda value: value + 5)
    subject = replace(SUBJECT, is_known=True)
    assert check_of(ring).examine(subject, tried) == {}
    assert tried.ran == []


def test_who_asks_what_a_rollback_would_do_gets_figures(ring: RequestRing) -> None:
    served(ring, 1)
    subject = replace(SUBJECT, is_known=True, is_rehearsal=True)
    figures = check_of(ring).examine(subject, candidate(lambda value: value + 5))
    assert (figures["requests"], figures["max_abs"]) == (1, 5)


def test_rollback_is_held_to_the_limits_that_are_set(ring: RequestRing) -> None:
    served(ring, 1)
    subject = replace(SUBJECT, is_known=True)
    with pytest.raises(Rejected, match="max_abs is 5"):
        check_of(ring, ReplayLimits(max_abs=1)).examine(subject, candidate(lambda value: value + 5))


def test_model_without_recent_requests_has_nothing_to_replay(ring: RequestRing) -> None:
    ring.offer(release_of(7, "other"), {"input": np.ones((1, 2), np.float32)}, [column(1)])
    assert examine(ring, candidate(lambda value: value)) == {"requests": 0}


def test_requests_that_older_bytes_answered_are_not_replayed(ring: RequestRing) -> None:
    served(ring, 1, sha256="d" * 64)
    served(ring, 2)
    tried = candidate(lambda value: value)
    assert examine(ring, tried)["requests"] == 1
    assert {float(inputs["input"][0, 0]) for inputs in tried.ran} == {2}


def test_figures_are_what_was_found(ring: RequestRing) -> None:
    served(ring, 1, 2, 4)
    tried = candidate(lambda value: value * 1.25)  # differs by 0.25, 0.5 and 1
    tried.seconds = {"candidate": 0.003, "live": 0.002}
    assert examine(ring, tried) == {
        "requests": 3,
        "errors": 0.0,
        "non_finite": 0.0,
        "max_abs": 1.0,
        "mean_abs": 0.583333,
        "changed_argmax": None,
        "changed_labels": None,
        "incomparable": 0,
        "speed_ratio": 1.5,
    }


@pytest.mark.parametrize(
    "error", [InferenceFailed("an operator gave up"), InvalidInput("no such index"), RunTimeout("too long")]
)
def test_run_that_fails_in_whatever_way_is_an_error(ring: RequestRing, error: Exception) -> None:
    def answer(value: float) -> float:
        if value == 2:
            raise error
        return value

    served(ring, 1, 2, 3, 4)
    figures = examine(ring, candidate(answer))
    assert (figures["requests"], figures["errors"], figures["max_abs"]) == (4, 0.25, 0)


BOTH = Signature((*SIGNATURE.inputs, TensorSpec("other", "float32", ("n",))), SIGNATURE.outputs)
SPARE = Signature((*SIGNATURE.inputs, TensorSpec("other", "float32", ("n",), optional=True)), SIGNATURE.outputs)
RENAMED = Signature((TensorSpec("data", "float32", ("n", 2)),), SIGNATURE.outputs)


@pytest.mark.parametrize(("signature", "replayed"), [(SIGNATURE, 1), (SPARE, 1), (BOTH, 0), (RENAMED, 0)])
def test_request_is_replayed_only_where_its_inputs_are_all_that_the_candidate_needs(
    ring: RequestRing, signature: Signature, replayed: int
) -> None:
    served(ring, 1)
    tried = ScriptedTried(lambda _: [column(1)], signature)
    assert examine(ring, tried).get("requests") == replayed
    assert bool(tried.ran) == bool(replayed)


def test_request_with_an_input_that_the_candidate_has_not_is_left_out(ring: RequestRing) -> None:
    served(ring, 1)
    ring.offer(SERVING, {"input": np.ones((1, 2), np.float32), "shift": np.ones(1, np.float32)}, [column(2)])
    assert examine(ring, candidate(lambda value: value))["requests"] == 1


def test_outputs_are_matched_by_their_names(ring: RequestRing) -> None:
    served(ring, 1)
    turned = Signature(SIGNATURE.inputs, (TensorSpec("extra", "int64", None), *SIGNATURE.outputs))
    figures = examine(ring, ScriptedTried(lambda _: [np.array([5]), column(1.5)], turned))
    assert (figures["max_abs"], figures["changed_labels"], figures["incomparable"]) == (0.5, None, 0)


def test_newest_request_is_replayed_even_without_any_time(ring: RequestRing) -> None:
    served(ring, 1, 2, 3)
    tried = candidate(lambda value: value)
    assert examine(ring, tried, budget_seconds=0)["requests"] == 1
    assert [float(inputs["input"][0, 0]) for inputs in tried.ran] == [3]


def test_replay_ends_when_its_time_is_up(ring: RequestRing, clock: Clock) -> None:
    served(ring, *range(10))
    clock.step = 0.375
    assert examine(ring, candidate(lambda value: value, clock), budget_seconds=1)["requests"] == 3


@pytest.mark.parametrize(("step", "replayed"), [(0.375, 2), (0.25, 4)])
def test_run_is_begun_only_where_there_is_time_for_the_longest_so_far(
    ring: RequestRing, clock: Clock, step: float, replayed: int
) -> None:
    served(ring, *range(10))
    clock.step = step
    tried = candidate(lambda value: value, clock)
    tried.seconds["candidate"] = step
    assert examine(ring, tried, budget_seconds=1)["requests"] == replayed


def test_all_requests_are_replayed_where_there_is_time(ring: RequestRing) -> None:
    served(ring, *range(20))
    assert examine(ring, candidate(lambda value: value))["requests"] == 20


def test_speed_is_compared_with_the_stored_bytes_of_what_serves(ring: RequestRing) -> None:
    served(ring, 1)
    tried = candidate(lambda value: value)
    tried.seconds = {"candidate": 0.5, "live": 2.0}
    assert examine(ring, tried)["speed_ratio"] == 0.25
    assert tried.loaded == [("live", Path("store") / SERVING.stored_as)]


def test_speed_is_of_both_run_in_turn_on_a_few_requests(ring: RequestRing) -> None:
    served(ring, *range(20))
    tried = candidate(lambda value: value)
    examine(ring, tried)
    assert tried.ran_on == ["candidate"] * 20 + ["live"] + ["live", "candidate"] * 8  # the first is not counted
    assert [float(inputs["input"][0, 0]) for inputs in tried.ran[21::2]] == [19, 18, 17, 16, 15, 14, 13, 12]


def test_speed_is_by_several_runs_of_few_requests(ring: RequestRing) -> None:
    served(ring, 1, 2)
    tried = candidate(lambda value: value)
    examine(ring, tried)
    assert tried.ran_on == ["candidate"] * 2 + ["live"] + ["live", "candidate"] * 8
    assert [float(inputs["input"][0, 0]) for inputs in tried.ran[3::2]] == [2, 1] * 4


def test_first_run_of_what_serves_is_not_timed(ring: RequestRing) -> None:
    def live(_: Mapping[str, Array]) -> list[Output]:
        tried.seconds["live"] = 99.0 if tried.ran_on.count("live") == 1 else 2.0
        return [column(1)]

    served(ring, 1)
    tried = candidate(lambda value: value)
    tried.live = live
    tried.seconds = {"candidate": 1.0, "live": 2.0}
    assert examine(ring, tried)["speed_ratio"] == 0.5


def test_speed_is_by_the_middle_run_of_each(ring: RequestRing) -> None:
    def run(inputs: Mapping[str, Array]) -> list[Output]:
        tried.seconds["candidate"] = {1: 3.0, 2: 4.0, 3: 50.0}[int(inputs["input"][0, 0])]
        return [column(0)]

    def live(inputs: Mapping[str, Array]) -> list[Output]:
        tried.seconds["live"] = {1: 2.0, 2: 0.001, 3: 8.0}[int(inputs["input"][0, 0])]
        return [column(0)]

    served(ring, 1, 2, 3)
    tried = ScriptedTried(run)
    tried.live = live
    assert examine(ring, tried)["speed_ratio"] == 2  # the middle of 3, 4 and 50 over that of 2, 0.001 and 8


def test_speed_leaves_out_what_either_failed_on(ring: RequestRing) -> None:
    def answer(value: float) -> float:
        if value == 3:
            raise InferenceFailed("no")
        return value

    def live(inputs: Mapping[str, Array]) -> list[Output]:
        if inputs["input"][0, 0] == 2:
            raise InferenceFailed("no")
        return [column(1)]

    served(ring, 1, 2, 3)
    tried = candidate(answer)
    tried.live = live
    tried.seconds = {"candidate": 3.0, "live": 1.0}
    assert examine(ring, tried)["speed_ratio"] == 3
    assert {float(inputs["input"][0, 0]) for inputs in tried.ran[3:]} == {1, 2}


def test_speed_is_unknown_where_every_run_failed(ring: RequestRing) -> None:
    def answer(_: float) -> float:
        raise InferenceFailed("no")

    served(ring, 1)
    tried = candidate(answer)
    figures = examine(ring, tried)
    assert (figures["errors"], figures["speed_ratio"]) == (1, None)
    assert tried.loaded == []


def test_speed_is_of_the_runs_that_there_was_time_for(ring: RequestRing, clock: Clock) -> None:
    served(ring, 1, 2, 3)
    clock.step = 0.25
    tried = candidate(lambda value: value, clock)
    examine(ring, tried, budget_seconds=1.125)  # three runs, and then two of each for the speed
    assert tried.ran_on == ["candidate"] * 3 + ["live"] + ["live", "candidate"] * 2


class Full(ScriptedTried):
    """A candidate beside which there is no room."""

    def load(self, name: str, model_file: Path) -> None:
        raise Rejected("trial", "there is room for one model")


def measured(**seconds_by_batch: float) -> dict[str, object]:
    """What a trial says of run times by batch size, such as ``b1=0.5``."""
    return {"runs": [{"batch": int(size[1:]), "seconds": seconds} for size, seconds in seconds_by_batch.items()]}


def ratio(ring: RequestRing, tried: ScriptedTried, trial: Mapping[str, object], *, budget_seconds: float) -> object:
    """The speed ratio where the trials of the candidate and of what serves found ``measured(b1=…)`` and ``trial``."""
    tried.proof = replace(tried.proof, trial=measured(b1=3.0, b2=99.0))
    subject = Subject(Candidate("a" * 64, Path("m.onnx"), "a" * 64, 1), "m", serving=replace(SERVING, trial=trial))
    return check_of(ring, budget_seconds=budget_seconds).examine(subject, tried)["speed_ratio"]


@pytest.mark.parametrize(
    ("trial", "left_seconds", "is_loaded"),
    [
        ({"load_seconds": 0.25}, 1.0, True),  # for the load and three runs of 0.25
        ({"load_seconds": 0.25}, 0.875, False),
        ({"load_seconds": 99.0, "compiled": {"load_seconds": 0.25}}, 1.0, True),
        ({"load_seconds": 0.25, "compiled": {"load_seconds": 0.5}}, 1.0, False),
        ({"load_seconds": 0.25, "compiled": "off: a small model"}, 1.0, True),
        ({}, LONG_SECONDS, False),
        ({"load_seconds": None}, LONG_SECONDS, False),
    ],
)
def test_what_serves_is_loaded_beside_only_where_there_is_time_for_that(
    ring: RequestRing, clock: Clock, trial: Mapping[str, object], left_seconds: float, is_loaded: bool
) -> None:
    served(ring, 1)
    clock.step = 0.25
    tried = candidate(lambda value: value, clock)
    tried.seconds = {"candidate": 0.25, "live": 0.25}
    ratio(ring, tried, trial, budget_seconds=clock.step + left_seconds)
    assert bool(tried.loaded) == is_loaded


def test_speed_is_what_the_trials_measured_of_one_row_where_there_is_no_time(ring: RequestRing) -> None:
    served(ring, 1)
    tried = candidate(lambda value: value)
    assert ratio(ring, tried, measured(b2=50.0, b1=2.0), budget_seconds=0) == 1.5
    assert tried.loaded == []


def test_speed_is_what_the_trials_measured_where_what_serves_cannot_be_loaded_beside(ring: RequestRing) -> None:
    served(ring, 1)
    trial = {"load_seconds": 0.25, **measured(b1=2.0)}
    assert ratio(ring, Full(lambda _: [column(1)]), trial, budget_seconds=LONG_SECONDS) == 1.5


@pytest.mark.parametrize("trial", [{}, measured(), measured(b2=1.0), measured(b1=0.0)])
def test_speed_is_unknown_where_a_trial_measured_nothing(ring: RequestRing, trial: Mapping[str, object]) -> None:
    served(ring, 1)
    assert ratio(ring, candidate(lambda value: value), trial, budget_seconds=0) is None


def test_candidate_that_dies_while_it_is_timed_is_refused(ring: RequestRing) -> None:
    """What its process does not survive, the daemon must not load."""

    class Dying(ScriptedTried):
        def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = "candidate") -> Ran:
            if on == "candidate" and self.ran_on.count("candidate") == 3:
                raise Rejected("trial", "killed by SIGSEGV while it ran on an example")
            return super().run(inputs, timeout_seconds=timeout_seconds, on=on)

    served(ring, 1)
    tried = Dying(lambda _: [column(1)])
    tried.live = lambda _: [column(1)]
    with pytest.raises(Rejected, match="killed by SIGSEGV"):
        examine(ring, tried)


def test_speed_is_unknown_where_what_serves_dies_in_the_trial(ring: RequestRing) -> None:
    class Serving(ScriptedTried):
        def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = "candidate") -> Ran:
            if on == "live":
                raise Rejected("trial", "killed by SIGSEGV while it ran on an example")
            return super().run(inputs, timeout_seconds=timeout_seconds, on=on)

    served(ring, 1)
    assert examine(ring, Serving(lambda _: [column(1)]))["speed_ratio"] is None


def test_unknown_speed_passes_its_limit(ring: RequestRing) -> None:
    served(ring, 1)
    figures = examine(ring, Full(lambda _: [column(1.5)]), ReplayLimits(max_speed_ratio=0.001))
    assert (figures["max_abs"], figures["speed_ratio"]) == (0.5, None)


def worse(value: float) -> float:
    """What is 2 fails, what is 3 becomes NaN, and the rest is 0.5 more."""
    if value == 2:
        raise InferenceFailed("no")
    return float("nan") if value == 3 else value + 0.5


LIMITS = [
    ("max_errors", 0.25, "errors is 0.25"),
    ("max_non_finite", 0.25, "non_finite is 0.25"),
    ("max_abs", 0.5, "max_abs is 0.5"),
    ("max_mean_abs", 0.5, "mean_abs is 0.5"),
    ("max_speed_ratio", 4.0, "speed_ratio is 4.0"),
]


@pytest.mark.parametrize(("limit", "figure", "said"), LIMITS)
def test_figure_above_its_limit_refuses(ring: RequestRing, limit: str, figure: float, said: str) -> None:
    served(ring, 1, 2, 3, 4)
    tried = candidate(worse)
    tried.seconds = {"candidate": 0.004, "live": 0.001}
    refusal = refused(ring, tried, ReplayLimits(**{limit: figure / 2}))
    assert refusal.check == "replay"
    drifted = f"over 4 replayed requests, {said} (gate.replay.{limit} is {figure / 2:g})"
    assert refusal.reason == f"{drifted}; deploy it with force to accept that"


@pytest.mark.parametrize(("limit", "figure", "said"), LIMITS)
def test_figure_at_its_limit_passes(ring: RequestRing, limit: str, figure: float, said: str) -> None:
    served(ring, 1, 2, 3, 4)
    tried = candidate(worse)
    tried.seconds = {"candidate": 0.004, "live": 0.001}
    assert examine(ring, tried, ReplayLimits(**{limit: figure}))["requests"] == 4


@pytest.mark.parametrize(("limit", "figure"), [("max_changed_argmax", 0.5), ("max_changed_labels", 0.25)])
def test_share_of_answers_that_changed_refuses_above_its_limit(ring: RequestRing, limit: str, figure: float) -> None:
    shape = Signature(SIGNATURE.inputs, (TensorSpec("y", "float32", None), TensorSpec("label", "int64", None)))
    live: list[Output] = [np.array([[0, 1], [0, 1]], np.float32), np.array([1, 2, 3, 4])]
    now: list[Output] = [np.array([[0, 1], [1, 0]], np.float32), np.array([1, 2, 3, 5])]
    ring.offer(release_of(7, "m"), {"input": np.ones((1, 2), np.float32)}, live)
    serving = Subject(Candidate("a" * 64, Path("m.onnx"), "a" * 64, 1), "m", serving=replace(SERVING, signature=shape))
    check_of(ring, ReplayLimits(**{limit: figure})).examine(serving, ScriptedTried(lambda _: now, shape))
    with pytest.raises(Rejected, match=rf"{limit.removeprefix('max_')} is {figure} \(gate.replay.{limit} is 0.1\)"):
        check_of(ring, ReplayLimits(**{limit: 0.1})).examine(serving, ScriptedTried(lambda _: now, shape))


def test_every_limit_that_is_passed_is_told_and_the_figures_beside(ring: RequestRing) -> None:
    served(ring, 1, 2, 3, 4)
    refusal = refused(ring, candidate(worse), ReplayLimits(max_errors=0, max_abs=0.25, max_mean_abs=9))
    assert refusal.reason == (
        "over 4 replayed requests, errors is 0.25 (gate.replay.max_errors is 0) and max_abs is 0.5 "
        "(gate.replay.max_abs is 0.25); deploy it with force to accept that"
    )
    assert (refusal.detail["requests"], refusal.detail["errors"], refusal.detail["mean_abs"]) == (4, 0.25, 0.5)


def test_nothing_refuses_where_no_limit_is_set(ring: RequestRing) -> None:
    def answer(value: float) -> float:
        if value < 3:
            raise InferenceFailed("no")
        return float("inf")

    served(ring, 1, 2, 3)
    tried = candidate(answer)
    tried.seconds = {"candidate": 100.0, "live": 1e-6}
    figures = examine(ring, tried)
    assert (figures["errors"], figures["non_finite"]) == (0.666667, 0.333333)


def test_limit_of_what_there_is_none_of_refuses_nothing(ring: RequestRing) -> None:
    served(ring, 1)
    assert examine(ring, candidate(lambda value: value), ReplayLimits(max_changed_labels=0))["changed_labels"] is None


SECRET = "hunter2"
NUMBER = 424242


def test_nothing_of_a_request_gets_out_though_the_error_quotes_it(
    ring: RequestRing, caplog: pytest.LogCaptureFixture
) -> None:
    texts = Signature((TensorSpec("input", "string", ("n",)),), (TensorSpec("output", "string", ("n",)),))

    def quote(inputs: Mapping[str, Array]) -> list[Output]:
        raise InvalidInput(f"no such word: {inputs['input'].tolist()}")

    caplog.set_level(logging.DEBUG)
    ring.offer(SERVING, {"input": np.array([SECRET], object)}, [np.array([SECRET], object)])
    tried = ScriptedTried(quote, texts)
    assert SECRET in tried.run(ring.samples("m")[0].inputs, timeout_seconds=1).reason
    figures = examine(ring, tried)
    refusal = refused(ring, tried, ReplayLimits(max_errors=0))
    assert SECRET not in f"{figures} {refusal} {refusal.detail} {caplog.text}"
    assert refusal.detail == figures


def test_nothing_of_a_request_gets_out_of_a_real_run_that_quotes_it(ring: RequestRing, tmp_path: Path) -> None:
    deadlines = Deadlines()
    engine = load_engine(onnx_models.gather(tmp_path / "m.onnx"), EngineOptions(threads=1), deadlines)
    try:
        tried = InlineTried(engine)
        ring.offer(SERVING, {"x": np.array([NUMBER])}, [np.array([1], np.float32)])
        assert str(NUMBER) in tried.run(ring.samples("m")[0].inputs, timeout_seconds=1).reason
        with pytest.raises(Rejected) as caught:
            check_of(ring, ReplayLimits(max_errors=0)).examine(
                Subject(Candidate("a" * 64, Path("m.onnx"), "a" * 64, 1), "m", serving=SERVING), tried
            )
        assert str(NUMBER) not in f"{caught.value} {caught.value.detail}"
    finally:
        engine.close()
        deadlines.stop()


def test_candidate_whose_process_dies_over_a_request_is_refused_by_the_trial(ring: RequestRing) -> None:
    def die(_: object) -> list[Output]:
        raise Rejected("trial", "killed by SIGSEGV while it ran on an example")

    served(ring, 1)
    refusal = refused(ring, ScriptedTried(die), NO_LIMITS)
    assert (refusal.check, refusal.reason) == ("trial", "killed by SIGSEGV while it ran on an example")
