"""A server with a toy application and clients that speak raw bytes, for the tests of the HTTP layer."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from daemon.http.values import NO_GROUPS, Expected, Grouping, nobody_knows
from daemon.native.server import NativeServer
from daemon.server import Admission, Guard, IsSlow, Limits, Server, bind

AnyServer = Server | NativeServer
FRONTS: dict[str, type[Server] | type[NativeServer]] = {"waitress": Server, "granian": NativeServer}

WAIT_SECONDS = 10.0
MAX_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as it came: ``headers`` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A raw connection; every wait is bounded."""

    def __init__(self, url: str) -> None:
        if url.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(WAIT_SECONDS)
            self.sock.connect(url.removeprefix("unix:"))
        else:
            host, _, port = url.removeprefix("http://").rpartition(":")
            self.sock = socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT_SECONDS)
        self._rest = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> "Client":
        self.sock.sendall(data)
        return self

    def get(self, path: str = "/", *, head: bool = False) -> Reply:
        self.send(f"{'HEAD' if head else 'GET'} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return self.reply(head=head)

    def post(self, path: str, body: bytes) -> Reply:
        return self.send(f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body).reply()

    def reply(self, *, head: bool = False) -> Reply:
        """Read one answer with a content length."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        header, _, self._rest = self._rest.partition(b"\r\n\r\n")
        line, *fields = header.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        length = 0 if head or line.split()[1] == "100" else int(headers.get("content-length", 0))
        while len(self._rest) < length:
            self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Reply(int(line.split()[1]), headers, body)

    def ended(self) -> bool:
        """Wait for the server to close; whether it did so without another byte."""
        try:
            return self._rest == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"the server closed after {self._rest!r}")
        self._rest += data


class Toy:
    """An application whose paths do what a test needs; ``/wait`` holds its request until ``go`` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)
        self.seen: list[str] = []
        self.threads: list[str] = []
        self.environ: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.environ = environ
        self.seen.append(path)
        self.threads.append(threading.current_thread().name)
        self.entered.release()
        if path.startswith(("/wait", "/slow")):
            assert self.go.wait(WAIT_SECONDS)
        if path == "/boom":
            raise FileNotFoundError("/secret/place")
        if path == "/half":
            return self._half(start_response)
        body = environ["wsgi.input"].read() or path.encode()
        if path == "/big":
            body = bytes(8 << 20)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    def wait_entered(self, times: int = 1) -> None:
        """Wait until the application was entered ``times`` more."""
        for _ in range(times):
            assert self.entered.acquire(timeout=WAIT_SECONDS)

    @staticmethod
    def _half(start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "100")])
        yield b"half"
        raise RuntimeError("no second half")


def admit(*_: Any) -> Admission:
    """Admit everything up to ``MAX_BODY``."""
    return Admission(MAX_BODY)


class Running:
    """A server that runs in a thread, its application and its verdict."""

    def __init__(self, server: AnyServer, toy: Toy) -> None:
        self.server = server
        self.toy = toy
        self.clean: bool | None = None
        self.thread = threading.Thread(target=self._run, name="loop")

    @property
    def url(self) -> str:
        return self.server.addresses[0]

    def client(self) -> Client:
        return Client(self.url)

    def drained(self) -> bool:
        """Wait for the end of ``run``; what it said."""
        self.thread.join(WAIT_SECONDS)
        assert self.clean is not None, "the server did not end"
        return self.clean

    def _run(self) -> None:
        self.clean = self.server.run()


class Serve(Protocol):
    """``serving``, by the front that a test is run with; ``new`` makes a server that does not run yet."""

    front: str

    def new(self, *arguments: Any) -> AnyServer: ...

    def __call__(
        self,
        spool_dir: Path,
        *,
        limits: Limits | None = None,
        guard: Guard = ...,
        is_slow: IsSlow = ...,
        expected_seconds: Expected = ...,
        addresses: tuple[str, ...] = ...,
        app: Any = None,
        grouping: Grouping = ...,
    ) -> AbstractContextManager[Running]: ...


def skip_where_granian_differs(node: pytest.Item, front: str) -> None:
    """Skip a test of the granian front that is marked with what this does otherwise; say what."""
    for mark in node.iter_markers("no_granian"):
        if front == "granian":
            pytest.skip(mark.args[0])


class By:
    """Makes servers of one front."""

    def __init__(self, front: str) -> None:
        self.front = front
        self.new = FRONTS[front]

    def __call__(self, spool_dir: Path, **more: Any) -> AbstractContextManager[Running]:
        return serving(spool_dir, front=self.front, **more)


@contextmanager
def serving(
    spool_dir: Path,
    *,
    limits: Limits | None = None,
    guard: Guard = admit,
    is_slow: IsSlow = lambda _method, path, _query: path.startswith("/slow"),
    expected_seconds: Expected = nobody_knows,
    addresses: tuple[str, ...] = ("127.0.0.1:0",),
    app: Any = None,
    front: str = "waitress",
    grouping: Grouping = NO_GROUPS,
) -> Iterator[Running]:
    """Run a server for the length of a test."""
    toy = Toy()
    server = FRONTS[front](
        app or toy, bind(addresses), limits or Limits(), guard, is_slow, spool_dir, expected_seconds, grouping
    )
    running = Running(server, toy)
    running.thread.start()
    try:
        yield running
    finally:
        toy.go.set()
        server.begin_drain()
        running.thread.join(WAIT_SECONDS)
        assert not running.thread.is_alive()
