"""Which of the waiting deploys comes next: policy over values, no threads and no files."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act that waits in the lane for ``model``.

    ``number``, which the lane gives, rises in the order of
    arrival. ``changed_ns`` is set for a dropped file, which a newer one may overtake;
    what came over HTTP has None and is never skipped. ``act`` runs on the deployer's thread and fills ``future``, no
    sooner than ``due`` (monotonic); one that is ``urgent`` goes before all others, in the middle of a trial if need be.
    """

    model: str
    number: int = 0
    model_path: str = ""
    changed_ns: int | None = None
    due: float = -math.inf
    urgent: bool = False
    act: Callable[[], Any] = field(default=lambda: None, compare=False)
    overtake: Callable[[], Any] = field(default=lambda: None, compare=False)
    future: "Future[Any]" = field(default_factory=Future, compare=False)


def overtaken(waiting: Sequence[Entry]) -> list[Entry]:
    """The dropped files for which a newer one of the same model waits: change time decides, then order of arrival."""
    newest: dict[str, Entry] = {}
    for entry in waiting:
        if entry.changed_ns is None:
            continue
        rival = newest.get(entry.model)
        if rival is None or _age(rival) < _age(entry):
            newest[entry.model] = entry
    return [entry for entry in waiting if entry.changed_ns is not None and entry is not newest[entry.model]]


def left_behind(waiting: Sequence[Entry], served: Entry) -> list[Entry]:
    """The dropped files that came before ``served``, which serves now: they are not deployed any more."""
    older = [entry for entry in waiting if entry.model == served.model and entry.changed_ns is not None]
    if served.changed_ns is None:
        return [entry for entry in older if entry.number < served.number]
    return [entry for entry in older if _age(entry) < _age(served)]


def due(waiting: Sequence[Entry], now: float) -> list[Entry]:
    """Those whose time has come."""
    return [entry for entry in waiting if entry.due <= now]


def next_up(waiting: Sequence[Entry], last_model: str | None) -> Entry:
    """The entry to run next: models take turns in the order of their names, each one's entries in order of arrival.

    Urgent ones go first. ``waiting`` must not be empty; ``last_model`` had the turn before.
    """
    if pressing := urgent(waiting):
        return pressing[0]
    models = sorted({entry.model for entry in waiting})
    later = [model for model in models if last_model is not None and model > last_model]
    turn = (later or models)[0]
    return min((entry for entry in waiting if entry.model == turn), key=lambda entry: entry.number)


def urgent(waiting: Sequence[Entry]) -> list[Entry]:
    """Those that are urgent, in order of arrival."""
    return sorted((entry for entry in waiting if entry.urgent), key=lambda entry: entry.number)


def _age(entry: Entry) -> tuple[int, int]:
    return entry.changed_ns or 0, entry.number
