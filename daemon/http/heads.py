"""Heads of requests that came before: clients send the same ones again and again. For one thread, that of its owner."""

from typing import Generic, TypeVar

MOST = 512
"""Heads that are kept; past them all are forgotten."""
LONGEST_BYTES = 2048

Given = TypeVar("Given")
Made = TypeVar("Made")


class Heads(Generic[Given, Made]):
    """What was made of a head, by what was given of it: all of it, so that nobody gets what is another's.

    Owned by one thread; what it gives may not be changed.
    """

    def __init__(self) -> None:
        self._known: dict[Given, Made] = {}
        self._missed: set[int] = set()
        self.get = self._known.get
        """What was made of a head, if that is known."""

    def came_before(self, head: Given) -> bool:
        """Whether ``head`` was asked about before, of late: what bears the number of its request never comes again."""
        if hash(head) in self._missed:
            return True
        if len(self._missed) >= MOST:
            self._missed.clear()
        self._missed.add(hash(head))
        return False

    def keep(self, head: Given, made: Made, size: int) -> None:
        """Keep what was ``made`` of ``head``, if its ``size`` in bytes is small enough."""
        if size <= LONGEST_BYTES:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[head] = made
