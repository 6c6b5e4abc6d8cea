"""The bell of the event feed: readers wait for an id beyond the one they know; entered by any thread."""

from threading import Condition
from time import monotonic


class Feed:
    """The newest announced event id and a condition to wait on it. Thread-safe; owned by the journal."""

    def __init__(self, last_id: int) -> None:
        self._condition = Condition()
        self._last_id = last_id  # guarded by _condition
        self._released = False  # guarded by _condition

    def announce(self, event_id: int) -> None:
        """Wake everyone who waits for an id up to this one. Announcements may come out of order."""
        with self._condition:
            self._last_id = max(self._last_id, event_id)
            self._condition.notify_all()

    def last_id(self) -> int:
        """The newest id announced."""
        with self._condition:
            return self._last_id

    def wait_beyond(self, seen: int, *, deadline: float) -> bool:
        """Wait for an id beyond ``seen``; False when ``deadline`` (of ``time.monotonic``) passed or no one may wait."""
        with self._condition:
            self._condition.wait_for(lambda: self._released or self._last_id > seen, timeout=deadline - monotonic())
            return self._last_id > seen and not self._released and monotonic() < deadline

    def release(self) -> None:
        """Let everyone go who waits, and whoever comes to wait later."""
        with self._condition:
            self._released = True
            self._condition.notify_all()
