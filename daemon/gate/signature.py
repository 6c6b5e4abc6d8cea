"""Whether the clients of what serves can go on with a candidate. The comparison is pure; any thread."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from daemon.errors import BreakingSignature
from daemon.gate.subject import Subject
from daemon.gate.tried import Tried
from daemon.release import Dim, Release, Signature, TensorSpec

Policy = Literal["warn", "compatible", "exact", "off"]
MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was, as a clause; ``breaking`` where a client that worked may work no more."""

    clause: str
    breaking: bool


class SignatureCheck:
    """Compares a candidate's inputs and outputs with those of the release that serves.

    ``warn`` lets every difference pass and says it, ``compatible`` refuses what breaks a client, ``exact`` whatever
    differs, ``off`` does not look.
    """

    name = "signature"

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:
        if subject.serving is None or self._policy == "off":
            return {}
        found = differences(subject.serving.signature, tried.proof.signature)
        if not found:
            return {}
        breaking = [each for each in found if each.breaking]
        standing = {"compatible": breaking, "exact": found}.get(self._policy, [])
        if standing:
            raise BreakingSignature(
                f"{_sentence(standing, subject.serving)}; give it a folder of its own if it is another model, or "
                f"deploy it with force (gate.signature is {self._policy})",
                {"changed": _sentence(found, subject.serving)},
            )
        return {"changed": _sentence(found, subject.serving), "breaking": bool(breaking)}


def differences(old: Signature, new: Signature) -> list[Difference]:
    """What of ``new`` is not as it is in ``old``: inputs first, then outputs.

    A client of ``old`` breaks where an input that it sends is gone, of another dtype or narrower (a fixed dimension for
    an open one), where an input must be sent that it does not send, and where an output that it reads is gone, no
    longer the first, or of another dtype or rank. Names of open dimensions mean nothing.
    """
    return [*_of_inputs(old.inputs, new.inputs), *_of_outputs(old.outputs, new.outputs)]


def _of_inputs(old: tuple[TensorSpec, ...], new: tuple[TensorSpec, ...]) -> list[Difference]:
    before, now = {spec.name: spec for spec in old}, {spec.name: spec for spec in new}
    found: list[Difference] = []
    for name, spec in before.items():
        found += [Difference(f"input {name!r} is gone", True)] if name not in now else _of_input(spec, now[name])
    for name, spec in now.items():
        if name not in before:
            kind = "optional" if spec.optional else "required"
            found.append(Difference(f"input {name!r} is new and {kind}", not spec.optional))
    return found


def _of_input(old: TensorSpec, new: TensorSpec) -> list[Difference]:
    found: list[Difference] = []
    what = f"input {old.name!r}"
    if old.dtype != new.dtype:
        found.append(Difference(f"{what} is {new.dtype}, was {old.dtype}", True))
    if old.optional != new.optional:
        now = "may be left out" if new.optional else "must be sent"
        found.append(Difference(f"{what} {now} now", not new.optional))
    if (change := _shape_change(old, new)) is not None:
        found.append(Difference(f"{what} {change}", not _takes_all_of(new.shape, old.shape)))
    return found


def _of_outputs(old: tuple[TensorSpec, ...], new: tuple[TensorSpec, ...]) -> list[Difference]:
    now = {spec.name: spec for spec in new}
    found: list[Difference] = []
    for spec in old:
        found += [Difference(f"output {spec.name!r} is gone", True)] if spec.name not in now else _of_output(spec, now)
    if old and new and old[0].name in now and old[0].name != new[0].name:
        found.append(Difference(f"output {old[0].name!r} is no longer the first, {new[0].name!r} is", True))
    known = {spec.name for spec in old}
    found += [Difference(f"output {spec.name!r} is new", False) for spec in new if spec.name not in known]
    return found


def _of_output(old: TensorSpec, now: Mapping[str, TensorSpec]) -> list[Difference]:
    new = now[old.name]
    what = f"output {old.name!r}"
    if old.dtype != new.dtype:
        return [Difference(f"{what} is {new.dtype}, was {old.dtype}", True)]
    if (change := _shape_change(old, new)) is None:
        return []
    known = old.shape is not None and new.shape is not None
    return [Difference(f"{what} {change}", known and len(old.shape or ()) != len(new.shape or ()))]


def _shape_change(old: TensorSpec, new: TensorSpec) -> str | None:
    if _open_dims(old.shape) == _open_dims(new.shape):
        return None
    return f"has the shape {_written(new.shape)}, had {_written(old.shape)}"


def _takes_all_of(new: tuple[Dim, ...] | None, old: tuple[Dim, ...] | None) -> bool:
    """Whether every shape that fits ``old`` fits ``new``."""
    if new is None:
        return True
    if old is None or len(new) != len(old):
        return False
    return all(not isinstance(wanted, int) or wanted == had for wanted, had in zip_longest(new, old))


def _open_dims(shape: tuple[Dim, ...] | None) -> tuple[int | None, ...] | None:
    return None if shape is None else tuple(dim if isinstance(dim, int) else None for dim in shape)


def _written(shape: tuple[Dim, ...] | None) -> str:
    return "of any rank" if shape is None else "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"


def _sentence(found: list[Difference], serving: Release) -> str:
    clauses = [each.clause for each in found[:MOST_SHOWN]]
    more = [f"{len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
    return f"against version {serving.version}: {'; '.join([*clauses, *more])}"
