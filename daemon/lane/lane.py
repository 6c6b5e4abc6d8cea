"""The one lane: a queue of acts and the one thread that runs them, one after the other, models taking turns.

Any thread enters acts; they run on the thread "deployer".
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from daemon.errors import ModeldropError, ShuttingDown
from daemon.lane.order import Entry, due, left_behind, next_up, overtaken, urgent
from daemon.lane.wishes import Outcome

LOG = logging.getLogger("modeldrop.deployer")

SWITCH_SECONDS = 0.0005
"""How long an act may keep the interpreter's lock while a request waits for it; the interpreter's own 5 ms are felt."""

STOP_SECONDS = 5.0
"""How long the end waits for an act, such as a load, that nobody can cut short."""


class Lane:
    """Runs entries; thread-safe. ``after_each`` runs on the lane's thread once an act's future is filled."""

    def __init__(self, after_each: Callable[[], None]) -> None:
        self._after_each = after_each
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []  # guarded by _changed
        self._running: Entry | None = None  # guarded by _changed
        self._entered = 0  # guarded by _changed
        self._stopping = False  # guarded by _changed
        self._thread = threading.Thread(target=self._work, name="deployer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        """Refuses what waits, and waits for the act that runs; False when that will not end."""
        with self._changed:
            self._stopping = True
            refused, self._waiting = self._waiting, []
            self._changed.notify()
        for entry in refused:
            entry.future.set_exception(ShuttingDown("the daemon is stopping"))
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        return not self._thread.is_alive()

    def enter(self, entries: Sequence[Entry]) -> list["Future[Any]"]:
        """Queues ``entries``, which arrive together and in this order; raises ShuttingDown after ``stop``."""
        with self._changed:
            if self._stopping:
                raise ShuttingDown("the daemon is stopping")
            for entry in entries:
                self._entered += 1
                self._waiting.append(replace(entry, number=self._entered))
            self._changed.notify()
        return [entry.future for entry in entries]

    def run_urgent(self) -> None:
        """Runs what is urgent in the middle of an act; for that act, on the lane's thread, where it can bear it.

        What follows an act does not follow these: that is left to the act around them.
        """
        with self._changed:
            pressing = urgent(due(self._waiting, time.monotonic()))
            self._waiting = [entry for entry in self._waiting if entry not in pressing]
        for entry in pressing:
            _fill(entry.future, entry.act)

    def of_model(self, model: str) -> tuple[Entry | None, list[Entry]]:
        """The entry of ``model`` that runs, if one does, and those that wait."""
        with self._changed:
            running = self._running
            if running and (running.model != model or running.future.done()):  # done: only its tidying goes on
                running = None
            return running, [entry for entry in self._waiting if entry.model == model]

    def _work(self) -> None:
        last_model: str | None = None
        while (entry := self._take(last_model)) is not None:
            with _standing_back():
                _fill(entry.future, entry.act)
                for each in self._overtaken_by(entry):
                    _fill(each.future, each.overtake)
                last_model = entry.model
                self._after_each()

    def _take(self, last_model: str | None) -> Entry | None:
        """The next entry; waits for one; None when it is time to stop.

        Those that a newer file has overtaken stand back, and stay: the newer one may be refused.
        """
        with self._changed:
            self._running = None
            while not (ready := due(self._waiting, time.monotonic())) and not self._stopping:
                self._changed.wait(self._pause_locked())
            if self._stopping:
                return None
            standing_back = overtaken(ready)
            self._running = next_up([entry for entry in ready if entry not in standing_back], last_model)
            self._waiting.remove(self._running)
            return self._running

    def _pause_locked(self) -> float | None:
        """Seconds until the next entry's time comes; None where none waits for it."""
        soonest = min((entry.due for entry in self._waiting), default=None)
        return None if soonest is None else max(0.0, soonest - time.monotonic())

    def _overtaken_by(self, entry: Entry) -> list[Entry]:
        """Takes out what ``entry`` has overtaken for good, if it serves."""
        if not _serves(entry.future):
            return []
        with self._changed:
            behind = left_behind(self._waiting, entry)
            self._waiting = [each for each in self._waiting if each not in behind]
        return behind


@contextmanager
def _standing_back() -> Iterator[None]:
    """Has the lock of the interpreter change hands more often: one thread computes at length, others answer."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _serves(future: "Future[Any]") -> bool:
    if future.exception() is not None:
        return False
    outcome = future.result()
    return isinstance(outcome, Outcome) and outcome.release is not None


def _fill(future: "Future[Any]", act: Callable[[], Any]) -> None:
    try:
        future.set_result(act())
    except Exception as error:
        if not isinstance(error, ModeldropError):
            LOG.exception("an act failed")
        future.set_exception(error)
