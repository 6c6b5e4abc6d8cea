"""The pieces of a body as granian gives them: one at a time, to whoever asks. Entered by every thread that asks."""

from collections.abc import Callable
from typing import Any


class Stream:
    """What comes from one client. Asked by one thread at a time; closed by any, at any time."""

    def __init__(self, proto: Any) -> None:
        self._proto: Any = proto  # None once it is closed, so that is looked at in one step with its use
        self._pending: Any = None

    def start(self) -> None:
        """Have granian read a body, which it does for who is about to ask only."""
        self._proto.__aiter__()

    def ask(self, came: Callable[[Any], None]) -> None:
        """Have ``came`` called with what ``take`` turns into the next piece; never, once this is closed."""
        proto = self._proto
        if proto is None:
            return
        self._pending = pending = proto.__anext__()
        pending.add_done_callback(came)
        if self._proto is None:  # closed meanwhile, maybe by who found nothing to cancel yet
            self._cancel()

    def take(self, pending: Any) -> bytes | None:
        """The piece that came, empty at the end; None where it will not come."""
        self._pending = None
        piece: bytes | None = None if pending.cancelled() else pending.result()
        return piece

    def has_ended(self) -> bool:
        """Whether the empty piece was the end, and neither a failure of the connection nor a trailer."""
        proto = self._proto
        try:
            if proto is not None:
                proto.__anext__()
        except StopAsyncIteration:
            return True
        return False

    def close(self) -> None:
        """Ask for no more; a second call does nothing."""
        self._proto = None
        self._cancel()

    def _cancel(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
