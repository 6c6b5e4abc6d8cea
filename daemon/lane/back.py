"""Which release a rollback goes back to, and which bytes none does: policy over values, no threads and no files."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from daemon.errors import UnknownVersion
from daemon.history import utc_now
from daemon.release import Release


def earlier(
    model: str,
    releases: Sequence[Release],
    serving: Release | None,
    kept: AbstractSet[str],
    version: int | None,
) -> Release:
    """The release to go back to: ``version``, or the newest of ``releases`` with other bytes than ``serving``.

    Without a version, bytes that failed their probation are passed over.
    ``releases`` come newest first; when nothing serves, the newest counts as what served last. ``kept`` are the hashes
    that the store still has. Raises UnknownVersion when none fits.
    """
    if not releases:
        raise UnknownVersion(f"model {model!r} has no releases to go back to")
    if version is not None:
        fitting = [release for release in releases if release.version == version]
        if not fitting:
            newest = releases[0].version
            raise UnknownVersion(f"model {model!r} has no version {version}; the newest is {newest}")
    else:
        now = serving or releases[0]
        failed = relapses(releases)
        fitting = [release for release in releases if release.sha256 != now.sha256 and release.sha256 not in failed]
        if not fitting:
            raise UnknownVersion(f"model {model!r} has no earlier release with other bytes than version {now.version}")
    for release in fitting:
        if release.sha256 in kept:
            return release
    raise UnknownVersion(f"the bytes of version {fitting[0].version} of model {model!r} are no longer kept")


def predecessor(release: Release, releases: Sequence[Release], kept: AbstractSet[str]) -> Release | None:
    """What ``release`` took the place of, to go back to while it is on probation; None where there is no such thing.

    ``releases`` come newest first. What came back for another is on no probation, nor what a start made of older bytes.
    """
    if release.cause in ("probation", "restored"):
        return None
    failed = relapses(releases)
    older = (each for each in releases if each.version < release.version and each.sha256 != release.sha256)
    return next((each for each in older if each.sha256 in kept and each.sha256 not in failed), None)


def relapses(releases: Sequence[Release]) -> dict[str, Release]:
    """By hash, the releases that failed their probation: of ``releases``, newest first, the newest of each content.

    One that was deployed again since, by force, and did not fail again, has made up for it.
    """
    failed = {release.instead_of for release in releases if release.instead_of is not None}
    newest: dict[str, Release] = {}
    for release in releases:
        newest.setdefault(release.sha256, release)
    return {sha256: release for sha256, release in newest.items() if release.version in failed}


def relapse(releases: Sequence[Release], sha256: str) -> str | None:
    """How the bytes of ``sha256`` failed their probation, as a clause; None where they did not."""
    failed = relapses(releases).get(sha256)
    return f"these bytes failed their probation as version {failed.version}" if failed else None


def instead_of(failed: Release, before: Release, version: int) -> Release:
    """``before`` again, as the release that serves in the place of ``failed``, which did not pass its probation."""
    return replace(before, version=version, cause="probation", time=utc_now(), instead_of=failed.version)
