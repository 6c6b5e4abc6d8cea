"""A head that came before is read as it was the first time, and nothing of one request gets into another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from waitress.adjustments import Adjustments

from daemon.http import heads
from daemon.http.environ import environ_of
from daemon.http.heads import Heads
from daemon.http.request import Request
from daemon.http.spool import Spool
from daemon.http.terms import Terms
from daemon.http.values import Admission, Limits

HEADS = [
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n",
    b"POST /models/a%20b/predict?x=1&y HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\nX-Twice: 1\r\nX-Twice: 2\r\n",
    b"POST //predict HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nContent-Type: text/csv\r\n",
    b"POST http://other/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX_Odd: dropped\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n",
]
ODD = [
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n",
    b"POST /predict HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n",
    b"POST /predict HTTP/1.1\r\nHost a\r\nContent-Length: 5\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n",
]


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    return Terms(Limits(), lambda *_: Admission(100), Spool(tmp_path, 1000))


def read(terms: Terms, head: bytes, body: bytes = b"hello") -> Request:
    request = Request(Adjustments(), terms, "127.0.0.1", lambda: None)
    data = head + b"\r\n" + body
    while data and not request.completed:
        data = data[request.received(data) :]
    return request


def told(request: Request) -> dict[str, Any]:
    """All that an application would learn of it, or why it is refused."""
    if request.error is not None:
        return {"error": request.error}
    environ = environ_of(request, ("127.0.0.1", 1), 5000)
    return {**environ, "wsgi.input": environ["wsgi.input"].read(), "closes": request.connection_close}


@pytest.mark.parametrize("head", HEADS + ODD)
def test_head_is_read_the_second_time_as_the_first(terms: Terms, head: bytes) -> None:
    first = told(read(terms, head, b"hello"))
    assert told(read(terms, head, b"hello")) == first
    if head in HEADS:
        assert first["wsgi.input"] == b"hello"
        assert told(read(terms, head, b"other")) == {**first, "wsgi.input": b"other"}


@pytest.mark.parametrize("head", HEADS)
def test_plain_head_is_parsed_once(terms: Terms, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    read(terms, head)
    monkeypatch.setattr("waitress.parser.get_header_lines", None)
    assert told(read(terms, head))["wsgi.input"] == b"hello"


@pytest.mark.parametrize("head", ODD)
def test_head_that_is_not_plain_is_not_kept(terms: Terms, head: bytes) -> None:
    read(terms, head)
    assert terms.heads.get(head) is None


def test_request_that_is_refused_each_time_leaves_nothing_behind(tmp_path: Path) -> None:
    refusing = Terms(Limits(), lambda *_: Admission(3), Spool(tmp_path, 1000))
    for _ in range(2):
        request = read(refusing, HEADS[0])
        assert request.error.status == 413
        request.close()


@pytest.mark.parametrize("cut", [1, 30, 45])
def test_head_that_came_in_two_parts_is_one_however_the_second_begins(terms: Terms, cut: int) -> None:
    known = HEADS[0] + b"\r\n"
    read(terms, HEADS[0])
    whole = b"POST /other HTTP/1.1\r\nHost: a\r\nX-Note: "[:cut].ljust(cut, b"x") + known
    request, plain = (Request(Adjustments(), each, "127.0.0.1", lambda: None) for each in (terms, fresh(terms)))
    assert request.received(whole[:cut]) == cut
    assert plain.received(whole[:cut]) == cut
    assert request.received(whole[cut:]) == plain.received(whole[cut:])
    assert (request.path, request.headers, request.error) == (plain.path, plain.headers, plain.error)


def fresh(terms: Terms) -> Terms:
    """The same, that knows no head yet."""
    return replace(terms, heads=Heads())


def test_head_of_an_absurd_length_is_refused_alike_each_time(terms: Terms) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n"
    first, second = (read(terms, head).error for _ in range(2))
    assert first is not None
    assert second == first


def test_request_without_a_body_is_kept_too(terms: Terms) -> None:
    for _ in range(2):
        request = read(terms, b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"")
        assert (request.completed, request.command, request.path) == (True, "GET", "/healthz")


def test_head_came_before_once_it_was_asked_about_of_late() -> None:
    kept: Heads[bytes, dict[str, int]] = Heads()
    assert [kept.came_before(b"a"), kept.came_before(b"b"), kept.came_before(b"a")] == [False, False, True]
    for number in range(heads.MOST):
        kept.came_before(b"%d" % number)
    assert not kept.came_before(b"a")


def test_no_more_heads_are_kept_than_may_be_nor_long_ones() -> None:
    kept: Heads[bytes, dict[str, int]] = Heads()
    for number in range(heads.MOST):
        kept.keep(b"%d" % number, {"number": number}, 3)
    assert kept.get(b"0") == {"number": 0}
    kept.keep(b"one more", {}, heads.LONGEST_BYTES)
    assert kept.get(b"0") is None
    assert kept.get(b"one more") == {}
    kept.keep(b"long", {}, heads.LONGEST_BYTES + 1)
    assert kept.get(b"long") is None
