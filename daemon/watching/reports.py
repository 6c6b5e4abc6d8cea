"""What the scanner tells the world: events for arrivals, and one log line for what is left alone.

Entered by the scanner's thread.
"""

import logging
import time

from daemon.errors import Rejected
from daemon.history import Journal
from daemon.intake.naming import Ignored
from daemon.log import quoted
from daemon.release import Event
from daemon.watching.pending import Pending

LOG = logging.getLogger("modeldrop.watcher")


class Reports:
    """Says each thing once. ``fresh_ms`` is how long an incomplete file is no news: an ordinary copy is half done at
    first sight.
    """

    def __init__(self, journal: Journal, *, fresh_ms: int) -> None:
        self._journal = journal
        self._fresh_ns = fresh_ms * 1_000_000
        self._mentioned: set[str] = set()

    def ignored(self, model_path: str, why: Ignored) -> None:
        """A log line, once for each path."""
        if why.quiet or model_path in self._mentioned:
            return
        self._mentioned.add(model_path)
        LOG.info("ignored path=%s reason=%s", quoted(model_path), quoted(why.reason, always=True))

    def seen(self, pending: Pending) -> None:
        """Once for each arrival."""
        if not pending.is_announced:
            pending.is_announced = True
            self._journal.append(Event(event="seen", model=pending.model, model_path=pending.model_path))

    def waiting(self, pending: Pending) -> None:
        """Once for each arrival that is not complete after a moment."""
        self.seen(pending)
        if pending.is_waiting or time.monotonic_ns() - pending.since_ns < self._fresh_ns:
            return
        pending.is_waiting = True
        missing = pending.look.waiting_for if pending.look else ()
        self._journal.append(
            Event(
                event="waiting",
                model=pending.model,
                model_path=pending.model_path,
                reason=pending.reason,
                detail={"waiting_for": list(missing)} if missing else {},
            )
        )

    def rejected(self, pending: Pending, refusal: Rejected) -> None:
        """A file that needed no deploy to be refused."""
        self.seen(pending)
        self._journal.append(
            Event(
                event="rejected",
                model=pending.model,
                model_path=pending.model_path,
                cause="dropped",
                check=refusal.check,
                reason=refusal.reason,
            )
        )

    def removed(self, model: str, model_path: str) -> None:
        """A path is gone; what serves goes on serving."""
        self._journal.append(Event(event="removed", model=model, model_path=model_path))
