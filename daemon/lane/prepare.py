"""The first half of a deploy: from a wish to a numbered release that may serve. It runs on the deployer's thread."""

from collections.abc import Callable

from daemon.errors import Rejected, StoreDamaged
from daemon.gate import Gate, Subject
from daemon.history import utc_now
from daemon.intake.store import Store
from daemon.lane.stages import Stages
from daemon.lane.wishes import Wish
from daemon.release import Candidate, Release


class Preparation:
    """Intake, then the gate. Owned by the deployer, used by its thread alone."""

    def __init__(self, store: Store, gate: Gate, next_version: Callable[[str], int]) -> None:
        self._store = store
        self._gate = gate
        self._next_version = next_version

    def bring(self, wish: Wish, stages: Stages) -> Candidate:
        """The wish's bytes as a candidate in the store; raises Rejected, SourceChanged or TooLarge."""
        with stages.timed("store"):
            try:
                return wish.source.bring(self._store)
            except StoreDamaged as error:
                raise Rejected("store", str(error)) from error

    def admit(self, wish: Wish, candidate: Candidate, serving: Release | None, stages: Stages) -> Release:
        """The release that ``candidate`` becomes when the gate lets it in; raises Rejected when it does not."""
        with stages.timed("gate"):
            proof = self._gate.admit(Subject(candidate, wish.model, wish.digests, serving))
        return Release(
            model=wish.model,
            version=self._next_version(wish.model),
            sha256=candidate.sha256,
            stored_as=str(candidate.path.relative_to(self._store.root)),
            model_path=wish.model_path,
            cause=wish.cause,
            time=utc_now(),
            signature=proof.signature,
            metadata=proof.metadata,
        )
