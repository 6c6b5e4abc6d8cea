"""The scan decides: it compares what lies in the drop directory with what is known, and converges.

Entered by the scanner's thread alone, but for ``waiting_for`` and ``under_way``.
"""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import Rejected, ShuttingDown, SourceChanged
from daemon.history import Journal, Sighting
from daemon.intake.completeness import Look, LookState, examine
from daemon.intake.naming import Found, Ignored, Placed, shown, walk
from daemon.lane import FileSource, Outcome, Wish
from daemon.watching.pending import Pending
from daemon.watching.reports import Reports
from daemon.watching.settling import (
    sighting_of_hopeless,
    sighting_of_refused,
    sighting_of_settled,
    sighting_of_touched,
    was_refused_for_its_sidecar,
)
from daemon.watching.stamps import is_as_it_was

SOON_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class DropDirectory:
    """Where models are dropped, how the user wrote that, and what links in it may name besides."""

    path: Path
    shown_as: str
    default_model: str
    allowed: tuple[Path, ...]

    def called(self, relative: str) -> str:
        """What the user would call the file at this place in the directory."""
        return shown(f"{self.shown_as.rstrip('/')}/{relative}")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a file must be still, and how long a half-written one may stand still."""

    settle_ms: int
    incomplete_seconds: float


class Scanner:
    """Remembers every path of the drop directory and turns what is new into wishes.

    ``submit`` is the deployer's; ``closed`` says whether a writer closed a path since it was last asked; ``wake`` is
    called, on any thread, when an arrival is settled.
    """

    def __init__(
        self,
        drop: DropDirectory,
        patience: Patience,
        *,
        journal: Journal,
        submit: Callable[[Sequence[Wish]], Sequence["Future[Outcome]"]],
        closed: Callable[[str], bool],
        wake: Callable[[], None],
    ) -> None:
        self._drop = drop
        self._allowed = (drop.path, *drop.allowed)
        self._patience = patience
        self._journal = journal
        self._submit = submit
        self._closed = closed
        self._wake = wake
        self._known = journal.sightings()
        self._pending: dict[str, Pending] = {}
        self._reports = Reports(journal, fresh_ms=patience.settle_ms)
        self._waiting: dict[str, dict[str, str]] = {}  # replaced as a whole, read by any thread
        self._under_way: tuple[Future[Outcome], ...] = ()  # replaced as a whole, read by any thread

    def scan(self) -> float:
        """One pass over the drop directory; gives the seconds after which another is worth while without an event.

        Raises OSError when the directory is there but cannot be listed: then nothing is concluded from it.
        """
        self._settle_done()
        found = self._listed()
        wishes = [(path, wish) for path, each in found.items() if (wish := self._look(path, each)) is not None]
        for path in (self._known.keys() | self._pending.keys()) - found.keys():
            self._forget(path)
        self._hand_over(wishes)
        self._waiting = {
            each.model: {"model_path": each.model_path, "stage": "waiting", "reason": each.reason}
            for each in self._pending.values()
            if each.is_waiting and each.future is None
        }
        self._under_way = tuple(each.future for each in self._pending.values() if each.future is not None)
        return self._next_look_seconds()

    def waiting_for(self, model: str) -> dict[str, str] | None:
        """What of ``model`` is seen but not complete, and why; any thread."""
        return self._waiting.get(model)

    def under_way(self) -> Sequence["Future[Outcome]"]:
        """The deploys that the scans so far have submitted and that are not settled yet; any thread."""
        return self._under_way

    def _listed(self) -> dict[str, Found]:
        try:
            entries = list(walk(self._drop.path, self._drop.default_model, allowed=self._drop.allowed))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        for entry in entries:
            if isinstance(entry.place, Ignored):
                self._reports.ignored(self._drop.called(str(entry.relative)), entry.place)
        return {str(entry.relative): entry for entry in entries if isinstance(entry.place, Placed)}

    def _look(self, path: str, found: Found) -> Wish | None:
        """Looks at one path; a wish when it is a complete arrival."""
        known = self._known.get(path)
        pending = self._pending.get(path)
        if pending is not None and pending.future is not None:
            return None
        if known is not None and is_as_it_was(found.path, known):
            self._pending.pop(path, None)
            return None
        if pending is None:
            assert isinstance(found.place, Placed)
            pending = self._pending[path] = Pending(found.place.model, self._drop.called(path))
        try:
            pending.look = look = self._examine(found, pending.look)
        except FileNotFoundError:
            self._cannot_look(pending, "a link to a file that is not there yet")
            return None
        except OSError as error:  # this file's trouble alone: the scan goes on, and comes back to it
            self._cannot_look(pending, f"it cannot be looked at: {error.strerror or error}")
            return None
        except Rejected as refusal:
            self._refuse(path, pending, refusal, sighting_of_hopeless(path, pending.model, found.path, self._allowed))
            return None
        return self._judge(path, found, pending, look)

    def _cannot_look(self, pending: Pending, reason: str) -> None:
        pending.look, pending.unresolved = None, reason
        self._reports.waiting(pending)

    def _examine(self, found: Found, previous: Look | None) -> Look:
        return examine(
            found.path,
            allowed=self._allowed,
            closed=self._closed,
            previous=previous,
            now_ns=time.monotonic_ns(),
            settle_ms=self._patience.settle_ms,
        )

    def _judge(self, path: str, found: Found, pending: Pending, look: Look) -> Wish | None:
        if look.state is LookState.COMPLETE:
            if not was_refused_for_its_sidecar(self._known.get(path)) and self._has_known_content(path, found, look):
                return None
            self._reports.seen(pending)
            return self._wish(found, pending, look)
        # Of a known path only the time or mode may have changed: it is not announced before its content must have.
        if look.fault is not None and not pending.is_announced and self._has_known_content(path, found, look):
            return None
        if path not in self._known or look.fault is not None:
            self._reports.waiting(pending)
        if look.fault is not None and not look.writing and self._stood_still(look):
            sighting = sighting_of_refused(path, pending.model, found.path, look, look.fault)
            self._refuse(path, pending, look.fault, sighting)
        return None

    def _stood_still(self, look: Look) -> bool:
        return time.monotonic_ns() - look.still_since_ns >= self._patience.incomplete_seconds * 1e9

    def _has_known_content(self, path: str, found: Found, look: Look) -> bool:
        """Whether only times, modes or places changed since ``path`` was last settled; then that is all it was."""
        known = self._known.get(path)
        sighting = sighting_of_touched(known, found.path, look) if known else None
        if sighting is not None:
            self._remember(path, sighting)
        return sighting is not None

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
        """Submits what arrived in this scan together, so that the lane sees which overtakes which."""
        if not wishes:
            return
        try:
            futures = self._submit([wish for _, wish in wishes])
        except ShuttingDown:
            return
        for (path, _), future in zip(wishes, futures, strict=True):
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
            self._remember(path, sighting_of_settled(path, each.model, each.look, outcome))

    def _refuse(self, path: str, pending: Pending, refusal: Rejected, sighting: Sighting) -> None:
        """Refuses what needs no deploy to be refused; it is looked at again when it changes."""
        known = self._known.get(path)
        self._remember(path, sighting)
        if known is not None and known.sha256 is not None and known.sha256 == sighting.sha256:
            return
        self._reports.rejected(pending, refusal)

    def _remember(self, path: str, sighting: Sighting) -> None:
        self._known[path] = sighting
        self._pending.pop(path, None)
        self._journal.keep_sighting(sighting)

    def _forget(self, path: str) -> None:
        """A path that is gone; what serves goes on serving."""
        pending = self._pending.pop(path, None)
        known = self._known.pop(path, None)
        if known is not None:
            self._journal.forget_sighting(path)
            self._reports.removed(known.model, self._drop.called(path))
        elif pending is not None and pending.is_announced:
            self._reports.removed(pending.model, pending.model_path)

    def _next_look_seconds(self) -> float:
        waiting = (each for each in self._pending.values() if each.future is None)
        return min(map(_delay_seconds, waiting), default=math.inf)


def _delay_seconds(pending: Pending) -> float:
    """When to look again without an event; forever, that is at the next rescan, where only an event helps."""
    if not pending.is_waiting:
        return SOON_SECONDS
    if pending.look is None or pending.look.next_look_ms is None:
        return math.inf
    return pending.look.next_look_ms / 1e3
