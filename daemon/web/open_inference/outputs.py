"""Which outputs a request wants, and how: in JSON or binary, as they are or by their greatest classes. Any thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.errors import BadRequest
from daemon.release import Signature, TensorSpec
from daemon.runtime.nesting import called
from daemon.web.open_inference.classes import expect_numbers
from daemon.web.open_inference.datatypes import tensor_of
from daemon.web.open_inference.parameters import flag, parameters_of, refuse_shared_memory, whole


@dataclass(frozen=True, slots=True)
class Wanted:
    """The output at ``index``; ``classes`` of each row where that is not 0."""

    index: int
    binary: bool = False
    classes: int = 0


class Outputs:
    """What requests may ask of one release's outputs. Thread-safe."""

    def __init__(self, signature: Signature) -> None:
        self._specs = signature.outputs
        self._tensors = [tensor_of(spec) for spec in signature.outputs]
        self._indices = {spec.name: index for index, spec in enumerate(signature.outputs)}
        self._all = {
            binary: tuple(Wanted(index, binary) for index in range(len(self._specs))) for binary in (False, True)
        }

    def wanted(self, entries: Any, *, binary: bool) -> Sequence[Wanted]:
        """What ``entries`` ask for, all outputs where there are none; ``binary`` unless an entry says other.

        Raises BadRequest for an output that the model has not, or that the protocol cannot carry.
        """
        if not entries and (entries is None or type(entries) is list):
            for index in range(len(self._specs)):
                self._tensor(index)
            return self._all[binary]
        if type(entries) is not list:
            raise BadRequest(f"'outputs' is {called(entries)}, expected a list")
        wanted = [self._one(entry, binary=binary) for entry in entries]
        if len({each.index for each in wanted}) < len(wanted):
            raise BadRequest("an output is asked for twice in 'outputs'")
        return wanted

    def _one(self, entry: Any, *, binary: bool) -> Wanted:
        name = entry.get("name") if type(entry) is dict else None
        if type(name) is not str:
            raise BadRequest("expected objects with a string 'name' in 'outputs'")
        index = self._indices.get(name)
        if index is None:
            raise BadRequest(f"unknown output {name!r:.100}: expected {', '.join(map(repr, self._indices))}")
        tensor = self._tensor(index)
        owner = f"output {name!r}"
        parameters = parameters_of(entry.get("parameters"), owner)
        refuse_shared_memory(parameters, owner)
        return Wanted(index, flag(parameters, "binary_data", owner, default=binary), _classes(parameters, tensor, name))

    def _tensor(self, index: int) -> TensorSpec:
        tensor = self._tensors[index]
        if tensor is None:
            spec = self._specs[index]
            raise BadRequest(
                f"output {spec.name!r} is {spec.dtype}, which the protocol cannot carry: "
                "ask for the other 'outputs', or at /predict"
            )
        return tensor


def _classes(parameters: Mapping[str, object], tensor: TensorSpec, name: str) -> int:
    classes = whole(parameters, "classification", f"output {name!r}")
    if classes is None:
        return 0
    if classes == 0:
        raise BadRequest(f"parameter 'classification' of output {name!r} is 0, expected a whole number from 1 on")
    expect_numbers(tensor, name)
    return classes
