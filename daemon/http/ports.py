"""What each part of the HTTP layer sees of the one that holds it: so none has to import upwards. Types only."""

from typing import Any, Protocol
from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments

from daemon.http.held import Room
from daemon.http.poller import Poller
from daemon.http.pools import Pools
from daemon.http.terms import Terms


class Connection(Protocol):
    """What the front and the drain see of a connection. For the loop thread."""

    last_activity: float

    @property
    def idle(self) -> bool:
        """Whether nothing is asked of it and it is kept for a next request."""

    @property
    def owes(self) -> bool:
        """Whether its client waits for an answer, or for the rest of one."""

    def overdue(self, now: float) -> bool:
        """Whether its client takes too long; ``now`` is ``time.monotonic()``."""

    def bytes_wait(self) -> bool:
        """Whether the client sent something that was not read yet."""

    def handle_close(self) -> None:
        """Close it; a second call does nothing."""


class Entrance(Protocol):
    """What the front and the drain see of a listener. For the loop thread."""

    paused: bool

    @property
    def open(self) -> bool:
        """Whether it listens."""

    def resume(self) -> None:
        """Accept again, if it had stopped for want of room."""

    def finish(self) -> None:
        """Close, after taking those whom the kernel has told already that they are connected; or wait for room."""


class Acceptor(Protocol):
    """What a connection sees of the listener that accepted it."""

    adj: Adjustments
    application: WSGIApplication
    effective_port: int
    poller: Poller
    pools: Pools
    room: Room
    terms: Terms

    @property
    def draining(self) -> bool:
        """Whether the server answers what it has and takes nothing new. For any thread."""

    def room_made(self) -> None:
        """Hear that a connection closed. For the loop thread."""


class Outlet(Protocol):
    """What the thread that answers a request sees of its connection."""

    addr: tuple[str, int | None]
    requests: list[Any]
    server: Acceptor
    answered_early: bool

    @property
    def ends_with_this_answer(self) -> bool:
        """Whether the answer now written must be the connection's last."""

    def send_whole(self, data: bytes) -> None:
        """Send a whole answer, header and body."""

    def send_large(self, data: bytes | memoryview) -> None:
        """Send a part of an answer from where it lies."""

    def write_soon(self, data: bytes) -> int:
        """Send a part of an answer; what the socket does not take at once is copied."""
