"""Which release a rollback goes back to: policy over values, no threads and no files."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from daemon.errors import UnknownVersion
from daemon.release import Release


def earlier(
    model: str,
    releases: Sequence[Release],
    serving: Release | None,
    kept: AbstractSet[str],
    version: int | None,
) -> Release:
    """The release to go back to: ``version``, or the newest of ``releases`` with other bytes than ``serving``.

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
        fitting = [release for release in releases if release.sha256 != now.sha256]
        if not fitting:
            raise UnknownVersion(f"model {model!r} has no earlier release with other bytes than version {now.version}")
    for release in fitting:
        if release.sha256 in kept:
            return release
    raise UnknownVersion(f"the bytes of version {fitting[0].version} of model {model!r} are no longer kept")
