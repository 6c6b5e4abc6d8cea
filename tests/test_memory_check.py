"""The check for memory: what does not fit beside what serves is refused with the figures."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from daemon.errors import Rejected
from daemon.gate import Memory, Subject
from daemon.gate.memory import LEAST_BYTES, MB
from daemon.release import Candidate
from daemon.runtime import Headroom

SIZE_BYTES = 100 * MB


class Room:
    """Has so much available the first time, the second and so on; counts what was given up meanwhile."""

    def __init__(self, *available_bytes: int | None) -> None:
        self._available = list(available_bytes)
        self.freed = 0

    def headroom(self) -> Headroom | None:
        available = self._available.pop(0)
        return None if available is None else Headroom(available, 1000 * MB, "its cgroup")

    def free_up(self) -> None:
        self.freed += 1

    @property
    def is_used_up(self) -> bool:
        return not self._available


def examine(
    room: Room,
    *,
    factor: float = 2,
    reserve_bytes: int = 10 * MB,
    size_bytes: int = SIZE_BYTES,
    is_loaded: bool = False,
) -> None:
    check = Memory(room.headroom, factor=factor, reserve_bytes=reserve_bytes, free_up=room.free_up)
    candidate = Candidate("ab" * 32, Path("__model__.onnx"), "ab" * 32, size_bytes)
    assert check.examine(Subject(candidate, "default", is_loaded=is_loaded)) == {}


NEEDED_BYTES = LEAST_BYTES + 2 * SIZE_BYTES + 10 * MB


def test_candidate_that_fits_is_let_through_and_nothing_given_up() -> None:
    room = Room(NEEDED_BYTES)
    examine(room)
    assert room.freed == 0
    assert room.is_used_up


def test_candidate_that_fits_once_something_is_given_up_is_let_through() -> None:
    room = Room(NEEDED_BYTES - 1, NEEDED_BYTES)
    examine(room)
    assert room.freed == 1
    assert room.is_used_up


def test_candidate_whose_engine_stands_by_needs_nothing_and_is_not_given_up() -> None:
    room = Room()
    examine(room, is_loaded=True)
    assert room.freed == 0


def test_rehearsal_gives_nothing_up() -> None:
    room = Room(NEEDED_BYTES - 1)
    check = Memory(room.headroom, factor=2, reserve_bytes=10 * MB, free_up=room.free_up)
    candidate = Candidate("ab" * 32, Path("__model__.onnx"), "ab" * 32, SIZE_BYTES)
    with pytest.raises(Rejected):
        check.examine(Subject(candidate, "default", is_rehearsal=True))
    assert room.freed == 0


def test_candidate_that_does_not_fit_is_refused_with_the_figures() -> None:
    room = Room(50 * MB, 60 * MB)
    with pytest.raises(Rejected) as refusal:
        examine(room)
    assert room.freed == 1
    assert refusal.value.check == "memory"
    assert refusal.value.reason == (
        f"it needs about {(NEEDED_BYTES - 10 * MB) // MB} MB while it is loaded (2 times its 100 MB and "
        f"{LEAST_BYTES // MB}), but of the 1000 MB of its cgroup only 60 are available, and 10 of these are kept back "
        "(gate.memory)"
    )


@pytest.mark.parametrize("available", [[None], [0, None]], ids=["from the start", "once asked again"])
def test_candidate_is_let_through_where_nobody_knows_the_room(available: Iterable[int | None]) -> None:
    examine(Room(*available))


def test_smallest_model_needs_something() -> None:
    examine(Room(LEAST_BYTES), reserve_bytes=0, size_bytes=0)
    with pytest.raises(Rejected):
        examine(Room(LEAST_BYTES - 1, LEAST_BYTES - 1), reserve_bytes=0, size_bytes=0)


def test_factor_of_zero_asks_nothing() -> None:
    room = Room(0)
    examine(room, factor=0)
    assert not room.is_used_up
