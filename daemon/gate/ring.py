"""Some of the requests that were answered of late, to be replayed; in memory alone, never written anywhere.

Entered by request threads, which offer, and by the deployer's, which reads.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daemon.release import Release
from daemon.runtime import Array, Output

LARGEST_BYTES = 256 << 20
"""Of one request: more is not handed to a trial."""
_SMALL_BYTES = 1 << 12
"""What an array may hold beside itself."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request and what a release answered; nobody changes the arrays any more."""

    inputs: Mapping[str, Array]
    outputs: Sequence[Output]
    sha256: str
    size_bytes: int


class RequestRing:
    """The newest ``most`` samples of each model, ``per_second`` of them at most, ``most_bytes`` in all. Thread-safe.

    ``most`` 0 keeps nothing.
    """

    def __init__(self, *, most: int, per_second: float, most_bytes: int) -> None:
        self._most = most
        self._pause_seconds = 1 / per_second
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._samples: dict[str, deque[Sample]] = {}  # guarded by _lock
        self._bytes = 0  # guarded by _lock
        self._due: dict[str, float] = {}  # by no lock: a sample more or less is no harm

    def wants(self, model: str) -> bool:
        """Whether it is time for another sample: a moment's question, for every request."""
        return self._most > 0 and time.monotonic() >= self._due.get(model, 0.0)

    def offer(self, release: Release, inputs: Mapping[str, Array], outputs: Sequence[Output]) -> None:
        """Keeps a request that ``release`` answered, in the place of the oldest where there is no room.

        The outputs are copied: an array that ONNX Runtime made holds all that its session has allocated for runs, even
        after that is closed. So are inputs that are views on a body with more in it than them.
        """
        size = sum(map(_weight, inputs.values())) + sum(map(_weight, outputs))
        self._due[release.model] = time.monotonic() + self._pause_seconds
        if not self._most or size > min(self._most_bytes, LARGEST_BYTES):
            return
        kept = {name: array.copy() if _holds_more(array) else array for name, array in inputs.items()}
        sample = Sample(kept, _copied_all(outputs), release.sha256, size)
        with self._lock:
            self._samples.setdefault(release.model, deque()).append(sample)
            self._bytes += size
            self._shrink_locked(release.model)

    def samples(self, model: str, sha256: str | None = None) -> list[Sample]:
        """The samples of ``model``, newest first; if ``sha256`` is given, only those that these bytes answered."""
        with self._lock:
            kept = list(self._samples.get(model, ()))
        return [sample for sample in reversed(kept) if sha256 is None or sample.sha256 == sha256]

    def _shrink_locked(self, model: str) -> None:
        """Makes room for the newest sample of ``model``, which stays: the model that has most gives way."""
        if len(self._samples[model]) > self._most:
            self._drop_oldest_locked(model)
        newest = self._samples[model][-1]
        while self._bytes > self._most_bytes:
            weights = {name: sum(each.size_bytes for each in kept) for name, kept in self._samples.items()}
            weights[model] -= newest.size_bytes
            self._drop_oldest_locked(max(weights, key=weights.__getitem__))

    def _drop_oldest_locked(self, model: str) -> None:
        self._bytes -= self._samples[model].popleft().size_bytes
        if not self._samples[model]:
            del self._samples[model]


def _holds_more(array: Array) -> bool:
    """Whether ``array`` keeps more than twice its own weight from being freed."""
    held: object = array
    while isinstance(held, np.ndarray) and held.base is not None:
        held = held.base
    if isinstance(held, memoryview):
        held = held.obj
    size = held.nbytes if isinstance(held, np.ndarray) else len(held) if isinstance(held, bytes) else None
    return size is None or size > 2 * array.nbytes + _SMALL_BYTES


def _copied_all(outputs: Sequence[Output]) -> list[Output]:
    """The same in memory of its own."""
    return [_copied(output) for output in outputs]


def _copied(output: Output) -> Output:
    if isinstance(output, np.ndarray):
        return output.copy()
    return [_copied(element) for element in output] if isinstance(output, list) else output


def _weight(value: object) -> int:
    """About what a value weighs in memory, in bytes."""
    if isinstance(value, np.ndarray):
        return value.nbytes + (sum(map(_weight, value.ravel().tolist())) if value.dtype == object else 0)
    if isinstance(value, Mapping):
        return 64 + sum(_weight(key) + _weight(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return 64 + sum(map(_weight, value))
    return 50 + len(value) if isinstance(value, str | bytes) else 32
