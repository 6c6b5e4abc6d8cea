"""Whose figures are whose: each release's by dialect, and those of requests that came to none. Any thread."""

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.holder import ModelHolder
from daemon.release import Release
from daemon.web.asking import Dialect
from daemon.web.faces import known_face_of
from daemon.web.figures import Figures
from daemon.web.totals import Failure, Totals


@dataclass(frozen=True, slots=True)
class Counted:
    """What the requests in one dialect to one release came to; to none where they were refused before it was known."""

    release: Release | None
    dialect: str
    totals: Totals


class Counting:
    """Every figure that there is. Thread-safe; the figures of a release go when it is no longer loaded."""

    def __init__(self, holder: ModelHolder) -> None:
        self._holder = holder
        self._of_none: dict[str, Figures] = {}  # by dialect

    def of(self, model: str) -> list[Counted]:
        """What requests came to so far: one row for each loaded release of ``model`` that was asked, and dialect."""
        servings = sorted(self._holder.servings(model), key=lambda serving: serving.release.version)
        return [
            Counted(face.release, dialect, figures.read())
            for face in map(known_face_of, servings)
            if face is not None
            for dialect, figures in sorted(face.figures().items())
        ]

    def all(self) -> list[Counted]:
        """The same of every model, by name; at last what was refused before its release was known, by dialect."""
        return list(self.each())

    def each(self) -> Iterator[Counted]:
        """``all``, each row read when it is asked for."""
        for model in sorted(self._holder.releases()):
            yield from self.of(model)
        for dialect, figures in sorted(self._of_none.copy().items()):
            yield Counted(None, dialect, figures.read())

    def refused(self, dialect: Dialect, kind: Failure, seconds: float = 0.0) -> None:
        """Counts a request that was told an error after ``seconds``, before its release was known."""
        figures = self._of_none.get(dialect.name)
        if figures is None:
            figures = self._of_none.setdefault(dialect.name, Figures())
        figures.failed(kind, seconds)
