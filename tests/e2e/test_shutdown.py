"""The end of the daemon: SIGTERM and SIGINT answer what was begun, in bounded time, with the right exit code."""

import http.client
import signal
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from random import Random
from threading import Timer
from time import monotonic

import orjson
import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.crowd import ONES
from tests.e2e.proc import connections, cpu_seconds
from tests.e2e.rig import Answer, Rig
from tests.e2e.waiting import eventually
from tests.onnx_models import chain, constant_model, counted_loop

pytestmark = pytest.mark.both_fronts

FOREVER = 10**12
"""Rounds of ``counted_loop`` that nobody waits for."""


@pytest.fixture
def looping(new_rig: NewRig) -> Rig:
    """A daemon whose model runs for as long as it is told, and which drains for a second."""
    return _looping(new_rig, drain_seconds=1)


def _looping(new_rig: NewRig, **server: object) -> Rig:
    rig = new_rig(server=server, runtime={"timeout_seconds": 600})
    counted_loop(rig.drop / "loop.onnx")
    return rig.start()


@contextmanager
def _pool(threads: int = 1) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(threads) as pool:
        yield pool


def _run_for(rig: Rig, rounds: int) -> Answer:
    return rig.post("/predict", {"inputs": {"rounds": rounds, "x": [0.0]}})


def _rounds_of(rig: Rig, seconds: float) -> int:
    """How many rounds take about ``seconds`` here and now."""
    rounds = 100_000
    began = monotonic()
    assert _run_for(rig, rounds).status == 200
    return int(rounds * seconds / (monotonic() - began))


def _wait_until_running(rig: Rig, under_way: "Future[Answer]") -> None:
    """Until the daemon burns processor time for the run: it was taken from the queue and its model works."""
    begun = cpu_seconds(rig.pid)
    eventually(lambda: cpu_seconds(rig.pid) > begun + 0.1, "a run that works")
    assert not under_way.done()


def test_sigterm_under_load_answers_everything_in_flight(new_rig: NewRig) -> None:
    rig = new_rig()
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.start()
    with _pool(8) as pool:
        clients = [pool.submit(_predict_until_refused, rig.port) for _ in range(8)]
        killer = Timer(0.5, rig.process.send_signal, [signal.SIGTERM])  # type: ignore[union-attr]
        killer.start()
        answered = [client.result(30) for client in clients]
        killer.join()
    assert rig.wait() == 0
    assert min(answered) > 0
    assert "Traceback" not in rig.log + rig.stderr


def _predict_until_refused(port: int) -> int:
    """How many predictions were answered until the daemon took no more connections; any other end is a failure.

    As HTTP/1.1 asks of clients, a connection is not used again after an answer with ``Connection: close``.
    """
    answered = 0
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with closing(connection):
            try:
                connection.connect()
            except ConnectionRefusedError:
                return answered
            for _ in range(20):
                connection.request("POST", "/predict", body=ONES)
                response = connection.getresponse()
                assert response.status == 200, response.read()
                assert orjson.loads(response.read())["output"] == [[1.0] * 5]
                answered += 1
                if response.will_close:
                    break


def test_slow_request_in_flight_is_answered_while_the_socket_is_closed(new_rig: NewRig) -> None:
    rig = _looping(new_rig, drain_seconds=30)
    rounds = _rounds_of(rig, 1.5)
    with _pool() as pool:
        under_way = pool.submit(_run_for, rig, rounds)
        _wait_until_running(rig, under_way)
        assert rig.process is not None
        rig.process.send_signal(signal.SIGTERM)
        eventually(lambda: not _accepts(rig.port), "a closed socket")
        assert not under_way.done()
        answer = under_way.result(30)
    assert answer.status == 200
    assert answer.json["output"] == pytest.approx([rounds], rel=0.01)
    assert answer.headers["Connection"] == "close"
    assert rig.wait() == 0


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_readiness_turns_503_on_a_connection_that_was_open(looping: Rig, number: signal.Signals) -> None:
    with _pool() as pool, closing(http.client.HTTPConnection("127.0.0.1", looping.port, timeout=10)) as probe:
        assert _readiness(probe) == (200, False)
        under_way = pool.submit(_run_for, looping, _rounds_of(looping, 0.5))
        _wait_until_running(looping, under_way)
        assert looping.process is not None
        looping.process.send_signal(number)
        # granian answers while the signal is taken: it may be told of the end before it ends connections.
        between = {(200, False), (503, False)} if looping.front == "granian" else {(200, False)}
        assert eventually(lambda: next(iter({_readiness(probe)} - between), None), "a change") == (503, True)
        assert under_way.result(30).status == 200
    assert looping.wait() == 0


def _readiness(probe: http.client.HTTPConnection) -> tuple[int, bool]:
    """The status of ``/readyz``, and whether the connection ends with it."""
    probe.request("GET", "/readyz")
    response = probe.getresponse()
    response.read()
    return response.status, response.will_close


def test_request_longer_than_drain_seconds_is_cut_with_1(looping: Rig) -> None:
    with _pool() as pool:
        under_way = pool.submit(_run_for, looping, FOREVER)
        _wait_until_running(looping, under_way)
        began = monotonic()
        assert looping.stop() == 1
        assert 1 <= monotonic() - began < 5
        assert isinstance(under_way.exception(10), ConnectionError | http.client.HTTPException)
    assert "Traceback" not in looping.log + looping.stderr


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (signal.SIGTERM, signal.SIGTERM, 143),
        (signal.SIGTERM, signal.SIGINT, 130),
        (signal.SIGINT, signal.SIGINT, 130),
        (signal.SIGINT, signal.SIGTERM, 143),
    ],
)
def test_second_signal_exits_at_once(new_rig: NewRig, first: int, second: int, code: int) -> None:
    rig = _looping(new_rig, drain_seconds=60)
    with _pool() as pool:
        under_way = pool.submit(_run_for, rig, FOREVER)
        _wait_until_running(rig, under_way)
        assert rig.process is not None
        rig.process.send_signal(first)
        eventually(lambda: not _accepts(rig.port), "a closed socket")
        began = monotonic()
        assert rig.stop(second) == code
        assert monotonic() - began < 2
        assert under_way.exception(10) is not None


def test_long_polls_are_answered_and_do_not_hold_up_the_drain(rig: Rig) -> None:
    last = rig.last_id()
    with _pool(5) as pool:
        polls = [pool.submit(rig.get, f"/events?after={last}&wait=60") for _ in range(5)]
        eventually(lambda: connections(rig.pid) >= 5, "five connections")
        began = monotonic()
        assert rig.stop() == 0
        assert monotonic() - began < 3
        assert [poll.result(5).status for poll in polls] == [200] * 5


def test_idle_connections_do_not_hold_up_the_drain(rig: Rig) -> None:
    idle = [socket.create_connection(("127.0.0.1", rig.port), timeout=10) for _ in range(50)]
    try:
        began = monotonic()
        assert rig.stop() == 0
        assert monotonic() - began < 3
    finally:
        for connection in idle:
            connection.close()


def test_request_that_stays_half_sent_does_not_hold_up_the_drain(new_rig: NewRig) -> None:
    rig = new_rig(server={"drain_seconds": 1}).start()
    with socket.create_connection(("127.0.0.1", rig.port), timeout=10) as half:
        half.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        began = monotonic()
        assert rig.stop() in (0, 1)
        assert monotonic() - began < 5


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_sigterm_before_everything_is_built_ends_with_0(new_rig: NewRig) -> None:
    """The socket listens before the journal is open, which waits for whoever holds it."""
    rig = new_rig(server={"port": _free_port()}).start()
    assert rig.stop() == 0
    with closing(sqlite3.connect(rig.state / "journal.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process = rig.spawn()
        eventually(lambda: _accepts(rig.port), "a listening socket")
        process.send_signal(signal.SIGTERM)
    assert rig.wait_for_line(process) == ""
    assert rig.wait() == 0


def test_sigterm_while_a_slow_model_is_restored_ends_with_0(new_rig: NewRig) -> None:
    rig = new_rig(server={"port": _free_port()})
    chain(rig.drop / "slow.onnx", 30_000)
    rig.start()
    rig.wait_for_event(event="live")
    rig.kill()
    process = rig.spawn()
    eventually(lambda: _accepts(rig.port), "a listening socket")
    process.send_signal(signal.SIGTERM)
    assert rig.wait_for_line(process) == ""
    assert rig.wait() == 0
    assert "Traceback" not in rig.log + rig.stderr


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_signal_at_any_moment_of_start_up_leaves_no_traceback(new_rig: NewRig, seed: int) -> None:
    rig, random = new_rig(), Random(seed)
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.start()
    assert rig.stop() == 0
    for _ in range(5):
        process = rig.spawn()
        killer = Timer(random.uniform(0.1, 0.8), process.send_signal, [signal.SIGTERM])
        killer.start()
        # Before Python could install the daemon's own way of ending, the signal ends the process by itself.
        assert rig.wait() in (0, -signal.SIGTERM)
        killer.join()
    assert "Traceback" not in rig.log + rig.stderr


def test_daemon_that_was_stopped_starts_again_with_what_served(rig: Rig) -> None:
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.wait_for_event(event="live")
    before = rig.predict()
    assert rig.stop() == 0
    rig.start()
    after = rig.predict()
    assert after.json == before.json
    assert after.headers["X-Model-SHA256"] == before.headers["X-Model-SHA256"]
