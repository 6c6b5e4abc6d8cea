"""Requests that are best answered together: while a group is being answered, the next one forms.

Entered by the loop thread and by the pools' own.
"""

import logging
import sys
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

    @property
    def goes_alone(self) -> bool:
        """Whether to send its answer may take time, for which others had to wait."""

    def begin(self, marks: Mapping[str, object]) -> Callable[[], None]:
        """The first half of the answer, which gives the second; ``marks`` is what it has in common with others."""


class Lines:
    """One line for each kind of requests that go together. Thread-safe.

    Nobody waits for company, unless ``grouping`` says so: who finds no line begins one, which is answered by the next
    thread of ``pool``. Those who come meanwhile are the next group. It goes to the pool when that thread is through, or
    when it is full, as to wait longer would not let it grow; and behind what others have queued there, so that no line
    takes all the time there is. No more than ``max_waiting`` wait in all, in lines or for the pool.
    """

    def __init__(self, pool: Pool, grouping: Grouping, *, max_waiting: int) -> None:
        self._pool = pool
        self._grouping = grouping
        self._max_waiting = max_waiting
        self._lock = Lock()
        self._lines: dict[Hashable, _Line] = {}  # guarded by _lock; each has a place in the pool, or a thread
        self._in_lines = 0  # guarded by _lock

    @property
    def waiting(self) -> int:
        """How many wait in lines: a figure to show, out of date as soon as it is read."""
        return self._in_lines

    def submit(self, member: Member, method: str, path: str) -> HttpError | None:
        """Queue ``member`` in its line or, if it goes with no others, alone; or return the answer it gets instead."""
        kind = None if member.goes_alone else self._kind_of(method, path)
        with self._lock:
            waiting = self._pool.queued + self._in_lines
            if waiting >= self._max_waiting:
                return overloaded(waiting)
            if kind is None:
                self._pool.submit_next(member)
                return None
            line = self._lines.get(kind)
            if line is None:
                line = self._lines[kind] = _Line(self, kind, self._lock)
            line.members.append(member)
            self._in_lines += 1
            self._place_locked(line)
            line.grown.notify()
            return None

    def serve(self, line: "_Line") -> None:
        """Answer the first group of ``line``, and give it its next place. For a thread of the pool."""
        members = self._next_group(line)
        try:
            self._answer(line.kind, members)
        finally:
            with self._lock:
                line.served -= 1
                self._place_locked(line)
                if not (line.served or line.placed):
                    del self._lines[line.kind]

    def _place_locked(self, line: "_Line") -> None:
        """Give ``line`` a place in the pool, if there is a group for one."""
        is_full = len(line.members) >= line.most and line.served < line.abreast
        if not line.placed and (is_full or (line.members and not line.served)):
            line.placed = True
            self._pool.submit_next(line)

    def _kind_of(self, method: str, path: str) -> Hashable | None:
        try:
            return self._grouping.kind_of(method, path)
        except Exception:
            LOG.exception("what a request goes together with could not be told")
            return None

    def _next_group(self, line: "_Line") -> list[Member]:
        most = self._told(self._grouping.most, line.kind)
        abreast = self._told(self._grouping.abreast, line.kind)
        wait_seconds = 0.0 if line.had_a_turn else self._grouping.wait_seconds
        with self._lock:
            line.most, line.abreast, line.had_a_turn = most, abreast, True
            line.grown.wait_for(lambda: len(line.members) >= most, wait_seconds)
            members = [line.members.popleft() for _ in range(min(most, len(line.members)))]
            self._in_lines -= len(members)
            line.served += 1
            line.placed = False
            self._place_locked(line)
            return members

    def _told(self, question: Callable[[Hashable], int], kind: Hashable) -> int:
        try:
            return max(1, question(kind))
        except Exception:
            LOG.exception("how many requests, or groups, go together could not be told")
            return 1

    def _answer(self, kind: Hashable, members: list[Member]) -> None:
        with ExitStack() as stack:
            groups: list[object] = []
            _safely(lambda: groups.append(stack.enter_context(self._grouping.together(kind))))
            if groups in ([], [None]):
                for member in members:
                    self._pool.submit_next(member)
                return
            halves = [_begun(member, {TOGETHER: groups[0]}) for member in members]
            for finish in halves:
                _safely(finish)


class _Line:
    """Requests of one kind in the order they came; the work that a pool has of them."""

    def __init__(self, lines: Lines, kind: Hashable, lock: Lock) -> None:
        self._lines = lines
        self.kind = kind
        self.members: deque[Member] = deque()  # guarded by ``lock``, which is that of ``lines``
        self.grown = Condition(lock)
        # The others are guarded by it, too.
        self.most = sys.maxsize
        """How many a group has at most: not known before the first."""
        self.abreast = 1
        """How many groups may be answered side by side."""
        self.served = 0
        """How many groups are being answered."""
        self.placed = False
        """Whether one waits for a thread of the pool."""
        self.had_a_turn = False

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
