"""Who has to go: clients that are silent, slow or in the way of others. For the main thread."""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from math import inf

from daemon.http.values import Limits
from daemon.native.connections import Ages, Connection, ages_of, bytes_wait, connections_of, cut
from daemon.native.desk import Desk
from daemon.native.worker import Worker

MANY = 500
"""With more connections than that, looking at all of them is not done each second."""
SELDOM_SECONDS = 5.0
ON_ITS_WAY_SECONDS = 0.05
"""So long may a request be on its way from the kernel to Python, or an answer back, while nobody here knows of it."""


class Sweep:
    """Looks at the connections of ``workers`` from outside, and ends those whose clients take too long or sleep.

    A connection with an unanswered request is never its business; a refused body that still comes has a clock of its
    own. Of unix sockets the kernel tells too little: they are left to granian's own clock.
    """

    def __init__(self, desk: Desk, workers: Sequence[Worker], limits: Limits) -> None:
        self._desk = desk
        self._workers = workers
        self._limits = limits
        self._begun: dict[Connection, float] = {}
        """Since when the head of a request has been coming, where one is."""
        self._next = 0.0

    def count(self) -> int:
        """How many connections are open."""
        return len(self._all())

    def look(self, now: float) -> None:
        """Cut bodies, heads and readers that are too slow; ``now`` is ``time.monotonic()``."""
        for inflow in list(self._desk.inflows.values()):
            inflow.look(now)
        if now < self._next:
            return
        known = set(self._desk.answered)  # before the look: who comes during it stays known
        connections = self._all()
        self._next = now + SELDOM_SECONDS if len(connections) > MANY else 0.0
        for client in known.difference(each.client for each in connections):
            self._desk.answered.pop(client, None)
        restful = self._restful(connections)
        begun = [connection for connection, ages in restful if self._sends(connection.client, ages)]
        self._begun = {connection: self._begun.get(connection, now) for connection in begun}
        for connection, ages in restful:
            head_seconds = now - self._begun.get(connection, now)
            idle_seconds = self._idle_seconds(connection, ages, now)
            if idle_seconds > self._limits.idle_seconds or head_seconds > self._limits.header_seconds:
                cut(connection)

    def make_room(self, connection_limit: int) -> None:
        """Close idle connections of workers that are full, for those who wait: of others, they may be about to ask."""
        for worker in self._workers:
            waiting = worker.waiting
            connections = connections_of([worker.address]) if waiting else []
            if waiting and len(connections) >= connection_limit:
                self._evict(connections, waiting)

    def _evict(self, connections: Sequence[Connection], most: int) -> None:
        """Close up to ``most`` of those that were idle longest."""
        restful, now = self._restful(connections), time.monotonic()
        idle = [(self._idle_seconds(connection, ages, now), connection) for connection, ages in restful]
        longest_first = sorted(idle, key=lambda each: (-each[0], each[1].inode))
        asleep = (each for seconds, each in longest_first if seconds > ON_ITS_WAY_SECONDS and self._sleeps(each))
        for connection in islice(asleep, most):
            cut(connection)

    def is_quiet(self) -> bool:
        """Whether no client is in the middle of sending something."""
        return not any(inflow.lingers for inflow in list(self._desk.inflows.values())) and not any(
            self._sends(connection.client, ages) or bytes_wait(connection)
            for connection, ages in self._restful(self._all())
        )

    def cut_all(self) -> None:
        """End every connection."""
        for connection in self._all():
            cut(connection)

    def _all(self) -> list[Connection]:
        return connections_of([worker.address for worker in self._workers])

    def _restful(self, connections: Sequence[Connection]) -> list[tuple[Connection, Ages]]:
        """The TCP connections without an open request and without a body that is on its way, with their ages."""
        aged = [(connection, ages_of(connection)) for connection in connections]
        # After the ages, as there may be more; in steps, as others change them. Of who is gone, ``answered`` knows.
        busy = set(self._desk.open.values()).union(inflow.client for inflow in list(self._desk.inflows.values()))
        return [(each, ages) for each, ages in aged if ages is not None and each.client not in busy]

    def _sends(self, client: str, ages: Ages) -> bool:
        """Whether a request has begun to come: of a client that was answered, if it sent since."""
        return ages.received < ages.sent if client in self._desk.answered else ages.bytes_received > 0

    def _idle_seconds(self, connection: Connection, ages: Ages, now: float) -> float:
        """For how long no byte went or came, nor an answer was given to granian."""
        return min(ages.silent, now - self._desk.answered.get(connection.client, -inf))

    def _sleeps(self, connection: Connection) -> bool:
        """Whether nothing of it is on its way at this moment, whatever a look at all of them had to say."""
        return not bytes_wait(connection) and any(
            not (ages.is_sending or self._sends(connection.client, ages))
            and self._idle_seconds(connection, ages, time.monotonic()) > ON_ITS_WAY_SECONDS
            for _, ages in self._restful([connection])
        )


def until_true(true: Callable[[], bool], until: float, rest: Callable[[float], None], step_seconds: float) -> bool:
    """Wait, by ``rest``, until ``true``, but no longer than ``until`` (monotonic); what it came to."""
    while not true():
        left = until - time.monotonic()
        if left <= 0:
            return False
        rest(min(left, step_seconds))
    return True
