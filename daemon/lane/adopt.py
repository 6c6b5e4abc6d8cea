"""The second half of a deploy: a release's engine is loaded and published, and what served before is freed.

It needs nothing but a release and the store, and runs on the deployer's thread.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from daemon.errors import ModeldropError, NotServing, UnknownVersion
from daemon.holder import ModelHolder, Serving
from daemon.lane.stages import Stages
from daemon.release import Release
from daemon.runtime import Array, Engine, complete, first_run, memory, waits_for_cores

LOG = logging.getLogger("modeldrop.deployer")

WARMING_SECONDS = 0.05
"""For runs beyond the first, which is the slow one: what serves next has to wait for them."""


class Adoption:
    """Loads, swaps and frees. Owned by the deployer, used by its thread alone; it owns every retired engine.

    ``recent`` gives inputs that requests for a model had of late. A retired release may stand by for a while, with its
    engine loaded, so that to go back to it is a swap.
    """

    def __init__(
        self,
        holder: ModelHolder,
        store_root: Path,
        load: Callable[[Path], Engine],
        *,
        recent: Callable[[str], Sequence[Mapping[str, Array]]],
        timeout_seconds: float,
    ) -> None:
        self._holder = holder
        self._store_root = store_root
        self._load = load
        self._recent = recent
        self._timeout_seconds = timeout_seconds
        self._retired: list[Serving] = []
        self._standing_by: dict[str, Serving] = {}

    def stored_at(self, release: Release) -> Path:
        """The model file that ``release`` was made of."""
        return self._store_root / release.stored_as

    def warm_engine(self, release: Release, stages: Stages, *, in_haste: bool = False) -> Engine:
        """The release's engine, run by each shape that requests had of late; it may have gears to come (``complete``).

        ``in_haste`` it is run once, and not at all where it runs on the processor: there the first run takes a few
        milliseconds longer than the second (measured: 24 and 21 of a network of 102 MB), less than a run. Raises
        Rejected.
        """
        with stages.timed("load"):
            engine = self._load(self.stored_at(release))
            try:
                self._warm(engine, release, in_haste=in_haste)
            except BaseException:
                engine.close()
                raise
            return engine

    def complete(self, release: Release) -> None:
        """Makes the gears that the engine of ``release`` still lacks, where it serves or stands by.

        Raises Rejected, and then it does without.
        """
        with suppress(NotServing, UnknownVersion), self._holder.lease(release.model, release.version) as serving:
            complete(serving.engine, partial(self._warm, release=release, in_haste=False))

    def publish(self, release: Release, engine: Engine, stages: Stages) -> Serving | None:
        """From here on ``release`` answers; gives what was retired for it."""
        with stages.timed("swap"):
            retired = self._holder.swap(release, engine)
        return self._remember(retired)

    def retire(self, model: str) -> Serving | None:
        """Nothing of ``model`` answers from here on; gives what was retired."""
        return self._remember(self._holder.retire(model))

    def stand_by(self, retired: Serving) -> None:
        """Keeps a retired engine loaded until ``dismiss``; one of each model, which has none yet."""
        self._retired.remove(retired)
        self._standing_by[retired.release.model] = retired
        self._holder.stand_by(retired)

    def recall(self, release: Release) -> Engine | None:
        """The engine that stands by for the model of ``release`` and has its bytes, the caller's from here on.

        None where there is none, and where a request still has it on loan: it may not outlive what it is lent for next.
        """
        if not self.can_recall(release.model, release.sha256):
            return None
        self._holder.stand_down(release.model)
        if not self.can_recall(release.model, release.sha256):  # lent in between
            return None
        return self._standing_by.pop(release.model).engine

    def can_recall(self, model: str, sha256: str) -> bool:
        """Whether ``recall`` would give an engine now."""
        standing_by = self._standing_by.get(model)
        return standing_by is not None and standing_by.drained.is_set() and standing_by.release.sha256 == sha256

    def dismiss(self, model: str) -> Serving | None:
        """What stands by for ``model``, if anything does, is retired for good; it is freed once it is drained."""
        self._holder.stand_down(model)
        return self._remember(self._standing_by.pop(model, None))

    def free_up(self) -> None:
        """Frees everything that only stands by, as far as it is drained: memory is short."""
        for model in list(self._standing_by):
            self.dismiss(model)
        self.free_drained()

    def free_drained(self) -> None:
        """Closes every retired engine whose last lease is back, and gives their memory back to the system."""
        drained = [serving for serving in self._retired if serving.drained.is_set()]
        if not drained:
            return
        started = time.perf_counter()
        for serving in drained:
            self._retired.remove(serving)
            serving.engine.close()
        closed = time.perf_counter()
        memory.trim()
        ended = time.perf_counter()
        LOG.debug(
            "freed %s: %.1f ms to close, %.1f ms to give memory back",
            ", ".join(f"version {serving.release.version} of {serving.release.model}" for serving in drained),
            (closed - started) * 1e3,
            (ended - closed) * 1e3,
        )

    def clear(self) -> None:
        """Closes every engine that is left, drained or not: for the end, when nobody is served any more."""
        for serving in [*self._retired, *self._standing_by.values(), *self._holder.close()]:
            serving.engine.close()
        self._retired.clear()
        self._standing_by.clear()

    def _warm(self, engine: Engine, release: Release, *, in_haste: bool) -> None:
        """Runs what looks like the requests to come, else what was made up.

        A release was proved before it first served: that it runs slowly or not now is no reason to doubt it.
        """
        if in_haste and waits_for_cores(engine):
            return
        due = time.monotonic() + (0.0 if in_haste else WARMING_SECONDS)
        is_warm = False
        try:
            for inputs in _unlike(self._recent(release.model)):
                is_warm = self._runs(engine, inputs) or is_warm
                if time.monotonic() >= due:
                    break
            if not is_warm:
                first_run(engine, timeout_seconds=self._timeout_seconds)
        except ModeldropError as failure:
            LOG.warning("version %d of %s could not be warmed: %s", release.version, release.model, failure)

    def _runs(self, engine: Engine, inputs: Mapping[str, Array]) -> bool:
        try:
            engine.run(inputs, timeout_seconds=self._timeout_seconds)
        except ModeldropError:  # another model's inputs, perhaps; what it says of them is nobody's business
            return False
        return True

    def _remember(self, retired: Serving | None) -> Serving | None:
        if retired is not None:
            self._retired.append(retired)
        return retired


def _unlike(samples: Sequence[Mapping[str, Array]]) -> Iterator[Mapping[str, Array]]:
    """One of each shape, the first: only an engine's first run of a shape is slow."""
    seen: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()
    for inputs in samples:
        shapes = tuple(sorted((name, array.shape) for name, array in inputs.items()))
        if shapes not in seen:
            seen.add(shapes)
            yield inputs
