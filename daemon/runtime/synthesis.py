"""Plausible inputs made from a signature alone, and the first run of a model on them; any thread, no state."""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.release import Signature, TensorSpec
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.port import Engine

LOG = logging.getLogger("modeldrop.runtime")

LARGEST_BYTES = 64 * 1024 * 1024
"""What one guess may weigh in all; only dimensions that the model itself fixes may make it more."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """Sizes for what a signature leaves open: the first dimension, the others, the shape of unknown ranks."""

    first: int
    others: int
    unknown: tuple[int, ...]


# One of everything is what most models take; eight, where rows are paired or pooled; 32 and 224, for images.
_GUESSES = (
    _Guess(1, 1, ()),
    _Guess(1, 1, (1,)),
    _Guess(1, 1, (1, 1)),
    _Guess(8, 8, (8,)),
    _Guess(1, 32, (1, 8)),
    _Guess(1, 224, (1, 3, 224, 224)),
)


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
        rng = np.random.default_rng(seed)
        yield {spec.name: _fill(spec, shape, rng) for spec, shape in zip(required, shapes, strict=True)}


def try_out(engine: Engine, *, timeout_seconds: float) -> dict[str, Array] | None:
    """Run ``engine`` on one guess after the other, ``timeout_seconds`` in all; gives the inputs that it took.

    Raises Rejected by the check ``trial`` when none ran and some failed for another reason than the input, or when the
    time was up. Where ONNX Runtime blames the input each time, the model may need what cannot be guessed (a
    certain length, an index in range), which proves nothing against it: a warning, and None. A failure that is not the
    input's counts as proof even if other shapes might do: what serves now is safer than a model nobody saw run.
    """
    due = time.monotonic() + timeout_seconds
    failures: list[InvalidInput | InferenceFailed] = []
    for inputs in attempts(engine.signature):
        try:
            engine.run(inputs, timeout_seconds=max(0.0, due - time.monotonic()))
        except (InvalidInput, InferenceFailed) as failure:
            failures.append(failure)
        except RunTimeout:
            raise Rejected("trial", f"a run on synthesised inputs took over {timeout_seconds:g} seconds") from None
        else:
            return inputs
    _judge(failures)
    return None


def _judge(failures: list[InvalidInput | InferenceFailed]) -> None:
    for failure in failures:
        if isinstance(failure, InferenceFailed):
            raise Rejected("trial", f"no run on synthesised inputs succeeded: {failure}")
    LOG.warning("the trial could not guess inputs that the model takes: %s", failures[0])


def _shape(spec: TensorSpec, guess: _Guess) -> tuple[int, ...]:
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
