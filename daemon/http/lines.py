"""Requests that are best answered together: while one group is being answered, the next one forms.

Entered by the loop thread and by the pools' own.
"""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from threading import Condition, Lock
from typing import Protocol

from daemon.errors import TOGETHER
from daemon.http.pool import Pool, Work
from daemon.http.values import Grouping, HttpError, overloaded

LOG = logging.getLogger("modeldrop.http")


class Member(Work, Protocol):
    """A connection with a request at its head, which can be answered alone or together with others."""

    def begin(self, marks: Mapping[str, object]) -> Callable[[], None]:
        """The first half of the answer, which gives the second; ``marks`` is what it has in common with others."""


class Lines:
    """One line for each kind of requests that go together. Thread-safe.

    Nobody waits for company, unless ``grouping`` says so: who finds no line begins one, which is answered by the next
    thread of ``pool``. Those who come meanwhile are the next group. It goes to the pool when that thread is through,
    behind what others have queued there, so that no line takes all the time there is.
    """

    def __init__(self, pool: Pool, grouping: Grouping, *, max_waiting: int) -> None:
        self._pool = pool
        self._grouping = grouping
        self._max_waiting = max_waiting
        self._lock = Lock()
        self._lines: dict[Hashable, _Line] = {}  # guarded by _lock; each has a place in the pool, or its thread

    @property
    def waiting(self) -> int:
        """How many wait in lines: a figure to show, out of date as soon as it is read."""
        return sum(len(line.members) for line in list(self._lines.values()))

    def submit(self, member: Member, method: str, path: str) -> HttpError | None:
        """Queue ``member`` in its line or, if it goes with no others, alone; or return the answer it gets instead."""
        kind = self._grouping.kind_of(method, path)
        if kind is None:
            return self._pool.submit(member)
        with self._lock:
            line = self._lines.get(kind)
            if line is None:
                line = _Line(self, kind, self._lock)
                if (refusal := self._pool.submit(line)) is not None:
                    return refusal
                self._lines[kind] = line
            elif len(line.members) >= self._max_waiting:
                return overloaded(len(line.members))
            line.members.append(member)
            line.grown.notify()
            return None

    def serve(self, line: "_Line") -> None:
        """Answer the first group of ``line``, and give it its next place. For a thread of the pool."""
        most = max(1, self._grouping.most(line.kind))
        with self._lock:
            line.grown.wait_for(lambda: len(line.members) >= most, self._grouping.wait_seconds)
            members = [line.members.popleft() for _ in range(min(most, len(line.members)))]
        try:
            self._answer(line.kind, members)
        finally:
            with self._lock:
                if line.members:
                    self._pool.submit_next(line)
                else:
                    del self._lines[line.kind]

    def _answer(self, kind: Hashable, members: list[Member]) -> None:
        if len(members) == 1:
            members[0].service()
            return
        with ExitStack() as stack:
            marks: dict[str, object] = {}
            _safely(lambda: marks.update({TOGETHER: stack.enter_context(self._grouping.together(kind))}))
            halves = [_begun(member, marks) for member in members]
            for finish in halves:
                _safely(finish)


class _Line:
    """Requests of one kind in the order they came; the work that a pool has of them."""

    def __init__(self, lines: Lines, kind: Hashable, lock: Lock) -> None:
        self._lines = lines
        self.kind = kind
        self.members: deque[Member] = deque()  # guarded by ``lock``, which is that of ``lines``
        self.grown = Condition(lock)

    def service(self) -> None:
        self._lines.serve(self)

    def discard(self) -> None:
        while self.members:
            self.members.popleft().discard()


def _begun(member: Member, marks: Mapping[str, object]) -> Callable[[], None]:
    """The second half of a member's answer; nothing where the first failed."""
    finish: list[Callable[[], None]] = []
    _safely(lambda: finish.append(member.begin(marks)))
    return finish[0] if finish else _nothing


def _safely(half: Callable[[], None]) -> None:
    """What fails of one member's answer is no concern of the others."""
    try:
        half()
    except BaseException:
        LOG.exception("a connection failed while it was served")


def _nothing() -> None:
    """There is nothing to finish."""
