"""The HTTP layer from outside: routing to pools, the guard, refusals that arrive, limits, framing, sockets."""

import contextlib
import http.client
import json
import logging
import math
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import AT_ONCE, TOGETHER, HandOver, StartupError
from daemon.http.poller import Poller
from daemon.http.pools import BRIEF_SECONDS, LONELY, QUICK_BODY_BYTES
from daemon.http.values import nobody_knows
from daemon.server import Admission, HttpError, Limits, Server, bind
from tests.serving_rig import MAX_BODY, WAIT_SECONDS, Client, Running, Serve, Toy, admit

DENIED = HttpError(401, "Unauthorized", "unauthorized", "a token is missing", (("WWW-Authenticate", "Bearer"),))


def quick(_method: str, path: str) -> float:
    """Whatever waits for nothing."""
    return math.inf if path.startswith(("/wait", "/slow")) else 0.0


@pytest.fixture(params=[nobody_knows, quick], ids=["by a pool", "by the loop"])
def running(serve: Serve, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    with serve(tmp_path, expected_seconds=request.param) as running:
        yield running


def deny(*_: Any) -> Admission:
    return Admission(0, DENIED)


# answers


def test_answer_is_the_applications_on_one_connection_thrice(running: Running) -> None:
    with running.client() as client:
        assert [client.post("/echo", b"x" * size).body for size in (1, 10, 100_000)] == [
            b"x",
            b"x" * 10,
            b"x" * 100_000,
        ]


def test_quick_request_is_answered_by_the_loop_and_no_other_is(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, expected_seconds=quick) as running, running.client() as client:
        client.get("/a")
        client.post("/b", b"x" * QUICK_BODY_BYTES)
        client.post("/c", b"x" * (QUICK_BODY_BYTES + 1))
        client.send(b"POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").reply()
        reader = {"waitress": "loop", "granian": "Dummy"}[serve.front]  # granian's thread is none of Python's
        assert [name.partition("-")[0] for name in running.toy.threads] == [reader, reader, "request", "request"]
        client.send(b"GET /big HTTP/1.1\r\n\r\n" * 3)  # several at once: 24 MB, of which the loop must send the first
        assert [len(client.reply().body) for _ in range(3)] == [8 << 20] * 3
        # granian brings the second when the first is answered, and needs no thread of ours to send it.
        sender = {"waitress": "request", "granian": "Dummy"}[serve.front]
        assert [name.partition("-")[0] for name in running.toy.threads[4:]] == [sender] * 3


def test_brief_request_is_answered_by_the_loop_where_nobody_else_asks(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, expected_seconds=lambda *_: 0.9 * BRIEF_SECONDS) as running, running.client() as client:
        for _ in range(100):
            client.get("/a")
    by_loop = [not name.startswith("request-") for name in running.toy.threads]
    # A thread of a pool may not have come to its end when the next request is there: that one is no lonely one.
    assert by_loop[:LONELY] == [False] * LONELY
    assert by_loop[-1] is (serve.front == "waitress"), "granian does not tell who else asks"


def test_request_that_the_loop_hands_over_is_answered_by_a_pool_with_all_of_its_body(
    serve: Serve, tmp_path: Path
) -> None:
    toy, asked = Toy(), list[bool]()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        asked.append(environ.get(AT_ONCE, False))
        if AT_ONCE in environ:
            environ["wsgi.input"].read()
            environ["wsgi.input"].seek(0)
            raise HandOver
        return toy(environ, start_response)

    with serve(tmp_path, app=app, expected_seconds=quick) as running, running.client() as client:
        for _ in range(2):
            assert client.post("/a", b"body").body == b"body"
        client.send(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(5)))
        assert [client.reply().body for _ in range(5)] == [b"/%d" % number for number in range(5)]
    assert asked[:4] == [True, False] * 2
    assert {name.partition("-")[0] for name in toy.threads} == {"request"}


class Groups:
    """What goes to ``/together`` goes together."""

    wait_seconds = 0.0

    def kind_of(self, _method: str, path: str) -> str | None:
        return path if path == "/together" else None

    def most(self, _kind: object) -> int:
        return 8

    def abreast(self, _kind: object) -> int:
        return 1

    def together(self, _kind: object) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext(object())


def test_requests_of_one_kind_that_wait_are_begun_together_and_who_does_not_fit_in_is_answered_alone(
    serve: Serve, tmp_path: Path
) -> None:
    toy, groups, loners = Toy(), list[object](), list[bytes]()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        group = environ.get(TOGETHER)
        if group is None:
            if environ["PATH_INFO"] == "/together":
                loners.append(environ["wsgi.input"].read())
                environ["wsgi.input"].seek(0)
            return toy(environ, start_response)
        groups.append(group)
        return answer_later(len(groups), environ, start_response)

    def answer_later(number: int, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        assert len(groups) == 4, "one is answered before all have begun"
        if number == 2:
            raise HandOver
        yield from toy(environ, start_response)

    with serve(tmp_path, app=app, limits=Limits(threads=1), grouping=Groups()) as running:
        with contextlib.ExitStack() as stack:
            holder, *clients = [stack.enter_context(running.client()) for _ in range(5)]
            holder.send(b"GET /wait HTTP/1.1\r\n\r\n")
            toy.wait_entered()
            for number, client in enumerate(clients):
                client.send(b"POST /together HTTP/1.1\r\nContent-Length: 1\r\n\r\n%d" % number)
                wanted = number + 2  # the line's place in the queue, and those who stand in it
                _until(lambda: running.server.load().fast.waiting == wanted)  # noqa: B023  # called here
            assert running.server.load().fast.in_lines == 4
            toy.go.set()
            assert [client.reply().body for client in clients] == [b"0", b"1", b"2", b"3"]
    assert len(set(groups)) == 1
    assert loners == [b"1"]


class BigGroups(Groups):
    """What goes to ``/big`` goes together."""

    def kind_of(self, _method: str, path: str) -> str | None:
        return path if path == "/big" else None


def test_client_that_does_not_take_its_answers_holds_up_nobody_of_its_kind(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, grouping=BigGroups()) as running, running.client() as lazy, running.client() as keen:
        lazy.send(b"GET /big HTTP/1.1\r\n\r\n" * 6)  # 48 MB, of which no more than 16 wait to be sent
        running.toy.wait_entered({"waitress": 3, "granian": 1}[serve.front])
        for _ in range(3):
            assert len(keen.send(b"GET /big HTTP/1.1\r\n\r\n").reply().body) == 8 << 20


def test_question_whether_it_is_quick_that_fails_costs_no_answer(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> float:
        raise KeyError("nobody")

    with serve(tmp_path, expected_seconds=fail) as running, running.client() as client:
        assert client.get("/a").body == b"/a"
    assert "how long a request takes could not be told" in caplog.text


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    with running.client() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(20)))
        assert [client.reply().body for _ in range(20)] == [b"/%d" % number for number in range(20)]


def test_answer_larger_than_every_buffer_arrives_whole(running: Running) -> None:
    with running.client() as client:
        assert len(client.get("/big").body) == 8 << 20


def test_head_gives_no_body_and_keeps_the_connection(running: Running) -> None:
    with running.client() as client:
        reply = client.get("/abc", head=True)
        assert (reply.status, reply.headers["content-length"]) == (200, "4")
        assert client.get("/next").body == b"/next"


def test_refusal_of_head_gives_no_body(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, guard=deny) as running, running.client() as client:
        assert client.get("/", head=True).status == 401
        assert client.get("/", head=True).status == 401


def test_environment_names_the_peer_and_the_server(running: Running) -> None:
    with running.client() as client:
        assert client.get("/a?b=c").headers["server"] == "modeldrop"
    environ = running.toy.environ
    assert (environ["REMOTE_ADDR"], environ["QUERY_STRING"]) == ("127.0.0.1", "b=c")
    assert running.url.endswith(":" + environ["SERVER_PORT"])


def test_escaped_exception_is_an_opaque_500_and_one_traceback(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with running.client() as client:
        reply = client.get("/boom")
        assert (reply.status, reply.json["code"]) == (500, "internal_error")
        assert b"secret" not in reply.body
        assert client.get("/after").status == 200
    assert [record.exc_info is not None for record in caplog.records if record.levelno >= logging.WARNING] == [True]


@pytest.mark.no_granian("an answer is sent as a whole: one that fails halfway is a 500")
def test_exception_after_the_header_cuts_the_answer(running: Running) -> None:
    with running.client() as client, pytest.raises(EOFError, match="half"):
        client.get("/half")


def test_client_that_leaves_early_is_not_warned_about(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with running.client() as client:
        client.send(b"GET /wait HTTP/1.1\r\n\r\n")
        running.toy.wait_entered()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, the rude way
    running.toy.go.set()
    with running.client() as client:
        assert client.get("/big").status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# what is no HTTP


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request"),
        (b"GET\r\n\r\n", 400, "bad_request"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "bad_request"),
        pytest.param(
            b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
            400,
            "bad_request",
            marks=pytest.mark.no_granian("a bare line feed ends a line"),
        ),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nx", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", 400, "bad_request"),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000,
            400,
            "bad_request",
            marks=pytest.mark.no_granian("it is cut when its time is over"),
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            400,
            "bad_request",
            marks=pytest.mark.no_granian("the chunks count, and the connection ends"),
        ),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not_implemented"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /" + b"x" * 200_000, 431, "headers_too_large"),
    ],
)
def test_malformed_request_is_answered_in_json_and_closed(
    running: Running, serve: Serve, raw: bytes, status: int, code: str
) -> None:
    with running.client() as client:
        reply = client.send(raw).reply()
        if serve.front == "granian" and not reply.body:  # hyper answers by itself what it cannot read
            assert reply.status == {501: 400}.get(status, status)
        else:
            assert (reply.status, reply.json["code"]) == (status, code)
            assert reply.headers["content-type"] == "application/json"
        assert client.ended()
    assert running.toy.seen == []


def test_request_hidden_in_a_refused_body_is_not_served(serve: Serve, tmp_path: Path) -> None:
    asked: list[str] = []

    def guard(method: str, path: str, query: str, headers: Mapping[str, str], peer: str) -> Admission:
        asked.append(path)
        return deny()

    with serve(tmp_path, guard=guard) as running, running.client() as client:
        hidden = b"GET /hidden HTTP/1.1\r\n\r\n"
        client.send(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden)
        assert client.reply().status == 401
        assert client.ended()
    assert asked == ["/a"]


# the guard


def test_guard_sees_the_request_as_the_application_will(serve: Serve, tmp_path: Path) -> None:
    asked: list[tuple[Any, ...]] = []

    def guard(*request: Any) -> Admission:
        asked.append(request)
        return Admission(10)

    with serve(tmp_path, guard=guard) as running, running.client() as client:
        client.send(b"PUT ///a%20b?c=d HTTP/1.1\r\nX-Token: t\r\nContent-Length: 1\r\n\r\nx")
        assert client.reply().status == 200
        assert running.toy.environ["PATH_INFO"] == "/a b"
    method, path, query, headers, peer = asked[0]
    assert (method, path, query, headers["X_TOKEN"], peer) == ("PUT", "/a b", "c=d", "t", "127.0.0.1")


def test_refusal_comes_before_the_body(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, guard=deny) as running, running.client() as client:
        reply = client.send(b"PUT /x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n").reply()
        assert (reply.status, reply.json) == (401, {"error": "a token is missing", "code": "unauthorized"})
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.headers["connection"] == "close"
    assert running.toy.seen == []


def test_refusal_of_a_request_without_body_keeps_the_connection(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, guard=deny) as running, running.client() as client:
        assert [client.get("/").status for _ in range(3)] == [401, 401, 401]


def test_expect_continue_is_answered_by_the_refusal(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, guard=deny) as running, running.client() as client:
        client.send(b"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
        assert client.reply().status == 401


def test_expect_continue_is_answered_by_100_where_the_body_is_welcome(running: Running) -> None:
    with running.client() as client:
        client.send(b"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.reply().status == 100
        assert client.send(b"abc").reply().body == b"abc"


def test_expect_continue_without_a_body_is_served_at_once(running: Running) -> None:
    with running.client() as client:
        assert (
            client.send(b"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n").reply().status == 200
        )


def test_guard_that_fails_refuses_with_500(serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def guard(*_: Any) -> Admission:
        raise KeyError("x")

    with serve(tmp_path, guard=guard) as running, running.client() as client:
        assert client.get("/").json["code"] == "internal_error"
    assert [record.exc_info is not None for record in caplog.records] == [True]


# bodies


def test_body_of_exactly_the_limit_is_taken(running: Running) -> None:
    with running.client() as client:
        assert client.post("/x", bytes(MAX_BODY)).status == 200


def test_limit_is_the_requests_own(serve: Serve, tmp_path: Path) -> None:
    def guard(method: str, path: str, query: str, headers: Mapping[str, str], peer: str) -> Admission:
        return Admission(10, setting="the.setting") if path == "/small" else Admission(1000)

    with serve(tmp_path, guard=guard) as running:
        with running.client() as client:
            assert client.post("/large", bytes(1000)).status == 200
            reply = client.post("/small", bytes(11))
        assert (reply.status, reply.json["code"]) == (413, "too_large")
        assert "10 bytes are taken here (the.setting), 11 were announced" in reply.json["error"]


@pytest.mark.no_granian("how long a chunk will be is known when it came")
def test_chunked_body_over_the_limit_is_refused_before_the_chunk_comes(running: Running) -> None:
    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nfffffff\r\n")
        assert client.reply().json["code"] == "too_large"


def test_chunked_body_arrives_whole(running: Running) -> None:
    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        assert client.reply().body == b"abcde"


@pytest.mark.parametrize("megabytes", [2, 70])
def test_413_reaches_a_client_that_sends_all_first(running: Running, megabytes: int) -> None:
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=WAIT_SECONDS)
    connection.request("POST", "/x", bytes(megabytes << 20))
    reply = connection.getresponse()
    assert (reply.status, json.load(reply)["code"]) == (413, "too_large")
    connection.close()


def test_413_reaches_curl(running: Running, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(20 << 20))
    command = ["curl", "-sS", "-H", "Expect:", "-T", str(tmp_path / "large"), "-w", "%{http_code}", running.url + "/x"]
    done = subprocess.run(command, capture_output=True, timeout=WAIT_SECONDS, check=False)
    assert (done.returncode, done.stdout[-3:]) == (0, b"413"), done.stderr


def test_connection_that_goes_on_sending_after_its_answer_is_cut_in_the_end(serve: Serve, tmp_path: Path) -> None:
    limits = Limits(linger_bytes=100_000)
    with serve(tmp_path, limits=limits) as running, running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n")
        assert client.reply().status == 413
        with pytest.raises(ConnectionError):
            client.send(bytes(100 << 20))


def test_long_body_waits_in_the_given_folder_without_a_name(serve: Serve, tmp_path: Path) -> None:
    places: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        places.append(str(Path(f"/proc/self/fd/{body.fileno()}").readlink()))
        size = len(body.read())
        start_response("200 OK", [("Content-Length", str(len(str(size))))])
        return [str(size).encode()]

    with serve(tmp_path, app=app, limits=Limits(lent_bytes=0)) as running, running.client() as client:
        assert client.post("/x", bytes(600_000)).body == b"600000"
    assert places[0].startswith(str(tmp_path))
    assert places[0].endswith("(deleted)")
    assert list(tmp_path.iterdir()) == []


def test_body_that_cannot_be_stored_is_507(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path / "missing", limits=Limits(lent_bytes=0)) as running, running.client() as client:
        assert client.post("/x", bytes(600_000)).json["code"] == "insufficient_storage"


def test_body_of_known_length_needs_no_disk_while_there_is_memory_for_it(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path / "missing", limits=Limits(lent_bytes=700_000)) as running, running.client() as client:
        loans = running.server._spool.loans
        assert client.post("/x", bytes(600_000)).status == 200
        _until(lambda: loans.free_bytes == 700_000)
        with running.client() as half:
            half.send(b"POST /x HTTP/1.1\r\nContent-Length: 600000\r\n\r\n" + bytes(300_000))
            _until(lambda: loans.free_bytes == 100_000)
            assert client.post("/x", bytes(600_000)).status == 507
        _until(lambda: loans.free_bytes == 700_000)
        assert client.post("/x", bytes(600_000)).status == 200


def test_answer_to_head_says_nothing_of_a_length_that_the_application_does_not_say(
    serve: Serve, tmp_path: Path
) -> None:
    def app(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    with serve(tmp_path, app=app) as running, running.client() as client:
        reply = client.get("/x", head=True)
    assert reply.status == 200
    assert reply.headers.get("content-length") != "0"


# pools


def test_slow_requests_have_threads_of_their_own(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(slow_threads=1)) as running:
        with running.client() as slow, running.client() as waiting, running.client() as fast:
            slow.send(b"GET /slow HTTP/1.1\r\n\r\n")
            waiting.send(b"GET /slow HTTP/1.1\r\n\r\n")
            running.toy.wait_entered()
            assert fast.get("/fast").status == 200
            running.toy.go.set()
            assert (slow.reply().status, waiting.reply().status) == (200, 200)
    assert running.toy.threads[0] == "slow-0"
    assert running.toy.threads[1].startswith("request-")


@pytest.mark.parametrize(
    ("kind", "limits"),
    [
        ("wait", Limits(threads=1, max_queue=1)),
        ("slow", Limits(slow_threads=1, max_slow_queue=1)),
    ],
)
def test_request_beyond_the_queue_is_503_at_once(serve: Serve, tmp_path: Path, kind: str, limits: Limits) -> None:
    with serve(tmp_path, limits=limits) as running:
        with running.client() as first, running.client() as second, running.client() as third:
            first.send(f"GET /{kind} HTTP/1.1\r\n\r\n".encode())
            running.toy.wait_entered()
            second.send(f"GET /{kind} HTTP/1.1\r\n\r\n".encode())
            _until(lambda: running.server.load().fast.waiting + running.server.load().slow.waiting == 1)
            for _ in range(2):  # the connection is kept
                reply = third.get(f"/{kind}")
                assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "overloaded", "1")
            running.toy.go.set()
            assert (first.reply().status, second.reply().status) == (200, 200)
    assert len(running.toy.seen) == 2


def test_load_counts_what_runs(running: Running) -> None:
    with running.client() as client:
        client.send(b"GET /slow HTTP/1.1\r\n\r\n")
        running.toy.wait_entered()
        load = running.server.load()
        assert (load.connections, load.slow.busy, load.fast.busy, load.fast.threads) == (1, 1, 0, 8)


# connections


def test_idle_connections_do_not_keep_a_good_request_out(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(connection_limit=50)) as running:
        crowd = [running.client() for _ in range(300)]
        try:
            with running.client() as client:
                assert client.get("/").status == 200
            assert running.server.load().connections <= 50
            assert crowd[0].ended()
            assert crowd[-1].get("/still").status == 200
        finally:
            for client in crowd:
                client.sock.close()


def test_busy_connections_are_not_closed_to_make_room(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(connection_limit=2)) as running:
        with running.client() as first, running.client() as second:
            for client in (first, second):
                client.send(b"GET /wait HTTP/1.1\r\n\r\n")
            running.toy.wait_entered(2)
            third = running.client()
            third.send(b"GET /third HTTP/1.1\r\n\r\n")
            running.toy.go.set()
            assert [client.reply().body for client in (first, second, third)] == [b"/wait", b"/wait", b"/third"]
            third.sock.close()


def test_header_that_drips_is_cut(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(header_seconds=0.1)) as running, running.client() as client:
        assert client.send(b"GET / HTTP/1.1\r\nA: b").ended()


def test_body_that_drips_is_cut(serve: Serve, tmp_path: Path) -> None:
    limits = Limits(header_seconds=0.1, body_bytes_per_second=1 << 30)
    with serve(tmp_path, limits=limits) as running, running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nA")
        if serve.front == "granian":
            assert client.reply().json["code"] == "request_timeout"
        assert client.ended()


def test_silent_connection_is_closed_after_its_time(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, limits=Limits(idle_seconds=0.1)) as running, running.client() as client:
        assert client.get("/").status == 200
        assert client.ended()


def test_request_that_runs_long_is_not_idle(serve: Serve, tmp_path: Path) -> None:
    limits = Limits(idle_seconds=0.2)
    with serve(tmp_path, limits=limits) as running, running.client() as client:
        client.send(b"GET /wait HTTP/1.1\r\n\r\n")
        running.toy.wait_entered()
        with running.client() as idle:
            assert idle.ended()  # so the look for idle ones has been taken
        running.toy.go.set()
        assert client.reply().status == 200


def test_client_that_does_not_read_gives_its_thread_back(serve: Serve, tmp_path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(64):
            yield bytes(1 << 20)

    with serve(tmp_path, app=app, limits=Limits(idle_seconds=0.2, threads=1)) as running, running.client() as client:
        client.send(b"GET /endless HTTP/1.1\r\n\r\n")
        _until(lambda: running.server.load().fast.busy == 1)
        _until(lambda: running.server.load().fast.busy == 0)


class Source:
    """One that always wants to read."""

    def __init__(self, poller: Poller, sock: socket.socket) -> None:
        self._fileno: int | None = sock.fileno()
        self._poller = poller
        poller.sources[sock.fileno()] = self
        poller.changed(self)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False


class Rival(Source):
    """A source that closes the other one at its first event, and lets a newcomer have its descriptor."""

    def __init__(self, poller: Poller, sock: socket.socket, delivered: list["Rival"]) -> None:
        super().__init__(poller, sock)
        self._delivered = delivered
        self.other: Rival | None = None

    def handle_read_event(self) -> None:
        self._delivered.append(self)
        if self.other is not None:
            fd, self.other._fileno = self.other._fileno, None
            assert fd is not None
            newcomer = Rival.__new__(Rival)
            newcomer._fileno, newcomer._delivered, newcomer.other = fd, self._delivered, None
            self._poller.sources[fd] = newcomer


def test_event_of_a_closed_source_reaches_nobody() -> None:
    poller = Poller()
    delivered: list[Rival] = []
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(2)]
        for sock in [sock for pair in pairs for sock in pair]:
            stack.enter_context(sock)
        first, second = (Rival(poller, ours, delivered) for ours, _ in pairs)
        first.other, second.other = second, first
        for _, theirs in pairs:
            theirs.send(b"x")
        poller.turn(0)  # brings both events, or the alarm alone, which `changed` rang
        if not delivered:
            poller.turn(0)
        assert len(delivered) == 1
    poller.close()


class Counted(Source):
    """A source that notes how many others have something to be dealt with."""

    def __init__(self, poller: Poller, sock: socket.socket, seen: list[int]) -> None:
        super().__init__(poller, sock)
        self._sock, self._seen = sock, seen

    def handle_read_event(self) -> None:
        self._seen.append(self._poller.company)
        self._sock.recv(1)


def test_source_can_see_how_many_others_there_are() -> None:
    poller = Poller()
    seen: list[int] = []
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(3)]
        for sock in [sock for pair in pairs for sock in pair]:
            stack.enter_context(sock)
        for ours, _ in pairs:
            Counted(poller, ours, seen)
        poller.turn(0)  # the alarm, which `changed` rang
        for _, theirs in pairs:
            theirs.send(b"x")
        poller.turn(0)
        pairs[0][1].send(b"x")
        poller.turn(0)
    assert seen == [2, 2, 2, 0]
    poller.close()


def test_server_works_without_epoll(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.http.front.Poller", lambda: Poller(use_epoll=False))
    with serve(tmp_path) as running, running.client() as client:
        assert client.post("/x", bytes(MAX_BODY)).status == 200
        assert client.get("/y").body == b"/y"


# sockets


def test_unix_socket_serves_and_is_removed(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "http.sock"
    with serve(tmp_path, addresses=(f"unix:{place}", "127.0.0.1:0")) as running:
        assert running.server.addresses[0] == f"unix:{place}"
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        for url in running.server.addresses:
            with Client(url) as client:
                assert client.get("/").status == 200
        with running.client() as client:
            client.get("/")
        assert running.toy.environ["REMOTE_ADDR"] == "unix"
    assert not place.exists()


def test_stale_unix_socket_is_replaced(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    with serve(tmp_path, addresses=(f"unix:{place}",)) as running, running.client() as client:
        assert client.get("/").status == 200


def test_unix_socket_of_a_living_daemon_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'http.sock'}"
    with serve(tmp_path, addresses=(address,)) as running:
        with pytest.raises(StartupError, match=r"cannot listen on unix:.*: address already in use"):
            bind([address])
        with running.client() as client:
            assert client.get("/").status == 200


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(StartupError, match="not a socket"):
        bind([f"unix:{tmp_path / 'precious'}"])
    assert (tmp_path / "precious").read_text() == "x"


def test_taken_port_is_one_sentence_and_leaves_nothing_open(tmp_path: Path) -> None:
    place = tmp_path / "http.sock"
    [taken] = bind(["127.0.0.1:0"])
    port = taken.getsockname()[1]
    with pytest.raises(StartupError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address already in use$"):
        bind([f"unix:{place}", f"127.0.0.1:{port}"])
    assert not place.exists()
    taken.close()


@pytest.mark.parametrize("address", ["5000", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "no such host:1"])
def test_address_that_makes_no_sense_is_a_startup_error(address: str) -> None:
    with pytest.raises(StartupError, match="cannot listen on"):
        bind([address])


def test_ipv6_address_is_served_with_brackets(serve: Serve, tmp_path: Path) -> None:
    try:
        sockets = bind(["[::1]:0"])
    except StartupError as error:
        pytest.skip(str(error))
    sockets[0].close()
    with serve(tmp_path, addresses=("[::1]:0",)) as running, running.client() as client:
        assert running.url.startswith("http://[::1]:")
        assert client.get("/").status == 200


def test_server_that_never_ran_closes_its_sockets(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "http.sock"
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # the listing's own descriptor counts the same twice
    server = Server(Toy(), bind([f"unix:{place}"]), Limits(), admit, lambda *_: False, tmp_path)
    server.close()
    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208
    assert not place.exists()


def test_running_leaves_no_descriptor_open(serve: Serve, tmp_path: Path) -> None:
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with serve(tmp_path) as running, running.client() as client:
        assert client.get("/").status == 200
    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208


def _until(true: Any) -> None:
    """Wait for a state that has no event to wait on."""
    never = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if true():
            return
        never.wait(0.01)
    pytest.fail("it did not come true in time")
