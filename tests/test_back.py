"""Which release a rollback goes back to: tables."""

import pytest

from daemon.errors import UnknownVersion
from daemon.lane.back import earlier
from daemon.release import Release
from tests.fakes import release_of

A, B, C = "a" * 64, "b" * 64, "c" * 64
KEPT = {A, B, C}


def history(*contents: str) -> list[Release]:
    """Releases of these contents, the first version's first; newest first, as the journal gives them."""
    return [release_of(version, sha256=sha256) for version, sha256 in enumerate(contents, start=1)][::-1]


@pytest.mark.parametrize(
    ("contents", "serving", "version", "found"),
    [
        ([A, B], 2, None, 1),
        ([A, B, C], 3, None, 2),
        ([A, B, B], 3, None, 1),
        ([A, B, A], 3, None, 2),
        ([A, B], 2, 1, 1),
        ([A, B, C], 3, 1, 1),
        ([A, B], 2, 2, 2),
        ([A, B], None, None, 1),
        ([A, B], None, 2, 2),
    ],
)
def test_rollback_goes_to_the_version_or_to_the_newest_other_content(
    contents: list[str], serving: int | None, version: int | None, found: int
) -> None:
    releases = history(*contents)
    now = next((release for release in releases if release.version == serving), None)
    assert earlier("default", releases, now, KEPT, version).version == found


def test_rollback_passes_over_what_is_no_longer_kept() -> None:
    releases = history(A, B, C)
    assert earlier("default", releases, releases[0], {A, C}, None).version == 1


def test_rollback_without_releases_has_no_version_to_go_to() -> None:
    with pytest.raises(UnknownVersion, match="'default' has no releases"):
        earlier("default", [], None, KEPT, None)


@pytest.mark.parametrize(
    ("contents", "kept", "version", "said"),
    [
        ([A], KEPT, None, "no earlier release with other bytes than version 1"),
        ([A, A], KEPT, None, "no earlier release with other bytes than version 2"),
        ([A, B], KEPT, 7, "has no version 7; the newest is 2"),
        ([A, B], {B}, 1, "the bytes of version 1 of model 'default' are no longer kept"),
        ([A, B], {B}, None, "the bytes of version 1 of model 'default' are no longer kept"),
    ],
)
def test_rollback_to_nothing_says_why(contents: list[str], kept: set[str], version: int | None, said: str) -> None:
    releases = history(*contents)
    with pytest.raises(UnknownVersion, match=said):
        earlier("default", releases, releases[0], kept, version)
