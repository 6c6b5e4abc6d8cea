"""What may happen between two threads of the HTTP layer, made to happen: closing, flushing, waking, storing."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from daemon.http.channel import Channel
from daemon.http.poller import Poller
from daemon.http.pool import Pool
from daemon.http.request import Request
from daemon.http.sockets import turn_away
from daemon.server import Admission, Limits, Server, bind
from tests.serving_rig import WAIT_SECONDS, Client, Toy, admit, serving

UPLOAD = b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n"
PARTIAL = b"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"


def admit_all(*_: Any) -> Admission:
    return Admission(1 << 30)


class Bench:
    """A server whose loop and pools never run: the test does what their threads would, in the order it wants."""

    def __init__(self, spool_dir: Path, limits: Limits) -> None:
        self.server = Server(Toy(), bind(["127.0.0.1:0"]), limits, admit_all, lambda *_: False, spool_dir)
        self.client = Client(self.server.addresses[0])
        [listener] = self.server._listeners
        listener.accept_waiting(1)
        [channel] = self.server._front.channels.values()
        assert isinstance(channel, Channel)
        self.channel = channel

    def bring(self, data: bytes) -> None:
        """Let the loop read ``data``."""
        self.channel.received(data)

    def close(self) -> None:
        self.client.sock.close()
        self.server.close()


@contextmanager
def bench(spool_dir: Path, limits: Limits | None = None) -> Iterator[Bench]:
    with closing(Bench(spool_dir, limits or Limits())) as made:
        yield made


# descriptors


def test_wake_after_the_end_writes_into_nobodys_file() -> None:
    poller = Poller()
    bell = poller._bell
    poller.close()
    reader, writer = os.pipe()
    os.dup2(writer, bell)  # as a file opened since may have got that number
    os.close(writer)
    try:
        os.set_blocking(reader, False)
        poller.wake()
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
    finally:
        os.close(reader)
        os.close(bell)


class Source:
    """What a poller watches: it waits for what ``waits`` says."""

    def __init__(self, poller: Poller, sock: socket.socket) -> None:
        self._fileno = sock.fileno()
        self.waits = True
        self.reads = 0
        self._sock = sock
        poller.sources[self._fileno] = self

    def readable(self) -> bool:
        return self.waits

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self.reads += 1
        self._sock.recv(1)


def test_answer_wakes_the_loop_only_where_it_must_look_again() -> None:
    poller = Poller()
    ours, theirs = socket.socketpair()
    with ours, theirs, closing(poller):
        source = Source(poller, ours)
        poller.changed(source)
        poller.turn(0)
        poller.turn(0)
        in_thread(lambda: poller.served(source))
        assert not poller._woken, "it is watched for what it waits for"
        source.waits = False
        theirs.send(b"x")
        poller.turn(0)  # the byte gets in the way, so that it is not watched any more
        source.waits = True
        in_thread(lambda: poller.served(source))
        assert poller._woken
        poller.turn(0)
        poller.turn(0)
        assert source.reads == 1


def in_thread(act: Callable[[], None]) -> None:
    """Have another thread than the loop's do it."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(WAIT_SECONDS)


def test_sockets_are_closed_when_a_thread_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Pool) -> None:
        raise RuntimeError("can't start new thread")

    server = Server(Toy(), bind([f"unix:{tmp_path / 'http.sock'}"]), Limits(), admit, lambda *_: False, tmp_path)
    monkeypatch.setattr(Pool, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        server.run()
    assert not (tmp_path / "http.sock").exists()


# a connection that closes while its request is served


def test_client_that_leaves_before_its_100_is_no_failure(tmp_path: Path) -> None:
    class Leaving(Request):
        @property
        def expect_continue(self) -> bool:
            made.channel.handle_close()  # as the loop may between any two looks at the request
            return True

        @expect_continue.setter
        def expect_continue(self, _: bool) -> None: ...

    with bench(tmp_path) as made:
        made.bring(b"GET /first HTTP/1.1\r\n\r\n" + PARTIAL)
        assert made.channel.request is not None
        made.channel.request.__class__ = Leaving
        made.channel.service()
        assert made.channel.total_outbufs_len == 0


def test_bodies_of_pipelined_requests_are_closed_with_their_connection(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        made.bring(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" * 2)
        first, second = made.channel.requests
        first.close = made.channel.handle_close  # type: ignore[method-assign]  # the answer is out, the next not begun
        body = second.get_body_stream()
        made.channel.service()
        assert body.closed


# flushing


def test_loop_flushes_under_the_lock_that_a_late_100_takes(tmp_path: Path) -> None:
    """The thread that answered writes the 100 after its request left the queue, so an empty queue proves nothing."""
    free: list[bool] = []

    def try_lock(lock: Any) -> None:
        free.append(lock.acquire(blocking=False))
        if free[-1]:
            lock.release()

    def send(piece: bytes, do_close: bool = True) -> int:
        other = threading.Thread(target=try_lock, args=(made.channel.outbuf_lock,))
        other.start()
        other.join(WAIT_SECONDS)
        return len(piece)

    with bench(tmp_path) as made:
        made.bring(PARTIAL)  # brings the 100 into the buffer
        made.channel.send = send  # type: ignore[method-assign, assignment]
        made.channel.handle_write()
    assert free == [False]


def test_answer_that_ends_while_the_loop_flushes_survives_unread_bytes(tmp_path: Path) -> None:
    """Closing over unread bytes would reset the connection and take the answer with it."""
    with bench(tmp_path) as made:
        made.bring(b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
        made.client.send(b"and more")
        send = made.channel.send

        def send_as_the_answer_ends(piece: bytes, do_close: bool = True) -> int:
            made.channel.close_when_flushed = True
            return send(piece, do_close)

        with made.channel.outbuf_lock:
            made.channel.outbufs[-1].append(b"the end")
            made.channel.total_outbufs_len += 7
        made.channel.send = send_as_the_answer_ends  # type: ignore[method-assign, assignment]
        made.channel.handle_write()
        made.channel.handle_write()  # the loop comes again, for the thread said that something changed
        assert made.client.sock.recv(100) == b"the end"
        assert made.client.sock.recv(1) == b""  # an end, not a reset


# time


def test_request_is_not_late_for_the_time_in_which_nobody_read_it(tmp_path: Path) -> None:
    with bench(tmp_path, Limits(header_seconds=20)) as made:
        made.bring(b"GET /first HTTP/1.1\r\n\r\nGET /sec")
        now = time.monotonic()
        assert not made.channel.overdue(now + 100)
        made.channel.service()
        assert not made.channel.overdue(now + 101)
        assert made.channel.overdue(now + 121)


# answers


def test_failure_over_a_header_is_a_whole_500(tmp_path: Path) -> None:
    def app(_: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("X-Name", "имя")])  # no length, and not Latin-1
        yield b"x"

    with serving(tmp_path, app=app) as running, running.client() as client:
        assert client.get("/").json["code"] == "internal_error"
        assert client.ended()


# the end


def test_connection_that_waits_for_room_is_answered_over_a_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finishing = threading.Event()

    def tell(listener: socket.socket) -> bool:
        finishing.set()
        return turn_away(listener)

    monkeypatch.setattr("daemon.http.listener.turn_away", tell)
    with serving(tmp_path, limits=Limits(connection_limit=1)) as running:
        with running.client() as first, running.client() as second:
            first.send(b"GET /wait HTTP/1.1\r\n\r\n")
            running.toy.wait_entered()
            second.send(b"GET /second HTTP/1.1\r\n\r\n")
            running.server.begin_drain()
            assert finishing.wait(WAIT_SECONDS)
            running.toy.go.set()
            assert [client.reply().body for client in (first, second)] == [b"/wait", b"/second"]
            assert running.drained() is True


def test_only_the_stuck_are_named_as_left_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(threads=1, slow_threads=8, drain_seconds=0.3)
    with serving(tmp_path, limits=limits) as running, running.client() as client:
        client.send(b"GET /wait HTTP/1.1\r\n\r\n")
        running.toy.wait_entered()
        running.server.begin_drain()
        assert running.drained() is False
        running.toy.go.set()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["still busy at the end of the drain, left behind: request-0"]


# bodies


class SlowDisk:
    """Where a body's file comes from, and its writes wait until ``go`` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.writing = threading.Event()

    def __call__(self, mode: str, *, dir: Path) -> Any:
        file = TemporaryFile(mode, dir=dir)  # noqa: SIM115  # the server closes it
        disk, write = self, file.write

        class SlowFile:
            def write(self, data: bytes) -> int:
                disk.writing.set()
                assert disk.go.wait(WAIT_SECONDS)
                return write(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

        return SlowFile()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk()
    monkeypatch.setattr("daemon.http.body.TemporaryFile", disk)
    yield disk
    disk.go.set()


def test_disk_that_lags_stops_the_reading_until_it_has_caught_up(
    tmp_path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_again = threading.Event()

    def ask_again(_: Poller, source: object) -> None:
        assert source is made.channel
        asked_again.set()

    with bench(tmp_path, Limits(lent_bytes=0)) as made:
        made.server._spool.start()
        monkeypatch.setattr(Poller, "changed", ask_again)
        made.bring(UPLOAD + bytes(600_000))
        assert disk.writing.wait(WAIT_SECONDS)
        assert made.channel.readable()
        made.bring(bytes(600_000))
        assert not made.channel.readable()
        assert not asked_again.is_set()
        disk.go.set()
        assert asked_again.wait(WAIT_SECONDS)
        assert made.channel.readable()


def test_body_whose_last_piece_cannot_be_stored_is_507_and_the_connection_kept(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "missing", limits=Limits(spool_bytes=10, lent_bytes=0)) as running,
        running.client() as client,
    ):
        for _ in range(2):
            assert client.post("/x", bytes(20)).json["code"] == "insufficient_storage"
    assert running.toy.seen == []


def test_spooled_bodies_leave_no_descriptor_open(tmp_path: Path) -> None:
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with serving(tmp_path, guard=admit_all, limits=Limits(lent_bytes=0)) as running:
        with running.client() as whole, running.client() as half:
            assert whole.post("/x", bytes(600_000)).status == 200
            half.send(UPLOAD + bytes(600_000))
        with running.client() as client:
            assert client.get("/after").status == 200
    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208


def test_disk_that_is_slow_keeps_no_other_connection_waiting(tmp_path: Path, disk: SlowDisk) -> None:
    body = os.urandom(1 << 20)
    with (
        serving(tmp_path, limits=Limits(lent_bytes=0)) as running,
        running.client() as sender,
        running.client() as other,
    ):
        sending = threading.Thread(
            target=sender.send, args=(b"POST / HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n" + body,)
        )
        sending.start()
        assert disk.writing.wait(WAIT_SECONDS)
        other.sock.settimeout(2)
        assert other.get("/other").body == b"/other"
        disk.go.set()
        sending.join(WAIT_SECONDS)
        assert sender.reply().body == body
