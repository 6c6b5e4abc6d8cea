"""The second half of a deploy: a release's engine is loaded and published, and what served before is freed.

It needs nothing but a release and the store, and runs on the deployer's thread.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from daemon.errors import Rejected
from daemon.holder import ModelHolder, Serving
from daemon.lane.stages import Stages
from daemon.release import Release
from daemon.runtime import Engine, EngineShelf, memory, try_out

LOG = logging.getLogger("modeldrop.deployer")


class Adoption:
    """Loads, swaps and frees. Owned by the deployer, used by its thread alone; it owns every retired engine."""

    def __init__(
        self,
        holder: ModelHolder,
        store_root: Path,
        load: Callable[[Path], Engine],
        shelf: EngineShelf,
        *,
        timeout_seconds: float,
    ) -> None:
        self._holder = holder
        self._store_root = store_root
        self._load = load
        self._shelf = shelf
        self._timeout_seconds = timeout_seconds
        self._retired: list[Serving] = []

    def warm_engine(self, release: Release, stages: Stages) -> Engine:
        """The release's engine, run once: the one that its trial left on the shelf, or a new one. Raises Rejected."""
        with stages.timed("load"):
            return self._shelf.take(release.sha256) or self._loaded(release)

    def publish(self, release: Release, engine: Engine, stages: Stages) -> Serving | None:
        """From here on ``release`` answers; gives what was retired for it."""
        with stages.timed("swap"):
            retired = self._holder.swap(release, engine)
        return self._remember(retired)

    def retire(self, model: str) -> Serving | None:
        """Nothing of ``model`` answers from here on; gives what was retired."""
        return self._remember(self._holder.retire(model))

    def free_drained(self) -> None:
        """Closes every retired engine whose last lease is back, and gives their memory back to the system."""
        drained = [serving for serving in self._retired if serving.drained.is_set()]
        for serving in drained:
            self._retired.remove(serving)
            serving.engine.close()
        if drained:
            memory.trim()

    def clear(self) -> None:
        """Closes every engine that is left, drained or not: for the end, when nobody is served any more."""
        for serving in [*self._retired, *self._holder.close()]:
            serving.engine.close()
        self._retired.clear()
        self._shelf.clear()

    def _loaded(self, release: Release) -> Engine:
        """A release was proved before it first served: that it runs slowly now is no reason to doubt it."""
        engine = self._load(self._store_root / release.stored_as)
        try:
            try_out(engine, timeout_seconds=self._timeout_seconds)
        except Rejected as failure:
            LOG.warning("version %d of %s could not be warmed: %s", release.version, release.model, failure.reason)
        return engine

    def _remember(self, retired: Serving | None) -> Serving | None:
        if retired is not None:
            self._retired.append(retired)
        return retired
