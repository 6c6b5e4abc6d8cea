"""Makes the engines that serve: which sessions a model is to have, and which of them at once. For whoever loads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from daemon.runtime.budget import CoreBudget
from daemon.runtime.deadlines import Deadlines
from daemon.runtime.engine import load_engine, map_engine
from daemon.runtime.gears import GearedEngine
from daemon.runtime.plans import gears, is_short
from daemon.runtime.port import Engine
from daemon.runtime.sessions import EngineOptions, can_save

CHEAP_BYTES = 64 << 20
"""So much memory may the further sessions of a model take in all; of a compiled form the weights are shared anyway."""


@dataclass(frozen=True, slots=True)
class Gearbox:
    """Makes the engines that serve, from what a model's trial measured. Loads must not overlap.

    Only the first gear is made at once, the widest: alone it serves one client at a time as well as all do, and on few
    cores many clients about as well (``plans``). The others are made when somebody ``complete``s the engine.

    ``most_runs`` are made at the same time; ``options.threads`` other than 0 is what every model gets.
    """

    options: EngineOptions
    deadlines: Deadlines
    budget: CoreBudget
    cores: int
    most_runs: int

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
        further = CHEAP_BYTES // max(1, copy_bytes)
        first, *others = gears(trial, self.cores, most_runs=self.most_runs, further=further)
        to_come = [(threads, partial(make, replace(self.options, threads=threads))) for threads in others]
        return GearedEngine([(first, make(replace(self.options, threads=first)))], self.budget, to_come)
