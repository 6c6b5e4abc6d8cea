"""Heads of requests that were parsed before: clients send the same bytes again and again. For the loop thread alone."""

from collections.abc import Mapping
from typing import Any

MOST = 512
"""Heads that are kept; past them all are forgotten."""
LONGEST_BYTES = 2048


class Heads:
    """What waitress' parser made of a head, by its bytes. Owned by one loop; what it gives may not be changed."""

    def __init__(self) -> None:
        self._known: dict[bytes, Mapping[str, Any]] = {}

    def get(self, head: bytes) -> Mapping[str, Any] | None:
        """What was made of ``head``, if that is known."""
        return self._known.get(head)

    def keep(self, head: bytes, made: Mapping[str, Any]) -> None:
        """Keep what was ``made`` of ``head``, if it is short enough."""
        if len(head) <= LONGEST_BYTES:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[head] = made
