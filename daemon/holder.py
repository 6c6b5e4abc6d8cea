"""The locked singleton: for every model the release that serves and its engine. It lends and swaps, nothing else.

Every request thread enters through ``lease``, only the deployer's enters ``swap`` and ``retire``. The lock guards
pointers and counts; nothing is loaded, run, freed, logged or called back under it.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from daemon.errors import NotServing, UnknownVersion
from daemon.release import Release
from daemon.runtime import Engine


class Serving:
    """One release with its engine, from the swap that published it until its last lease is back.

    Owned by the holder, which alone counts its leases. ``drained`` is set while it is retired and no lease is left: for
    good, unless it stands by. ``face`` is kept for whoever answers requests with it, so that both go together.
    """

    __slots__ = ("_leases", "_on_drained", "_retired", "drained", "engine", "face", "release")

    def __init__(self, release: Release, engine: Engine) -> None:
        self.release = release
        self.engine = engine
        self.face: Any = None  # set once, by those who ask
        self.drained = threading.Event()
        self._leases = 0  # guarded by the holder's _lock
        self._retired = False  # guarded by the holder's _lock
        self._on_drained: Callable[[], None] | None = None  # guarded by the holder's _lock

    @property
    def leases(self) -> int:
        """How many requests hold it now: a figure to show, out of date as soon as it is read."""
        return self._leases


class Lease:
    """One request's hold on one release; a context manager, so that it always comes back."""

    __slots__ = ("_holder", "_model", "_serving", "_version")

    def __init__(self, holder: "ModelHolder", model: str, version: int | None) -> None:
        self._holder = holder
        self._model = model
        self._version = version

    def __enter__(self) -> Serving:
        self._serving = self._holder._lend(self._model, self._version)
        return self._serving

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._holder._take_back(self._serving)


class ModelHolder:
    """The one holder of this interpreter, however often it is called; thread-safe. ``close`` ends it.

    It owns every engine that it was given, until ``swap``, ``retire`` or ``close`` hands the engine back.
    """

    _singleton: "ModelHolder | None" = None  # guarded by _creation
    _creation = threading.Lock()

    _lock: threading.Lock
    _serving: dict[str, Serving]  # guarded by _lock
    _standing_by: dict[str, Serving]  # guarded by _lock; lent only to those who ask for their version

    def __new__(cls) -> "ModelHolder":
        with cls._creation:
            if cls._singleton is None:
                holder = super().__new__(cls)
                holder._lock = threading.Lock()
                holder._serving = {}
                holder._standing_by = {}
                cls._singleton = holder
            return cls._singleton

    def lease(self, model: str, version: int | None = None) -> Lease:
        """``with holder.lease(model) as serving:`` lends the release that serves, or ``version`` if that is loaded.

        Raises NotServing or UnknownVersion on entry.
        """
        return Lease(self, model, version)

    def swap(self, release: Release, engine: Engine) -> Serving | None:
        """Publishes ``release``: every lease from now on is of it. Cannot fail, does not wait.

        Returns what served before, retired: its engine is the caller's to close once ``drained`` is set.
        """
        serving = Serving(release, engine)
        with self._lock:
            before = self._serving.get(release.model)
            self._serving[release.model] = serving
            return self._retire_locked(before)

    def retire(self, model: str) -> Serving | None:
        """Stops lending ``model``; returns what served, as ``swap`` does."""
        with self._lock:
            return self._retire_locked(self._serving.pop(model, None))

    def stand_by(self, retired: Serving) -> None:
        """From here on ``retired`` is lent to those who ask for its version, until ``stand_down``."""
        with self._lock:
            self._standing_by[retired.release.model] = retired

    def stand_down(self, model: str) -> Serving | None:
        """What stood by for ``model`` is lent no more; returns it."""
        with self._lock:
            return self._standing_by.pop(model, None)

    def call_when_drained(self, serving: Serving, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once the retired ``serving`` is drained: now, or on the thread of its last lease."""
        with self._lock:
            if not serving.drained.is_set():
                serving._on_drained = callback
                return
        callback()

    def release_of(self, model: str) -> Release | None:
        """The release of ``model`` that serves, if one does."""
        serving = self._serving.get(model)
        return serving.release if serving else None

    def serving_of(self, model: str) -> Serving | None:
        """What serves as ``model``, if anything does: to look at, for it is not lent."""
        return self._serving.get(model)

    def loaded(self, model: str) -> list[Release]:
        """The releases of ``model`` that can be asked by their version: what serves, then what stands by."""
        return [serving.release for serving in self.servings(model)]

    def servings(self, model: str) -> list[Serving]:
        """What has the releases that are ``loaded``: to look at, for it is not lent."""
        with self._lock:
            found = (self._serving.get(model), self._standing_by.get(model))
            return [serving for serving in found if serving]

    def releases(self) -> dict[str, Release]:
        """What serves, by model: a copy."""
        with self._lock:
            return {model: serving.release for model, serving in self._serving.items()}

    def close(self) -> list[Serving]:
        """Retires everything and ends the singleton; returns what served, as ``swap`` does."""
        with self._lock:
            last = [retired for serving in self._serving.values() if (retired := self._retire_locked(serving))]
            self._serving.clear()
            self._standing_by.clear()
        with self._creation:
            if ModelHolder._singleton is self:
                ModelHolder._singleton = None
        return last

    def _lend(self, model: str, version: int | None) -> Serving:
        with self._lock:
            serving = self._serving.get(model)
            if serving is None:
                raise NotServing(model)
            if version is not None and version != serving.release.version:
                serving = self._standing_by_locked(model, version, serving.release.version)
            serving._leases += 1
            return serving

    def _standing_by_locked(self, model: str, version: int, serves: int) -> Serving:
        before = self._standing_by.get(model)
        if before is None or before.release.version != version:
            also = "" if before is None else f" and version {before.release.version} stands by"
            raise UnknownVersion(f"version {version} of model {model!r} is not loaded: version {serves} serves{also}")
        before.drained.clear()
        return before

    def _take_back(self, serving: Serving) -> None:
        with self._lock:
            serving._leases -= 1
            if serving._leases or not serving._retired:
                return
            serving.drained.set()
            callback = serving._on_drained
        if callback is not None:
            callback()

    def _retire_locked(self, serving: Serving | None) -> Serving | None:
        if serving is None:
            return None
        serving._retired = True
        if not serving._leases:
            serving.drained.set()
        return serving
