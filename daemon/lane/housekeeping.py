"""What follows every act: drained engines are freed, new bytes and proofs made durable, old bytes pruned.

It runs on the deployer's thread, after the act's outcome is known, so it costs no answer.
"""

import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from daemon.history import Journal, prunable
from daemon.holder import ModelHolder
from daemon.intake.store import Store
from daemon.lane.adopt import Adoption

LOG = logging.getLogger("modeldrop.deployer")

RECENT_FACTOR = 10
"""Contents are looked for among so many times ``keep`` releases: those that go to and fro between two count once."""


class Housekeeping:
    """Owned by the deployer, used by its thread alone. Of each model the newest ``keep`` contents stay in the store.

    So does what ``fallbacks`` names by its hash.
    """

    def __init__(
        self,
        holder: ModelHolder,
        store: Store,
        journal: Journal,
        adoption: Adoption,
        *,
        seal: Callable[[], None],
        fallbacks: Callable[[], AbstractSet[str]],
        keep: int,
    ) -> None:
        self._seal = seal
        self._fallbacks = fallbacks
        self._holder = holder
        self._store = store
        self._journal = journal
        self._adoption = adoption
        self._keep = keep
        self._unsynced: list[str] = []

    def note_new(self, sha256: str) -> None:
        """Remembers bytes that a release was made of, to be made durable."""
        self._unsynced.append(sha256)

    def tidy(self) -> None:
        """Does what is due; a failure is logged, and tried again after the next act."""
        try:
            self._adoption.free_drained()
            while self._unsynced:
                self._store.sync(self._unsynced.pop())
            self._prune()
            self._seal()  # what was proved of bytes that are kept
        except Exception:  # whatever it is, the lane's thread must outlive it
            LOG.exception("the store could not be tidied")

    def _prune(self) -> None:
        recent = self._keep * RECENT_FACTOR
        releases = {model: self._journal.releases(model, limit=recent) for model in self._journal.models()}
        serving = {release.sha256 for release in self._holder.releases().values()}
        for sha256 in prunable(self._store.entries(), releases, serving | self._fallbacks(), self._keep):
            self._store.discard(sha256)
