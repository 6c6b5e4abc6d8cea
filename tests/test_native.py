"""The granian front where it goes its own way: bodies in pieces, what the kernel tells, and its end."""

import contextlib
import gc
import http.client
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest

from daemon import assembly
from daemon.config import load
from daemon.errors import ConfigError, StartupError
from daemon.http.heads import LONGEST_BYTES
from daemon.http.pools import Pools
from daemon.http.sockets import bind
from daemon.http.spool import Spool
from daemon.http.terms import Terms
from daemon.http.values import NO_GROUPS, Admission, Guard, Limits, nobody_knows
from daemon.native import sweep
from daemon.native.answering import begin, finish
from daemon.native.connections import Ages, Connection, ages_of, backlog_of, bytes_wait, connections_of, cut
from daemon.native.desk import Desk
from daemon.native.exchange import Exchange
from daemon.native.heads import Head, KnownHeads, base_environ, client_of, headers_of, wsgi_path
from daemon.native.installed import why_not
from daemon.native.server import NativeServer
from daemon.native.stream import Stream
from daemon.native.sweep import ON_ITS_WAY_SECONDS, Sweep
from daemon.native.worker import Worker
from tests.serving_rig import MAX_BODY, WAIT_SECONDS, Client, Running, serving

ROOT = Path(__file__).resolve().parent.parent
CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, front="granian") as running:
        yield running


class Fields:
    """What granian gives as the fields of a head; a value that it keeps to itself is None."""

    def __init__(self, *fields: tuple[str, str | None]) -> None:
        self._fields = fields

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._fields if value is not None]

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self._fields))

    def __len__(self) -> int:
        return len(self.keys())


class Scope:
    method, path, query_string, http_version = "PUT", "//a/é", "b=c", "1.1"
    client = "1.2.3.4:5"

    def __init__(self, *fields: tuple[str, str | None]) -> None:
        self.headers = Fields(*fields)


# heads


HEADER_BYTES = 1 << 16


def head_of(*fields: tuple[str, str | None]) -> Head:
    return Head(Scope, Fields(*fields), base_environ(80), HEADER_BYTES)


def environ_of(head: Head) -> dict[str, Any]:
    return head.environ(client_of(Scope.client), None, length=0)


def test_fields_have_the_names_of_wsgi_and_repeated_ones_are_joined() -> None:
    assert headers_of(Fields(("x-a", "1"), ("accept", "b"), ("x-a", "2"))) == {"X_A": "1, 2", "ACCEPT": "b"}


def test_field_whose_name_could_pass_for_another_is_left_out() -> None:
    assert headers_of(Fields(("x_forwarded_for", "1.2.3.4"), ("host", "h"))) == {"HOST": "h"}


def test_field_that_cannot_be_read_is_there_and_satisfies_nobody() -> None:
    assert headers_of(Fields(("origin", None), ("host", "h"))) == {"HOST": "h", "ORIGIN": "?"}


def test_value_that_cannot_be_read_is_not_noticed_beside_another_of_its_field() -> None:
    assert headers_of(Fields(("origin", "a"), ("origin", None))) == {"ORIGIN": "a"}


@pytest.mark.parametrize(("content_type", "status"), [(None, 400), ("text/plain", None)])
def test_content_type_that_cannot_be_read_is_a_fault_as_it_may_be_that_of_a_form(
    content_type: str | None, status: int | None
) -> None:
    fault = head_of(("content-type", content_type)).fault
    assert (fault and fault.status) == status


@pytest.mark.parametrize(("given", "seen"), [("/a", "/a"), ("///a//b", "/a//b"), ("*", "*"), ("/é", "/Ã©")])
def test_path_is_as_wsgi_wants_it(given: str, seen: str) -> None:
    assert wsgi_path(given) == seen


def test_environment_has_what_applications_ask_for() -> None:
    head = head_of(("content-type", "a/b"), ("transfer-encoding", "chunked"), ("host", "h"))
    environ = head.environ(client_of("[::ffff:1.2.3.4]:56"), None, length=7)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_HOST"], environ["REMOTE_PORT"]) == ("1.2.3.4", "1.2.3.4", "56")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["REQUEST_METHOD"]) == ("/a/Ã©", "b=c", "PUT")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["HTTP_HOST"]) == ("a/b", "7", "h")
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize(
    ("client", "address", "port"), [("1.2.3.4:5", "1.2.3.4", "5"), ("[::1]:5", "::1", "5"), ("", "unix", "None")]
)
def test_client_has_an_address_or_is_unix(client: str, address: str, port: str) -> None:
    assert client_of(client) == (client, address, port)


def test_client_of_a_link_local_address_is_told_without_its_scope_as_the_kernel_tells_of_it() -> None:
    assert client_of("[fe80::1%2]:5") == ("[fe80::1]:5", "fe80::1", "5")


def known_heads() -> KnownHeads:
    return KnownHeads(base_environ(80), HEADER_BYTES)


def test_head_that_came_before_is_not_made_again() -> None:
    known = known_heads()
    once, twice, thrice = (known.of(Scope(("host", "h"), ("accept", "a"))) for _ in range(3))
    assert once is not twice
    assert thrice is twice


def scope_with(**values: str) -> Any:
    scope = Scope(("host", "h"))
    for name, value in values.items():
        setattr(scope, name, value)
    return scope


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (Scope(("host", "g")), lambda head: head.headers),
        (Scope(("host", "h"), ("authorization", "Bearer t")), lambda head: head.headers),
        (Scope(("host", "h"), ("origin", None)), lambda head: head.headers),
        (scope_with(path="/b"), lambda head: head.path),
        (scope_with(query_string="q"), lambda head: head.query),
        (scope_with(method="POST"), lambda head: head.command),
        (scope_with(http_version="1"), lambda head: environ_of(head)["SERVER_PROTOCOL"]),
    ],
)
def test_head_that_differs_is_made_for_itself(other: Any, differs: Callable[[Head], object]) -> None:
    known = known_heads()
    firsts, seconds = zip(*((known.of(Scope(("host", "h"))), known.of(other)) for _ in range(3)), strict=True)
    assert firsts[2] is firsts[1]
    assert [differs(head) for head in firsts] == [differs(firsts[0])] * 3
    assert [differs(head) for head in seconds] == [differs(seconds[0])] * 3
    assert differs(firsts[0]) != differs(seconds[0])


def test_head_with_a_field_that_cannot_be_read_is_made_each_time() -> None:
    """granian gives no value that could tell two of them apart, and the names only to whoever asks for them."""
    known = known_heads()
    for _ in range(3):
        assert known.of(Scope(("host", "h"), ("origin", None))).headers == {"HOST": "h", "ORIGIN": "?"}
        assert known.of(Scope(("host", "h"), ("cookie", None))).headers == {"HOST": "h", "COOKIE": "?"}


@pytest.mark.parametrize(
    "scope",
    [
        Scope(("host", "h"), ("cookie", "c" * LONGEST_BYTES)),
        scope_with(path="/" * LONGEST_BYTES),
        scope_with(query_string="q" * LONGEST_BYTES),
        scope_with(method="M" * LONGEST_BYTES),
    ],
    ids=["field", "path", "query", "method"],
)
def test_long_head_is_made_each_time(scope: Any) -> None:
    known = known_heads()
    assert len({known.of(scope) for _ in range(3)}) == 3


def test_environment_that_an_application_changes_is_one_requests_own() -> None:
    head = head_of(("host", "h"))
    changed = environ_of(head)
    changed.clear()
    assert environ_of(head)["HTTP_HOST"] == "h"


def test_requests_of_one_head_have_each_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was kept of the first client's request, the second one's tells who that is."""
    peers: list[tuple[str, str]] = []

    def guard(_method: str, _path: str, _query: str, _headers: Any, peer: str) -> Admission:
        peers.append(("guard", peer))
        return Admission(0)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        peers.append(("app", environ["REMOTE_ADDR"]))
        return ok(environ, start_response)

    desk = desk_of(tmp_path, app, guard)
    monkeypatch.setattr(desk.pools, "submit", lambda member, _asked: member.service())
    known = known_heads()
    known.of(Scope())
    for client in ("1.2.3.4:5", "1.2.3.5:5"):
        Exchange(desk, known.of(Scope()), client_of(client), Proto()).arrive()
    assert peers == [("guard", "1.2.3.4"), ("app", "1.2.3.4"), ("guard", "1.2.3.5"), ("app", "1.2.3.5")]


# answers


def test_application_may_write_and_is_closed() -> None:
    class Pieces(list[bytes]):
        closed = False

        def close(self) -> None:
            self.closed = True

    pieces = Pieces([b"c", b"d"])

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("201 Created", [("a", "b")])(b"ab")
        return pieces

    answer = finish(begin(app, {}), "GET")
    assert (answer.status, answer.body, answer.headers[0]) == (201, b"abcd", ("a", "b"))
    assert pieces.closed


@pytest.mark.parametrize("status", ["99 Low", "1000 High", "abc"])
def test_status_that_would_end_the_process_is_refused(status: str) -> None:
    with pytest.raises(ValueError):
        begin(lambda _environ, start_response: start_response(status, []), {})


def test_answer_without_start_response_is_an_error() -> None:
    with pytest.raises(AssertionError, match="without start_response"):
        finish(begin(lambda *_: [b""], {}), "GET")


def saying(status: str, *headers: tuple[str, str]) -> Any:
    """An application that answers ``ok``."""

    def app(_environ: Any, start_response: Any) -> Any:
        start_response(status, list(headers))
        return (b"ok",)

    return app


@pytest.mark.parametrize("told", ["1", "5", "02", "two"])
@pytest.mark.parametrize("name", ["Content-Length", "content-length"])
def test_answer_of_another_length_than_it_tells_is_an_error(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=rf"announced {told} bytes and gave 2"):
        finish(begin(saying("200 OK", (name, told), ("a", "b")), {}), "GET")


@pytest.mark.parametrize(
    ("command", "status", "told"), [("HEAD", 200, "5"), ("GET", 204, "5"), ("GET", 304, "5"), ("GET", 200, "2")]
)
def test_length_of_what_is_not_sent_may_be_told(command: str, status: int, told: str) -> None:
    answer = finish(begin(saying(f"{status} X", ("content-length", told)), {}), command)
    assert (answer.status, answer.headers[0]) == (status, ("content-length", told))


def test_answer_of_a_wrong_length_is_a_500_and_the_next_one_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = saying("200 OK", ("Content-Length", "1"))
    with serving(tmp_path, front="granian", app=app) as running, running.client() as client:
        assert [client.get().json["code"] for _ in range(2)] == ["internal_error"] * 2
    assert len(caplog.records) == 2


def test_exception_halfway_through_an_answer_is_a_500(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with running.client() as client:
        assert client.get("/half").json["code"] == "internal_error"
        assert client.get("/next").status == 200
    assert [record.exc_info is not None for record in caplog.records if record.levelno >= logging.WARNING] == [True]


# bodies


@pytest.mark.parametrize(
    ("field", "status"),
    [(b"Content-Length: 11", 200), (b"Transfer-Encoding: chunked", 501)],
    ids=["length", "encoding"],
)
def test_field_that_tells_the_end_of_a_body_and_comes_twice_is_one_or_refused(
    running: Running, field: bytes, status: int
) -> None:
    """What docs/http.md says of it, which is not what waitress makes of it."""
    with running.client() as client:
        client.send(b"POST /x HTTP/1.1\r\n" + (field + b"\r\n") * 2 + b"\r\n1\r\na\r\n0\r\n\r\n")
        assert client.reply().status == status


def test_chunked_body_is_refused_where_its_bytes_pass_the_limit(running: Running) -> None:
    with running.client() as client:
        size = MAX_BODY + 1
        client.send(CHUNKED + b"%x\r\n" % size + bytes(size) + b"\r\n0\r\n\r\n")
        reply = client.reply()
        assert (reply.status, reply.json["code"], reply.headers["connection"]) == (413, "too_large", "close")
        assert client.ended()
    assert running.toy.seen == []


@pytest.mark.parametrize("rest", [b"5\r\nab", b"zz\r\n", b"0\r\nX-Trailer: a\r\n\r\n"])
def test_chunked_body_that_may_be_cut_short_is_not_served(running: Running, rest: bytes) -> None:
    with running.client() as client:
        client.send(CHUNKED + b"3\r\nabc\r\n" + rest)
        client.sock.shutdown(socket.SHUT_WR)
        with pytest.raises((EOFError, AssertionError)):  # a 400, or the end
            assert client.reply().status == 200
    assert running.toy.seen == []


def test_announced_body_that_is_cut_short_is_not_served(running: Running) -> None:
    with running.client() as client:
        client.send(b"POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
    with running.client() as client:
        assert client.get("/after").status == 200
    assert running.toy.seen == ["/after"]


def test_long_body_comes_no_faster_than_the_disk_takes_it(tmp_path: Path) -> None:
    """The client of a disk that stands still can send what buffers hold, and no more."""
    size = 64 << 20
    disk = threading.Event()

    def stand_still() -> None:
        disk.wait(WAIT_SECONDS)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        length = sum(len(piece) for piece in iter(lambda: environ["wsgi.input"].read(1 << 20), b""))
        start_response("200 OK", [])
        return [str(length).encode()]

    with serving(tmp_path, front="granian", app=app, guard=lambda *_: Admission(size)) as running:
        with running.client() as client:
            client.send(b"POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n").reply()  # so the spool's thread runs
            running.server._spool.submit(stand_still)
            client.send(b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
            sent = _send_until_stuck(client.sock, size)
            assert sent < size // 2
            disk.set()
            client.send(bytes(size - sent))
            assert client.reply().body == str(size).encode()


def _send_until_stuck(sock: socket.socket, most: int) -> int:
    sent = 0
    sock.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while sent < most:
            sent += sock.send(bytes(1 << 20))
    sock.settimeout(WAIT_SECONDS)
    return sent


# what fails on its way


def admit(*_: object) -> Admission:
    return Admission(1 << 30)


def desk_of(spool_dir: Path, app: Any = None, guard: Guard = admit) -> Desk:
    limits = Limits()
    pools = Pools(limits, lambda *_: False, nobody_knows, NO_GROUPS)
    return Desk(app, Terms(limits, guard, Spool(spool_dir, limits.spool_bytes)), pools)


class Pending:
    """A piece that granian was asked for; ``meanwhile`` happens in another thread as it is looked at."""

    def __init__(self) -> None:
        self.was_cancelled = False
        self.piece = b""
        self.meanwhile: Callable[[], object] = bool

    def add_done_callback(self, came: Callable[[Any], None]) -> None:
        self.came = came

    def cancelled(self) -> bool:
        return self.was_cancelled

    def cancel(self) -> None:
        self.was_cancelled = True

    def result(self) -> bytes:
        self.meanwhile()
        return self.piece

    def come(self, piece: bytes) -> None:
        self.piece = piece
        self.came(self)


class Proto:
    """What granian gives to read a body and to answer: by hand."""

    def __init__(self) -> None:
        self.pending = Pending()
        self.asking: Callable[[], object] = bool
        self.sending: Callable[[], object] = bool
        self.answers: list[int] = []

    def __aiter__(self) -> "Proto":
        return self

    def __anext__(self) -> Pending:
        self.asking()
        self.pending = Pending()
        return self.pending

    def response_bytes(self, status: int, _headers: Any, _body: bytes) -> None:
        self.sending()
        self.answers.append(status)


def fail(*_: Any, **__: Any) -> Any:
    raise MemoryError


def ok(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def exchange_of(desk: Desk, proto: Proto, length: int = 4) -> Exchange:
    return Exchange(desk, head_of(("content-length", str(length))), client_of(Scope.client), proto)


def time_out(desk: Desk) -> None:
    for inflow in list(desk.inflows.values()):
        inflow.look(time.monotonic() + 1e6)


def open_below(folder: Path) -> int:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(link.readlink().is_relative_to(folder) for link in links)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


LONG = 4 << 20
"""Bytes of a body that goes to a file."""


def test_short_body_that_comes_byte_by_byte_is_held_in_few_pieces(tmp_path: Path) -> None:
    desk, proto = desk_of(tmp_path), Proto()
    exchange_of(desk, proto, 1001).arrive()
    for _ in range(1000):
        proto.pending.come(b"x")
    [inflow] = desk.inflows.values()
    assert len(inflow._pieces) == 2
    assert inflow.file().read() == b"x" * 1000
    inflow.close()


def test_body_that_came_too_slowly_leaves_no_file(tmp_path: Path) -> None:
    desk, proto = desk_of(tmp_path), Proto()
    exchange = exchange_of(desk, proto, LONG)
    exchange.arrive()
    proto.pending.come(bytes(LONG - 1))
    assert open_below(tmp_path) == 1
    time_out(desk)
    assert (proto.answers, proto.pending.was_cancelled, open_below(tmp_path)) == ([408], True, 0)


@pytest.mark.parametrize("length", [4, LONG])
@pytest.mark.parametrize("status", [200, 408])
def test_request_is_forgotten_with_its_answer(
    tmp_path: Path, length: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, proto = desk_of(tmp_path, ok), Proto()
    monkeypatch.setattr(desk.pools, "submit", lambda *_: None)
    with no_collection():
        exchange = exchange_of(desk, proto, length)
        exchange.arrive()
        gone = [weakref.ref(each) for each in (exchange, *desk.inflows.values())]
        if status == 200:
            proto.pending.come(bytes(length))
            exchange.service()
        else:
            time_out(desk)
        proto.pending = Pending()
        del exchange
        assert (proto.answers, [dead() for dead in gone]) == ([status], [None, None])


@pytest.mark.parametrize("length", [4, LONG])
def test_piece_that_comes_as_its_client_is_given_up_is_nobodys(
    tmp_path: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    desk, proto = desk_of(tmp_path), Proto()
    exchange_of(desk, proto, length).arrive()
    proto.pending.meanwhile = lambda: time_out(desk)
    proto.pending.come(bytes(length - 1))
    assert (proto.answers, caplog.records) == ([408], [])


def test_piece_that_is_asked_for_as_its_stream_is_closed_is_cancelled() -> None:
    proto = Proto()
    stream = Stream(proto)
    proto.asking = stream.close
    stream.ask(fail)
    assert proto.pending.was_cancelled


@pytest.mark.parametrize(
    "place", ["daemon.native.inflow.Inflow.file", "daemon.native.heads.Head.environ", "daemon.http.body.Body.append"]
)
def test_request_that_fails_before_the_application_sees_it_is_a_500(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk, proto = desk_of(tmp_path, ok), Proto()
    exchange = exchange_of(desk, proto, LONG)
    exchange.arrive()
    monkeypatch.setattr(place, fail)
    proto.pending.come(bytes(LONG))
    if not proto.answers:
        exchange.service()
    assert (proto.answers, desk.open, len(caplog.records)) == ([500], {}, 1)


def test_whole_body_that_cannot_be_queued_is_a_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk, proto = desk_of(tmp_path), Proto()
    exchange_of(desk, proto).arrive()
    monkeypatch.setattr(desk.pools, "submit", fail)
    proto.pending.come(b"abcd")
    assert (proto.answers, desk.open, len(caplog.records)) == ([500], {}, 1)


class Watcher:
    """What granian gives with a request."""

    def __init__(self) -> None:
        self.scope, self.proto = Scope(("content-length", "4")), Proto()
        self.ended = 0

    def done(self) -> None:
        self.ended += 1


@pytest.mark.parametrize(("sends", "answers", "ended"), [(True, [500], 0), (False, [], 1)])
def test_request_that_fails_as_it_comes_is_not_open_any_more(
    tmp_path: Path, sends: bool, answers: list[int], ended: int
) -> None:
    desk, watcher = desk_of(tmp_path), Watcher()
    watcher.proto.asking = fail
    watcher.proto.sending = bool if sends else fail
    [sock] = bind(["127.0.0.1:0"])
    with closing(Worker(sock, desk, lambda: None)) as worker:
        worker.arrived(watcher)
    assert (watcher.proto.answers, watcher.ended, desk.open, desk.inflows) == (answers, ended, {}, {})


def test_disk_that_has_caught_up_outlives_a_client_that_cannot_be_asked(tmp_path: Path) -> None:
    desk, proto = desk_of(tmp_path), Proto()
    exchange_of(desk, proto, LONG).arrive()
    [inflow] = desk.inflows.values()
    inflow._held, proto.asking = True, fail
    inflow._room_made()
    assert (proto.answers, desk.open) == ([500], {})


# what the kernel tells


def test_kernel_tells_of_a_connection_until_it_is_cut() -> None:
    [listener] = bind(["127.0.0.1:0"])
    with listener, socket.create_connection(listener.getsockname()) as client:
        name = listener.getsockname()
        assert (connections_of([name]), backlog_of(listener)) == ([], 1)
        with listener.accept()[0]:
            [connection] = connections_of([name])
            assert connection.client == "{}:{}".format(*client.getsockname())
            assert not bytes_wait(connection)
            client.sendall(b"abc")
            assert bytes_wait(connection)
            ages = ages_of(connection)
            assert ages is not None
            assert ages.bytes_received == 3
            cut(connection)
            assert client.recv(1) == b""
        assert ages_of(connection) is None  # its number may be another's by now


def test_connections_to_every_address_are_found() -> None:
    [listener] = bind(["0.0.0.0:0"])
    port = listener.getsockname()[1]
    with listener, socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
        assert len(connections_of([listener.getsockname()])) == 1


def test_client_of_a_unix_socket_may_have_any_name(tmp_path: Path) -> None:
    place = tmp_path / "http.sock"
    with serving(tmp_path, front="granian", addresses=(f"unix:{place}",)), socket.socket(socket.AF_UNIX) as client:
        client.bind(os.fsencode(tmp_path) + b"/\xff")
        client.settimeout(WAIT_SECONDS)
        client.connect(str(place))
        client.sendall(b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")


# who has to go


class At:
    """Stands where the sweep looks for a worker, for whom one waits: a listening socket has its address."""

    waiting = 1

    def __init__(self, address: Any) -> None:
        self.address = address


def sweep_of(listener: socket.socket, desk: Any) -> Sweep:
    return Sweep(desk, [cast(Worker, At(listener.getsockname()))], Limits(header_seconds=10, idle_seconds=3600))


def test_new_connection_with_the_name_of_an_old_one_has_its_own_time(tmp_path: Path) -> None:
    [listener] = bind(["127.0.0.1:0"])
    with listener:
        looking = sweep_of(listener, desk_of(tmp_path))
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as accepted:
            name = client.getsockname()
            client.sendall(b"GET /")
            looking.look(0.0)
            for end in (client, accepted):  # so that the name is free at once
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with socket.create_connection(listener.getsockname(), source_address=name) as client, listener.accept()[0]:
            client.sendall(b"GET /")
            looking.look(100.0)
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)
            looking.look(111.0)
            assert client.recv(1) == b""


def test_client_that_left_in_the_middle_of_a_head_is_forgotten(tmp_path: Path) -> None:
    [listener] = bind(["127.0.0.1:0"])
    with listener:
        looking = sweep_of(listener, desk_of(tmp_path))
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0]:
            client.sendall(b"GET /")
            looking.look(0.0)
            assert len(looking._begun) == 1
        looking.look(1.0)
        assert not looking._begun


@contextlib.contextmanager
def accepted_by(listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the client's, and that of who accepted it."""
    with socket.create_connection(listener.getsockname(), timeout=WAIT_SECONDS) as client, listener.accept()[0] as sock:
        yield client, sock


def name_of(client: socket.socket) -> str:
    return "{}:{}".format(*client.getsockname())


def all_silent(listener: socket.socket) -> bool:
    """Whether its connections were silent for long enough to make room."""
    told = map(ages_of, connections_of([listener.getsockname()]))
    return all(ages is not None and ages.silent > ON_ITS_WAY_SECONDS for ages in told)


def ended(client: socket.socket) -> bool:
    client.settimeout(0.05)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


def test_client_whose_answer_may_be_on_its_way_makes_no_room(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    [listener] = bind(["127.0.0.1:0"])
    with listener, accepted_by(listener) as (client, _):
        looking = sweep_of(listener, desk)
        _until(lambda: all_silent(listener))
        desk.answered[name_of(client)] = time.monotonic()
        looking.make_room(1)
        assert not ended(client)
        desk.answered[name_of(client)] -= 2 * ON_ITS_WAY_SECONDS
        looking.make_room(1)
        assert ended(client)


@pytest.mark.parametrize("has_come", ["to the kernel", "to granian", "to Python"])
@pytest.mark.parametrize("is_known", [True, False])
def test_request_that_comes_as_room_is_looked_for_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_come: str, is_known: bool
) -> None:
    desk = desk_of(tmp_path)
    restful = Sweep._restful
    looks: list[object] = []

    def come(looking: Sweep, connections: Any) -> Any:
        found = restful(looking, connections)
        if not looks:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            if has_come != "to the kernel":
                sock.recv(100)
            if has_come == "to Python":
                desk.open[1] = name_of(client)
        looks.append(found)
        return found

    [listener] = bind(["127.0.0.1:0"])
    with listener, accepted_by(listener) as (client, sock):
        if is_known:
            desk.answered[name_of(client)] = 0.0
        _until(lambda: all_silent(listener))
        monkeypatch.setattr(Sweep, "_restful", come)
        sweep_of(listener, desk).make_room(1)
        assert looks != [[]]
        assert not ended(client)


def test_client_that_reads_its_answer_slowly_makes_no_room(tmp_path: Path) -> None:
    [listener] = bind(["127.0.0.1:0"])
    with listener, accepted_by(listener) as (client, sock):
        looking = sweep_of(listener, desk_of(tmp_path))
        sent = _send_until_stuck(sock, 64 << 20)
        _until(lambda: all_silent(listener))
        looking.make_room(1)
        while sent:
            sent -= len(client.recv(1 << 20))
        sock.sendall(b"the rest")
        assert client.recv(100) == b"the rest"
        _until(lambda: all_silent(listener))
        looking.make_room(1)
        assert ended(client)


def test_connection_that_cannot_make_room_leaves_that_to_the_next(tmp_path: Path) -> None:
    [listener] = bind(["127.0.0.1:0"])
    with listener, accepted_by(listener) as (oldest, _):
        oldest.sendall(b"GET")
        _until(lambda: all_silent(listener))
        with accepted_by(listener) as (next_oldest, _):
            _until(lambda: all_silent(listener))
            sweep_of(listener, desk_of(tmp_path)).make_room(1)
            assert [ended(client) for client in (oldest, next_oldest)] == [False, True]


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[tuple[Sweep, socket.socket]]:
    """A client that goes on sending a body that was refused, and who looks at it; a head may take a second."""
    desk = desk_of(tmp_path, guard=lambda *_: Admission(0))
    [listener] = bind(["127.0.0.1:0"])
    with listener, accepted_by(listener) as (client, sock):
        Exchange(desk, head_of(("content-length", "1000000")), client_of(name_of(client)), Proto()).arrive()
        _until(lambda: all_silent(listener))  # since when the answer went, by the kernel's clock
        client.sendall(b"more")
        assert sock.recv(4) == b"more"
        yield Sweep(desk, [cast(Worker, At(listener.getsockname()))], Limits(header_seconds=1)), client


def test_body_that_was_refused_is_not_taken_for_a_head_that_comes_slowly(refused: tuple[Sweep, socket.socket]) -> None:
    looking, client = refused
    began = time.monotonic()
    for seconds in (0, 2):
        looking.look(began + seconds)
    assert not ended(client)
    for seconds in (10, 12):  # it was silent for longer than it may be, so it is nobody's body
        looking.look(began + seconds)
    assert ended(client)


def test_drain_waits_for_a_client_that_still_sends_what_was_refused(refused: tuple[Sweep, socket.socket]) -> None:
    looking, _ = refused
    assert not looking.is_quiet()


def test_idle_client_of_one_address_makes_no_room_at_another(tmp_path: Path) -> None:
    addresses = ("127.0.0.1:0", "127.0.0.1:0")
    with serving(tmp_path, front="granian", limits=Limits(connection_limit=1), addresses=addresses) as running:
        full, other = running.server.addresses
        with Client(other) as idle, Client(full) as busy, Client(full) as newcomer:
            assert idle.get("/idle").status == 200
            busy.send(b"GET /wait HTTP/1.1\r\n\r\n")
            running.toy.wait_entered(2)
            newcomer.send(b"GET /new HTTP/1.1\r\n\r\n")
            running.toy.go.set()
            assert (busy.reply().body, newcomer.reply().body) == (b"/wait", b"/new")
            assert idle.get("/still").body == b"/still"


def test_answer_to_a_request_that_lasted_longer_than_a_client_may_be_silent_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(tmp_path)

    def long_silent_and_now_answered(_connection: Connection) -> Ages:
        if desk.open:
            desk.answered[desk.open.pop(1)] = time.monotonic()
        return Ages(sent=4000, received=4000, bytes_received=100, is_sending=False)

    monkeypatch.setattr(sweep, "ages_of", long_silent_and_now_answered)
    [listener] = bind(["127.0.0.1:0"])
    with listener, accepted_by(listener) as (client, _):
        looking = sweep_of(listener, desk)
        desk.answered[name_of(client)] = time.monotonic() - 4000
        desk.open[1] = name_of(client)
        looking.look(time.monotonic())
        assert not ended(client)
        looking.look(time.monotonic())
        assert not ended(client)
        looking.look(time.monotonic() + 4000)
        assert ended(client)


def test_server_outlives_a_look_that_fails(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[float] = []

    def look(now: float) -> None:
        looks.append(now)
        raise RuntimeError("dictionary changed size during iteration")

    assert isinstance(running.server, NativeServer)
    with running.client() as client:
        assert client.get("/before").status == 200
        monkeypatch.setattr(running.server._sweep, "look", look)
        running.server._ring()
        _until(lambda: looks)
        assert client.get("/after").status == 200
    running.server.begin_drain()
    assert running.drained() is True
    assert [record.message for record in caplog.records] == ["the connections could not be looked at"] * len(looks)


# the end


def native_threads() -> set[str]:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return {name for name in names if name.startswith("http-")}


def test_threads_of_granian_end_with_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, front="granian") as running, running.client() as client:
        assert client.get("/").status == 200
        assert native_threads()
    assert native_threads() == set()


def test_stand_in_for_a_closed_socket_blocks_nobody_and_takes_nobody(tmp_path: Path) -> None:
    with serving(tmp_path, front="granian") as running, running.client() as client:
        assert client.get("/").status == 200
        assert isinstance(running.server, NativeServer)
        [worker] = running.server._workers
        worker.stop_listening()
        assert not os.get_blocking(worker._descriptor)
        with socket.socket(fileno=os.dup(worker._descriptor)) as stand_in, socket.socket() as knocking:
            knocking.settimeout(0.2)
            with pytest.raises(TimeoutError):
                knocking.connect(stand_in.getsockname())
        assert client.get("/still").status == 200


def test_server_without_time_to_drain_ends_well_when_nothing_runs(tmp_path: Path) -> None:
    with serving(tmp_path, front="granian", limits=Limits(drain_seconds=0)) as running, running.client() as client:
        assert client.get("/").status == 200
        running.server.begin_drain()
        assert running.drained() is True


def test_head_that_is_on_its_way_is_waited_for_by_the_drain(tmp_path: Path) -> None:
    with serving(tmp_path, front="granian", limits=Limits(grace_seconds=0)) as running, running.client() as client:
        assert client.get("/before").status == 200
        [connection] = connections_of([client.sock.getpeername()])
        _until(lambda: _seconds_since_answer(connection) > 0.02)  # the kernel counts in ticks
        client.send(b"GET /late HTTP/1.1\r\n")
        _until(lambda: not bytes_wait(connection))
        running.server.begin_drain()
        _until(lambda: _refused(running.url))
        assert client.send(b"Host: x\r\n\r\n").reply().body == b"/late"
        assert running.drained() is True


def _seconds_since_answer(connection: Connection) -> float:
    ages = ages_of(connection)
    assert ages is not None
    return ages.sent


def _refused(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=0.2).close()
    except OSError:
        return True
    return False


def _until(true: Any) -> None:
    never = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if true():
            return
        never.wait(0.01)
    pytest.fail("it did not come true in time")


# a start that fails


def test_server_whose_granian_does_not_start_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise TypeError("unexpected keyword argument 'ipc'")

    monkeypatch.setattr("daemon.native.worker.RSGIWorker", refuse)
    server = NativeServer(ok, bind(["127.0.0.1:0"]), Limits(), admit, lambda *_: False, tmp_path)
    [url] = server.addresses
    with pytest.raises(StartupError, match=rf"^granian cannot serve {url}: unexpected keyword argument 'ipc'$"):
        server.run()
    assert _refused(url)


# the setting


def test_granian_serves_where_the_setting_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("server: {port: 0, front: granian}")
    daemon = assembly.assemble(load(tmp_path / "config.yaml"))
    ready = threading.Event()
    thread = threading.Thread(target=daemon.serve, args=(ready.set,))
    thread.start()
    assert ready.wait(WAIT_SECONDS)
    with closing(http.client.HTTPConnection(daemon.addresses[0].removeprefix("http://"), timeout=10)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    daemon.stop()
    thread.join(WAIT_SECONDS)
    assert daemon.close()


@pytest.mark.parametrize(("version", "said"), [(None, "not installed"), ("3.0.0", "version 3.0.0 is installed")])
def test_missing_granian_is_one_line_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, said: str
) -> None:
    def found(_name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError
        return version

    monkeypatch.setattr(metadata, "version", found)
    (tmp_path / "config.yaml").write_text("server: {front: granian}")
    with pytest.raises(ConfigError, match=rf"^server\.front: found granian, .*{said}.*make fast.*'\.\[fast\]'"):
        assembly.check(load(tmp_path / "config.yaml"))


def test_granian_is_not_imported_unless_it_is_asked_for() -> None:
    code = "import sys, daemon.running; sys.exit(sorted({'granian', 'daemon.native.worker'} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_granian_that_is_installed_is_one_whose_insides_are_known() -> None:
    assert why_not() is None
