"""Clients that ask without a pause, in a process of their own, and remember when each answer came and from whom.

One thread waits for all their sockets: threads would pass the interpreter's lock around and feel that, not the server.
"""

import gc
import multiprocessing
import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

FAILED = 0
"""The status of a request whose connection broke."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SHA256 = re.compile(rb"\r\nx-model-sha256: *([0-9a-f]+)", re.IGNORECASE)
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Taken:
    """One answer: when it was asked for and when it was there (``time.monotonic``), its status, and who gave it."""

    sent: float
    received: float
    status: int
    sha256: str

    @property
    def seconds(self) -> float:
        return self.received - self.sent


class Crowd:
    """Clients at work; ``answers`` ends them and gives everything that came."""

    def __init__(self, port: int, body: bytes, clients: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_ask, args=(far, port, body, clients), daemon=True)
        self._process.start()
        far.close()  # so that its end is seen
        self._pipe.recv()  # the clients have begun

    def answers(self) -> list[Taken]:
        self._pipe.send("stop")
        taken: list[Taken] = self._pipe.recv()
        self._process.join()
        return taken

    def end(self) -> None:
        """Ends the process, if it still runs."""
        self._process.terminate()
        self._process.join()


@contextmanager
def crowd(port: int, body: bytes, clients: int) -> Iterator[Crowd]:
    """``clients`` at work on the port until the block ends."""
    working = Crowd(port, body, clients)
    try:
        yield working
    finally:
        working.end()


class _Client:
    """One connection and the request that is under way on it."""

    def __init__(self, port: int, request: bytes, taken: list[Taken]) -> None:
        self._port = port
        self._request = request
        self._taken = taken
        self.socket = self._connected()
        self._unsent = memoryview(b"")
        self._begin()

    @property
    def is_sending(self) -> bool:
        return bool(self._unsent)

    def send(self) -> None:
        self._unsent = self._unsent[self.socket.send(self._unsent[:_CHUNK]) :]

    def receive(self) -> bool:
        """Takes what came; whether the answer is whole and the next request has begun."""
        part = self.socket.recv(_CHUNK)
        if not part:
            raise ConnectionError("the server closed the connection")
        self._got += part
        head_ends = self._got.find(b"\r\n\r\n")
        stated = _LENGTH.search(self._got, 0, head_ends + 2) if head_ends >= 0 else None
        if stated is None or len(self._got) < head_ends + 4 + int(stated[1]):
            return False
        named = _SHA256.search(self._got, 0, head_ends + 2)
        self._take(int(self._got[9:12]), named[1].decode() if named else "")
        self._begin()
        return True

    def fail(self) -> None:
        """The connection broke; the next request goes out on another."""
        self._take(FAILED, "")
        self.socket.close()
        self.socket = self._connected()
        self._begin()

    def _begin(self) -> None:
        self._unsent = memoryview(self._request)
        self._got = bytearray()
        self._sent = time.monotonic()

    def _take(self, status: int, sha256: str) -> None:
        self._taken.append(Taken(self._sent, time.monotonic(), status, sha256))

    def _connected(self) -> socket.socket:
        connected = socket.create_connection(("127.0.0.1", self._port), 60)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        return connected


def _ask(pipe: Connection, port: int, body: bytes, clients: int) -> None:
    gc.disable()  # looking through all answers so far takes longer than most of them
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    taken: list[Taken] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            client = _Client(port, request, taken)
            selector.register(client.socket, selectors.EVENT_WRITE, client)
        pipe.send("begun")
        while not pipe.poll():
            for key, _events in selector.select(1):
                _advance(selector, key.data)
    pipe.recv()
    pipe.send(taken)


def _advance(selector: selectors.BaseSelector, client: _Client) -> None:
    before, was_sending = client.socket, client.is_sending
    try:
        if was_sending:
            client.send()
        elif client.receive():
            client.send()  # mostly there is room for all of it
    except BlockingIOError:
        pass
    except OSError:
        selector.unregister(before)
        client.fail()
        selector.register(client.socket, selectors.EVENT_WRITE, client)
        return
    if client.is_sending != was_sending:
        wanted = selectors.EVENT_WRITE if client.is_sending else selectors.EVENT_READ
        selector.modify(client.socket, wanted, client)
