"""What someone wants to serve, where its bytes come from, and what became of it: plain values.

Made by the watcher's and the requests' threads; a source's ``bring`` runs on the deployer's thread alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from daemon.errors import Rejected
from daemon.gate import Report
from daemon.intake.copying import Part
from daemon.intake.store import Store
from daemon.intake.strangers import refuse_strangers
from daemon.release import Candidate, Release

RehearsedKind = Literal["live", "unchanged", "rejected"]
Cause = Literal["dropped", "updated", "uploaded", "rolled_back", "probation"]


class Source(Protocol):
    """Where a candidate's bytes come from.

    ``size_bytes`` is how many they are, where that is known before; ``beside`` the folder of the model file, where they
    come from one.
    """

    @property
    def size_bytes(self) -> int | None: ...

    @property
    def beside(self) -> Path | None: ...

    def bring(self, store: Store) -> Candidate:
        """The candidate, in ``store``; raises Rejected, SourceChanged, StoreDamaged or TooLarge."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """Complete files on this machine: the model file first (location ``""``), then its external data."""

    members: tuple[Part, ...]
    suffix: str

    @property
    def size_bytes(self) -> int | None:
        return sum(seen.size for _, _, seen in self.members)

    @property
    def beside(self) -> Path | None:
        return self.members[0][1].parent

    def bring(self, store: Store) -> Candidate:
        return store.ingest(self.members, self.suffix)


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """Bytes that come from no folder, and whose number is not known before."""

    @property
    def size_bytes(self) -> int | None:
        return None

    @property
    def beside(self) -> Path | None:
        return None


@dataclass(frozen=True, slots=True)
class StreamSource(_Elsewhere):
    """Bytes that a client sent, spooled to disk by the server: the model file's (location ``""``), and external data's.

    Whoever submits it keeps the streams open meanwhile.
    """

    streams: Mapping[str, BinaryIO]
    suffix: str
    limit_bytes: int

    def bring(self, store: Store) -> Candidate:
        candidate = store.ingest_streams(self.streams, self.suffix, limit_bytes=self.limit_bytes)
        refuse_strangers(candidate.path, self.streams.keys() - {""})
        return candidate


@dataclass(frozen=True, slots=True)
class RefusedSource(_Elsewhere):
    """Files that were refused before they were copied; the lane writes it down like any other refusal."""

    refusal: Rejected

    def bring(self, store: Store) -> Candidate:  # noqa: ARG002
        raise self.refusal


@dataclass(frozen=True, slots=True)
class StoredSource(_Elsewhere):
    """The bytes of an earlier release, hashed again before they are trusted."""

    sha256: str

    def bring(self, store: Store) -> Candidate:
        return store.verify(self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Someone wants ``source`` to serve as ``model``.

    ``changed_ns`` is the change time of a dropped file (ns since the epoch), by which drops are ordered; None for what
    is never skipped. ``digests`` are SHA-256 hex digests that the model file must have. ``settle_seconds`` says
    how long it took to prove complete. ``back_to`` is the earlier release that a rollback wants again. ``forced``: what
    only those who use the model can judge shall not keep it back.
    """

    model: str
    model_path: str
    cause: Cause
    source: Source
    changed_ns: int | None = None
    digests: tuple[str, ...] = ()
    settle_seconds: float = 0.0
    back_to: Release | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a wish: ``release`` is what serves now, ``refusal`` why a candidate does not.

    ``sha256`` is the candidate's identity where its bytes were read.
    """

    kind: Literal["live", "unchanged", "superseded", "rejected"]
    release: Release | None = None
    sha256: str | None = None
    refusal: Rejected | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What would become of a wish: ``report`` is the gate's, or ``refusal`` what kept the bytes from coming there."""

    kind: RehearsedKind
    model_path: str
    sha256: str | None
    refusal: Rejected | None
    report: Report | None
