"""Where a request is answered: by the loop, by a thread of one of two pools, alone or with others. Thread-safe."""

import logging
from dataclasses import replace
from typing import Protocol

from daemon.http.lines import Lines, Member
from daemon.http.pool import Pool, PoolLoad
from daemon.http.values import Expected, Grouping, HttpError, IsSlow, Limits

LOG = logging.getLogger("modeldrop.http")

QUICK_BODY_BYTES = 16 << 10
"""What the loop may answer itself is no longer, whatever is expected of it."""
QUICK_SECONDS = 100e-6
"""What takes less is answered by the loop: to hand it to another thread and back would cost more than the answer."""
BRIEF_SECONDS = 500e-6
"""So is what takes less than this, as long as nobody else asks for anything."""
LONELY = 16
"""So many requests must have had no company, one after the other, for a client to count as the only one."""


class Asked(Protocol):
    """What the choice of a thread depends on: a request whose head is known, and the length of its body if it has one.

    ``content_length`` says nothing of a body that comes ``chunked``.
    """

    @property
    def command(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def chunked(self) -> bool: ...
    @property
    def content_length(self) -> int: ...


class Pools:
    """Two pools, so that a prediction never waits behind a deploy or a long poll. Thread-safe."""

    def __init__(self, limits: Limits, is_slow: IsSlow, expected_seconds: Expected, grouping: Grouping) -> None:
        self._is_slow = is_slow
        self._expected_seconds = expected_seconds
        self._without_company = 0  # requests in a row; the reader's
        self._ended: bool | None = None
        self.fast = Pool("request", threads=limits.threads, max_queue=limits.max_queue)
        self._lines = Lines(self.fast, grouping, max_waiting=limits.max_queue)
        self.slow = Pool("slow", threads=limits.slow_threads, max_queue=limits.max_slow_queue)

    def start(self) -> None:
        """Start both pools."""
        self.fast.start()
        self.slow.start()

    def is_needless(self, request: Asked, *, company: int) -> bool:
        """Whether a whole ``request`` is better answered by whoever read it: the loop.

        ``company`` is how many others have something to say just now.
        """
        if request.chunked or request.content_length > QUICK_BODY_BYTES:
            return False
        try:
            seconds = self._expected_seconds(request.command, request.path)
        except Exception:
            LOG.exception("how long a request takes could not be told")
            return False
        return seconds < QUICK_SECONDS or (seconds < BRIEF_SECONDS and self._is_lonely(company))

    def _is_lonely(self, company: int) -> bool:
        if company or self._lines.waiting:
            self._without_company = 0
        elif self.fast.is_busy:
            return False  # perhaps with the answer that its client has by now: that says nothing
        else:
            self._without_company += 1
        return self._without_company > LONELY

    def submit(self, work: Member, request: Asked) -> HttpError | None:
        """Queue ``work`` where its ``request`` belongs; or return the answer that it gets instead."""
        if self._takes_long(request):
            return self.slow.submit(work)
        return self._lines.submit(work, request.command, request.path)

    def submit_alone(self, work: Member) -> None:
        """Queue ``work``, which could not be answered at once or together with others."""
        self.fast.submit_next(work)

    def loads(self) -> tuple[PoolLoad, PoolLoad]:
        """Return how busy the fast and the slow pool are."""
        fast, in_lines = self.fast.load(), self._lines.waiting
        return replace(fast, waiting=fast.waiting + in_lines, in_lines=in_lines), self.slow.load()

    def stop(self, until: float) -> bool:
        """Stop both pools by ``until`` (monotonic); whether no thread was left behind. A second call does nothing."""
        if self._ended is None:
            self.fast.finish()
            self.slow.finish()  # before the first is waited for: it may take all the time there is
            self._ended = self.fast.join(until) & self.slow.join(until)  # both, whatever the first says
        return self._ended

    def _takes_long(self, request: Asked) -> bool:
        try:
            return self._is_slow(request.command, request.path, request.query)
        except Exception:
            LOG.exception("whether a request is slow could not be told")
            return False
