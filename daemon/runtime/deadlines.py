"""Stops runs that outlive their deadline: the thread ``deadlines`` watches them all; request threads enter guards."""

import logging
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType

from daemon.errors import RunTimeout

LOG = logging.getLogger("modeldrop.runtime")

_LONGEST_SLEEP_SECONDS = 3600.0


def spoken(seconds: float) -> str:
    """A length of time as people say it: ``30 seconds``, ``50 ms``, ``1 µs``."""
    if seconds >= 1:
        return "1 second" if seconds == 1 else f"{seconds:g} seconds"
    return f"{seconds * 1e3:.4g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.4g} µs"


def overdue(seconds: float) -> RunTimeout:
    """What is told of a run that was stopped after so many seconds."""
    return RunTimeout(f"the run was stopped at its deadline of {spoken(seconds)}")


class Guard:
    """One run's deadline, a context. Made by ``Deadlines.guard`` for one thread; only ``expired`` is read by others."""

    __slots__ = ("_cancel", "_deadlines", "_due", "expired")

    def __init__(self, deadlines: "Deadlines", due: float, cancel: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._due = due
        self._cancel = cancel
        self.expired = False

    def __enter__(self) -> "Guard":
        if self._due != math.inf:
            self._deadlines._watch(self, self._due)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._due != math.inf:
            self._deadlines._forget(self)


class Deadlines:
    """Calls a guard's ``cancel`` when the guarded block outlives its seconds. Thread-safe; ``stop`` ends it for good.

    A guard costs two uncontended locks and a dictionary entry. The thread starts with the first guard, sleeps until the
    earliest deadline that it knows and for good when nothing runs; it is woken only for a deadline that comes sooner.
    ``cancel`` is called without the lock, perhaps a moment after its block has ended, so it must not mind being late.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._running: dict[Guard, float] = {}  # guarded by _lock; the moment each is due
        self._wakes_at = math.inf  # guarded by _lock; when the thread looks again by itself
        self._thread: threading.Thread | None = None  # guarded by _lock
        self._stopped = False  # guarded by _lock

    def guard(self, seconds: float, cancel: Callable[[], None]) -> Guard:
        """A context that calls ``cancel`` on another thread once, ``seconds`` from now (``inf``: never).

        ``expired`` of it says whether that was done. Entering raises RuntimeError after ``stop``.
        """
        return Guard(self, time.monotonic() + seconds, cancel)

    def stop(self) -> None:
        """Cancel what still runs, end the thread and join it; from any thread but its own, as often as one likes."""
        with self._lock:
            self._stopped = True
            left = list(self._running)
            self._expire_locked(left)
            self._wake.notify()
            thread = self._thread
        _cancel_all(left)
        if thread is not None:
            thread.join()

    def _watch(self, guard: Guard, due: float) -> None:
        with self._lock:
            if self._stopped:
                raise RuntimeError("deadlines are stopped, so nothing may run any more")
            self._running[guard] = due
            if due < self._wakes_at:
                self._wakes_at = due
                self._rouse_locked()

    def _forget(self, guard: Guard) -> None:
        with self._lock:
            self._running.pop(guard, None)

    def _rouse_locked(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_watch, name="deadlines", daemon=True)
            self._thread.start()
        else:
            self._wake.notify()

    def _expire_locked(self, guards: list[Guard]) -> None:
        for guard in guards:
            guard.expired = True
            del self._running[guard]

    def _keep_watch(self) -> None:
        while (overdue := self._await_overdue()) is not None:
            _cancel_all(overdue)

    def _await_overdue(self) -> list[Guard] | None:
        """Sleep until guards are overdue and take them off the list; None when it is time to stop."""
        with self._lock:
            while not self._stopped:
                now = time.monotonic()
                overdue = [guard for guard, due in self._running.items() if due <= now]
                if overdue:
                    self._expire_locked(overdue)
                    return overdue
                self._wakes_at = min(self._running.values(), default=math.inf)
                self._wake.wait(self._nap_locked(now))
            return None

    def _nap_locked(self, now: float) -> float | None:
        """Seconds to sleep; None is for good. Bounded, because a lock refuses to wait for longer than some years."""
        if self._wakes_at == math.inf:
            return None
        return min(self._wakes_at - now, _LONGEST_SLEEP_SECONDS)


def _cancel_all(guards: list[Guard]) -> None:
    for guard in guards:
        try:
            guard._cancel()
        except Exception:
            # One run that cannot be stopped must not leave all others without a deadline.
            LOG.exception("a run could not be stopped at its deadline")
