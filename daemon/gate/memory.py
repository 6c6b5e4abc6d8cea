"""There is memory for the candidate beside what serves. It runs on the deployer's thread."""

from collections.abc import Callable, Mapping

from daemon.errors import Rejected
from daemon.gate.subject import Subject
from daemon.runtime import Headroom

MB = 1 << 20
LEAST_BYTES = 32 * MB
"""What a trial takes for the smallest model."""


class Memory:
    """Refuses with the figures what would have something killed for want of memory.

    A candidate needs ``factor`` times its size: while it is loaded, its bytes, its weights, what they are turned into,
    and what was written of that. ``reserve_bytes`` are left alone. ``free_up`` gives up what is only kept for
    comfort, and is called before anything is refused. A ``factor`` of 0 asks nothing, nor does what is loaded already.
    """

    name = "memory"

    def __init__(
        self,
        headroom: Callable[[], Headroom | None],
        *,
        factor: float,
        reserve_bytes: int,
        free_up: Callable[[], None],
    ) -> None:
        self._headroom = headroom
        self._factor = factor
        self._reserve_bytes = reserve_bytes
        self._free_up = free_up

    def examine(self, subject: Subject) -> Mapping[str, object]:
        if not self._factor or subject.is_loaded:
            return {}
        needed = int(LEAST_BYTES + self._factor * subject.candidate.size_bytes)
        room = self._headroom()
        if not self._fits(room, needed) and not subject.is_rehearsal:
            self._free_up()
            room = self._headroom()
        if room is not None and not self._fits(room, needed):
            raise Rejected(self.name, self._sentence(subject.candidate.size_bytes, needed, room))
        return {}

    def _fits(self, room: Headroom | None, needed: int) -> bool:
        return room is None or room.available_bytes - self._reserve_bytes >= needed

    def _sentence(self, size_bytes: int, needed: int, room: Headroom) -> str:
        return (
            f"it needs about {needed / MB:.0f} MB while it is loaded ({self._factor:g} times its {size_bytes / MB:.0f} "
            f"MB and {LEAST_BYTES // MB}), but of the {room.limit_bytes / MB:.0f} MB of {room.whose} only "
            f"{room.available_bytes / MB:.0f} are available, and {self._reserve_bytes / MB:.0f} of these are kept back "
            "(gate.memory)"
        )
