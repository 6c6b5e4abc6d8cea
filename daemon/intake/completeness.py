"""One look at a dropped model: is it complete, and if not, what is it waiting for? Entered by the scanner and by
requests.

A look reads the outline, never the weights (only a ``.sha256`` sidecar makes it hash the file), and holds no state:
what it must remember is in the ``Look`` that the caller hands back as ``previous``.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.errors import Rejected
from daemon.intake.copying import Part
from daemon.intake.judgement import Evidence, LookState, Sidecar, judge
from daemon.intake.members import Fingerprint, fingerprint, resolve
from daemon.intake.naming import shown
from daemon.intake.outline import OutlineState
from daemon.intake.sight import Seen, Sight, take_sight
from daemon.intake.writers import Writers

__all__ = ["Look", "LookState", "examine"]

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look saw.

    ``fault`` is the verdict where it stays like this for ``incomplete_seconds`` with nobody ``writing`` (no writer has
    it open, and nothing changed since the previous look). ``members`` begins with the model file (location "") and
    goes on with the external data that is there, by location. ``still_since_ns`` is monotonic: since when nobody was
    seen writing. ``changed_ns`` is the latest change time (wall clock) of members and of the path itself.
    ``next_look_ms`` says when another look is worth it, None: on an event or a rescan. ``digest`` is the model file's
    SHA-256 where a sidecar had it taken, ``writers`` who had the model file open then.
    """

    state: LookState
    reason: str
    fault: Rejected | None
    writing: bool
    waiting_for: tuple[str, ...]
    members: tuple[Part, ...]
    sidecar: Fingerprint | None
    still_since_ns: int
    changed_ns: int
    next_look_ms: int | None
    digest: str | None
    writers: Writers


def examine(
    path: Path,
    *,
    allowed: Sequence[Path],
    closed: Callable[[str], bool],
    previous: Look | None,
    now_ns: int,
    settle_ms: int,
    needs_sidecar: bool = False,
) -> Look:
    """Look at the model file ``path`` and everything it names.

    ``allowed`` are the folders that links may lead to; ``closed`` says whether a close or rename event for a path was
    seen since its last change; ``now_ns`` is monotonic; with ``needs_sidecar`` a ``.sha256`` is waited for. Raises
    Rejected for what can never become good while nobody writes it, FileNotFoundError when it is gone, other OSErrors
    when it cannot be looked at now.
    """
    real = resolve(path, allowed)
    changed_ns = path.lstat().st_ctime_ns
    with ExitStack() as stack:
        try:
            sight = take_sight(path, real, allowed, stack)
        except PermissionError as error:
            return _unreadable(real, error, previous, now_ns, changed_ns)
        same = previous is not None and (previous.members, previous.sidecar) == (sight.parts, sight.sidecar)
        digest = _digest(sight, previous, same=same)
        some = any(member.writers is Writers.SOME for member in sight.seen)
        still_since_ns = previous.still_since_ns if previous and same and not some else now_ns
        still_ms = (now_ns - still_since_ns) // _NS_PER_MS
        evidence = _evidence(sight, digest, path, closed, still_ms=still_ms, settle_ms=settle_ms)
        if needs_sidecar and sight.sidecar is None:
            evidence = replace(evidence, awaited_sidecar=shown(f"{path.name}.sha256"))
    verdict = judge(evidence)
    if verdict.final and verdict.fault is not None:
        raise verdict.fault
    return Look(
        state=verdict.state,
        reason=verdict.reason,
        fault=verdict.fault,
        writing=some or evidence.moved or (previous is not None and not same),
        waiting_for=tuple(shortage.location for shortage in sight.shortages),
        members=sight.parts,
        sidecar=sight.sidecar,
        still_since_ns=still_since_ns,
        changed_ns=max(changed_ns, *(mark.ctime_ns for _, _, mark in sight.parts)),
        next_look_ms=verdict.next_look_ms,
        digest=digest,
        writers=sight.seen[0].writers,
    )


def _digest(sight: Sight, previous: Look | None, *, same: bool) -> str | None:
    """The model file's digest where a sidecar asks for it: taken once while its fingerprint and its writers last."""
    model = sight.seen[0]
    if sight.stated is None:
        return None
    if previous and previous.digest and previous.members[0] == model.part and previous.writers is model.writers:
        return previous.digest
    # A file on its way is not hashed at every step: it must look whole, and with a writer also stand still.
    if sight.outline.state is OutlineState.WHOLE and (same or model.writers is not Writers.SOME):
        return sight.sha256()
    if sight.outline.state is OutlineState.CUT and same and model.writers is not Writers.SOME:
        return sight.sha256()
    return None


def _evidence(
    sight: Sight, digest: str | None, path: Path, closed: Callable[[str], bool], *, still_ms: int, settle_ms: int
) -> Evidence:
    sidecar = Sidecar(sight.stated, digest) if sight.sidecar is not None else None
    unproven = sight.seen[1:] if sidecar is not None and sidecar.matches else sight.seen
    return Evidence(
        outline=sight.outline,
        writers=_summed(member.writers for member in unproven),
        closed=all(_closed(member, path, closed) for member in unproven),
        still_ms=still_ms,
        settle_ms=settle_ms,
        moved=any(member.moved() for member in sight.seen),
        refusal=sight.refusal,
        shortages=sight.shortages,
        sidecar=sidecar,
    )


def _summed(writers: Iterable[Writers]) -> Writers:
    """Somebody writes where anybody writes any member; nobody only where that is known of all."""
    every = set(writers)
    return next((one for one in (Writers.SOME, Writers.UNKNOWN) if one in every), Writers.NONE)


def _closed(member: Seen, dropped: Path, closed: Callable[[str], bool]) -> bool:
    location, path, _ = member.part
    return closed(str(path)) or (not location and closed(str(dropped)))


def _unreadable(real: Path, error: PermissionError, previous: Look | None, now_ns: int, changed_ns: int) -> Look:
    """A file that we may not read (yet): its sender may set the mode last."""
    reason = f"{shown(Path(str(error.filename)).name)} cannot be read: permission denied"
    members: tuple[Part, ...] = (("", real, fingerprint(real)),)
    same = previous is not None and previous.members == members
    return Look(
        state=LookState.WAITING,
        reason=reason,
        fault=Rejected("structure", reason),
        writing=previous is not None and not same,
        waiting_for=(),
        members=members,
        sidecar=None,
        still_since_ns=previous.still_since_ns if previous and same else now_ns,
        changed_ns=max(changed_ns, members[0][2].ctime_ns),
        next_look_ms=None,
        digest=None,
        writers=Writers.UNKNOWN,
    )
