"""Clients that predict without a pause, each on a connection of its own, and remember every answer."""

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from threading import Condition, Event, Thread
from typing import Any

import orjson

ONES = orjson.dumps({"inputs": [[1.0] * 10]})
CLIENT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Taken:
    """One prediction: when it was sent and when its answer was there (monotonic seconds), and what came.

    ``status`` is 0 where nothing came; ``fault`` then says why.
    """

    sent: float
    received: float
    status: int
    headers: HTTPMessage = field(default_factory=HTTPMessage)
    body: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def version(self) -> int:
        return int(self.body["version"])

    @property
    def sha256(self) -> str:
        return self.headers["X-Model-SHA256"]

    @property
    def seconds(self) -> float:
        return self.received - self.sent


class Crowd:
    """``clients`` threads that predict over keep-alive connections for as long as the ``with`` block lasts.

    A client whose connection fails records that and stops: nothing is tried twice, so nothing is hidden.
    """

    def __init__(self, port: int, *, clients: int = 8, path: str = "/predict", body: bytes = ONES) -> None:
        self._port = port
        self._path = path
        self._body = body
        self._stopping = Event()
        self._changed = Condition()
        self._answers: list[Taken] = []  # guarded by _changed
        self._threads = [Thread(target=self._predict, name=f"client-{number}") for number in range(clients)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        try:
            self.wait_for_more(2 * len(self._threads))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def answers(self) -> list[Taken]:
        """Everything that came so far, in the order in which it came."""
        with self._changed:
            return list(self._answers)

    def wait_for_more(self, count: int, seconds: float = CLIENT_SECONDS) -> None:
        """Waits until ``count`` more answers came, or a failure did."""
        with self._changed:
            wanted = len(self._answers) + count
            came = self._changed.wait_for(
                lambda: len(self._answers) >= wanted or any(not each.status for each in self._answers[-count:]), seconds
            )
        assert came, f"fewer than {count} answers in {seconds} s"

    def _stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _predict(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=CLIENT_SECONDS)
        try:
            while not self._stopping.is_set():
                taken = self._take(connection)
                with self._changed:
                    self._answers.append(taken)
                    self._changed.notify_all()
                if not taken.status:
                    return
        finally:
            connection.close()

    def _take(self, connection: http.client.HTTPConnection) -> Taken:
        sent = time.monotonic()
        try:
            connection.request("POST", self._path, body=self._body, headers={"Content-Type": "application/json"})
            response = connection.getresponse()
            body = orjson.loads(response.read())
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            return Taken(sent, time.monotonic(), 0, fault=f"{type(error).__name__}: {error}")
        return Taken(sent, time.monotonic(), response.status, response.headers, body)


def failures(answers: list[Taken]) -> list[Taken]:
    """Those that are no 200; a test prints them when there are any."""
    return [taken for taken in answers if taken.status != 200]
