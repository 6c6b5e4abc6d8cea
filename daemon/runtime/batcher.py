"""Puts the inputs of several requests together, runs them at once and takes the outputs apart; no state, any thread.

Only for models whose batches give what their rows give alone: each row of the first dimension is an item of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from daemon.errors import HandOver, ModeldropError, RunTimeout
from daemon.release import Signature
from daemon.runtime.dtypes import Array
from daemon.runtime.pace import elements_of
from daemon.runtime.port import Output

Run = Callable[[Mapping[str, Array]], list[Output]]


class Share:
    """One member's place in a run. A call gives the outputs for its inputs; the first of all makes the run.

    Raises HandOver where it is to be made alone.
    """

    __slots__ = ("_begin", "_end", "_joint")

    def __init__(self, joint: "_Joint | None", begin: int = 0, end: int = 0) -> None:
        self._joint = joint
        self._begin = begin
        self._end = end

    def __call__(self) -> list[Output]:
        if self._joint is None:
            raise HandOver
        return self._joint.share(self._begin, self._end)

    def take_run(self) -> tuple[float, int, int]:
        """After a call: the seconds of the run and its rows; and 1 to the first of its members that asks, else 0."""
        return (0.0, 0, 0) if self._joint is None else self._joint.take_run()


class Batch:
    """Inputs that are run together, as far as they fit. For one thread, which adds them and then calls for the shares.

    ``run`` runs the model; ``most`` rows go into one run. Members whose rows have other shapes or types make a run of
    their own. Where a run of several fails, whoever is to blame, each of its members is to be run alone, which their
    shares say by HandOver; so does that of one which cannot be put together with any. A run of one raises what ``run``
    does, but HandOver where it took too long for others to wait.
    """

    def __init__(
        self, signature: Signature, run: Run, *, most: int, fits: Callable[[int], bool] = lambda _: True
    ) -> None:
        self._names = frozenset(spec.name for spec in signature.inputs if not spec.optional)
        self._run = run
        self._most = most
        self._fits = fits
        self._forming: dict[tuple[object, ...], _Joint] = {}

    def add(self, inputs: Mapping[str, Array]) -> Share:
        """Takes one member's inputs by name, as ``decode`` gives them."""
        rows, size = self._rows(inputs), elements_of(inputs)
        if rows is None or not self._fits(size):
            return Share(None)
        form = tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))
        joint = self._forming.get(form)
        if joint is None or joint.rows + rows > self._most or not self._fits(joint.elements + size):
            joint = self._forming[form] = _Joint(self._run)
        return joint.add(inputs, rows, size)

    def _rows(self, inputs: Mapping[str, Array]) -> int | None:
        """How many rows all the inputs have alike; None where they are not to be run with others."""
        lengths = {len(array) if array.ndim else 0 for array in inputs.values()}
        if len(lengths) != 1 or inputs.keys() != self._names:
            return None
        (rows,) = lengths
        return rows if 0 < rows <= self._most else None


class _Joint:
    """Members of one form, and one run for all of them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._members: list[Mapping[str, Array]] = []
        self._outputs: list[Output] | None = None
        self._failed = False
        self._seconds = 0.0
        self._untold = 1
        self.rows = 0
        self.elements = 0

    def add(self, inputs: Mapping[str, Array], rows: int, size: int) -> Share:
        begin = self.rows
        self._members.append(inputs)
        self.rows += rows
        self.elements += size
        return Share(self, begin, self.rows)

    def share(self, begin: int, end: int) -> list[Output]:
        if len(self._members) == 1:
            return self._run_one()
        if self._outputs is None and not self._failed:
            self._run_all()
        if self._outputs is None:
            raise HandOver
        return [output[begin:end] for output in self._outputs]  # type: ignore[index]  # has as many rows: see below

    def take_run(self) -> tuple[float, int, int]:
        untold, self._untold = self._untold, 0
        return self._seconds, self.rows, untold

    def _run_one(self) -> list[Output]:
        started = perf_counter()
        try:
            return self._run(self._members[0])
        except RunTimeout:
            raise HandOver from None  # alone, it may take longer
        finally:
            self._seconds = perf_counter() - started

    def _run_all(self) -> None:
        started = perf_counter()
        try:
            inputs = {name: np.concatenate([each[name] for each in self._members]) for name in self._members[0]}
            outputs = self._run(inputs)
        except (ModeldropError, HandOver, MemoryError):
            self._failed = True
            return
        self._seconds = perf_counter() - started
        if _is_by_rows(outputs, self.rows):
            self._outputs = outputs
        else:
            self._failed = True


def _is_by_rows(outputs: Sequence[Any], rows: int) -> bool:
    """Whether each output has as many rows as the inputs; a sequence of maps has one for each, too."""
    return all(
        ((isinstance(output, np.ndarray) and output.ndim > 0) or isinstance(output, list)) and len(output) == rows
        for output in outputs
    )
