"""What a model costs by batch size, and whether a batch gives what its rows give. Entered by a trial's process."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daemon.errors import InferenceFailed, InvalidInput, RunTimeout
from daemon.release import Signature
from daemon.runtime import Array, Engine, Output, alike

SIZES = (2, 4, 8, 16, 32)
ROWS = 4
"""So many different rows are run alone; larger batches repeat them."""
REPEATS = 3
MORE_ROUNDS, MORE_SECONDS = 7, 0.05
"""So often are all sizes run again, the least time counting, while that takes no longer: what else the machine does
comes in bursts, which may well outlast the repeats of one size."""
LONG_SECONDS = 0.03
"""A run that takes so long is taken at its word: what is slow the first time is little beside it."""

RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""How far a row of a batch may be from the row alone: kernels sum in another order."""


def measured(
    engine: Engine, inputs: Mapping[str, Array] | None, *, ran_seconds: float, seconds: float
) -> dict[str, object]:
    """``runs``: the seconds of a run by batch size; ``batch``: whether batches equal their rows, or why nobody knows.

    ``inputs`` are what the model took first, in ``ran_seconds`` the last time. What would take longer than ``seconds``
    in all is left out.
    """
    if inputs is None:
        return {"runs": [], "batch": _unknown("no inputs could be guessed")}
    watch = _Watch(engine, seconds)
    single = watch.least(inputs, expected=ran_seconds) if ran_seconds < LONG_SECONDS else ran_seconds
    if single is None:
        return {"runs": [], "batch": _unknown("the model did not run again")}
    runs: list[dict[str, object]] = [{"batch": 1, "seconds": single}]
    if (reason := _why_not(engine.signature, inputs)) is not None:
        return {"runs": runs if _is_single(inputs) else [], "batch": _unknown(reason)}
    try:
        rows = [dict(inputs), *(alike(engine.signature, inputs, seed=seed) for seed in range(1, ROWS))]
        batch = _compare(watch, rows, runs, single)
    except MemoryError:  # of this process's own; a model may serve that takes one row at a time
        batch = _unknown("there was no memory for a batch")
    return {"runs": runs, "batch": batch}


def _compare(
    watch: "_Watch", rows: Sequence[Mapping[str, Array]], runs: list[dict[str, object]], single: float
) -> dict[str, object]:
    """Runs the batches while there is time; adds to ``runs``."""
    alone: list[list[Output]] = []
    ran: list[tuple[dict[str, Any], Mapping[str, Array]]] = [(runs[0], rows[0])]
    worst, half = 0.0, single
    for size in SIZES:
        distinct = min(size, ROWS)
        if not watch.has_time_for((distinct - len(alone)) * single + 2 * half):
            break
        for row in rows[len(alone) : distinct]:
            outputs = watch.run(row)
            if outputs is None:
                return _unknown("the model did not run again")
            runs[0]["seconds"] = single = min(single, watch.last_seconds)
            alone.append(outputs)
        picked = [number % distinct for number in range(size)]
        stacked = {name: np.concatenate([rows[number][name] for number in picked]) for name in rows[0]}
        together = watch.run(stacked)
        if together is None:
            return {"equals_single": False, "reason": f"a batch of {size} does not run: {watch.failure}"}
        gap = _gap(together, [alone[number] for number in picked])
        if gap is None:
            return {"equals_single": False, "reason": f"a batch of {size} gives other outputs than its rows alone"}
        worst = max(worst, gap)
        half = watch.seconds_of(stacked, first=watch.last_seconds, most=2 * half)
        batch: dict[str, Any] = {"batch": size, "seconds": half}
        runs.append(batch)
        if sum(run["seconds"] for run, _ in ran) + half <= MORE_SECONDS:
            ran.append((batch, stacked))  # else there will be no time for it, and it takes memory
    if len(runs) == 1:
        return _unknown("there was no time for a batch (gate.trial.measure_ms)")
    _run_again(watch, ran)
    return {"equals_single": True, "max_difference": worst}


def _run_again(watch: "_Watch", ran: Sequence[tuple[dict[str, Any], Mapping[str, Array]]]) -> None:
    """Lowers the seconds of what ``ran``, by its inputs: by rounds, so that no burst is all that a size has seen."""
    spent = 0.0
    for _ in range(MORE_ROUNDS):
        expected = sum(run["seconds"] for run, _ in ran)
        if spent + expected > MORE_SECONDS or not watch.has_time_for(expected):
            return
        for run, inputs in ran:
            if watch.run(inputs) is None:
                return
            run["seconds"] = min(run["seconds"], watch.last_seconds)
            spent += watch.last_seconds


class _Watch:
    """Runs an engine within a budget of time."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._due = time.perf_counter() + seconds
        self.failure = ""
        self.last_seconds = 0.0

    def has_time_for(self, seconds: float) -> bool:
        return time.perf_counter() + seconds <= self._due

    def run(self, inputs: Mapping[str, Array]) -> list[Output] | None:
        """The outputs; None where it does not run."""
        start = time.perf_counter()
        try:
            outputs = self._engine.run(inputs, timeout_seconds=max(1.0, 2 * (self._due - start)))
        except (InvalidInput, InferenceFailed, RunTimeout, MemoryError) as error:
            self.failure = str(error)
            return None
        self.last_seconds = time.perf_counter() - start
        return outputs

    def seconds_of(self, batch: Mapping[str, Array], *, first: float, most: float) -> float:
        """What a ``batch`` takes that took ``first``: a long run is taken at its word, unless it is beyond ``most``."""
        if LONG_SECONDS <= first <= most:
            return first
        again = self.least(batch, expected=min(first, most)) if self.has_time_for(first) else None
        return first if again is None else min(first, again)

    def least(self, inputs: Mapping[str, Array], *, expected: float) -> float | None:
        """The least seconds of some runs, of one where there is no time for more; None where it does not run.

        A model takes no less than it needs; whatever else the machine does only adds to that.
        """
        taken: list[float] = []
        while len(taken) < REPEATS and (not taken or self.has_time_for(expected * (1 + len(SIZES)))):
            if self.run(inputs) is None:
                return None
            taken.append(self.last_seconds)
        return min(taken)


def _why_not(signature: Signature, inputs: Mapping[str, Array]) -> str | None:
    """Why rows cannot be put together; None where they can."""
    if not inputs:
        return "the model has no inputs"
    if not _is_single(inputs):
        return "the model takes no single row"
    for spec in signature.inputs:
        if spec.name in inputs and (spec.shape is None or isinstance(spec.shape[0], int)):
            return f"input {spec.name!r} has no open first dimension"
    return None


def _is_single(inputs: Mapping[str, Array]) -> bool:
    return all(array.ndim and array.shape[0] == 1 for array in inputs.values())


def _gap(together: Sequence[Any], alone: Sequence[Sequence[Any]]) -> float | None:
    """The largest difference between a batch's rows and the rows alone; None where they are not the same rows."""
    worst = 0.0
    for number, outputs in enumerate(together):
        parts = [row[number] for row in alone]
        if isinstance(outputs, list) and all(isinstance(part, list) and len(part) == 1 for part in parts):
            if [part[0] for part in parts] != outputs:
                return None
            continue
        if not isinstance(outputs, np.ndarray) or not all(isinstance(part, np.ndarray) and part.ndim for part in parts):
            return None
        gap = _gap_of_arrays(outputs, parts)
        if gap is None:
            return None
        worst = max(worst, gap)
    return worst


def _gap_of_arrays(outputs: Array, parts: Sequence[Array]) -> float | None:
    if any(len(part) != 1 or part.shape[1:] != outputs.shape[1:] for part in parts) or len(outputs) != len(parts):
        return None
    rows = np.concatenate(parts)
    if outputs.dtype.kind != "f":
        return 0.0 if bool((outputs == rows).all()) else None
    outputs, rows = outputs.astype(np.float64), rows.astype(np.float64)
    if not np.allclose(outputs, rows, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
        return None
    finite = np.isfinite(rows)
    return float(np.max(np.abs(outputs[finite] - rows[finite]), initial=0.0))


def _unknown(reason: str) -> dict[str, object]:
    return {"equals_single": None, "reason": reason}
