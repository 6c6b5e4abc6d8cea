"""Large parts of answers are sent from where they lie, however slowly they are read."""

import gc
import socket
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.http.held import HELD_SECONDS, Held, Room
from daemon.http.tasks import PACKET_BYTES
from daemon.server import Limits, Server
from tests.serving_rig import WAIT_SECONDS, Client, Serve

PIECES = [b"head", *(bytes([number]) * (1 << 20) for number in range(1, 9)), b"tail"]
WHOLE = b"".join(PIECES)


def views(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[Any]:
    start_response("200 OK", [("Content-Length", str(len(WHOLE)))])
    return [memoryview(piece) for piece in PIECES]


def test_views_arrive_as_they_are_one_answer_after_the_other(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, app=views) as running, running.client() as client:
        for _ in range(3):
            assert client.get().body == WHOLE


def test_views_end_with_the_connection_where_the_client_wants_no_other(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, app=views) as running, running.client() as client:
        assert client.send(b"GET / HTTP/1.0\r\n\r\n").reply().body == WHOLE
        assert client.ended()


def test_views_of_pipelined_requests_come_in_order(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, app=views) as running, running.client() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n" * 3)
        assert all(client.reply().body == WHOLE for _ in range(3))


def test_piece_that_is_more_than_was_announced_is_cut(serve: Serve, tmp_path: Path) -> None:
    def more(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(2 * PACKET_BYTES))])
        return [bytes(3 * PACKET_BYTES)]

    if serve.front == "granian":
        pytest.skip("it sends what it is given")
    with serve(tmp_path, app=more) as running, running.client() as client:
        assert client.get().body == bytes(2 * PACKET_BYTES)
        assert client.get().body == bytes(2 * PACKET_BYTES)


def lazy(url: str) -> Client:
    """A client that takes little at once."""
    client = Client(url)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    return client


def room_of(server: Any) -> Room:
    assert isinstance(server, Server)
    room = server._front.room
    assert isinstance(room, Room)
    return room


def test_slow_reader_gets_all_and_holds_no_thread(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, app=views, limits=Limits(threads=1)) as running:
        with ExitStack() as stack:
            clients = [stack.enter_context(lazy(running.url)) for _ in range(3)]  # of whom each is owed 8 MB
            for client in clients:
                client.send(b"GET / HTTP/1.1\r\n\r\n")
            with running.client() as keen:
                assert keen.get().body == WHOLE
            assert clients[0].reply().body == WHOLE


@pytest.mark.parametrize("serve", ["waitress"], indirect=True)
def test_room_of_a_client_that_goes_is_given_back(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, app=views) as running:
        room = room_of(running.server)
        free = room.free_bytes
        with lazy(running.url) as gone:
            gone.send(b"GET / HTTP/1.1\r\n\r\n")
            until(lambda: room.free_bytes < free)
        with running.client() as keen:
            assert keen.get().body == WHOLE
        until(lambda: room.free_bytes == free)


@pytest.mark.parametrize("serve", ["waitress"], indirect=True)
def test_what_there_is_no_room_for_goes_to_the_disk_and_arrives(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path, app=views) as running:
        room = room_of(running.server)
        monkeypatch.setattr(room, "_free_bytes", 7 << 20)  # two of the pieces
        with running.client() as client:
            assert client.get().body == WHOLE
            until(lambda: room.free_bytes == 7 << 20)


def until(true: Callable[[], bool]) -> None:
    """Wait for the loop, which owes nobody a word."""
    end = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_held_bytes_are_those_that_were_given() -> None:
    array = np.arange(100_000, dtype=np.uint8)
    held = Room().hold(array.data)
    assert held is not None
    assert np.shares_memory(np.frombuffer(held.get(10), np.uint8), array)
    held.skip(99_990)
    assert (len(held), bytes(held.get())) == (10, bytes(array[-10:].tolist()))


def test_closed_one_lets_go_once() -> None:
    room = Room(300_000)
    array = np.zeros(200_000, np.uint8)
    gone = weakref.ref(array)
    held = room.hold(array.data)
    assert held is not None
    assert room.hold(array.data) is None, "there is no room for two"
    del array
    held.close()
    held.close()
    gc.collect()
    assert (room.free_bytes, len(held), gone()) == (300_000, 0, None)


def test_what_is_held_for_long_is_copied_and_keeps_nothing_else_alive() -> None:
    room = Room(1 << 20)
    array = np.random.default_rng(0).integers(0, 255, 300_000, np.uint8)
    wanted, gone = array.tobytes(), weakref.ref(array)
    held = room.hold(array.data)
    assert held is not None
    held.skip(1000)
    del array
    now = time.monotonic()
    room.look(now)
    assert gone() is not None
    room.look(now + 2 * HELD_SECONDS)
    gc.collect()
    assert gone() is None
    assert bytes(held.get()) == wanted[1000:]
    held.skip(99_000)
    assert bytes(held.get()) == wanted[100_000:]
    assert room.free_bytes == (1 << 20) - 300_000
    held.close()
    assert room.free_bytes == 1 << 20


def test_copy_may_come_between_what_is_sent_and_what_is_counted() -> None:
    held = Room().hold(bytes(range(200)))
    assert held is not None
    sent = held.get()
    held.skip(10)
    before = held.remain
    held.copy()
    held.skip(20)
    assert (bytes(sent)[:2], before, held.get()[0], len(held)) == (b"\0\1", 190, 30, 170)
    held.close()
    held.copy()
    assert (len(held), bytes(held.get())) == (0, b"")


def test_little_is_copied_at_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.http.held.COPIED_AT_ONCE_BYTES", 150)
    room, arrays = Room(), [np.zeros(100, np.uint8) for _ in range(5)]
    held = [room.hold(array.data) for array in arrays]
    gone = [weakref.ref(array) for array in arrays]
    arrays.clear()
    for left in (3, 1, 0):
        room.look(time.monotonic() + 2 * HELD_SECONDS)
        gc.collect()
        assert sum(each() is not None for each in gone) == left
    assert all(each is not None and len(each) == 100 for each in held)


def test_small_pieces_are_not_held(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(2 * PACKET_BYTES))])
        return [bytes(PACKET_BYTES)] * 2

    monkeypatch.setattr(Held, "__init__", None)
    with serve(tmp_path, app=small) as running, running.client() as client:
        assert client.get().body == bytes(2 * PACKET_BYTES)
