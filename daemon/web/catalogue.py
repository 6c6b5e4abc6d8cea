"""What there is to know about models: what serves, what is on its way, what was. Entered by request threads."""

from collections.abc import Callable, Mapping, Sequence

from daemon.errors import NotServing, UnknownModel, UnknownVersion
from daemon.history import Journal, Outcome
from daemon.holder import ModelHolder
from daemon.release import Release, TensorSpec

OnItsWay = Callable[[str], Mapping[str, str] | None]
OnProbation = Callable[[str], Mapping[str, object] | None]
_MOST = (1 << 63) - 1
"""The greatest version that the journal can be asked for."""


class Catalogue:
    """Answers questions about models by name. Thread-safe.

    ``on_its_way`` are asked in turn for the candidate of a model, ``on_probation`` how far its probation is.
    """

    def __init__(
        self,
        holder: ModelHolder,
        journal: Journal,
        *,
        default_model: str,
        on_its_way: tuple[OnItsWay, ...],
        on_probation: OnProbation,
    ) -> None:
        self._holder = holder
        self._journal = journal
        self._default_model = default_model
        self._on_its_way = on_its_way
        self._on_probation = on_probation

    def knows(self, model: str) -> bool:
        """Whether there ever was anything for ``model``; the default model is always known."""
        return model == self._default_model or model in self._journal.models()

    def serves(self, model: str) -> bool:
        """Whether a release of ``model`` does."""
        return self._holder.release_of(model) is not None

    def models(self) -> list[dict[str, object]]:
        """Every known model, by name."""
        return [self.model(name) for name in sorted({self._default_model, *self._journal.models()})]

    def model(self, name: str) -> dict[str, object]:
        """What serves as ``name``, and what is on its way; raises UnknownModel."""
        self._need(name)
        release = self._holder.release_of(name)
        candidates = (ask(name) for ask in self._on_its_way)
        return {
            "model": name,
            "state": "live" if release else self._state_of_none(name),
            **_described(release),
            "candidate": next((found for found in candidates if found), None),
            "probation": self._on_probation(name),
            "rejected": self._last_rejected(name),
        }

    def releases(self, name: str, limit: int) -> list[dict[str, object]]:
        """What went live and what was refused, newest first; raises UnknownModel."""
        self._need(name)
        return [_row(outcome) for outcome in self._journal.outcomes(name, limit)]

    def loaded(self, name: str) -> list[Release]:
        """The releases of ``name`` that can be asked: what serves, then what stands by.

        Raises UnknownModel, or NotServing where there is none.
        """
        self._need(name)
        loaded = self._holder.loaded(name)
        if not loaded:
            raise NotServing(name)
        return loaded

    def all_loaded(self) -> list[Release]:
        """The same of every model of which one serves, by name."""
        return [release for name in sorted(self._holder.releases()) for release in self._holder.loaded(name)]

    def release(self, name: str, version: int | None = None) -> Release:
        """As ``of_version`` of those that are ``loaded``."""
        return of_version(self.loaded(name), version)

    def past(self, name: str, version: int | None = None) -> Release:
        """A release of ``name``, whether or not it is loaded: of that version, or the newest.

        Raises UnknownModel or UnknownVersion; NotServing where there never was one.
        """
        self._need(name)
        if version is not None:
            found = self._journal.release(name, version) if version <= _MOST else None
            if found is None:
                raise UnknownVersion(f"model {name!r} has no version {version}")
            return found
        newest = self._journal.releases(name, limit=1)
        if not newest:
            raise NotServing(name)
        return newest[0]

    def _need(self, name: str) -> None:
        if not self.knows(name):
            raise UnknownModel(f"there is no model {name!r}")

    def _last_rejected(self, name: str) -> dict[str, object] | None:
        """What was refused since the last release began to serve: by which check, and why."""
        newest = self._journal.outcomes(name, 1)
        if not newest or newest[0].outcome != "rejected":
            return None
        refused = newest[0]
        return {
            "model_path": refused.model_path,
            "sha256": refused.sha256,
            "check": refused.check,
            "reason": refused.reason,
            "time": refused.time,
        }

    def _state_of_none(self, name: str) -> str:
        standing = self._journal.standing().get(name)
        return "unloaded" if standing and standing.unloaded else "none"


def of_version(loaded: Sequence[Release], version: int | None) -> Release:
    """The one of ``loaded`` with that version, the first, which serves, for None; raises UnknownVersion."""
    if version is None:
        return loaded[0]
    for release in loaded:
        if release.version == version:
            return release
    pairs = zip(loaded, ("serves", "stands by"), strict=False)
    told = " and ".join(f"version {each.version} {does}" for each, does in pairs)
    raise UnknownVersion(f"version {version} of model {loaded[0].model!r} is not loaded: {told}")


def _described(release: Release | None) -> dict[str, object]:
    return {
        "version": release.version if release else None,
        "sha256": release.sha256 if release else None,
        "model_path": release.model_path if release else None,
        "since": release.time if release else None,
        "inputs": [_tensor(spec) for spec in release.signature.inputs] if release else [],
        "outputs": [_tensor(spec) for spec in release.signature.outputs] if release else [],
        "metadata": release.metadata if release else {},
        "trial": release.trial if release else {},
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    described: dict[str, object] = {"name": spec.name, "dtype": spec.dtype, "shape": spec.shape}
    return {**described, "optional": True} if spec.optional else described


def _row(outcome: Outcome) -> dict[str, object]:
    row: dict[str, object] = {
        "version": outcome.version,
        "outcome": outcome.outcome,
        "sha256": outcome.sha256,
        "model_path": outcome.model_path,
        "time": outcome.time,
    }
    extra = {"cause": outcome.cause, "reason": outcome.reason, "check": outcome.check}
    return {**row, **{name: value for name, value in extra.items() if value is not None}}
