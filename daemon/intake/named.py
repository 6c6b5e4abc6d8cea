"""Files that a request names: where they may lie, and waiting until one is complete. Entered by request threads."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import NoSuchFile, Overloaded, PathForbidden, Rejected
from daemon.intake.completeness import Look, LookState, examine
from daemon.intake.naming import MODEL_SUFFIXES, shown

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """The folders in which a named file is looked for, in this order: ``folder``, then each of ``allowed``.

    A file counts where it resolves to a place in one of ``allowed``. ``settle_ms`` and ``patience_seconds`` say how
    long a file must be still, and how long one that is still being written is waited for; ``needs_sidecar`` whether
    only one with a ``.sha256`` beside it is complete.
    """

    folder: Path
    allowed: tuple[Path, ...]
    settle_ms: int
    patience_seconds: float
    needs_sidecar: bool = False

    def find(self, named: str) -> Path:
        """The file that ``named`` means.

        Raises PathForbidden for one outside the allowed folders, whether or not it is there, else NoSuchFile.
        """
        if "\0" in named:
            raise PathForbidden("a path holds no NUL")
        places = [root / named for root in (self.folder, *self.allowed)]
        roots = [os.path.realpath(root) for root in self.allowed]
        there = [place for place in places if os.path.exists(place)]  # noqa: PTH110  (False for too long a name)
        for place in there:
            if _is_inside(os.path.realpath(place), roots):
                return place
        if there or not any(_is_inside(os.path.normpath(place), [*roots, *map(str, self.allowed)]) for place in places):
            raise PathForbidden(
                f"{shown(named)} lies outside the folders that may be named: the drop directory and deploy.allowed_dirs"
            )
        raise NoSuchFile(f"there is no file {shown(named)} in the folders that may be named")

    def wait_until_complete(self, path: Path) -> Look:
        """Looks at ``path`` until it is complete.

        Raises Rejected for what is not and has no writer, Overloaded for what is still written after
        ``patience_seconds``: that is no verdict on it.
        """
        if path.suffix.lower() not in MODEL_SUFFIXES:
            raise Rejected("structure", f"expected a name ending in .onnx or .ort, found {shown(path.name)}")
        deadline = time.monotonic() + self.patience_seconds
        look: Look | None = None
        while True:
            try:
                look = examine(
                    path,
                    allowed=self.allowed,
                    closed=lambda _: False,
                    previous=look,
                    now_ns=time.monotonic_ns(),
                    settle_ms=self.settle_ms,
                    needs_sidecar=self.needs_sidecar,
                )
            except FileNotFoundError:
                raise NoSuchFile("the file was removed while it was looked at") from None
            if look.state is LookState.COMPLETE:
                return look
            if look.fault is not None and not look.writing and self._is_still(look):
                raise look.fault
            if time.monotonic() >= deadline and look.writing:
                raise Overloaded(f"the file is still being written: {look.reason}", retry_after_seconds=5)
            if time.monotonic() >= deadline:
                raise look.fault or Rejected(
                    "structure", f"not complete after {self.patience_seconds} s: {look.reason}"
                )
            time.sleep(POLL_SECONDS)

    def _is_still(self, look: Look) -> bool:
        return time.monotonic_ns() - look.still_since_ns >= self.settle_ms * 1_000_000


def _is_inside(path: str, roots: Sequence[str]) -> bool:
    return any(Path(path).is_relative_to(root) for root in roots)
