"""What the scan sees: the drop directory as it lies there, and each file looked at. Entered by the scanner's thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.intake.completeness import Look, LookState, examine
from daemon.intake.naming import Found, Ignored, Placed, shown, walk
from daemon.watching.stamps import lie_as_seen


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
    """How long a file must be still, how long a half-written one may stand still, and whether to wait for a sidecar."""

    settle_ms: int
    incomplete_seconds: float
    needs_sidecar: bool = False


class View:
    """Lists and looks; remembers nothing. ``closed`` says whether a writer closed a path since it was last asked."""

    def __init__(self, drop: DropDirectory, patience: Patience, closed: Callable[[str], bool]) -> None:
        self.allowed = (drop.path, *drop.allowed)
        self._drop = drop
        self._patience = patience
        self._closed = closed

    def listed(self, ignored: Callable[[str, Ignored], None]) -> dict[str, Found]:
        """Every candidate by its path in the directory, none where that is gone; the rest goes to ``ignored``.

        Raises OSError when the directory is there but cannot be listed.
        """
        try:
            entries = list(walk(self._drop.path, self._drop.default_model, allowed=self._drop.allowed))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        for entry in entries:
            if isinstance(entry.place, Ignored):
                ignored(self._drop.called(str(entry.relative)), entry.place)
        return {str(entry.relative): entry for entry in entries if isinstance(entry.place, Placed)}

    def look_at(self, found: Found, previous: Look | None) -> Look:
        """A look; the previous one where that saw a complete file that only waited since. Raises as ``examine``."""
        if previous and previous.state is LookState.COMPLETE and lie_as_seen(found.path, previous.members):
            return previous
        return examine(
            found.path,
            allowed=self.allowed,
            closed=self._closed,
            previous=previous,
            now_ns=time.monotonic_ns(),
            settle_ms=self._patience.settle_ms,
            needs_sidecar=self._patience.needs_sidecar,
        )

    def stood_still(self, look: Look) -> bool:
        """Whether nobody wrote for longer than a half-written file may stand still."""
        return not look.writing and time.monotonic_ns() - look.still_since_ns >= self._patience.incomplete_seconds * 1e9
