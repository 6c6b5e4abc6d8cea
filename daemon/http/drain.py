"""The end of a server: nothing new is taken, all that was begun is answered, in bounded time. For the loop thread."""

import time

from daemon.http.front import Front

TURN_SECONDS = 0.05
"""How often the deadlines are looked at; the last answer of a connection wakes the loop by itself."""

STOP_SECONDS = 0.2
"""What threads whose connections were cut get to notice it."""


def drain(front: Front) -> bool:
    """Answer what was begun, then close every connection; whether nothing had to be cut at ``drain_seconds``."""
    limits = front.terms.limits
    began = time.monotonic()
    until = began + limits.drain_seconds
    while True:
        for listener in front.listeners:
            listener.finish()
        if (now := time.monotonic()) >= until:
            break
        if now >= began + limits.grace_seconds:
            _close_idle(front)
        close_overdue(front, now)
        if not _unfinished(front):
            break
        front.poller.turn(min(TURN_SECONDS, until - now))
    return _cut(front, max(until, time.monotonic() + STOP_SECONDS))


def close_overdue(front: Front, now: float) -> None:
    """Close every connection whose client takes too long; ``now`` is ``time.monotonic()``."""
    for channel in list(front.channels.values()):
        if channel.overdue(now):
            channel.handle_close()


def _unfinished(front: Front) -> bool:
    """Whether somebody is left: connected, or told so by the kernel and waiting for room."""
    return bool(front.channels) or any(listener.open for listener in front.listeners)


def _cut(front: Front, until: float) -> bool:
    """Close what is left and end the threads by ``until`` (monotonic); whether nobody lost an answer by that."""
    waiting = any(listener.open for listener in front.listeners)
    cut = [channel for channel in front.channels.values() if channel.owes]
    for channel in list(front.channels.values()):
        channel.handle_close()
    ended = front.pools.stop(until)
    front.terms.spool.stop(time.monotonic() + STOP_SECONDS)  # whatever time the pools took
    return ended and not cut and not waiting


def _close_idle(front: Front) -> None:
    """Close connections that are silent; one whose request lies unread in the socket is left for the loop to read."""
    for channel in list(front.channels.values()):
        if channel.idle and not channel.bytes_wait():
            channel.handle_close()
