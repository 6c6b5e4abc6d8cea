"""A model in several sessions, of which each run takes the one that fits the cores that are free; any thread."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.release import Signature
from daemon.runtime.budget import CoreBudget
from daemon.runtime.deadlines import Deadlines
from daemon.runtime.dtypes import Array
from daemon.runtime.engine import load_engine, map_engine
from daemon.runtime.plans import gears, is_short
from daemon.runtime.port import Engine, Output
from daemon.runtime.sessions import EngineOptions, can_save

CHEAP_BYTES = 64 << 20
"""A model that takes no more memory may have it twice; of a compiled form the weights are shared anyway."""


class GearedEngine:
    """One model as several engines, the widest first, each with the threads that its runs take from the budget.

    ``run`` may be called by many threads at once. It owns the engines, which ``close`` closes.
    """

    def __init__(self, engines: Sequence[tuple[int, Engine]], budget: CoreBudget) -> None:
        self._engines = tuple(engines)
        self.gears = tuple(engine for _, engine in engines)
        self._widest, self._narrowest = engines[0][0], engines[-1][0]
        self._budget = budget

    @property
    def signature(self) -> Signature:
        """The inputs and outputs, as the model declares them."""
        return self.gears[0].signature

    @property
    def metadata(self) -> Mapping[str, object]:
        """What the model says of itself."""
        return self.gears[0].metadata

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        """As ``Engine.run``; the wait for a core is part of the time."""
        due = time.monotonic() + timeout_seconds
        with self._budget.claim(self._widest, least=self._narrowest, timeout_seconds=timeout_seconds) as cores:
            engine = next((engine for threads, engine in self._engines if threads <= cores), self.gears[-1])
            return engine.run(inputs, timeout_seconds=max(0.0, due - time.monotonic()))

    def close(self) -> None:
        """As ``Engine.close``."""
        for engine in self.gears:
            engine.close()


def gears_of(engine: Engine) -> Sequence[Engine]:
    """The engines of which a run of ``engine`` takes one: itself, unless it is geared."""
    return engine.gears if isinstance(engine, GearedEngine) else (engine,)


def waits_for_cores(engine: Engine) -> bool:
    """Whether a run of ``engine`` may have to wait for others to end."""
    return isinstance(engine, GearedEngine)


@dataclass(frozen=True, slots=True)
class Gearbox:
    """Makes the engines that serve, from what a model's trial measured. Loads must not overlap.

    ``options.threads`` other than 0 is what every model gets.
    """

    options: EngineOptions
    deadlines: Deadlines
    budget: CoreBudget
    cores: int

    def load(self, path: Path, trial: Mapping[str, Any]) -> Engine:
        """An engine of the model as it came; raises as ``load_engine``."""
        resident_bytes = trial.get("memory", {}).get("resident_bytes", path.stat().st_size)
        return self._geared(lambda options: load_engine(path, options, self.deadlines), trial, resident_bytes)

    def map_form(self, path: Path, trial: Mapping[str, Any]) -> Engine:
        """An engine of a saved form; raises as ``map_engine``."""
        return self._geared(lambda options: map_engine(path, options, self.deadlines), trial, 0)

    def _geared(self, make: Callable[[EngineOptions], Engine], trial: Mapping[str, Any], copy_bytes: int) -> Engine:
        if not can_save(self.options):  # another device does the work, whose threads are not ours to count
            return make(self.options)
        if is_short(trial):
            return make(replace(self.options, threads=self.options.threads or 1))
        if self.options.threads:
            return GearedEngine([(self.options.threads, make(self.options))], self.budget)
        wanted = gears(trial, self.cores, is_cheap_twice=copy_bytes <= CHEAP_BYTES)
        engines: list[tuple[int, Engine]] = []
        try:
            for threads in wanted:
                engines.append((threads, make(replace(self.options, threads=threads))))
        except BaseException:
            for _, engine in engines:
                engine.close()
            raise
        return GearedEngine(engines, self.budget)
