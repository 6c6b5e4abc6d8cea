"""One release takes another's place: the commit, the swap, what is told of it, and what becomes of the one before.

It runs on the deployer's thread, but for ``give_up``, which request threads call.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from daemon.errors import Rejected, ShuttingDown, StoreDamaged
from daemon.history import Journal, age_seconds
from daemon.holder import ModelHolder, Serving
from daemon.lane import announcements
from daemon.lane.adopt import Adoption
from daemon.lane.back import instead_of
from daemon.lane.housekeeping import Housekeeping
from daemon.lane.lane import Lane
from daemon.lane.order import Entry
from daemon.lane.probation import Probation
from daemon.lane.stages import Stages
from daemon.release import Event, Release
from daemon.runtime import Engine, is_complete

LOG = logging.getLogger("modeldrop.deployer")

COMPLETE_AFTER_SECONDS = 1.0
"""When a release that serves gets what its engine still lacks: nobody waits for it, and a swap or a start has cost the
requests enough."""


class Succession:
    """The steps that every change of what serves has in common. Owned by the deployer, used by its thread alone.

    ``verify`` raises StoreDamaged where the stored bytes of a hash are not sound.
    """

    def __init__(
        self,
        lane: Lane,
        holder: ModelHolder,
        journal: Journal,
        adoption: Adoption,
        probation: Probation,
        housekeeping: Housekeeping,
        *,
        verify: Callable[[str], object],
    ) -> None:
        self._lane = lane
        self._holder = holder
        self._journal = journal
        self._adoption = adoption
        self._probation = probation
        self._housekeeping = housekeeping
        self._verify = verify

    def commit(self, release: Release, engine: Engine) -> None:
        """The commit point: from here on a restart serves ``release``. Closes ``engine`` where that fails."""
        try:
            self._journal.commit(release)
        except BaseException:
            engine.close()
            raise
        self._housekeeping.note_new(release.sha256)

    def tell(self, events: Sequence[Event]) -> None:
        """Writes down what has happened already: a journal that fails now cannot take the swap back."""
        try:
            self._journal.append_all(events)
        except Exception:
            LOG.exception("what serves has changed, but the journal could not be told")

    def take_over(
        self, release: Release, engine: Engine, stages: Stages, told: Callable[[], Sequence[Event]]
    ) -> Serving | None:
        """``release``, which is committed, serves from here on; ``told`` gives the events, once that is so."""
        retired = self._adoption.publish(release, engine, stages)
        if not is_complete(engine):
            due = time.monotonic() + COMPLETE_AFTER_SECONDS
            self._enter(Entry(model=release.model, act=partial(self._complete, release), due=due))
        self.tell(told())
        return retired

    def make_room(self, model: str) -> None:
        """Frees what stands by for ``model``, before another engine is loaded: one beside what serves is enough."""
        self._dismiss(model)
        self._adoption.free_drained()

    def put_on_probation(self, release: Release, retired: Serving | None) -> None:
        """Watches ``release``; what it took the place of stands by meanwhile, where that is wanted and fits."""
        way_back = self._probation.way_back_to(retired.release) if retired else ()
        is_watched = self._probation.begin(release, way_back)
        self._dismiss(release.model)
        if retired is not None and is_watched and self._probation.may_stand_by():
            self.tell([announcements.retired(retired.release)])
            self._adoption.stand_by(retired)
        else:
            self.let_go(retired)
        if is_watched:
            self._end_after(self._probation.seconds, release)

    def serve_again(self, release: Release, way_back: Sequence[Release], retired: Serving | None) -> None:
        """``release`` serves again for ``retired``: watched where there is a ``way_back``, as it did not prove itself.

        Nothing stands by then: what may have to serve instead would be loaded from the store.
        """
        if self._probation.begin(release, way_back):
            self._end_after(self._probation.seconds, release)
        self.let_go(retired)

    def go_on(self, release: Release, before: Release | None) -> None:
        """``release`` served when the daemon stopped; what was left of its probation then is over, or goes on."""
        seconds_left = min(self._probation.seconds, self._probation.seconds - age_seconds(release.time))
        way_back = (before,) if before is not None and seconds_left > 0 else ()
        if self._probation.begin(release, way_back, seconds=seconds_left):
            self._end_after(seconds_left, release)

    def unload(self, model: str) -> None:
        """Nothing of ``model`` serves or stands by."""
        self._probation.forget(model)
        self._dismiss(model)
        self.let_go(self._adoption.retire(model))

    def let_go(self, retired: Serving | None) -> None:
        """What was retired is freed once it is drained."""
        if retired is not None:
            self.tell([announcements.retired(retired.release)])
            self._free_when_drained(retired)

    def give_up(self, failed: Release, why: str) -> None:
        """Any thread: ``failed`` did not pass its probation."""
        self._enter(Entry(model=failed.model, act=partial(self._go_back, failed, why), urgent=True))

    def _go_back(self, failed: Release, why: str) -> Release | None:
        """The release before ``failed`` serves again, by a swap where its engine stands by."""
        serving = self._holder.release_of(failed.model)
        way_back = self._probation.way_back_from(failed)
        if serving is None or serving.version != failed.version or not way_back:
            return None  # somebody was quicker
        before, *further = way_back
        stages = Stages()
        try:
            engine = self._adoption.recall(before) or self._loaded(before, stages)
        except (Rejected, StoreDamaged) as error:
            LOG.error("version %d of %s cannot be gone back to: %s", before.version, failed.model, error)
            return None
        self._dismiss(failed.model)  # what a request still has on loan
        release = instead_of(failed, before, self._journal.next_version(failed.model))
        self.commit(release, engine)
        told = partial(announcements.given_up, release, failed, before.version, why, stages)
        retired = self.take_over(release, engine, stages, told)
        self.serve_again(release, further, retired)
        return release

    def _loaded(self, before: Release, stages: Stages) -> Engine:
        """The engine of ``before`` from the store; raises Rejected or StoreDamaged."""
        self.make_room(before.model)
        with stages.timed("store"):
            self._verify(before.sha256)
        return self._adoption.warm_engine(before, stages, in_haste=True)

    def _complete(self, release: Release) -> None:
        """What the engine of ``release`` still lacks is made of the same bytes, if it is loaded still."""
        if release not in self._holder.loaded(release.model):
            return
        try:
            self._verify(release.sha256)
            self._adoption.complete(release)
        except (Rejected, StoreDamaged) as error:
            LOG.warning("version %d of %s serves without all its sessions: %s", release.version, release.model, error)

    def _end_after(self, seconds: float, release: Release) -> None:
        due = time.monotonic() + seconds
        self._enter(Entry(model=release.model, act=partial(self._end_probation, release), due=due))

    def _end_probation(self, release: Release) -> None:
        if self._probation.end(release):
            self._dismiss(release.model)

    def _dismiss(self, model: str) -> None:
        if (dismissed := self._adoption.dismiss(model)) is not None:
            self._free_when_drained(dismissed)

    def _free_when_drained(self, retired: Serving) -> None:
        if not retired.drained.is_set():  # else it is freed right after this act
            nothing = Entry(model=retired.release.model)  # what follows every act is what frees
            self._holder.call_when_drained(retired, partial(self._enter, nothing))

    def _enter(self, entry: Entry) -> None:
        # The lane may have stopped already; then the deployer's ``stop`` frees what is left.
        with suppress(ShuttingDown):
            self._lane.enter([entry])
