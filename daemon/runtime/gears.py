"""A model in several sessions, of which each run takes the one that fits the cores that are free; any thread."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from daemon.errors import RunTimeout
from daemon.release import Signature
from daemon.runtime.budget import CoreBudget
from daemon.runtime.deadlines import overdue
from daemon.runtime.dtypes import Array
from daemon.runtime.port import Engine, Output

Gear = tuple[int, Engine]
GearToCome = tuple[int, Callable[[], Engine]]


class GearedEngine:
    """One model as several engines, the widest first, each with the threads that its runs take from the budget.

    ``run`` and ``close`` may be called by many threads at once, ``complete`` by whoever loads. It owns the engines,
    which ``close`` closes. Those ``to_come`` are made by ``complete``: until then, runs make do with the others.
    """

    def __init__(self, engines: Sequence[Gear], budget: CoreBudget, to_come: Sequence[GearToCome] = ()) -> None:
        self._lock = threading.Lock()
        self._engines = tuple(engines)  # changed under _lock, read without it
        self._is_closed = False  # guarded by _lock
        self._to_come = list(to_come)  # the loading thread's alone
        self._budget = budget

    @property
    def gears(self) -> Sequence[Engine]:
        """The engines that are made by now."""
        return [engine for _, engine in self._engines]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is to come."""
        return not self._to_come

    @property
    def signature(self) -> Signature:
        """The inputs and outputs, as the model declares them."""
        return self._engines[0][1].signature

    @property
    def metadata(self) -> Mapping[str, object]:
        """What the model says of itself."""
        return self._engines[0][1].metadata

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        """As ``Engine.run``; the wait for a core is part of the time."""
        due = time.monotonic() + timeout_seconds
        with self.in_gear(timeout_seconds=timeout_seconds) as engine:
            try:
                return engine.run(inputs, timeout_seconds=max(0.0, due - time.monotonic()))
            except RunTimeout as error:
                raise overdue(timeout_seconds) from error  # what it had left is not what anybody asked for

    @contextmanager
    def in_gear(self, *, timeout_seconds: float) -> Iterator[Engine]:
        """The engine that fits the cores that are free, which are its own until the block ends.

        Raises RunTimeout where it waits longer.
        """
        gears = self._engines
        with self._budget.claim(*(threads for threads, _ in gears), timeout_seconds=timeout_seconds) as cores:
            yield next((engine for threads, engine in gears if threads <= cores), gears[-1][1])

    @property
    def abreast(self) -> int:
        """How many runs fit side by side, each in the gear below the widest; 1 where that has a single thread."""
        widths = [threads for threads, _ in self._engines]
        width = widths[0] if len(widths) == 1 else widths[1]
        return max(1, self._budget.cores // width) if width > 1 else 1

    def complete(self, warm: Callable[[Engine], None]) -> None:
        """Makes the gears to come; each is ``warm``ed, by runs that claim cores as all do, before requests may take it.

        Loads must not overlap. Raises as they and ``warm`` do, the first error when all are done; it does without the
        gears of which they came for good.
        """
        errors: list[Exception] = []
        while self._to_come:
            try:
                self._make_next(warm)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _make_next(self, warm: Callable[[Engine], None]) -> None:
        threads, make = self._to_come.pop(0)
        engine = make()
        try:
            warm(GearedEngine([(threads, engine)], self._budget))
        except BaseException:
            engine.close()
            raise
        if not self._takes(threads, engine):
            engine.close()
            self._to_come.clear()

    def close(self) -> None:
        """As ``Engine.close``."""
        with self._lock:
            self._is_closed = True
            engines = self._engines
        for _, engine in engines:
            engine.close()

    def _takes(self, threads: int, engine: Engine) -> bool:
        """False once it is closed: then ``engine`` is for the caller to close."""
        with self._lock:
            if not self._is_closed:
                self._engines = (*self._engines, (threads, engine))
            return not self._is_closed


def complete(engine: Engine, warm: Callable[[Engine], None]) -> None:
    """Makes the gears that ``engine`` still lacks, as ``GearedEngine.complete``; nothing where it is not geared."""
    if isinstance(engine, GearedEngine):
        engine.complete(warm)


def is_complete(engine: Engine) -> bool:
    """Whether ``engine`` has every gear that it is to have."""
    return not isinstance(engine, GearedEngine) or engine.is_complete


def in_gear(engine: Engine, *, timeout_seconds: float) -> AbstractContextManager[Engine]:
    """What runs at once as ``engine`` does: the gear that fits, as ``GearedEngine.in_gear``, or ``engine`` itself."""
    if isinstance(engine, GearedEngine):
        return engine.in_gear(timeout_seconds=timeout_seconds)
    return nullcontext(engine)


def runs_abreast(engine: Engine) -> int:
    """How many runs of ``engine`` are best made side by side, as ``GearedEngine.abreast``."""
    return engine.abreast if isinstance(engine, GearedEngine) else 1


def waits_for_cores(engine: Engine) -> bool:
    """Whether a run of ``engine`` may have to wait for others to end."""
    return isinstance(engine, GearedEngine)
