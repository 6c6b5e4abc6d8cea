"""The spine: every change of what serves is one of the acts below, and passes the one lane.

Any thread asks; the acts run on the thread "deployer". ``deploy`` reads as the way of a file does.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from daemon.errors import DeployFailed, ModeldropError, Rejected, ShuttingDown, UnknownModel, UnknownVersion
from daemon.history import Journal
from daemon.holder import ModelHolder, Serving
from daemon.intake.store import Store
from daemon.lane import Entry, Lane, Outcome, Stages, StoredSource, Wish, announcements
from daemon.lane.adopt import Adoption
from daemon.lane.back import earlier
from daemon.lane.housekeeping import Housekeeping
from daemon.lane.prepare import Preparation
from daemon.lane.restore import newest_intact, renumbered
from daemon.release import Candidate, Event, Release
from daemon.runtime import Engine

LOG = logging.getLogger("modeldrop.deployer")


class Deployer:
    """Makes wishes true. Thread-safe; owns the lane and, through the adoption, every retired engine."""

    def __init__(
        self,
        *,
        holder: ModelHolder,
        store: Store,
        journal: Journal,
        preparation: Preparation,
        adoption: Adoption,
        keep: int,
    ) -> None:
        self._holder = holder
        self._store = store
        self._journal = journal
        self._preparation = preparation
        self._adoption = adoption
        self._housekeeping = Housekeeping(holder, store, journal, adoption, keep=keep)
        self._lane = Lane(after_each=self._housekeeping.tidy)

    def start(self) -> None:
        self._lane.start()

    def stop(self) -> bool:
        """Ends the lane, then frees every engine: nobody is served any more. False when an act will not end."""
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

    def rollback(self, model: str, version: int | None) -> "Future[Outcome]":
        """Serves the bytes of an earlier release again, as a new one; by default the newest that differ from now's.

        The future raises UnknownModel or UnknownVersion where there is nothing to go back to.
        """
        return self._enter(model, partial(self._rollback, model, version))

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
        sha256: str | None = None
        try:
            candidate = self._preparation.bring(wish, stages)
            sha256 = candidate.sha256
            serving = self._holder.release_of(wish.model)
            if serving is not None and _is_what_serves(wish, candidate, serving):
                return self._keep(wish, serving, stages)
            release = self._preparation.admit(wish, candidate, serving, stages)
            engine = self._adoption.warm_engine(release, stages)
            self._commit(release, engine)
            retired = self._adoption.publish(release, engine, stages)
            self._tell(announcements.live(wish, release, serving, stages))
            self._let_go(retired)
            return Outcome(kind="live", release=release, sha256=sha256)
        except Rejected as refusal:
            return self._reject(wish, sha256, refusal, stages)
        except ModeldropError:
            raise
        except Exception:
            LOG.exception("the deploy of %s failed", wish.model_path)
            # Without its hash: as nothing was said of its content, the file is taken up again when it is touched.
            return self._reject(wish, None, DeployFailed(), stages)

    def _supersede(self, wish: Wish) -> Outcome:
        self._journal.append(announcements.superseded(wish))
        return Outcome(kind="superseded")

    def _rollback(self, model: str, version: int | None) -> Outcome:
        self._need(model)
        serving = self._holder.release_of(model)
        target = earlier(model, self._journal.releases(model), serving, self._store.entries(), version)
        source = StoredSource(target.sha256)
        wish = Wish(model=model, model_path=target.model_path, cause="rolled_back", source=source, back_to=target)
        return self._deploy(wish)

    def _unload(self, model: str) -> Release:
        self._need(model)
        release = self._holder.release_of(model)
        if release is None:
            return self._newest(model)
        self._journal.append(announcements.unloaded(release), durable=True)
        self._let_go(self._adoption.retire(model))
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
        intact, faults = newest_intact(self._journal.releases(model), self._store, self._adoption, stages)
        if intact is None:
            self._journal.append(announcements.lost(model, faults))
            return None
        release = intact.release
        if faults:
            release = renumbered(release, self._journal.next_version(model))
            self._commit(release, intact.engine)
        self._adoption.publish(release, intact.engine, stages)
        told = self._journal.is_told(release)
        self._tell([announcements.restored(release, faults, stages, told=told)])
        return release

    # The steps of the acts.

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

    def _commit(self, release: Release, engine: Engine) -> None:
        """The commit point: from here on a restart serves ``release``."""
        try:
            self._journal.commit(release)
        except BaseException:
            engine.close()
            raise
        self._housekeeping.note_new(release.sha256)

    def _reject(self, wish: Wish, sha256: str | None, refusal: Rejected, stages: Stages) -> Outcome:
        self._journal.append(announcements.rejected(wish, sha256, refusal, stages))
        return Outcome(kind="rejected", sha256=sha256, refusal=refusal)

    def _tell(self, events: Sequence[Event]) -> None:
        """Writes down what has happened already: a journal that fails now cannot take the swap back."""
        try:
            self._journal.append_all(events)
        except Exception:
            LOG.exception("what serves has changed, but the journal could not be told")

    def _let_go(self, retired: Serving | None) -> None:
        if retired is None:
            return
        self._tell([announcements.retired(retired.release)])
        if not retired.drained.is_set():  # else it is freed right after this act
            self._holder.call_when_drained(retired, partial(self._free_in_turn, retired.release.model))

    def _free_in_turn(self, model: str) -> None:
        # The last lease may come back after the lane has stopped; then ``stop`` frees the engine.
        with suppress(ShuttingDown):
            self._enter(model, lambda: None)  # what follows every act is what frees


def _is_what_serves(wish: Wish, candidate: Candidate, serving: Release) -> bool:
    """Whether nothing has to be done; bytes that are not those that were stated are for the gate to refuse."""
    vouched_for = all(digest == candidate.file_sha256 for digest in wish.digests)
    return vouched_for and candidate.sha256 == serving.sha256
