"""The ring of recent requests: how many, how heavy, how often, and nothing more."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from daemon.gate import RequestRing
from daemon.gate.ring import _weight
from daemon.runtime import Array, Output
from tests.fakes import Clock, release_of

INPUTS: Mapping[str, Array] = {"x": np.zeros(25, np.float32)}
OUTPUTS: list[Output] = [np.zeros(25, np.float32)]
EACH = 200
"""Bytes of one request: two arrays of 100."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("daemon.gate.ring.time", clock)
    return clock


def ring_of(most: int = 3, *, per_second: float = 4, most_bytes: int = 1 << 20) -> RequestRing:
    return RequestRing(most=most, per_second=per_second, most_bytes=most_bytes)


def offer(ring: RequestRing, value: float, model: str = "m", *, sha256: str = "", elements: int = 25) -> None:
    """A request whose input says ``value``, of ``EACH`` bytes unless it has more or fewer ``elements``."""
    inputs = {"x": np.full(elements, value, np.float32)}
    ring.offer(release_of(1, model, sha256=sha256), inputs, [np.zeros(elements, np.float32)])


def kept(ring: RequestRing, model: str = "m", sha256: str | None = None) -> list[float]:
    """What the inputs of the samples say, newest first."""
    return [float(sample.inputs["x"][0]) for sample in ring.samples(model, sha256)]


def test_request_is_kept_as_it_was_with_the_bytes_that_answered_it() -> None:
    ring, release = ring_of(), release_of(4, "m", sha256="e" * 64)
    ring.offer(release, INPUTS, OUTPUTS)
    (sample,) = ring.samples("m")
    assert (sample.inputs, sample.sha256, sample.size_bytes) == (INPUTS, "e" * 64, EACH)
    np.testing.assert_array_equal(sample.outputs, OUTPUTS)


def test_outputs_that_are_kept_hold_no_memory_of_the_engine() -> None:
    ring, arena = ring_of(), np.ones((4, 5), np.float32)
    ring.offer(release_of(), INPUTS, [arena[0], [arena[1], {"a": 1.0}]])
    outputs: Any = ring.samples("default")[0].outputs
    first, (second, mapping) = outputs
    assert (first.tolist(), second.tolist(), mapping) == ([1.0] * 5, [1.0] * 5, {"a": 1.0})
    assert not np.shares_memory(first, arena)
    assert not np.shares_memory(second, arena)


@pytest.mark.parametrize("wrap", [bytes, memoryview, lambda body: np.frombuffer(body, np.uint8)])
def test_input_that_is_a_small_part_of_a_body_does_not_hold_it(wrap: Any) -> None:
    body = bytes(1 << 20)
    small = np.frombuffer(wrap(body), np.float32, 25, 64).reshape(5, 5)
    large = np.frombuffer(wrap(body), np.float32, 200_000).reshape(2, -1)
    ring = ring_of(most_bytes=1 << 24)
    ring.offer(release_of(), {"small": small, "large": large}, OUTPUTS)
    (sample,) = ring.samples("default")
    assert not np.shares_memory(sample.inputs["small"], np.frombuffer(body, np.uint8))
    assert sample.inputs["small"].shape == (5, 5)
    assert sample.inputs["large"] is large


def test_newest_come_first_and_the_oldest_make_room() -> None:
    ring = ring_of(3)
    for value in range(5):
        offer(ring, value)
    assert kept(ring) == [4, 3, 2]


def test_number_is_of_each_model() -> None:
    ring = ring_of(2)
    for value in range(3):
        offer(ring, value, "a")
    offer(ring, 7, "b")
    assert (kept(ring, "a"), kept(ring, "b")) == ([2, 1], [7])


def test_model_that_nobody_asked_has_no_samples() -> None:
    assert ring_of().samples("m") == []


def test_samples_are_of_the_bytes_that_are_asked_for() -> None:
    ring = ring_of(4)
    for value, content in enumerate("abab"):
        offer(ring, value, sha256=content * 64)
    assert kept(ring, "m", "a" * 64) == [2, 0]
    assert kept(ring, "m", "c" * 64) == []


def test_bytes_are_of_all_models_together_and_the_one_that_has_most_gives_way() -> None:
    ring = ring_of(100, most_bytes=5 * EACH)
    for value in range(3):
        offer(ring, value, "a")
    for value in range(2):
        offer(ring, value, "b")
    assert (kept(ring, "a"), kept(ring, "b")) == ([2, 1, 0], [1, 0])
    offer(ring, 2, "b")
    assert (kept(ring, "a"), kept(ring, "b")) == ([2, 1], [2, 1, 0])
    offer(ring, 7, "c")
    assert (kept(ring, "a"), kept(ring, "b"), kept(ring, "c")) == ([2, 1], [2, 1], [7])


def test_newest_request_stays_though_it_is_the_heaviest() -> None:
    ring = ring_of(100, most_bytes=5 * EACH)
    offer(ring, 1, "a")
    offer(ring, 2, "a")
    offer(ring, 9, "b", elements=100)
    assert (kept(ring, "a"), kept(ring, "b")) == ([2], [9])


def test_heavy_request_takes_the_place_of_several() -> None:
    ring = ring_of(100, most_bytes=5 * EACH)
    for value in range(5):
        offer(ring, value)
    offer(ring, 9, elements=75)  # as heavy as three
    assert kept(ring) == [9, 4, 3]


def test_request_that_weighs_as_much_as_all_may_is_kept_alone() -> None:
    ring = ring_of(100, most_bytes=5 * EACH)
    offer(ring, 1, "a")
    offer(ring, 9, "b", elements=125)
    assert (kept(ring, "a"), kept(ring, "b")) == ([], [9])


def test_request_that_is_heavier_than_all_may_be_is_not_kept_and_costs_none() -> None:
    ring = ring_of(100, most_bytes=5 * EACH)
    offer(ring, 1)
    offer(ring, 9, elements=126)
    assert kept(ring) == [1]


def test_room_that_was_made_can_be_used_again() -> None:
    ring = ring_of(2, most_bytes=2 * EACH)
    for value in range(20):
        offer(ring, value, "ab"[value % 2])
    assert (kept(ring, "a"), kept(ring, "b")) == ([18], [19])


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (np.zeros((2, 3), np.float64), 48),
        (np.array(["a", "bcd"], object), 16 + 51 + 53),
        (["ab", [1.0]], 64 + 52 + 64 + 32),
        ([{3: 0.5}], 64 + 64 + 32 + 32),
        (None, 32),
    ],
)
def test_weight_counts_what_is_inside(value: Any, size: int) -> None:
    assert _weight(value) == size


def test_request_that_is_too_heavy_counts_for_the_rate(clock: Clock) -> None:
    ring = ring_of(per_second=4, most_bytes=100)
    offer(ring, 1, elements=1000)
    assert ring.samples("m") == []
    assert not ring.wants("m")


def test_sample_is_wanted_at_first_and_then_not_before_its_time(clock: Clock) -> None:
    ring = ring_of(per_second=4)
    assert ring.wants("m")
    offer(ring, 1)
    clock.now += 0.2
    assert not ring.wants("m")
    clock.now += 0.05
    assert ring.wants("m")


def test_rate_is_of_each_model(clock: Clock) -> None:
    ring = ring_of(per_second=4)
    offer(ring, 1, "a")
    assert (ring.wants("a"), ring.wants("b")) == (False, True)


def test_rate_may_be_less_than_one_a_second(clock: Clock) -> None:
    ring = ring_of(per_second=0.1)
    offer(ring, 1)
    clock.now += 9.9
    assert not ring.wants("m")
    clock.now += 0.2
    assert ring.wants("m")


def test_ring_of_nothing_wants_nothing_and_keeps_nothing() -> None:
    ring = ring_of(0)
    assert not ring.wants("m")
    offer(ring, 1)
    assert ring.samples("m") == []


def test_what_is_read_does_not_change_when_more_comes() -> None:
    ring = ring_of(2)
    offer(ring, 1)
    read = ring.samples("m")
    offer(ring, 2)
    assert [float(sample.inputs["x"][0]) for sample in read] == [1]


def test_bounds_hold_while_many_threads_offer_and_read() -> None:
    ring = ring_of(8, per_second=1e9, most_bytes=20 * EACH)
    faults: list[str] = []

    def work(model: str) -> None:
        for turn in range(300):
            offer(ring, turn, model, elements=25 * (1 + turn % 3))
            found = [ring.samples(name) for name in "abcd"]
            if any(len(each) > 8 for each in found):
                faults.append(f"{model} found too many at turn {turn}")
            if any(float(sample.inputs["x"][0]) != float(sample.inputs["x"][-1]) for each in found for sample in each):
                faults.append(f"{model} found a torn sample at turn {turn}")

    threads = [threading.Thread(target=work, args=(model,)) for model in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    weight = sum(sample.size_bytes for model in "abcd" for sample in ring.samples(model))
    assert ring._bytes == weight <= 20 * EACH
