"""The spine: every change of what serves is one of the acts below, and passes the one lane.

Any thread asks; the acts run on the thread "deployer". ``deploy`` reads as the way of a file does.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from daemon.errors import DeployFailed, ModeldropError, Rejected, UnknownModel, UnknownVersion
from daemon.gate import Report
from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.intake.store import Store
from daemon.lane import Entry, Lane, Outcome, Rehearsal, Stages, StoredSource, Wish, announcements
from daemon.lane.adopt import Adoption
from daemon.lane.back import earlier, predecessor
from daemon.lane.prepare import Preparation
from daemon.lane.restore import newest_intact, renumbered
from daemon.lane.succession import Succession
from daemon.lane.wishes import RehearsedKind
from daemon.release import Candidate, Release
from daemon.runtime import Engine

LOG = logging.getLogger("modeldrop.deployer")


class Deployer:
    """Makes wishes true. Thread-safe; owns the lane and, through the adoption, every retired engine.

    ``end_trials`` ends the trial that runs, so that the lane can end too.
    """

    def __init__(
        self,
        *,
        lane: Lane,
        holder: ModelHolder,
        store: Store,
        journal: Journal,
        preparation: Preparation,
        adoption: Adoption,
        succession: Succession,
        end_trials: Callable[[], None],
    ) -> None:
        self._lane = lane
        self._holder = holder
        self._store = store
        self._journal = journal
        self._preparation = preparation
        self._adoption = adoption
        self._succession = succession
        self._end_trials = end_trials

    def start(self) -> None:
        self._lane.start()

    def stop(self) -> bool:
        """Ends the lane, then frees every engine: nobody is served any more. False when an act will not end."""
        self._end_trials()
        if not self._lane.stop():
            return False
        self._adoption.clear()
        return True

    def submit(self, wishes: Sequence[Wish]) -> list["Future[Outcome]"]:
        """Queues ``wishes``, which arrive together; each future holds what became of its wish.

        A future raises SourceChanged when the file changed while it was copied, TooLarge for a stream over its limit,
        ShuttingDown when the daemon stops first.
        """
        return self._lane.enter([self._entry_of(wish) for wish in wishes])

    def rehearse(self, wish: Wish) -> "Future[Rehearsal]":
        """What would become of ``wish``: the whole gate, and no change. The future raises as ``submit``'s do."""
        return self._enter(wish.model, partial(self._rehearse, wish))

    def rollback(self, model: str, version: int | None, *, forced: bool = False) -> "Future[Outcome]":
        """Serves the bytes of an earlier release again, as a new one; by default the newest that differ from now's.

        The future raises UnknownModel or UnknownVersion where there is nothing to go back to.
        """
        return self._enter(model, lambda: self._deploy(self._way_back(model, version, forced=forced)))

    def rehearse_rollback(self, model: str, version: int | None, *, forced: bool = False) -> "Future[Rehearsal]":
        """What would become of a rollback; raises as ``rollback`` does."""
        return self._enter(model, lambda: self._rehearse(self._way_back(model, version, forced=forced)))

    def unload(self, model: str) -> "Future[Release]":
        """Stops serving ``model`` until something is loaded or deployed for it; the future raises UnknownModel."""
        return self._enter(model, partial(self._unload, model))

    def load(self, model: str) -> "Future[Release]":
        """Serves the newest release of ``model`` again if none serves; the future raises UnknownModel or Rejected."""
        return self._enter(model, partial(self._load, model))

    def restore(self) -> list["Future[Release | None]"]:
        """Queues what served before the daemon stopped; each future is done when its model serves again, or cannot."""
        standing = [each for each in self._journal.standing().values() if not each.unloaded]
        return [self._enter(each.model, partial(self._restore, each.model)) for each in standing]

    def candidate_of(self, model: str) -> dict[str, str] | None:
        """What is on its way for ``model`` in the lane: its path, and whether it is ``queued`` or ``deploying``."""
        running, waiting = self._lane.of_model(model)
        if running is not None and running.model_path:
            return {"model_path": running.model_path, "stage": "deploying"}
        queued = [entry.model_path for entry in waiting if entry.model_path]
        return {"model_path": queued[0], "stage": "queued"} if queued else None

    def _entry_of(self, wish: Wish) -> Entry:
        return Entry(
            model=wish.model,
            model_path=wish.model_path,
            changed_ns=wish.changed_ns,
            act=partial(self._deploy, wish),
            overtake=partial(self._supersede, wish),
        )

    def _enter(self, model: str, act: Callable[[], Any]) -> "Future[Any]":
        return self._lane.enter([Entry(model=model, act=act)])[0]

    # The acts: the deployer's thread alone.

    def _deploy(self, wish: Wish) -> Outcome:
        stages = Stages(settle_seconds=wish.settle_seconds)
        candidate: Candidate | None = None
        report = None
        try:
            candidate = self._preparation.bring(wish, stages)
            serving = self._holder.release_of(wish.model)
            if serving is not None and _is_what_serves(wish, candidate, serving):
                return self._keep(wish, serving, stages)
            serving, report = self._examined(wish, candidate, stages)
            if serving is not None and _is_what_serves(wish, candidate, serving):
                return self._keep(wish, serving, stages)
            release = self._preparation.release(wish, candidate, report)
            engine = self._adoption.recall(release) or self._loaded(wish, release, stages)
            self._succession.commit(release, engine)
            told = partial(announcements.live, wish, release, serving, stages, report)
            retired = self._succession.take_over(release, engine, stages, told)
            self._succession.put_on_probation(release, retired)
            return Outcome(kind="live", release=release, sha256=candidate.sha256)
        except Rejected as refusal:
            sha256 = candidate.sha256 if candidate else None
            self._journal.append(announcements.rejected(wish, sha256, refusal, stages, report))
            return Outcome(kind="rejected", sha256=sha256, refusal=refusal)
        except ModeldropError:
            raise
        except Exception:
            LOG.exception("the deploy of %s failed", wish.model_path)
            # Without its hash: as nothing was said of its content, the file is taken up again when it is touched.
            self._journal.append(announcements.rejected(wish, None, DeployFailed(), stages))
            return Outcome(kind="rejected", refusal=DeployFailed())

    def _rehearse(self, wish: Wish) -> Rehearsal:
        stages = Stages()
        try:
            candidate = self._preparation.bring(wish, stages)
        except Rejected as refusal:
            return Rehearsal(kind="rejected", model_path=wish.model_path, sha256=None, refusal=refusal, report=None)
        serving, report = self._examined(wish, candidate, stages, is_rehearsal=True)
        standing = report.refusal(forced=wish.forced)
        is_same = serving is not None and _is_what_serves(wish, candidate, serving)
        kind: RehearsedKind = "unchanged" if is_same else "rejected" if standing else "live"
        return Rehearsal(
            kind=kind, model_path=wish.model_path, sha256=candidate.sha256, refusal=standing, report=report
        )

    def _supersede(self, wish: Wish) -> Outcome:
        self._journal.append(announcements.superseded(wish))
        return Outcome(kind="superseded")

    def _way_back(self, model: str, version: int | None, *, forced: bool) -> Wish:
        self._need(model)
        serving = self._holder.release_of(model)
        target = earlier(model, self._journal.releases(model), serving, self._store.entries(), version)
        source = StoredSource(target.sha256)
        return Wish(
            model=model, model_path=target.model_path, cause="rolled_back", source=source, back_to=target, forced=forced
        )

    def _unload(self, model: str) -> Release:
        self._need(model)
        release = self._holder.release_of(model)
        if release is None:
            return self._newest(model)
        self._journal.append(announcements.unloaded(release), durable=True)
        self._succession.unload(model)
        return release

    def _load(self, model: str) -> Release:
        if (serving := self._holder.release_of(model)) is not None:
            return serving
        self._need(model)
        self._newest(model)
        if (restored := self._restore(model)) is None:
            raise Rejected("store", f"no release of model {model!r} is intact")
        return restored

    def _restore(self, model: str) -> Release | None:
        stages = Stages()
        releases = self._journal.releases(model)
        intact, faults = newest_intact(releases, self._preparation, self._adoption, stages)
        if intact is None:
            self._journal.append(announcements.lost(model, faults))
            return None
        release = intact.release
        if faults:
            release = renumbered(release, self._journal.next_version(model))
            self._succession.commit(release, intact.engine)
        is_told = self._journal.is_told(release)
        told = partial(announcements.restored, release, faults, stages, told=is_told)
        self._succession.take_over(release, intact.engine, stages, lambda: [told()])
        before = predecessor(release, releases, self._store.entries())
        self._succession.go_on(release, before)
        return release

    # The steps of the acts.

    def _examined(
        self, wish: Wish, candidate: Candidate, stages: Stages, *, is_rehearsal: bool = False
    ) -> tuple[Release | None, Report]:
        """What the gate says, beside what serves: anew where a release was given up for another meanwhile."""
        while True:
            serving = self._holder.release_of(wish.model)
            report = self._preparation.examine(
                wish,
                candidate,
                serving,
                stages,
                is_rehearsal=is_rehearsal,
                is_loaded=self._adoption.can_recall(wish.model, candidate.sha256),
            )
            if self._holder.release_of(wish.model) is serving:
                return serving, report

    def _loaded(self, wish: Wish, release: Release, stages: Stages) -> Engine:
        self._succession.make_room(release.model)
        return self._adoption.warm_engine(release, stages, in_haste=wish.back_to is not None)

    def _need(self, model: str) -> None:
        if model not in self._journal.models():
            raise UnknownModel(f"there is no model {model!r}")

    def _newest(self, model: str) -> Release:
        newest = self._journal.releases(model, limit=1)
        if not newest:
            raise UnknownVersion(f"model {model!r} has no release")
        return newest[0]

    def _keep(self, wish: Wish, serving: Release, stages: Stages) -> Outcome:
        self._journal.append(announcements.unchanged(wish, serving, stages))
        return Outcome(kind="unchanged", release=serving, sha256=serving.sha256)


def _is_what_serves(wish: Wish, candidate: Candidate, serving: Release) -> bool:
    """Whether nothing has to be done; bytes that are not those that were stated are for the gate to refuse."""
    vouched_for = all(digest == candidate.file_sha256 for digest in wish.digests)
    return vouched_for and candidate.sha256 == serving.sha256
