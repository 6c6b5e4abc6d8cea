"""How a model is best run, from what its trial measured: policy over values, any thread.

Measured on 2 cores, runs a second of an encoder of 55 MB and a CNN of 102 MB: one client at a time gets 117 and 27 of
a session with one thread, 179 and 50 of one with two; eight clients get 232 and 53 of the first, 226 and 52 of the
second. In batches of 8 they make 271 and 56 items a second, and an MLP of 14 MB 32,800 instead of 6,600: its weights
are read once for all, the others have work. Threads that spin were of no use in a server, whose own need the cores.
"""

from collections.abc import Mapping
from typing import Any

LONG_SECONDS = 150e-6
"""A run that takes less gains nothing by further threads."""
GAIN = 1.5
"""So much cheaper must an item in a batch be than alone, for batches to be worth their wait."""
STILL_GAIN = 1.1
"""So much cheaper must it be than in a batch of half the size, for the larger one to be worth it."""
LONGEST_SECONDS = 0.2
"""Nobody is to wait longer for those before it to be run together."""
LONG_BATCH_SECONDS = 5e-3
"""Batches that take less are over before another one is put together beside them."""
NARROWER = 4
"""A gear has so many times fewer threads than the next wider one, where that leaves it several."""
QUICK_SECONDS = 50e-6
"""What takes less is answered sooner than it could be put together."""


def gears(trial: Mapping[str, Any], cores: int, *, most_runs: int, further: int) -> tuple[int, ...]:
    """The intra-op threads of the sessions that a model is to have, from all cores for a run that is alone downwards.

    The narrowest is what each of ``most_runs`` runs has when all of them are at work. ``trial`` is what
    ``Release.trial`` has, perhaps nothing; ``further`` is how many sessions beside the first there is memory for.
    """
    if cores == 1 or is_short(trial):
        return (1,)
    narrower = _narrower(cores, max(1, cores // most_runs)) if 1 in _seconds(trial) else []
    return (cores, *narrower[max(0, len(narrower) - further) :])


def _narrower(width: int, narrowest: int) -> list[int]:
    """The gears below one of ``width`` threads: each a quarter as wide as the one before, or half where that is one."""
    widths: list[int] = []
    while width > narrowest:
        width = max(narrowest, width // NARROWER if width >= 2 * NARROWER else width // 2)
        widths.append(width)
    return widths


def is_short(trial: Mapping[str, Any]) -> bool:
    """Whether runs are known to be so short, in batches where these pay, that they gain nothing by threads."""
    return _seconds(trial).get(batch_size(trial), LONG_SECONDS) < LONG_SECONDS


def batch_size(trial: Mapping[str, Any], *, most: int = 1 << 30) -> int:
    """The rows that are best run together, at most ``most``; 1 where batches are not proved to equal their rows."""
    seconds = _seconds(trial)
    single_seconds = seconds.get(1, 0.0)
    if single_seconds < QUICK_SECONDS or trial.get("batch", {}).get("equals_single") is not True:
        return 1
    best, best_each = 1, single_seconds
    for size in sorted(size for size in seconds if 1 < size <= most and seconds[size] <= LONGEST_SECONDS):
        each = seconds[size] / size
        if each * STILL_GAIN <= best_each:
            best, best_each = size, each
    return best if best_each * GAIN <= single_seconds else 1


def takes_long(trial: Mapping[str, Any], *, most: int) -> bool:
    """Whether a batch, of at most so many rows, takes so long that another one is worth putting together beside it."""
    return _seconds(trial).get(batch_size(trial, most=most), 0.0) >= LONG_BATCH_SECONDS


def batch_limit_seconds(trial: Mapping[str, Any], size: int) -> float:
    """When to give up a batch of ``size`` rows: far beyond what such a one took in the trial."""
    return min(2.0, max(0.25, 10 * _seconds(trial).get(size, 0.0)))


def _seconds(trial: Mapping[str, Any]) -> dict[int, float]:
    return {run["batch"]: run["seconds"] for run in trial.get("runs", ())}
