"""The end of a server: what was begun is answered, nothing new is taken, and it ends in time."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from daemon.http.poller import Poller
from daemon.http.sockets import turn_away
from daemon.server import Limits, Server, bind
from tests.serving_rig import WAIT_SECONDS, Client, Serve, Toy, admit

WAIT = b"GET /wait HTTP/1.1\r\n\r\n"


def test_request_in_flight_is_answered_and_its_connection_closed(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path) as running, running.client() as client:
        client.send(WAIT)
        running.toy.wait_entered()
        running.server.begin_drain()
        _refused(running.url)
        running.toy.go.set()
        reply = client.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert client.ended()
        assert running.drained() is True


def test_queued_requests_are_answered(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(threads=1)) as running:
        clients = [running.client().send(WAIT) for _ in range(5)]
        running.toy.wait_entered()
        running.server.begin_drain()
        _refused(running.url)
        running.toy.go.set()
        assert [client.reply().status for client in clients] == [200] * 5
        assert running.drained() is True
        for client in clients:
            client.sock.close()


@pytest.mark.no_granian("it does not tell that another request lies in its buffer: the first answer says close")
def test_pipelined_requests_are_all_answered_and_only_the_last_says_close(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path) as running, running.client() as client:
        client.send(WAIT * 3)
        running.toy.wait_entered()
        running.server.begin_drain()
        _refused(running.url)
        running.toy.go.set()
        assert [client.reply().headers.get("connection") for _ in range(3)] == [None, None, "close"]
        assert running.drained() is True


def test_request_that_comes_over_an_open_connection_just_after_the_signal_is_answered(
    serve: Serve, tmp_path: Path
) -> None:
    with serve(tmp_path, limits=Limits(grace_seconds=5)) as running, running.client() as client:
        assert client.get("/before").status == 200
        running.server.begin_drain()
        _refused(running.url)
        assert client.get("/after").status == 200
        assert running.drained() is True


def test_connection_that_the_kernel_accepted_is_served(serve: Serve, tmp_path: Path) -> None:
    toy = Toy()
    server = Server(toy, bind(["127.0.0.1:0"]), Limits(grace_seconds=0), admit, lambda *_: False, tmp_path)
    with Client(server.addresses[0]) as client:  # connected, though the server has never run a turn
        client.send(b"GET /early HTTP/1.1\r\n\r\n")
        server.begin_drain()
        assert server.run() is True
        assert client.reply().body == b"/early"


def test_idle_connections_do_not_delay_the_end(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(drain_seconds=WAIT_SECONDS)) as running:
        idle = [running.client() for _ in range(20)]
        for client in idle[:10]:
            assert client.get("/").status == 200
        began = time.monotonic()
        running.server.begin_drain()
        assert running.drained() is True
        assert time.monotonic() - began < WAIT_SECONDS / 2
        for client in idle:
            assert client.ended()
            client.sock.close()


def test_request_that_comes_slowly_may_finish(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(grace_seconds=0)) as running, running.client() as client:
        client.send(b"POST /late HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        with running.client() as other:
            other.get("/")  # so the half has been read
        running.server.begin_drain()
        _refused(running.url)
        assert client.send(b"second").reply().body == b"halfsecond"
        assert running.drained() is True


def test_request_that_never_ends_is_cut_at_the_deadline(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(drain_seconds=0.3)) as running, running.client() as client:
        client.send(WAIT)
        running.toy.wait_entered()
        began = time.monotonic()
        running.server.begin_drain()
        assert running.drained() is False
        assert time.monotonic() - began < 3
        assert client.ended()
        running.toy.go.set()  # and the thread that was left behind ends by itself


def test_half_a_request_is_cut_at_the_deadline(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(drain_seconds=0.3)) as running, running.client() as client:
        client.send(b"GET / HT")
        with running.client() as other:
            other.get("/")
        running.server.begin_drain()
        assert running.drained() is False
        assert client.ended()


def test_answer_that_the_client_reads_late_arrives_whole(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path) as running, running.client() as client:
        client.send(b"GET /big HTTP/1.1\r\n\r\n")
        running.toy.wait_entered()
        running.server.begin_drain()
        _refused(running.url)
        assert len(client.reply().body) == 8 << 20
        assert running.drained() is True


def test_work_of_a_client_that_left_counts_as_cut(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(drain_seconds=0.3)) as running:
        with running.client() as client:
            client.send(WAIT)
            running.toy.wait_entered()
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        running.server.begin_drain()
        assert running.drained() is False
        running.toy.go.set()


def test_many_clients_lose_no_answer_over_a_drain(serve: Serve, tmp_path: Path) -> None:
    """Whatever was sent before the server closed its side is answered; a connection that ends between is no loss."""
    with serve(tmp_path) as running:
        half_answered: list[object] = []
        asked = threading.Semaphore(0)

        def ask() -> None:
            with running.client() as client:
                for _ in range(100_000):
                    asked.release()
                    try:
                        closes = client.get("/x").headers.get("connection") == "close"
                    except (EOFError, ConnectionError) as error:
                        half_answered.append(error)
                        return
                    if closes:
                        return

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            assert asked.acquire(timeout=WAIT_SECONDS)
        running.server.begin_drain()
        assert running.drained() is True
        for thread in threads:
            thread.join(WAIT_SECONDS)
        assert half_answered == []


def test_connection_that_could_be_made_is_answered_to_the_last(serve: Serve, tmp_path: Path) -> None:
    """A client either gets its answer or is refused; it never connects and is then reset."""
    with serve(tmp_path) as running:
        lost: list[Exception] = []
        asked = threading.Semaphore(0)

        def ask() -> None:
            for _ in range(100_000):
                try:
                    with running.client() as client:
                        asked.release()
                        client.get("/x")
                except ConnectionRefusedError:
                    return
                except (EOFError, ConnectionError) as error:
                    lost.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            assert asked.acquire(timeout=WAIT_SECONDS)
        running.server.begin_drain()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        assert running.drained() is True
        assert lost == []


def test_connection_attempts_are_dropped_while_those_that_were_made_are_accepted() -> None:
    [listener] = bind(["127.0.0.1:0"])
    with listener, socket.create_connection(listener.getsockname()), socket.socket() as late:
        turn_away(listener)
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.connect(listener.getsockname())
        listener.accept()[0].close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_nobody_can_connect_any_more_when_the_last_are_accepted(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[OSError] = []

    def turn_away_and_knock(listener: socket.socket) -> None:
        turn_away(listener)
        with socket.socket() as client:
            client.settimeout(0.2)
            try:
                client.connect(listener.getsockname())
            except OSError as error:
                late.append(error)

    place = {"waitress": "daemon.http.listener", "granian": "daemon.native.worker"}[serve.front]
    monkeypatch.setattr(f"{place}.turn_away", turn_away_and_knock)
    with serve(tmp_path) as running:
        running.server.begin_drain()
        assert running.drained() is True
    assert {type(error) for error in late} == {TimeoutError}


def test_drain_wakes_a_loop_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Poller] = []
    server = Server(Toy(), bind(["127.0.0.1:0"]), Limits(), admit, lambda *_: False, tmp_path)
    monkeypatch.setattr(Poller, "wake", lambda poller: woken.append(poller))
    server.begin_drain()
    assert len(woken) == 1
    server.close()


def test_poller_that_was_woken_does_not_wait() -> None:
    poller = Poller()
    poller.wake()
    began = time.monotonic()
    poller.turn(WAIT_SECONDS)
    assert time.monotonic() - began < WAIT_SECONDS / 2
    poller.close()


def test_drain_begins_from_a_signal(serve: Serve, tmp_path: Path) -> None:
    server = Server(Toy(), bind(["127.0.0.1:0"]), Limits(), admit, lambda *_: False, tmp_path)
    before = signal.signal(signal.SIGUSR1, lambda *_: server.begin_drain())
    try:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        assert server.run() is True
        timer.join(WAIT_SECONDS)
    finally:
        signal.signal(signal.SIGUSR1, before)


def _refused(url: str) -> None:
    """Wait until nobody listens at ``url`` any more."""
    never = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.01)):
        try:
            Client(url).sock.close()
        except ConnectionRefusedError:
            return
        never.wait(0.01)
    pytest.fail("the server still listens")
