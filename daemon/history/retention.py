"""How long events are kept; entered by start-up and by whoever appends."""

import logging
import sqlite3
from threading import Lock

from daemon.errors import ShuttingDown
from daemon.history.database import Database

LOG = logging.getLogger("modeldrop.journal")

# Kept however old: every release's event, of each model the event that decides what a restart does, and the newest one
# (so that a model that ever had an event stays known).
_PRUNE = """
DELETE FROM events WHERE id <= ? AND outcome IS NOT 'live'
  AND id NOT IN (SELECT max(id) FROM events WHERE stands IS NOT NULL GROUP BY model)
  AND id NOT IN (SELECT max(id) FROM events GROUP BY model)
"""


class Retention:
    """Prunes events beyond the newest ``keep`` that belong to no release, every so many appends. Thread-safe."""

    def __init__(self, database: Database, *, keep: int, every: int) -> None:
        self._database = database
        self._keep = keep
        self._every = every
        self._lock = Lock()
        self._appended = 0  # since the last pruning; guarded by _lock

    def count(self, appended: int, *, last_id: int) -> None:
        """Count what was appended and prune when it is time; a failure is logged, what was appended stays."""
        if not self._due(appended):
            return
        try:
            self.prune(last_id)
        except (sqlite3.Error, ShuttingDown) as error:
            LOG.warning("old events are not pruned: %s", error)

    def prune(self, last_id: int) -> None:
        """Prune now. Raises ``sqlite3.Error`` when the file cannot be written."""
        with self._database.transaction() as writer:
            writer.execute(_PRUNE, (last_id - self._keep,))

    def _due(self, appended: int) -> bool:
        with self._lock:
            self._appended += appended
            if self._appended < self._every:
                return False
            self._appended = 0
            return True
