"""What is made for a release: once for each dialect, and only as long as the release is loaded."""

from dataclasses import replace

import numpy as np
import pytest

from daemon.holder import Serving
from daemon.release import Release, Signature, TensorSpec
from daemon.web.asking import Dialect, Read
from daemon.web.faces import QUICK_SECONDS, TIMED_ONCE_IN, Face, face_of, known_face_of
from tests.fakes import FakeEngine, release_of


def counted(name: str, made: list[str]) -> Dialect:
    """A dialect that notes for which releases it was made to read."""

    def reader_of(release: Release) -> Read:
        made.append(f"{name} {release.version}")
        return lambda _asked, _body: ({}, lambda _outputs: NotImplemented)

    return Dialect(name, (), reader_of, {})


def test_reader_is_made_once_for_a_release_and_a_dialect() -> None:
    made: list[str] = []
    one, other = counted("one", made), counted("other", made)
    face = Face(release_of(3))
    assert face.tongue(one) is face.tongue(one)
    assert face.tongue(other) is not face.tongue(one)
    assert made == ["one 3", "other 3"]


def test_what_serves_keeps_its_face() -> None:
    serving = Serving(release_of(1), FakeEngine())
    assert known_face_of(serving) is None
    assert face_of(serving) is face_of(serving) is known_face_of(serving)
    assert face_of(serving).release is serving.release


def test_face_is_one_whoever_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Serving(release_of(1), FakeEngine())
    made: list[Face] = []

    def slowly(release: Release) -> Face:
        face = Face(release)
        if not made:
            made.append(face)
            made.append(face_of(serving))  # another thread is faster
        return face

    monkeypatch.setattr("daemon.web.faces.Face", slowly)
    assert face_of(serving) is made[1]
    assert made[0] is not made[1]


@pytest.mark.parametrize(("shape", "rows"), [((3, 2), 3), ((0, 2), 0), ((60000, 0), 0), ((1, 1), 1)])
def test_items_of_a_request_are_those_that_have_elements(shape: tuple[int, ...], rows: int) -> None:
    signature = Signature((TensorSpec("x", "float32", ("n", "m")),), ())
    face = Face(replace(release_of(1), signature=signature))
    assert face.rows({"x": np.empty(shape, np.float32)}) == rows


def test_release_that_is_loaded_again_has_another_face() -> None:
    release = release_of(1)
    assert face_of(Serving(release, FakeEngine())) is not face_of(Serving(release, FakeEngine()))


def test_what_took_little_the_first_time_is_not_quick_yet_and_what_took_long_counts_in_full() -> None:
    face = Face(release_of(1))
    face.took(1e-6)
    assert face.seconds == QUICK_SECONDS
    slow = Face(release_of(1))
    slow.took(0.06)
    assert slow.seconds == 0.06


@pytest.mark.parametrize(
    ("took", "quick"), [([], True), ([50e-3], True), ([50e-3, 50e-3, 50e-3], False), ([0.5e-3] * 9, False)]
)
def test_quick_release_counts_as_slow_after_several_slow_predictions_not_after_one(
    monkeypatch: pytest.MonkeyPatch, took: list[float], quick: bool
) -> None:
    now = 0.0
    monkeypatch.setattr("daemon.web.faces.time.thread_time", lambda: now)
    face = Face(release_of(1))
    for seconds in [20e-6] * 40 + took:
        for _ in range(TIMED_ONCE_IN):
            started = face.started()
            now += seconds
            face.ended(started)
    assert (face.seconds < QUICK_SECONDS) is quick
