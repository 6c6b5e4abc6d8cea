"""The events that the deployer's acts make, field by field."""

from dataclasses import replace

from daemon.errors import BreakingSignature, Rejected
from daemon.gate import Report, Verdict
from daemon.lane import Stages, StoredSource, Wish, announcements
from daemon.release import Event
from tests.fakes import release_of

WISH = Wish(model="default", model_path="model_drop/new.onnx", cause="dropped", source=StoredSource("f" * 64))
OLD, NEW = release_of(3), release_of(4)
STAGES = Stages()
REPORT = Report([], None, frozenset())


def identity(event: Event) -> tuple[object, ...]:
    return event.event, event.model, event.version, event.sha256, event.model_path


def test_live_says_what_serves_from_now_on_why_and_how_long_it_took() -> None:
    (event,) = announcements.live(WISH, NEW, OLD, STAGES, REPORT)
    assert identity(event) == ("live", "default", 4, NEW.sha256, NEW.model_path)
    assert event.cause == "dropped"
    assert event.seconds is not None
    assert next(iter(event.seconds)) == "total"


def test_rolled_back_comes_before_live_and_says_from_which_to_which() -> None:
    release = replace(NEW, cause="rolled_back")
    wish = replace(WISH, cause="rolled_back", back_to=release_of(2))
    step, live = announcements.live(wish, release, OLD, STAGES, REPORT)
    assert (step.event, step.version, live.event, live.cause) == ("rolled_back", 4, "live", "rolled_back")
    assert step.detail == {"from_version": 3, "to_version": 2}
    assert step.reason == "asked to go from version 3 back to the bytes of version 2"


def test_rolled_back_with_nothing_serving_names_no_version_to_come_from() -> None:
    step, _ = announcements.live(replace(WISH, back_to=release_of(2)), NEW, None, STAGES, REPORT)
    assert step.detail == {"from_version": None, "to_version": 2}
    assert step.reason == "asked to go back to the bytes of version 2"


def test_unchanged_names_what_serves_under_the_path_that_came() -> None:
    event = announcements.unchanged(WISH, OLD, STAGES)
    assert identity(event) == ("unchanged", "default", 3, OLD.sha256, "model_drop/new.onnx")


def test_rejected_names_the_candidate_the_check_and_the_reason_but_no_version() -> None:
    event = announcements.rejected(WISH, "e" * 64, Rejected("load", "no such operator"), STAGES)
    assert identity(event) == ("rejected", "default", None, "e" * 64, "model_drop/new.onnx")
    assert (event.check, event.reason, event.cause) == ("load", "no such operator", "dropped")


def test_superseded_names_the_path_that_was_skipped() -> None:
    assert identity(announcements.superseded(WISH)) == ("superseded", "default", None, None, "model_drop/new.onnx")


def test_retired_and_unloaded_name_what_served() -> None:
    assert identity(announcements.retired(OLD)) == ("retired", "default", 3, OLD.sha256, OLD.model_path)
    assert identity(announcements.unloaded(OLD)) == ("unloaded", "default", 3, OLD.sha256, OLD.model_path)


def test_restored_has_a_cause_only_where_it_made_a_release_of_its_own() -> None:
    plain = announcements.restored(OLD, [], STAGES)
    assert (identity(plain)[:3], plain.cause, plain.reason) == (("restored", "default", 3), None, None)
    fallback = announcements.restored(replace(NEW, cause="restored"), ["version 3: damaged", "version 2: gone"], STAGES)
    assert (fallback.version, fallback.cause, fallback.reason) == (4, "restored", "version 3: damaged; version 2: gone")


def test_lost_is_a_rejection_by_the_store_with_what_was_wrong_with_each() -> None:
    event = announcements.lost("default", ["version 2: gone", "version 1: gone"])
    assert (event.event, event.model, event.check, event.reason) == (
        "rejected",
        "default",
        "store",
        "version 2: gone; version 1: gone",
    )


def report_of(*verdicts: Verdict) -> Report:
    return Report(verdicts, None, frozenset({"signature", "golden", "replay"}))


CHANGED = Verdict("signature", 0.1, None, {"changed": "against version 3: output 'z' is new", "breaking": False})
REPLAYED = Verdict("replay", 0.1, None, {"requests": 64, "max_abs": 0.5})
MISSED = Verdict("golden", 0.1, Rejected("golden", "differs by 2", {"checked": 7}), {"checked": 7})


def test_live_tells_what_of_the_signature_changed_and_how_far_answers_drifted() -> None:
    (event,) = announcements.live(WISH, NEW, OLD, STAGES, report_of(CHANGED, REPLAYED))
    assert event.detail == {
        "changed": "against version 3: output 'z' is new",
        "replay": {"requests": 64, "max_abs": 0.5},
    }


def test_live_that_was_forced_lists_what_it_would_have_failed() -> None:
    (event,) = announcements.live(replace(WISH, forced=True), NEW, OLD, STAGES, report_of(CHANGED, MISSED))
    assert event.detail == {
        "changed": "against version 3: output 'z' is new",
        "golden": {"checked": 7},
        "forced": ["golden: differs by 2"],
    }


def test_live_that_was_forced_in_vain_says_so() -> None:
    (event,) = announcements.live(replace(WISH, forced=True), NEW, OLD, STAGES, REPORT)
    assert event.detail == {"forced": []}


def test_rejected_carries_what_its_check_found_and_what_else_would_have_refused() -> None:
    refusal = BreakingSignature("output 'y' is gone", {"changed": "output 'y' is gone; output 'z' is new"})
    report = report_of(Verdict("signature", 0.1, refusal, refusal.detail), MISSED, REPLAYED)
    event = announcements.rejected(WISH, "e" * 64, refusal, STAGES, report)
    assert (event.check, event.reason) == ("signature", "output 'y' is gone")
    assert event.detail == {
        "changed": "output 'y' is gone; output 'z' is new",
        "golden": {"checked": 7},
        "replay": {"requests": 64, "max_abs": 0.5},
        "also": ["golden: differs by 2"],
    }


def test_rejected_by_one_check_alone_has_nothing_else_to_tell() -> None:
    assert MISSED.refusal is not None
    event = announcements.rejected(WISH, "e" * 64, MISSED.refusal, STAGES, report_of(CHANGED, MISSED))
    assert event.detail == {"changed": "against version 3: output 'z' is new", "golden": {"checked": 7}}


def test_given_up_is_told_by_the_step_back_and_what_serves_again() -> None:
    again = replace(NEW, version=5, cause="probation", instead_of=4)
    step, live = announcements.given_up(again, NEW, 2, "9 of 20 requests failed", STAGES)
    assert identity(step) == ("rolled_back", "default", 5, again.sha256, again.model_path)
    assert identity(live) == ("live", "default", 5, again.sha256, again.model_path)
    assert (step.cause, live.cause) == ("probation", "probation")
    assert step.reason == "version 4 failed its probation: 9 of 20 requests failed"
    assert live.reason == "version 4 failed its probation"
    assert step.detail == {"from_version": 4, "from_sha256": NEW.sha256, "to_version": 2}
    assert live.seconds is not None
