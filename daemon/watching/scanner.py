"""The scan decides: it compares what lies in the drop directory with what is known, and converges.

Entered by the scanner's thread alone, but for ``waiting_for`` and ``under_way``.
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from daemon.errors import Rejected, ShuttingDown, SourceChanged
from daemon.history import Journal, Sighting
from daemon.intake.completeness import Look, LookState
from daemon.intake.copying import Part
from daemon.intake.naming import Found, Placed
from daemon.lane import FileSource, Outcome, Wish
from daemon.watching.memory import Memory
from daemon.watching.pending import Pending
from daemon.watching.reports import Reports
from daemon.watching.settling import (
    Parts,
    sighting_of_hopeless,
    sighting_of_refused,
    sighting_of_settled,
    sighting_of_touched,
    was_refused_for_its_sidecar,
)
from daemon.watching.stamps import is_as_it_was, lie_as_seen, may_be_same_file
from daemon.watching.view import DropDirectory, Patience, View


class Scanner:
    """Remembers every path of the drop directory and turns what is new into wishes.

    ``submit`` is the deployer's, ``read`` the reader's; ``closed`` says whether a writer closed a path since it was
    last asked; ``wake`` is called, on any thread, when an arrival is settled. ``noticed`` is told of each
    wish that a drop came to, before it is submitted.
    """

    def __init__(
        self,
        drop: DropDirectory,
        patience: Patience,
        *,
        journal: Journal,
        submit: Callable[[Sequence[Wish]], Sequence["Future[Outcome]"]],
        read: Callable[[Sequence[Part]], "Future[str | None]"],
        closed: Callable[[str], bool],
        wake: Callable[[], None],
        noticed: Callable[[Wish], None] = lambda _wish: None,
    ) -> None:
        self._drop = drop
        self._view = View(drop, patience, closed)
        self._submit = submit
        self._read = read
        self._wake = wake
        self._noticed = noticed
        self._memory = Memory(journal, read)
        self._pending: dict[str, Pending] = {}
        self._reports = Reports(journal, fresh_ms=patience.settle_ms)
        self._waiting: dict[str, dict[str, str]] = {}  # replaced as a whole, read by any thread
        self._under_way: tuple[Future[Outcome], ...] = ()  # replaced as a whole, read by any thread

    def scan(self) -> float:
        """One pass over the drop directory; gives the seconds after which another is worth while without an event.

        Raises OSError when the directory is there but cannot be listed: then nothing is concluded from it.
        """
        self._settle_done()
        self._memory.add_digests()
        found = self._view.listed(self._reports.ignored)
        wishes = [(path, wish) for path, each in found.items() if (wish := self._look(path, each)) is not None]
        for path in (self._memory.paths() | self._pending.keys()) - found.keys():
            self._forget(path)
        self._hand_over(wishes)
        self._waiting = {
            each.model: {"model_path": each.model_path, "stage": "waiting", "reason": each.reason}
            for each in self._pending.values()
            if each.is_waiting and each.future is None
        }
        self._under_way = tuple(each.future for each in self._pending.values() if each.future is not None)
        return min((each.next_look_seconds for each in self._pending.values()), default=math.inf)

    def finish(self, seconds: float) -> None:
        """To be called after the last scan: completes what is remembered, as far as that takes no longer."""
        self._memory.finish(seconds)

    def waiting_for(self, model: str) -> dict[str, str] | None:
        """What of ``model`` is seen but not complete, and why; any thread."""
        return self._waiting.get(model)

    def under_way(self) -> Sequence["Future[Outcome]"]:
        """The deploys that the scans so far have submitted and that are not settled yet; any thread."""
        return self._under_way

    def is_undecided(self) -> bool:
        """Whether the last scan left a complete file of which only its digest will tell if it is an arrival."""
        return any(each.is_undecided for each in self._pending.values())

    def _look(self, path: str, found: Found) -> Wish | None:
        """Looks at one path; a wish when it is a complete arrival."""
        known, pending = self._memory.get(path), self._pending.get(path)
        if pending is not None and pending.future is not None:
            return None
        if known is not None and is_as_it_was(found.path, known):
            self._settle(path)
            return None
        if pending is None:
            assert isinstance(found.place, Placed)
            pending = self._pending[path] = Pending(found.place.model, self._drop.called(path))
        if self._is_being_read(found, pending):
            return None
        pending.is_undecided = False
        try:
            pending.look = look = self._view.look_at(found, pending.look)
        except FileNotFoundError:
            if found.path.is_symlink():  # else it was removed since it was listed, which the next scan sees
                self._cannot_look(pending, "a link to a file that is not there yet")
            return None
        except OSError as error:  # this file's trouble alone: the scan goes on, and comes back to it
            self._cannot_look(pending, f"it cannot be looked at: {error.strerror or error}")
            return None
        except Rejected as refusal:
            hopeless = sighting_of_hopeless(path, pending.model, found.path, self._view.allowed)
            self._refuse(path, pending, refusal, *hopeless)
            return None
        return self._judge(path, found, pending, look)

    def _is_being_read(self, found: Found, pending: Pending) -> bool:
        """Whether to leave it alone until its digest is there; what changes meanwhile is read no further."""
        if pending.reading is None or not pending.is_being_read:
            return False
        if lie_as_seen(found.path, pending.reading.parts):
            return True
        pending.stop_reading()
        return False

    def _cannot_look(self, pending: Pending, reason: str) -> None:
        pending.look, pending.unresolved = None, reason
        self._reports.waiting(pending)

    def _judge(self, path: str, found: Found, pending: Pending, look: Look) -> Wish | None:
        # Of a known path only the time or mode may have changed: it is not announced before its content must have.
        is_to_be_announced = look.state is LookState.COMPLETE or (look.fault is not None and not pending.is_announced)
        if is_to_be_announced and not self._is_news(path, found, pending, look):
            return None
        if look.state is LookState.COMPLETE:
            self._reports.seen(pending)
            return self._wish(found, pending, look)
        if self._memory.get(path) is None or look.fault is not None:
            self._reports.waiting(pending)
        if look.fault is not None and self._view.stood_still(look):
            sighting = sighting_of_refused(path, pending.model, found.path, look, look.fault)
            self._refuse(path, pending, look.fault, sighting, look.members)
        return None

    def _is_news(self, path: str, found: Found, pending: Pending, look: Look) -> bool:
        """Whether the content is known to be another than what was settled here; where it is not, that settles it."""
        known = self._memory.get(path)
        if known is None or (look.state is LookState.COMPLETE and was_refused_for_its_sidecar(known)):
            return True
        touched = sighting_of_touched(known, found.path, look)
        if touched is None:
            return True
        digest = pending.digest_of(look.members, self._read)
        if not digest.done():
            pending.is_undecided = look.state is LookState.COMPLETE
            return False
        if digest.result() != known.sha256:
            return True
        self._settle(path)
        self._memory.keep(touched)
        return False

    def _wish(self, found: Found, pending: Pending, look: Look) -> Wish:
        return Wish(
            model=pending.model,
            model_path=pending.model_path,
            cause="dropped",
            source=FileSource(look.members, found.path.suffix.lower()),
            changed_ns=look.changed_ns,
            digests=(look.digest,) if look.digest else (),
            settle_seconds=(time.monotonic_ns() - look.still_since_ns) / 1e9,
        )

    def _hand_over(self, wishes: Sequence[tuple[str, Wish]]) -> None:
        """Submits what arrived in this scan together, so that the lane sees which overtakes which.

        A model's arrivals wait for a file of the same model that may be one, too: it may overtake them or be overtaken.
        """
        undecided = {each.model for each in self._pending.values() if each.is_undecided}
        ready = [(path, wish) for path, wish in wishes if wish.model not in undecided]
        if not ready:
            return
        for _, wish in ready:
            self._noticed(wish)
        try:
            futures = self._submit([wish for _, wish in ready])
        except ShuttingDown:
            return
        for (path, _), future in zip(ready, futures, strict=True):
            self._pending[path].future = future
            future.add_done_callback(lambda _: self._wake())

    def _settle_done(self) -> None:
        done = {path: each for path, each in self._pending.items() if each.future is not None and each.future.done()}
        for path, each in done.items():
            del self._pending[path]
            assert each.future is not None
            assert each.look is not None
            error = each.future.exception()
            if isinstance(error, SourceChanged | ShuttingDown):
                # Looked at again: now if it changed, at the next start if the daemon stops.
                self._pending[path] = Pending(each.model, each.model_path, is_announced=True)
                continue
            outcome = None if error else each.future.result()
            sighting = sighting_of_settled(path, each.model, each.look, outcome)
            if outcome is not None and outcome.kind == "superseded":
                self._memory.keep_unread(sighting, each.look.members)
            else:
                self._memory.keep(sighting)

    def _refuse(self, path: str, pending: Pending, refusal: Rejected, sighting: Sighting, parts: Parts) -> None:
        """Refuses what needs no deploy to be refused; it is looked at again when it changes.

        ``parts`` are what to read where ``sighting`` has no digest. Where they may be what is known of the path, they
        are read before a word is said, else afterwards.
        """
        known = self._memory.get(path)
        if parts and known is not None and known.sha256 is not None and may_be_same_file(known, sighting):
            digest = pending.digest_of(parts, self._read)
            if not digest.done():
                return
            sighting, parts = replace(sighting, sha256=digest.result()), ()
        if known is None or known.sha256 is None or known.sha256 != sighting.sha256:
            self._reports.rejected(pending, refusal)
        self._settle(path)
        if parts:
            self._memory.keep_unread(sighting, parts)
        else:
            self._memory.keep(sighting)

    def _settle(self, path: str) -> Pending | None:
        """Nothing is to be done about ``path`` any more, until it changes; gives what was."""
        pending = self._pending.pop(path, None)
        if pending is not None:
            pending.stop_reading()
        return pending

    def _forget(self, path: str) -> None:
        """A path that is gone; what serves goes on serving."""
        pending, known = self._settle(path), self._memory.forget(path)
        if known is not None:
            self._reports.removed(known.model, self._drop.called(path))
        elif pending is not None and pending.is_announced:
            self._reports.removed(pending.model, pending.model_path)
