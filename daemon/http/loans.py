"""Memory that is lent to those who need it, up to a sum. Any thread."""

from collections.abc import Callable
from threading import RLock
from weakref import finalize


class Loans:
    """``total_bytes`` of memory, lent in parts of at most ``largest_bytes``. Thread-safe."""

    def __init__(self, total_bytes: int, largest_bytes: int) -> None:
        self._lock = RLock()  # a collection of garbage in ``lend`` may find a borrower, in the same thread
        self._free_bytes = total_bytes  # guarded by _lock
        self._largest_bytes = largest_bytes

    def lend(self, borrower: object, size: int) -> Callable[[], object] | None:
        """``size`` bytes for as long as ``borrower`` lives; what gives them back sooner, or None if there is no room.

        To give back again does nothing.
        """
        with self._lock:
            if size > self._largest_bytes or size > self._free_bytes:
                return None
            self._free_bytes -= size
        return finalize(borrower, self._take_back, size)

    @property
    def free_bytes(self) -> int:
        """How much is not lent: a figure to show."""
        return self._free_bytes

    def _take_back(self, size: int) -> None:
        with self._lock:
            self._free_bytes += size
