"""Which bytes the store may give up: a pure function over values, any thread."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from daemon.release import Release


def prunable(
    entries: AbstractSet[str],
    releases_by_model: Mapping[str, Sequence[Release]],
    serving: AbstractSet[str],
    keep: int,
) -> set[str]:
    """The store's entries (by sha256) that nothing needs any more.

    Needed is what ``serving`` names (what serves, and whatever else the caller has in hand), and of each model the
    newest ``keep`` contents. Releases come newest first. One content that served many times counts once, at its newest
    release, so that going back and forth between two does not push out a third. Raises ``ValueError`` below 0.
    """
    if keep < 0:
        raise ValueError(f"keep must be 0 or more, not {keep}")
    needed = set(serving)
    for releases in releases_by_model.values():
        needed.update(_newest_contents(releases, keep))
    return set(entries) - needed


def _newest_contents(releases: Iterable[Release], keep: int) -> list[str]:
    return list(dict.fromkeys(release.sha256 for release in releases))[:keep]
