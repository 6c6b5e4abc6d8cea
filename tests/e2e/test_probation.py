"""What begins to serve is watched, and given up by a swap for the release before when it fails."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest

from tests.e2e.arrivals import digest, made, pass_scans, rename_in
from tests.e2e.bad_models import sparse_model
from tests.e2e.conftest import NewRig
from tests.e2e.crowd import Crowd, failures
from tests.e2e.moody_models import STEADY_RUNS, failing_from, faltering, non_finite_from
from tests.e2e.proc import cpu_seconds, is_running, trials
from tests.e2e.rig import Answer, Rig
from tests.e2e.test_compiled import network
from tests.e2e.waiting import eventually
from tests.onnx_models import constant_model, endless_loop, gather

GOOD: list[list[float]] = [[1.0] * 10]
BAD: list[list[float]] = [[100.0] * 10]
"""What a ``failing_from`` and a ``non_finite_from`` cannot bear."""
LEAST = 20
"""``probation.min_requests``, as it is by default."""
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Spot:
    """A model in a daemon, and what happens to it."""

    rig: Rig
    name: str = "default"

    def upload(self, path: Path, query: str = "") -> Answer:
        address = f"/models/{self.name}/upload?filename={path.name}{query}"
        return self.rig.request("PUT", address, path.read_bytes())

    def deploy(self, path: Path, query: str = "") -> str:
        """The hash of what serves now."""
        answer = self.upload(path, query)
        assert (answer.status, answer.json["outcome"]) == (200, "live"), answer.body
        return str(answer.json["sha256"])

    def steady(self, value: float = 1.0) -> Path:
        return constant_model(self.rig.folder / "made" / f"steady{value}.onnx", value)

    def moody(self, value: float = 2.0, limit: float = 100.0) -> Path:
        return failing_from(self.rig.folder / "made" / f"moody{value}-{limit}.onnx", value, limit)

    def ask(self, inputs: object, times: int) -> list[int]:
        """The statuses of so many predictions, one after the other."""
        return [self.rig.predict(inputs, model=self.name).status for _ in range(times)]

    def version(self) -> int:
        """What serves, once everything that had been told to the deployer before is done."""
        never = constant_model(self.rig.folder / "made" / "never.onnx", -1.0)
        assert self.upload(never, "&dry_run=true").status == 200
        return int(self.rig.get(f"/models/{self.name}").json["version"])

    def given_up(self, after: int = 0) -> dict[str, Any]:
        """The event by which a release was given up."""
        return self.rig.wait_for_event(after, event="rolled_back", model=self.name, cause="probation")

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [each for each in self.rig.events() if each["model"] == self.name and each["event"] in names]

    def probation(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.rig.get(f"/models/{self.name}").json["probation"]
        return found


@pytest.fixture(scope="module")
def watchful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon with the probation as it is by default, for all tests that leave it running."""
    rig = Rig(tmp_path_factory.mktemp("watchful"), {"deploy": {"allowed_dirs": ["made"]}}).start()
    yield rig
    rig.kill()


@pytest.fixture
def spot(watchful: Rig) -> Spot:
    """A model of which a steady release serves, as version 1."""
    spot = Spot(watchful, f"model-{next(_NUMBERS)}")
    spot.deploy(spot.steady())
    return spot


# Going back.


def test_release_that_fails_is_given_up_while_a_crowd_goes_on(spot: Spot) -> None:
    with Crowd(spot.rig.port, path=f"/models/{spot.name}/predict", body=orjson.dumps({"inputs": BAD})) as crowd:
        assert failures(crowd.answers) == []
        spot.deploy(spot.moody())
        spot.given_up()
        told = monotonic()
        crowd.wait_for_more(20)
    _expect_failures_of_the_given_up_alone(crowd, told)
    later = [taken for taken in crowd.answers if taken.sent > told]
    assert {(taken.version, taken.body["output"][0][0]) for taken in later} == {(3, 1.0)}


def test_model_that_starts_to_fail_after_some_requests_is_given_up(new_rig: NewRig) -> None:
    spot = Spot(new_rig(gate={"replay": {"requests": 0}}).start())
    spot.deploy(spot.steady())
    with Crowd(spot.rig.port) as crowd:
        spot.deploy(faltering(spot.rig.folder / "faltering.onnx", 2.0))
        rolled_back = spot.given_up()
        told = monotonic()
        crowd.wait_for_more(20)
    _expect_failures_of_the_given_up_alone(crowd, told)
    assert len([taken for taken in crowd.answers if taken.status == 200 and taken.version == 2]) > STEADY_RUNS // 2
    figures = re.search(r"(\d+) of (\d+) requests failed", rolled_back["reason"])
    assert figures
    assert 0.05 < int(figures[1]) / int(figures[2]) < 0.6


def _expect_failures_of_the_given_up_alone(crowd: Crowd, told: float) -> None:
    """What failed are runs of the release that was given up, and none that was sent once that had been told."""
    failed = failures(crowd.answers)
    assert failed
    assert {(taken.status, taken.body["code"]) for taken in failed} == {(500, "inference_failed")}
    assert max(taken.sent for taken in failed) <= told


def test_release_is_given_up_as_soon_as_the_figures_say_so(spot: Spot) -> None:
    spot.ask(GOOD, 10)
    first = spot.rig.get(f"/models/{spot.name}").json["sha256"]
    failed = spot.deploy(spot.moody())
    assert spot.ask(GOOD, LEAST) == [200] * LEAST
    assert spot.ask(BAD, 1) == [500]  # 1 of 21 is less than 5 %
    assert spot.version() == 2
    assert spot.ask(BAD, 1) == [500]
    rolled_back = spot.given_up()
    assert rolled_back["reason"] == (
        "version 2 failed its probation: 2 of 22 requests failed (at most 5.0% may), 0 of 10 of the release before"
        "; the last failed in a Reshape node"
    )
    assert (rolled_back["version"], rolled_back["sha256"]) == (3, first)
    assert (rolled_back["from_version"], rolled_back["from_sha256"]) == (2, failed)
    live = spot.rig.wait_for_event(rolled_back["id"], event="live", model=spot.name)
    assert (live["version"], live["sha256"], live["cause"]) == (3, first, "probation")
    assert live["id"] == rolled_back["id"] + 1
    assert spot.rig.predict(BAD, model=spot.name).json["output"] == [[1.0] * 5]
    retired = spot.rig.wait_for_event(live["id"], event="retired", model=spot.name)
    assert (retired["version"], retired["sha256"]) == (2, failed)


def test_release_that_was_given_up_is_a_warning_in_the_log_and_a_row_of_the_history(spot: Spot) -> None:
    spot.deploy(spot.moody())
    spot.ask(BAD, LEAST)
    spot.given_up()
    (line,) = eventually(  # an event is told before it is logged
        lambda: [line for line in spot.rig.log.splitlines() if f" rolled_back model={spot.name} " in line], "its line"
    )
    assert " WARN " in line
    assert "20 of 20 requests failed" in line
    rows = spot.rig.get(f"/models/{spot.name}/releases").json["releases"]
    assert [(row["version"], row["cause"]) for row in rows] == [(3, "probation"), (2, "uploaded"), (1, "uploaded")]


def test_nothing_is_concluded_from_few_requests(spot: Spot) -> None:
    spot.deploy(spot.moody())
    assert spot.ask(BAD, LEAST - 1) == [500] * (LEAST - 1)
    assert spot.version() == 2
    assert spot.ask(BAD, 1) == [500]
    assert spot.given_up()["version"] == 3


def test_what_clients_do_wrong_is_not_counted(spot: Spot) -> None:
    spot.deploy(gather(spot.rig.folder / "made" / "gather.onnx"))
    assert spot.ask([99], 2 * LEAST) == [400] * 2 * LEAST
    assert spot.ask("nothing", LEAST) == [400] * LEAST
    assert spot.version() == 2
    probation = spot.probation()
    assert probation is not None
    assert (probation["requests"], probation["failed"]) == (0, 0)


def test_first_release_of_a_model_stays_however_it_fails(watchful: Rig) -> None:
    spot = Spot(watchful, f"model-{next(_NUMBERS)}")
    spot.deploy(spot.moody())
    assert spot.ask(BAD, 3 * LEAST) == [500] * 3 * LEAST
    assert spot.version() == 1
    assert spot.probation() is None


def test_release_after_one_that_failed_as_well_stays(watchful: Rig) -> None:
    spot = Spot(watchful, f"model-{next(_NUMBERS)}")
    spot.deploy(spot.moody(1.0))
    spot.ask(BAD, LEAST)
    spot.deploy(spot.moody(2.0))
    assert spot.ask(BAD, 3 * LEAST) == [500] * 3 * LEAST
    assert spot.version() == 2
    assert spot.events("rolled_back") == []


def test_release_that_serves_again_is_not_given_up_in_its_turn(watchful: Rig) -> None:
    spot = Spot(watchful, f"model-{next(_NUMBERS)}")
    spot.deploy(spot.moody(1.0, limit=1000))
    spot.deploy(spot.moody(2.0, limit=100))
    spot.ask(BAD, LEAST)
    spot.given_up()
    assert spot.probation() is None
    assert spot.ask([[1000.0] * 10], 3 * LEAST) == [500] * 3 * LEAST
    assert spot.version() == 3


def test_release_that_follows_during_a_probation_goes_back_to_the_one_it_replaced(spot: Spot) -> None:
    second = spot.deploy(spot.steady(2.0))
    spot.deploy(spot.moody(3.0))
    probation = spot.probation()
    assert probation is not None
    assert probation["back_to"] == 2
    spot.ask(BAD, LEAST)
    assert spot.given_up()["sha256"] == second
    assert spot.rig.predict(BAD, model=spot.name).json["output"] == [[2.0] * 5]


def test_way_back_leads_on_past_a_release_that_fails_as_well(spot: Spot) -> None:
    """Dropped one after the other, before any of them was asked: the one that came back fails, too."""
    first = spot.rig.get(f"/models/{spot.name}").json["sha256"]
    spot.deploy(spot.moody(2.0))
    spot.deploy(spot.moody(3.0))
    spot.ask(BAD, LEAST)
    step = spot.given_up()
    assert (step["from_version"], step["to_version"]) == (3, 2)
    spot.ask(BAD, LEAST)
    assert spot.given_up(step["id"])["sha256"] == first
    assert spot.ask(BAD, LEAST) == [200] * LEAST


def test_restart_goes_on_with_a_probation(new_rig: NewRig) -> None:
    spot = Spot(new_rig().start())
    first = spot.deploy(spot.steady())
    spot.deploy(spot.moody())
    spot.rig.kill()
    spot.rig.start()
    probation = spot.probation()
    assert probation is not None
    assert probation["back_to"] == 1
    spot.ask(BAD, LEAST)
    assert spot.given_up()["sha256"] == first


def test_going_back_does_not_wait_for_a_trial_that_is_under_way(new_rig: NewRig) -> None:
    spot = Spot(new_rig(gate={"trial": {"timeout_seconds": 60}}).start())
    spot.deploy(spot.steady())
    spot.deploy(spot.moody())
    rename_in(endless_loop(spot.rig.folder / "loop.onnx"), made(spot.rig.drop / "other") / "loop.onnx")
    working = eventually(lambda: [p for p in trials(spot.rig.pid) if cpu_seconds(p) > 0.1], "the trial of the loop")
    spot.ask(BAD, LEAST)
    assert spot.given_up()["version"] == 3
    assert spot.rig.predict(BAD).json["output"] == [[1.0] * 5]
    assert is_running(working[0]), "the trial was over before"


def test_probation_is_shown_with_its_figures(spot: Spot) -> None:
    assert spot.probation() is None
    spot.deploy(non_finite_from(spot.rig.folder / "made" / "odd.onnx", 3.0))
    spot.ask(GOOD, 3)
    spot.ask([[101.0] * 10], 2)
    probation = spot.probation()
    assert probation is not None
    assert 0 < probation.pop("seconds_left") <= 60
    assert probation == {"back_to": 1, "requests": 5, "failed": 0, "non_finite": 2}
    listed = {each["model"]: each for each in spot.rig.get("/models").json["models"]}
    assert listed[spot.name]["probation"]["requests"] == 5


# What failed is not deployed again.


def _fail(spot: Spot) -> Path:
    """Deploys a release that is given up; gives its file."""
    path = spot.moody()
    spot.deploy(path)
    spot.ask(BAD, LEAST)
    spot.given_up()
    return path


def test_bytes_that_failed_are_refused_in_every_way(spot: Spot) -> None:
    path = _fail(spot)
    says = "these bytes failed their probation as version 2; deploy it with force to try it again"
    upload = spot.upload(path)
    assert (upload.status, upload.json["check"], upload.json["reason"]) == (422, "probation", says)
    update = spot.rig.post("/update_model", {"model_path": path.name, "model": spot.name})
    assert (update.status, update.json["check"]) == (422, "probation")
    rollback = spot.rig.post(f"/models/{spot.name}/rollback", {"version": 2})
    assert (rollback.status, rollback.json["check"]) == (422, "probation")
    rename_in(path, made(spot.rig.drop / spot.name) / "again.onnx")
    before = spot.rig.wait_for_event(event="rejected", model=spot.name, model_path=f"model_drop/{spot.name}/again.onnx")
    assert (before["check"], before["reason"]) == ("probation", says)
    assert spot.rig.predict(model=spot.name).json["version"] == 3


def test_rollback_without_a_version_passes_over_what_failed(spot: Spot) -> None:
    _fail(spot)
    rollback = spot.rig.post(f"/models/{spot.name}/rollback")
    assert (rollback.status, rollback.json["code"]) == (404, "not_found")
    second = spot.deploy(spot.steady(5.0))
    spot.deploy(spot.steady(6.0))
    assert spot.rig.post(f"/models/{spot.name}/rollback").json["sha256"] == second


def test_bytes_that_failed_for_one_model_may_serve_another(spot: Spot) -> None:
    path = _fail(spot)
    assert Spot(spot.rig, f"model-{next(_NUMBERS)}").upload(path).status == 200


def test_bytes_that_failed_are_deployed_by_force_and_told_of(spot: Spot) -> None:
    path = _fail(spot)
    before = spot.rig.last_id()
    assert spot.deploy(path, "&force=true") == digest(path)
    live = spot.rig.wait_for_event(before, event="live", model=spot.name)
    assert [each.partition(":")[0] for each in live["forced"]] == ["probation"]
    assert spot.probation() is not None


def test_bytes_that_fail_again_after_force_are_given_up_again(spot: Spot) -> None:
    path = _fail(spot)
    before = spot.rig.last_id()
    spot.deploy(path, "&force=true")
    spot.ask(BAD, LEAST)
    assert spot.given_up(before)["version"] == 5
    assert spot.upload(path).json["reason"].startswith("these bytes failed their probation as version 4")


def test_bytes_that_failed_are_refused_after_a_restart(new_rig: NewRig) -> None:
    spot = Spot(new_rig().start())
    spot.deploy(spot.steady())
    path = _fail(spot)
    spot.rig.kill()
    spot.rig.start()
    assert spot.rig.predict(BAD).json["version"] == 3
    assert spot.upload(path).json["check"] == "probation"
    assert spot.deploy(path, "&force=true") == digest(path)


def test_dropped_file_that_failed_stays_and_does_nothing(new_rig: NewRig) -> None:
    spot = Spot(new_rig().start())
    spot.deploy(spot.steady())
    failed = spot.moody()
    rename_in(failed, spot.rig.drop / "failed.onnx")
    spot.rig.wait_for_event(event="live", model_path="model_drop/failed.onnx")
    spot.ask(BAD, LEAST)
    last = spot.given_up()["id"]
    for _ in range(2):
        pass_scans(spot.rig)
        assert spot.rig.predict(BAD).json["version"] == 3
        names = {event["event"] for event in spot.rig.events(last) if event["model"] == "default"}
        assert names <= {"live", "retired", "restored"}
        spot.rig.kill()
        spot.rig.start()
    assert (spot.rig.drop / "failed.onnx").exists()


# Numbers that are none.


def test_numbers_that_are_none_are_warned_of_once_by_default(spot: Spot) -> None:
    spot.ask(GOOD, 3)
    spot.deploy(non_finite_from(spot.rig.folder / "made" / "odd.onnx", 4.0))
    assert spot.ask([[101.0] * 10], 2 * LEAST) == [200] * 2 * LEAST
    assert spot.version() == 2
    lines = [line for line in spot.rig.log.splitlines() if f"version 2 of {spot.name} gives NaN" in line]
    assert [" WARN " in line for line in lines] == [True]
    assert "which version 1 did not" in lines[0]


@pytest.fixture(scope="module")
def exacting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon that gives up what gives NaN."""
    rig = Rig(tmp_path_factory.mktemp("exacting"), {"probation": {"non_finite": "rollback"}}).start()
    yield rig
    rig.kill()


def test_numbers_that_are_none_count_where_the_settings_say_so(exacting: Rig) -> None:
    spot = Spot(exacting, f"model-{next(_NUMBERS)}")
    spot.deploy(spot.steady())
    spot.ask(GOOD, 7)
    spot.deploy(non_finite_from(exacting.folder / "made" / "odd.onnx", 4.0))
    spot.ask(GOOD, LEAST - 2)
    assert spot.ask([[101.0] * 10], 2) == [200, 200]
    assert spot.given_up()["reason"] == (
        "version 2 failed its probation: 0 of 20 requests failed and 2 gave NaN or infinities (at most 5.0% may), "
        "0 of 7 of the release before"
    )
    assert exacting.predict(model=spot.name).json["output"] == [[1.0] * 5]


def test_numbers_that_are_none_do_not_count_where_the_release_before_gave_them(exacting: Rig) -> None:
    spot = Spot(exacting, f"model-{next(_NUMBERS)}")
    spot.deploy(spot.steady())
    spot.deploy(non_finite_from(exacting.folder / "made" / "1.onnx", 4.0))
    spot.ask([[101.0] * 10], 1)
    spot.deploy(non_finite_from(exacting.folder / "made" / "2.onnx", 5.0))
    spot.ask([[101.0] * 10], 2 * LEAST)
    assert spot.version() == 3


# For how long, and at what cost.


def test_release_is_not_given_up_once_its_probation_is_over(new_rig: NewRig) -> None:
    spot = Spot(new_rig(probation={"seconds": 0.5}).start())
    spot.deploy(spot.steady())
    spot.deploy(spot.moody())
    eventually(lambda: spot.probation() is None, "the probation to be over")
    assert spot.ask(BAD, 3 * LEAST) == [500] * 3 * LEAST
    assert spot.version() == 2


def test_nothing_is_watched_where_the_settings_say_so(new_rig: NewRig) -> None:
    spot = Spot(new_rig(probation={"seconds": 0}).start())
    spot.deploy(spot.steady())
    spot.deploy(spot.moody())
    assert spot.probation() is None
    assert spot.ask(BAD, 3 * LEAST) == [500] * 3 * LEAST
    assert spot.version() == 2


def test_settings_say_how_many_of_how_many_may_fail(new_rig: NewRig) -> None:
    spot = Spot(new_rig(probation={"max_error_rate": 0.5, "min_requests": 4}).start())
    spot.deploy(spot.steady())
    spot.deploy(spot.moody())
    spot.ask(GOOD, 2)
    spot.ask(BAD, 2)
    assert spot.version() == 2
    spot.ask(BAD, 1)
    assert "3 of 5 requests failed (at most 50.0% may)" in spot.given_up()["reason"]


def _weights_of(rig: Rig, sha256: str) -> Path:
    (path,) = eventually(lambda: list((rig.state / "store" / sha256).glob("__made__/*/model.data")), "the form")
    return path


def _maps(rig: Rig, file: Path) -> bool:
    return str(file) in Path(f"/proc/{rig.pid}/maps").read_text()


def _first_of_two(new_rig: NewRig, **probation: object) -> tuple[Rig, Path]:
    """A daemon whose second release serves, and the weights of the first as it maps them where that is loaded."""
    rig = new_rig(gate={"trial": {"compile": "on"}}, probation=probation).start()
    spot = Spot(rig)
    weights = _weights_of(rig, spot.deploy(network(rig.folder / "1.onnx", 1)))
    assert _maps(rig, weights)
    spot.deploy(network(rig.folder / "2.onnx", 2))
    return rig, weights


def test_release_before_stays_loaded_until_the_probation_is_over(new_rig: NewRig) -> None:
    rig, weights = _first_of_two(new_rig, seconds=3)
    rig.wait_for_event(event="retired")
    assert Spot(rig).version() == 2
    assert _maps(rig, weights), "it was freed before its time"
    eventually(lambda: not _maps(rig, weights), "it to be freed")
    assert Spot(rig).probation() is None


def test_release_before_is_freed_at_once_where_the_settings_say_so(new_rig: NewRig) -> None:
    rig, weights = _first_of_two(new_rig, seconds=60, keep_previous=False)
    eventually(lambda: not _maps(rig, weights), "it to be freed")
    assert Spot(rig).probation() is not None


def test_release_before_is_freed_where_a_candidate_would_not_fit_beside_it(new_rig: NewRig) -> None:
    rig = new_rig(gate={"trial": {"compile": "on"}, "memory": {"factor": 4000}}).start()
    spot = Spot(rig)
    weights = _weights_of(rig, spot.deploy(network(rig.folder / "1.onnx", 1)))
    spot.deploy(network(rig.folder / "2.onnx", 2))
    assert _maps(rig, weights)
    rename_in(sparse_model(rig.folder / "terabyte.onnx", 1 << 28), rig.drop / "terabyte.onnx")
    assert rig.wait_for_event(event="rejected")["check"] == "memory"
    assert not _maps(rig, weights)
    assert spot.probation() is not None


def test_release_before_is_loaded_again_where_it_was_not_kept(new_rig: NewRig) -> None:
    spot = Spot(new_rig(probation={"keep_previous": False}).start())
    first = spot.deploy(spot.steady())
    spot.deploy(spot.moody())
    spot.ask(BAD, LEAST)
    assert spot.given_up()["sha256"] == first
    assert spot.rig.predict(BAD).json["output"] == [[1.0] * 5]
