"""The proof itself: a candidate is loaded, run, saved in a quicker form and measured. Entered by a trial's process.

Each step says in a clause what is being done, so that the daemon knows what a process died of.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.release import Signature, TensorSpec
from daemon.runtime import (
    Array,
    Deadlines,
    Engine,
    EngineOptions,
    FirstRun,
    Output,
    decode,
    first_run,
    load_engine,
    map_engine,
    trim,
)
from daemon.runtime.sessions import SAVED_MODEL
from daemon.trial.confinement import status_bytes
from daemon.trial.measuring import measured
from daemon.trial.testdata import read_test_data

LOADING = "it was loaded"
RUNNING = "it ran for the first time"
COMPILING = "its compiled form was proved"
MEASURING = "it was measured"


LEAST_MEASURE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to prove: the model at ``path``, which is saved into ``save_to`` where that is given.

    ``timeout_seconds`` is for the load and the first run, ``measure_seconds`` for what is measured beyond it; None is
    as long as the load took, since that is what a deploy of such a model waits for anyway. ``arrays``, ``plain`` (as
    JSON has them) and ``folders`` (of ONNX's test data) hold inputs that the model may be meant for.
    """

    path: Path
    save_to: Path | None
    timeout_seconds: float
    measure_seconds: float | None
    arrays: Sequence[Mapping[str, Array]] = ()
    plain: Sequence[object] = ()
    folders: Sequence[Path] = ()


def prove(
    job: Job, options: EngineOptions, deadlines: Deadlines, tell: Callable[[str], None]
) -> tuple[Engine, Mapping[str, object]]:
    """The engine that should serve, the compiled form's where it holds, and what was found out, as plain values.

    Raises Rejected where the model cannot be loaded or run.
    """
    start_bytes = status_bytes("VmRSS")
    tell(LOADING)
    start = time.perf_counter()
    engine: Engine = load_engine(job.path, options, deadlines, save_to=job.save_to)
    load_seconds = time.perf_counter() - start
    tell(RUNNING)
    left_seconds = max(0.0, job.timeout_seconds - load_seconds)
    first = first_run(engine, timeout_seconds=left_seconds, given=_given(job, engine.signature))
    ran_seconds = first.seconds
    found: dict[str, Any] = {
        "signature": asdict(engine.signature),
        "metadata": dict(engine.metadata),
        "load_seconds": load_seconds,
        "unguessed": first.why,
    }
    if job.save_to is not None:
        tell(COMPILING)
        engine, found["compiled"] = _compiled(engine, first, job, options, deadlines)
        ran_seconds = found["compiled"].get("run_seconds", ran_seconds)
    tell(MEASURING)
    found["memory"] = {
        "peak_bytes": max(0, status_bytes("VmHWM") - start_bytes),
        "resident_bytes": max(0, _settled_bytes() - start_bytes),
    }
    budget = max(LEAST_MEASURE_SECONDS, load_seconds) if job.measure_seconds is None else job.measure_seconds
    found |= measured(engine, first.inputs, ran_seconds=ran_seconds, seconds=budget)
    return engine, found


def _given(job: Job, signature: Signature) -> Iterator[Mapping[str, Array]]:
    """The inputs that are given, those first that were made for this model; what cannot be read is left out."""
    for folder in job.folders:
        with suppress(Rejected):
            yield cast("Mapping[str, Array]", read_test_data(folder, signature)["inputs"])
    for plain in job.plain:
        with suppress(InvalidInput):
            yield decode(plain, signature)
    names = {spec.name for spec in signature.inputs}
    yield from (arrays for arrays in job.arrays if arrays.keys() <= names)


def _compiled(
    original: Engine, first: FirstRun, job: Job, options: EngineOptions, deadlines: Deadlines
) -> tuple[Engine, dict[str, Any]]:
    """The mapped form's engine if it gives what the original gave, bit for bit; else the original, and why not."""
    assert job.save_to is not None
    start = time.perf_counter()
    try:
        engine = map_engine(job.save_to / SAVED_MODEL, options, deadlines)
        load_seconds = time.perf_counter() - start
        start = time.perf_counter()
        fault = _fault(engine, original.signature, first, job.timeout_seconds)
    except (Rejected, InvalidInput, InferenceFailed, RunTimeout, MemoryError) as error:
        return original, {"failed": f"it does not load or run: {error}"}
    if fault is not None:
        engine.close()
        return original, {"failed": fault}
    original.close()
    return engine, {"load_seconds": load_seconds, "run_seconds": time.perf_counter() - start}


def _fault(engine: Engine, signature: Signature, first: FirstRun, timeout_seconds: float) -> str | None:
    if _plain(engine.signature) != _plain(signature):
        return "its inputs or outputs are not the original's"
    if first.inputs is None:
        return "it could not be compared with the original, as no inputs could be guessed"
    outputs = engine.run(first.inputs, timeout_seconds=timeout_seconds)
    if not all(_same(ours, theirs) for ours, theirs in zip(outputs, first.outputs, strict=True)):
        return "it does not give what the original gives"
    return None


def _plain(signature: Signature) -> tuple[tuple[str, str, bool], ...]:
    """Names, types and order; what is known of shapes may grow by optimisation."""
    specs: tuple[TensorSpec, ...] = (*signature.inputs, *signature.outputs)
    return tuple((spec.name, spec.dtype, spec.optional) for spec in specs)


def _same(one: Output, other: Output) -> bool:
    """Bit for bit, and of one type; NaN is NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and (one.tobytes() == other.tobytes() if one.dtype.kind != "O" else bool((one == other).all()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return one == other or (one != one and other != other)  # NaN differs from itself


def _settled_bytes() -> int:
    """What is resident once the freed is given back."""
    trim()
    return status_bytes("VmRSS")
