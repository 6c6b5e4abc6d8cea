"""Clients that ask without a pause, in a process of their own, and remember when each answer came and from whom."""

import http.client
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection


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


def _ask(pipe: Connection, port: int, body: bytes, clients: int) -> None:
    stop = threading.Event()
    taken: list[list[Taken]] = [[] for _ in range(clients)]
    threads = [threading.Thread(target=_client, args=(port, body, stop, each)) for each in taken]
    for thread in threads:
        thread.start()
    pipe.send("begun")
    pipe.recv()
    stop.set()
    for thread in threads:
        thread.join()
    pipe.send([answer for each in taken for answer in each])


def _client(port: int, body: bytes, stop: threading.Event, taken: list[Taken]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not stop.is_set():
        sent = time.monotonic()
        connection.request("POST", "/predict", body)
        response = connection.getresponse()
        response.read()
        sha256 = response.getheader("X-Model-SHA256") or ""
        taken.append(Taken(sent, time.monotonic(), response.status, sha256))
    connection.close()
