"""What all listeners and connections of one server share. Entered by the loop thread alone, but for ``draining``."""

from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments

from daemon.http.held import Room
from daemon.http.poller import Poller
from daemon.http.pools import Pools
from daemon.http.ports import Connection, Entrance
from daemon.http.terms import Terms

UNBOUNDED = 1 << 62
"""waitress' own limit of a body: the guard's decides, per request."""


class Front:
    """What every listener and connection of one server shares. Owned by the loop thread.

    ``draining`` is read by the pools' threads too, which lose nothing by seeing it late.
    """

    def __init__(self, app: WSGIApplication, terms: Terms, pools: Pools) -> None:
        limits = terms.limits
        self.app = app
        self.terms = terms
        self.pools = pools
        self.poller = Poller()
        self.room = Room()
        self.channels: dict[int, Connection] = {}
        self.listeners: list[Entrance] = []
        self.connection_limit = limits.connection_limit
        self.draining = False
        self.adj = Adjustments(
            ident="modeldrop",
            server_name="modeldrop",
            recv_bytes=limits.recv_bytes,
            max_request_header_size=limits.header_bytes,
            max_request_body_size=UNBOUNDED,
            log_socket_errors=False,
            channel_request_lookahead=0,  # what a poller may leave out rests on it
        )

    @property
    def crowded(self) -> bool:
        """Whether a listener waits for room."""
        return any(listener.paused for listener in self.listeners)

    def make_room(self) -> bool:
        """Close the connection that was idle longest, if the limit is reached; whether there is room now."""
        return len(self.channels) < self.connection_limit or self.evict()

    def evict(self) -> bool:
        """Close the connection that was idle longest and has sent nothing since; whether there was one."""
        idle = [channel for channel in self.channels.values() if channel.idle]
        for channel in sorted(idle, key=lambda channel: channel.last_activity):
            if not channel.bytes_wait():
                channel.handle_close()
                return True
        return False

    def resume(self) -> None:
        """Let listeners that found no room look again."""
        for listener in self.listeners:
            listener.resume()
