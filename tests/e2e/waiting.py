"""Waiting, in bounded time, for what no event tells of."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01


def eventually(ask: Callable[[], T], wanted: str, seconds: float = 15.0) -> T:
    """The first answer of ``ask`` that is true; fails, naming what was ``wanted``, when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {wanted}"
        time.sleep(POLL_SECONDS)
    return answer
