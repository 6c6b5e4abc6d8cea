"""Plain values that every floor speaks of: tensor specifications, signatures, candidates, releases, events.

They hold no behaviour but their own form, import nothing from the house, and are safe to share between threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Dim = int | str | None
"""One dimension: a fixed size, the name of a symbolic one, or None for one that has neither."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    ``dtype`` is ``float16|float32|float64|bfloat16|int8..int64|uint8..uint64|bool|string``, or, for a value that is no
    tensor, ONNX Runtime's own type string such as ``seq(map(int64,tensor(float)))``. ``shape`` is None where any
    shape goes (ONNX Runtime reports unknown ranks and scalars alike) and for values that are no tensors. ``optional``
    inputs have a default in the model.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs (required before optional) and outputs of a model, in the model's own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete model copied into the store under its hash; not yet allowed to serve.

    ``sha256`` is the identity: the hex digest of the model file's bytes followed by those of its external data files
    in order of their location. ``path`` is the store's own copy of the model file. ``file_sha256`` is the digest of the
    model file alone (what a ``.sha256`` sidecar states). ``size_bytes`` counts all members.
    """

    sha256: str
    path: Path
    file_sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Release:
    """A numbered, gated, immutable record of what may serve.

    ``stored_as`` is the model file's place relative to the store's root; ``model_path`` is what the user called it;
    ``time`` is UTC, ISO 8601 with milliseconds and ``Z``. ``trial`` is what was found out in the candidate's trial, as
    plain values. ``instead_of`` is the version that failed its probation, where this one serves again for that.
    """

    model: str
    version: int
    sha256: str
    stored_as: str
    model_path: str
    cause: str
    time: str
    signature: Signature
    metadata: Mapping[str, object] = field(default_factory=dict)
    trial: Mapping[str, object] = field(default_factory=dict)
    instead_of: int | None = None


def signature_from(record: Mapping[str, Any]) -> Signature:
    """The signature whose fields ``record`` has as plain values, as ``dataclasses.asdict`` and JSON leave them.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    return Signature(inputs=_specs(record["inputs"]), outputs=_specs(record["outputs"]))


def _specs(records: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(**record) for record in records)


def _spec(*, name: str, dtype: str, shape: Sequence[Dim] | None, optional: bool) -> TensorSpec:
    if not (isinstance(name, str) and isinstance(dtype, str) and isinstance(optional, bool)):
        raise TypeError("a name or a dtype that is no text, or an optional that is neither true nor false")
    if not all(dim is None or isinstance(dim, int | str) for dim in shape or ()):
        raise TypeError("a dimension that is neither a number nor a name")
    return TensorSpec(name, dtype, None if shape is None else tuple(shape), optional)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; the same record goes to the log, the journal and the feed.

    ``event`` is one of the contract's names. ``seconds`` is the breakdown by stage, in seconds, ``total`` first.
    ``detail`` holds what only some events have. ``id`` and ``time`` are given by the journal.
    """

    event: str
    model: str | None = None
    model_path: str | None = None
    version: int | None = None
    sha256: str | None = None
    cause: str | None = None
    check: str | None = None
    reason: str | None = None
    seconds: Mapping[str, float] | None = None
    detail: Mapping[str, object] = field(default_factory=dict)
    id: int = 0
    time: str = ""
