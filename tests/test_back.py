"""Which release a rollback goes back to, and which bytes failed their probation: tables."""

from dataclasses import replace

import pytest

from daemon.errors import UnknownVersion
from daemon.lane.back import earlier, instead_of, relapse, relapses
from daemon.release import Release
from tests.fakes import release_of

A, B, C = "a" * 64, "b" * 64, "c" * 64
KEPT = {A, B, C}

Step = str | tuple[str, int]
"""A release of this content; with a number where it serves again as that version failed its probation."""


def history(*steps: Step) -> list[Release]:
    """Releases of these contents, the first version's first; newest first, as the journal gives them."""
    return [_release(version, step) for version, step in enumerate(steps, start=1)][::-1]


def _release(version: int, step: Step) -> Release:
    sha256, failed = step if isinstance(step, tuple) else (step, None)
    return replace(release_of(version, sha256=sha256), instead_of=failed)


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


FAILED_ONCE: list[Step] = [A, B, (A, 2)]
FORCED_SINCE: list[Step] = [*FAILED_ONCE, B]
FAILED_TWICE: list[Step] = [*FORCED_SINCE, (A, 4)]
BOTH_FAILED: list[Step] = [*FAILED_ONCE, C, (A, 4)]


@pytest.mark.parametrize(
    ("steps", "failed"),
    [
        ([], {}),
        ([A], {}),
        ([A, B, A], {}),
        (FAILED_ONCE, {B: 2}),
        ([*FAILED_ONCE, C], {B: 2}),
        ([*FAILED_ONCE, A], {B: 2}),
        (FORCED_SINCE, {}),
        ([*FORCED_SINCE, C], {}),
        (FAILED_TWICE, {B: 4}),
        (BOTH_FAILED, {B: 2, C: 4}),
        ([(A, 7), C], {}),
    ],
)
def test_bytes_that_failed_are_those_that_no_deploy_made_up_for_since(
    steps: list[Step], failed: dict[str, int]
) -> None:
    assert {sha256: release.version for sha256, release in relapses(history(*steps)).items()} == failed


def test_failed_bytes_are_told_by_the_version_that_failed_last() -> None:
    assert relapse(history(*FAILED_TWICE), B) == "these bytes failed their probation as version 4"


@pytest.mark.parametrize(("steps", "sha256"), [(FAILED_ONCE, A), (FAILED_ONCE, C), (FORCED_SINCE, B), ([], A)])
def test_bytes_that_never_failed_or_made_up_for_it_have_nothing_against_them(steps: list[Step], sha256: str) -> None:
    assert relapse(history(*steps), sha256) is None


@pytest.mark.parametrize(
    ("steps", "found"), [([C, A, B, (A, 3)], 1), ([C, A, B, (A, 3), C], 4), ([A, B, (A, 2), C], 3)]
)
def test_rollback_by_default_passes_over_bytes_that_failed(steps: list[Step], found: int) -> None:
    releases = history(*steps)
    assert earlier("default", releases, releases[0], KEPT, None).version == found


def test_rollback_to_a_version_is_taken_at_its_word_though_its_bytes_failed() -> None:
    releases = history(*FAILED_ONCE)
    assert earlier("default", releases, releases[0], KEPT, 2).version == 2


def test_rollback_where_all_other_bytes_failed_has_nothing_to_go_back_to() -> None:
    releases = history(*FAILED_ONCE)
    with pytest.raises(UnknownVersion, match="no earlier release with other bytes than version 3"):
        earlier("default", releases, releases[0], KEPT, None)


def test_release_that_serves_again_is_the_one_before_under_a_number_of_its_own() -> None:
    before, failed = release_of(3, sha256=A), release_of(5, sha256=B)
    again = instead_of(failed, before, 6)
    assert again.time != before.time
    assert again == replace(before, version=6, cause="probation", instead_of=5, time=again.time)
