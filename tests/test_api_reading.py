"""What can be read: models, releases, and the event feed with its long polls."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from daemon.errors import Overloaded
from daemon.release import Event
from daemon.web.reading import Seats
from tests import onnx_models
from tests.fakes import WAIT_SECONDS
from tests.web_rig import WebRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path) as rig:
        yield rig


def json_of(answer: TestResponse) -> Any:
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    return answer.get_json()


def tell(rig: WebRig, event: str = "seen", model: str = "default") -> int:
    return rig.journal.append(Event(event=event, model=model, model_path="model_drop/x.onnx")).id


def test_default_model_is_listed_before_it_ever_served(rig: WebRig) -> None:
    (model,) = json_of(rig.get("/models"))["models"]
    assert model == {
        "model": "default",
        "state": "none",
        "version": None,
        "sha256": None,
        "model_path": None,
        "since": None,
        "inputs": [],
        "outputs": [],
        "metadata": {},
        "trial": {},
        "candidate": None,
        "probation": None,
        "rejected": None,
    }


def test_model_that_serves_is_described(rig: WebRig) -> None:
    sha256 = rig.update(1).get_json()["sha256"]
    model = json_of(rig.get("/models/default"))
    assert (model["state"], model["version"], model["sha256"], model["model_path"]) == ("live", 1, sha256, "1.onnx")
    assert model["since"].endswith("Z")
    assert model["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", 10]}]
    assert model["outputs"] == [{"name": "output", "dtype": "float32", "shape": ["batch", 5]}]
    assert isinstance(model["metadata"], dict)


def test_optional_input_is_marked(rig: WebRig) -> None:
    onnx_models.optional_input(rig.drop / "optional.onnx")
    rig.post("/update_model", {"model_path": "optional.onnx"})
    inputs = json_of(rig.get("/models/default"))["inputs"]
    assert [(each["name"], each.get("optional")) for each in inputs] == [("x", None), ("offset", True)]


def test_models_are_listed_by_name_each_as_it_is_alone(rig: WebRig) -> None:
    rig.update(1, model="zebra")
    rig.update(2, model="ant")
    models = json_of(rig.get("/models"))["models"]
    assert [model["model"] for model in models] == ["ant", "default", "zebra"]
    assert models == [json_of(rig.get(f"/models/{model['model']}")) for model in models]


def test_unloaded_model_says_so(rig: WebRig) -> None:
    rig.update(1)
    rig.post("/v2/repository/models/default/unload")
    assert json_of(rig.get("/models/default"))["state"] == "unloaded"


def test_candidate_on_its_way_is_shown(rig: WebRig) -> None:
    let_go = threading.Event()
    rig.deployer._enter("other", lambda: let_go.wait(WAIT_SECONDS))
    futures = rig.deployer.submit([rig.lower.wish(1, name="next.onnx")])
    candidate = json_of(rig.get("/models/default"))["candidate"]
    let_go.set()
    futures[0].result(WAIT_SECONDS)
    assert candidate == {"model_path": "drop/next.onnx", "stage": "queued"}


@pytest.mark.parametrize("path", ["/models/nothing", "/models/nothing/releases", "/models/%0A"])
def test_model_that_never_was_is_404(rig: WebRig, path: str) -> None:
    answer = rig.get(path)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "unknown_model")


def test_releases_come_newest_first_with_the_rejected_and_why(rig: WebRig) -> None:
    rig.update(1)
    (rig.drop / "bad.onnx").write_bytes(b"<html>")
    rig.post("/update_model", {"model_path": "bad.onnx"})
    rig.update(2)
    rows = json_of(rig.get("/models/default/releases"))["releases"]
    assert [(row["version"], row["outcome"], row["model_path"]) for row in rows] == [
        (2, "live", "2.onnx"),
        (None, "rejected", "bad.onnx"),
        (1, "live", "1.onnx"),
    ]
    assert rows[1].keys() == {"version", "outcome", "sha256", "model_path", "time", "cause", "reason", "check"}
    assert "reason" not in rows[0]


@pytest.mark.parametrize(("limit", "rows"), [("1", 1), ("0", 0), ("99999999", 3)])
def test_releases_are_limited(rig: WebRig, limit: str, rows: int) -> None:
    for number in (1, 2, 3):
        rig.update(number)
    assert len(json_of(rig.get(f"/models/default/releases?limit={limit}"))["releases"]) == rows


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "after=1.5", "after=", "wait=x", "wait=-1", "wait=nan"])
def test_query_that_is_no_number_is_400(rig: WebRig, query: str) -> None:
    answer = rig.get(f"/events?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")


def test_events_come_oldest_first_with_the_last_id(rig: WebRig) -> None:
    first, second = tell(rig), tell(rig, "waiting")
    feed = json_of(rig.get("/events"))
    assert [event["id"] for event in feed["events"]] == [first, second]
    assert feed["last"] == second
    assert feed["events"][0].keys() == {"id", "event", "time", "model", "model_path"}


def test_events_after_an_id_are_those_beyond_it(rig: WebRig) -> None:
    first, second = tell(rig), tell(rig)
    assert [event["id"] for event in json_of(rig.get(f"/events?after={first}"))["events"]] == [second]
    assert json_of(rig.get(f"/events?after={second}")) == {"events": [], "last": second}


def test_events_are_of_one_model_when_asked(rig: WebRig) -> None:
    tell(rig, model="a")
    wanted = tell(rig, model="b")
    tell(rig, model="a")
    assert [event["id"] for event in json_of(rig.get("/events?model=b"))["events"]] == [wanted]


def test_events_are_limited_and_the_last_id_leads_on(rig: WebRig) -> None:
    ids = [tell(rig) for _ in range(5)]
    seen, after = [], 0
    for _ in range(3):
        feed = json_of(rig.get(f"/events?limit=2&after={after}"))
        seen += [event["id"] for event in feed["events"]]
        after = feed["last"]
    assert seen == ids


def test_limit_of_none_tells_the_newest_id(rig: WebRig) -> None:
    newest = [tell(rig) for _ in range(3)][-1]
    assert json_of(rig.get("/events?limit=0")) == {"events": [], "last": newest}


def test_live_event_carries_its_breakdown(rig: WebRig) -> None:
    rig.update(1)
    (event,) = json_of(rig.get("/events"))["events"]
    assert (event["event"], event["cause"], event["version"]) == ("live", "updated", 1)
    stages = [stage for stage in event["seconds"] if "." not in stage]
    assert stages == ["total", "settle", "store", "gate", "load", "swap"]
    assert {"gate.integrity", "gate.structure", "gate.trial", "gate.signature"} <= event["seconds"].keys()


def test_wait_is_answered_at_once_where_there_is_an_event(rig: WebRig) -> None:
    newest = tell(rig)
    assert json_of(rig.get("/events?wait=60"))["last"] == newest


def test_wait_is_held_until_an_event_of_the_model_comes(rig: WebRig) -> None:
    answers: list[Any] = []
    asked = threading.Event()
    wait = rig.journal.wait

    def watched(*arguments: Any, **more: Any) -> list[Event]:
        asked.set()
        return wait(*arguments, **more)

    rig.journal.wait = watched  # type: ignore[method-assign]
    poll = threading.Thread(target=lambda: answers.append(json_of(rig.get("/events?wait=60&model=b"))))
    poll.start()
    assert asked.wait(WAIT_SECONDS)
    tell(rig, model="a")
    wanted = tell(rig, model="b")
    poll.join(WAIT_SECONDS)
    assert [event["id"] for event in answers[0]["events"]] == [wanted]


def test_wait_ends_empty_when_nothing_came(rig: WebRig) -> None:
    assert json_of(rig.get("/events?wait=0.01")) == {"events": [], "last": 0}


def test_wait_without_a_free_seat_is_503_and_asking_without_wait_is_not(rig: WebRig) -> None:
    poll = threading.Thread(target=lambda: rig.get("/events?wait=60"))
    seated = threading.Event()
    wait = rig.journal.wait

    def watched(*arguments: Any, **more: Any) -> list[Event]:
        seated.set()
        return wait(*arguments, **more)

    rig.journal.wait = watched  # type: ignore[method-assign]
    poll.start()
    assert seated.wait(WAIT_SECONDS)
    answer = rig.get("/events?wait=60")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "overloaded")
    assert answer.headers["Retry-After"] == "1"
    assert rig.get("/events").status_code == 200
    rig.journal.release_waiters()
    poll.join(WAIT_SECONDS)
    assert json_of(rig.get("/events?wait=0.01"))["events"] == []


def test_seat_is_given_back_by_whoever_fails() -> None:
    seats = Seats(1)
    with pytest.raises(RuntimeError), seats.taken():
        raise RuntimeError
    with seats.taken(), pytest.raises(Overloaded), seats.taken():
        pass


def test_no_seats_means_that_nobody_waits() -> None:
    with pytest.raises(Overloaded), Seats(0).taken():
        pass


def test_follower_from_another_state_is_led_back_to_the_newest_event(rig: WebRig) -> None:
    newest = json_of(rig.get("/events?limit=0"))["last"]
    assert json_of(rig.get("/events?after=123456789")) == {"events": [], "last": newest}


def test_model_shows_what_its_trial_found_out(rig: WebRig) -> None:
    rig.update(1)
    assert json_of(rig.get("/models/default"))["trial"] == {"runs": []}
    assert rig.journal.releases("default")[0].trial == {"runs": []}


def test_probation_is_shown_while_it_lasts(rig: WebRig) -> None:
    rig.update(1)
    assert json_of(rig.get("/models/default"))["probation"] is None
    rig.update(2)
    rig.predict()
    probation = json_of(rig.get("/models/default"))["probation"]
    assert 0 < probation.pop("seconds_left") <= 60
    assert probation == {"back_to": 1, "requests": 1, "failed": 0, "non_finite": 0}


def test_probation_is_over_when_the_release_before_serves_again(rig: WebRig) -> None:
    rig.update(1)
    rig.update(2)
    release = rig.holder.release_of("default")
    assert release is not None
    for _ in range(20):
        rig.lower.probation.failed(release, "")
    rig.settle()
    model = json_of(rig.get("/models/default"))
    assert (model["version"], model["probation"]) == (3, None)


def test_refusal_is_shown_until_something_serves(rig: WebRig) -> None:
    rig.update(1)
    (rig.drop / "bad.onnx").write_bytes(b"<html>")
    rig.post("/update_model", {"model_path": "bad.onnx"})
    rejected = json_of(rig.get("/models/default"))["rejected"]
    assert rejected.pop("time").endswith("Z")
    assert "an HTML page" in rejected.pop("reason")
    assert rejected == {"model_path": "bad.onnx", "sha256": None, "check": "structure"}
    rig.update(2)
    assert json_of(rig.get("/models/default"))["rejected"] is None


def test_refusal_of_a_model_that_never_served_is_shown(rig: WebRig) -> None:
    rig.put("/models/other/upload", b"<html>")
    model = json_of(rig.get("/models/other"))
    assert (model["state"], model["rejected"]["check"]) == ("none", "structure")
    assert len(model["rejected"]["sha256"]) == 64


def test_live_event_says_what_of_the_signature_changed(rig: WebRig) -> None:
    rig.update(1)
    onnx_models.constant_model(rig.drop / "wide.onnx", 2, inputs=11)
    rig.post("/update_model", {"model_path": "wide.onnx"})
    events = json_of(rig.get("/events"))["events"]
    (live,) = [event for event in events if event.get("version") == 2 and event["event"] == "live"]
    assert live["changed"] == "against version 1: input 'input' has the shape [batch, 11], had [batch, 10]"
    assert "forced" not in live
