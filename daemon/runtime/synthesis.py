"""Plausible inputs made from a signature alone, and the first run of a model on them; any thread, no state."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.release import Signature, TensorSpec
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.port import Engine, Output

LARGEST_BYTES = 64 * 1024 * 1024
"""What one guess may weigh in all; only dimensions that the model itself fixes may make it more."""


@dataclass(frozen=True, slots=True)
class Guess:
    """Sizes for what a signature leaves open: the first dimension, the others, the shape of unknown ranks."""

    first: int
    others: int
    unknown: tuple[int, ...]


# One of everything is what most models take; eight, where rows are paired or pooled; 32 and 224, for images.
_GUESSES = (
    Guess(1, 1, ()),
    Guess(1, 1, (1,)),
    Guess(1, 1, (1, 1)),
    Guess(8, 8, (8,)),
    Guess(1, 32, (1, 8)),
    Guess(1, 224, (1, 3, 224, 224)),
)


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The inputs that a model took, what it made of them and how long that took; None, and ``why``, where none could be
    guessed."""

    inputs: dict[str, Array] | None
    outputs: list[Output]
    seconds: float = 0.0
    why: str = ""


def attempts(signature: Signature, *, seed: int = 0) -> Iterator[dict[str, Array]]:
    """Inputs by name to try in turn, at least one set, each of other shapes; the same for the same ``seed``.

    Floats lie in [0, 1), whole numbers are 0 or 1 (so they do as indices), strings are ``a``. A set that would weigh
    over ``LARGEST_BYTES`` is left out, unless it is the first.
    """
    required = [spec for spec in signature.inputs if not spec.optional]
    tried: set[tuple[tuple[int, ...], ...]] = set()
    for guess in _GUESSES:
        shapes = tuple(_shape(spec, guess) for spec in required)
        if shapes in tried or (tried and _weight_bytes(required, shapes) > LARGEST_BYTES):
            continue
        tried.add(shapes)
        yield _filled(required, shapes, seed)


def alike(signature: Signature, inputs: Mapping[str, Array], *, seed: int) -> dict[str, Array]:
    """Other values in the shapes of ``inputs``, in the way of ``attempts``; the same for the same ``seed``."""
    specs = [spec for spec in signature.inputs if spec.name in inputs]
    return _filled(specs, tuple(inputs[spec.name].shape for spec in specs), seed)


def first_run(engine: Engine, *, timeout_seconds: float, given: Iterable[Mapping[str, Array]] = ()) -> FirstRun:
    """Run ``engine`` on what is ``given``, then on guesses, ``timeout_seconds`` in all, until one is taken.

    What is given may be meant for another model: that it fails says nothing, and is not told, since it may be secret.
    Raises Rejected by the check ``trial`` when none ran and some failed for another reason than the input, or when the
    time was up. Where ONNX Runtime blames the input each time, the model may need what cannot be guessed (a
    certain length, an index in range), which proves nothing against it. A failure that is not the
    input's counts as proof even if other shapes might do: what serves now is safer than a model nobody saw run.
    """
    due = time.monotonic() + timeout_seconds
    for known in given:
        start = time.monotonic()
        with suppress(InvalidInput, InferenceFailed, RunTimeout):
            outputs = engine.run(known, timeout_seconds=max(0.0, due - start))
            return FirstRun(dict(known), outputs, time.monotonic() - start)
    failures: list[InvalidInput | InferenceFailed] = []
    for inputs in attempts(engine.signature):
        start = time.monotonic()
        try:
            outputs = engine.run(inputs, timeout_seconds=max(0.0, due - start))
            return FirstRun(inputs, outputs, time.monotonic() - start)
        except (InvalidInput, InferenceFailed) as failure:
            failures.append(failure)
        except RunTimeout:
            raise Rejected(
                "trial",
                f"a run on synthesised inputs was stopped after {timeout_seconds:.3g} seconds "
                "(gate.trial.timeout_seconds)",
            ) from None
    for each in failures:
        if isinstance(each, InferenceFailed):
            raise Rejected("trial", f"no run on synthesised inputs succeeded: {each}")
    return FirstRun(None, [], why=f"no inputs could be guessed that the model takes: {failures[0]}")


def _filled(specs: list[TensorSpec], shapes: tuple[tuple[int, ...], ...], seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {spec.name: _fill(spec, shape, rng) for spec, shape in zip(specs, shapes, strict=True)}


def _shape(spec: TensorSpec, guess: Guess) -> tuple[int, ...]:
    if spec.shape is None:
        return guess.unknown
    sizes = (guess.first, *[guess.others] * (len(spec.shape) - 1))
    return tuple(dim if isinstance(dim, int) else size for dim, size in zip(spec.shape, sizes, strict=False))


def _weight_bytes(specs: list[TensorSpec], shapes: tuple[tuple[int, ...], ...]) -> int:
    return sum(math.prod(shape) * DTYPES[spec.dtype].itemsize for spec, shape in zip(specs, shapes, strict=True))


def _fill(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    dtype = DTYPES[spec.dtype]
    if dtype.kind == "string":
        return np.full(shape, "a", dtype=dtype.numpy)
    if dtype.kind == "float":
        return np.asarray(rng.random(shape, dtype=np.float32), dtype=dtype.numpy)
    return np.asarray(rng.integers(0, 2, shape), dtype=dtype.numpy)
