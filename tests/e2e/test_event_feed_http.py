"""The event feed from outside, its long polls, and that neither they nor idle connections keep a prediction out."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import monotonic

import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.proc import connections
from tests.e2e.rig import Rig
from tests.e2e.waiting import eventually
from tests.onnx_models import constant_model

pytestmark = pytest.mark.both_fronts

CONNECTIONS = 300


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    """A daemon with one model that serves."""
    rig = new_rig()
    constant_model(rig.drop / "a.onnx", 1.0)
    return rig.start()


def test_feed_is_oldest_first_and_goes_on_after_an_id(rig: Rig) -> None:
    feed = rig.get("/events").json
    events = feed["events"]
    assert [event["event"] for event in events] == ["seen", "live"]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert feed["last"] == events[-1]["id"]
    live = events[-1]
    assert (live["model"], live["model_path"], live["version"]) == ("default", "model_drop/a.onnx", 1)
    assert (live["cause"], len(live["sha256"])) == ("dropped", 64)
    assert {"total", "settle", "store", "gate", "load", "swap"} <= live["seconds"].keys()
    assert live["time"].endswith("Z")
    assert rig.get(f"/events?after={events[0]['id']}").json["events"] == events[1:]
    assert rig.get("/events?limit=1").json == {"events": events[:1], "last": events[0]["id"]}
    assert rig.get(f"/events?after={feed['last']}").json == {"events": [], "last": feed["last"]}


def test_feed_of_one_model_leaves_out_the_others(rig: Rig) -> None:
    constant_model(rig.drop / "other" / "b.onnx", 2.0)
    rig.wait_for_event(event="live", model="other")
    assert {event["model"] for event in rig.get("/events?model=other").json["events"]} == {"other"}
    assert rig.get("/events?model=nobody").json["events"] == []


@pytest.mark.parametrize("query", ["after=x", "after=-1", "wait=x", "wait=-1", "wait=nan", "limit=1.5"])
def test_malformed_question_is_400(rig: Rig, query: str) -> None:
    answer = rig.get(f"/events?{query}")
    assert (answer.status, answer.json["code"]) == (400, "bad_request")


def test_long_poll_is_answered_when_something_happens(rig: Rig) -> None:
    last = rig.last_id()
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(rig.get, f"/events?after={last}&wait=60")
        eventually(lambda: connections(rig.pid) > 0, "the poll's connection")
        assert not poll.done()
        began = monotonic()
        (rig.drop / "a.onnx").unlink()
        (event,) = poll.result(20).json["events"]
    assert (event["event"], event["id"]) == ("removed", last + 1)
    assert monotonic() - began < 10


def test_long_poll_ends_empty_when_nothing_happens(rig: Rig) -> None:
    last = rig.last_id()
    began = monotonic()
    assert rig.get(f"/events?after={last}&wait=0.3").json == {"events": [], "last": last}
    assert 0.3 <= monotonic() - began < 5


def test_many_long_polls_are_bounded_and_keep_nobody_else_out(rig: Rig) -> None:
    last = rig.last_id()
    with ThreadPoolExecutor(40) as pool:
        polls = [pool.submit(rig.get, f"/events?after={last}&wait=60") for _ in range(40)]
        turned_away = eventually(lambda: [poll for poll in polls if poll.done()][:20], "polls that are turned away")
        for poll in turned_away:
            assert (poll.result().status, poll.result().json["code"]) == (503, "overloaded")
            assert int(poll.result().headers["Retry-After"]) >= 1
        began = monotonic()
        assert [rig.predict().status for _ in range(20)] == [200] * 20
        assert rig.get("/events").status == 200
        assert rig.post("/update_model", {"model_path": "a.onnx"}).status == 200  # which ends the polls that wait
        assert monotonic() - began < 5
        statuses = [poll.result(20).status for poll in polls]
    assert set(statuses) == {200, 503}


@pytest.mark.parametrize(
    "begun", [b"", b"POST /predict HT", b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"]
)
def test_hundreds_of_silent_connections_keep_no_request_out(rig: Rig, begun: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", rig.port), timeout=10))
            silent.sendall(begun)
        eventually(lambda: connections(rig.pid) >= CONNECTIONS, "all connections")
        began = monotonic()
        assert [rig.predict().status for _ in range(20)] == [200] * 20
        assert monotonic() - began < 5


def test_idle_connections_beyond_the_limit_make_room(new_rig: NewRig) -> None:
    rig = new_rig(server={"connections": 50})
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.start()
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", rig.port), timeout=10))
        assert [rig.predict().status for _ in range(20)] == [200] * 20
