"""The first half of a deploy: from a wish to a numbered release that may serve. It runs on the deployer's thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from daemon.errors import Rejected, ShuttingDown, StoreDamaged
from daemon.gate import Gate, Report, Subject
from daemon.history import Journal, utc_now
from daemon.intake.store import Store
from daemon.lane.back import relapse
from daemon.lane.stages import Stages
from daemon.lane.wishes import Wish
from daemon.release import Candidate, Release
from daemon.trial import Interrupted


class Preparation:
    """Intake, then the gate. Owned by the deployer, used by its thread alone.

    ``expect_size`` raises Rejected for more bytes than a model may have, before they are copied. ``look_up`` reads what
    was proved of a model file, and holds it.
    """

    def __init__(
        self,
        store: Store,
        gate: Gate,
        journal: Journal,
        *,
        expect_size: Callable[[int], None],
        look_up: Callable[[Path], object],
    ) -> None:
        self._store = store
        self._gate = gate
        self._journal = journal
        self._expect_size = expect_size
        self._look_up = look_up

    def bring(self, wish: Wish, stages: Stages) -> Candidate:
        """The wish's bytes as a candidate in the store; raises Rejected, SourceChanged or TooLarge."""
        if (size_bytes := wish.source.size_bytes) is not None:
            self._expect_size(size_bytes)
        with stages.timed("store"):
            try:
                return wish.source.bring(self._store)
            except StoreDamaged as error:
                raise Rejected("store", str(error)) from error

    def examine(
        self,
        wish: Wish,
        candidate: Candidate,
        serving: Release | None,
        stages: Stages,
        *,
        is_rehearsal: bool = False,
        is_loaded: bool = False,
    ) -> Report:
        """What the gate says of ``candidate``; raises ShuttingDown when the daemon stops over it."""
        releases = self._journal.releases_about(wish.model, candidate.sha256)
        subject = Subject(
            candidate,
            wish.model,
            digests=wish.digests,
            serving=serving,
            is_known=wish.back_to is not None,
            beside=wish.source.beside,
            relapse=relapse(releases, candidate.sha256),
            is_rehearsal=is_rehearsal,
            is_loaded=is_loaded,
        )
        with stages.timed("gate"):
            try:
                report = self._gate.examine(subject)
            except Interrupted:
                raise ShuttingDown("the daemon is stopping") from None
        for verdict in report.verdicts:
            stages.note(f"gate.{verdict.check}", verdict.seconds)
        return report

    def release(self, wish: Wish, candidate: Candidate, report: Report) -> Release:
        """The release that ``candidate`` becomes when the gate lets it in; raises Rejected when it does not."""
        refusal = report.refusal(forced=wish.forced)
        if refusal is not None:
            raise refusal
        assert report.proof is not None  # who came through the trial has one
        return Release(
            model=wish.model,
            version=self._journal.next_version(wish.model),
            sha256=candidate.sha256,
            stored_as=str(candidate.path.relative_to(self._store.root)),
            model_path=wish.model_path,
            cause=wish.cause,
            time=utc_now(),
            signature=report.proof.signature,
            metadata=report.proof.metadata,
            trial=report.proof.trial,
        )

    def verified(self, sha256: str) -> Candidate:
        """A stored candidate whose bytes are sound; raises StoreDamaged.

        Its compiled form is as large, and is hashed at the same time: a start waits for both.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="store-verify") as beside:
            hashed = beside.submit(self._store.verify, sha256)
            self._look_up(self._store.candidate(sha256).path)
            return hashed.result()

    def prove(self, candidate: Candidate, model: str) -> None:
        """Has bytes that served before prove that they run here and now, where that is not known; raises Rejected."""
        try:
            self._gate.prove(Subject(candidate, model, is_known=True))
        except Interrupted:
            raise ShuttingDown("the daemon is stopping") from None
