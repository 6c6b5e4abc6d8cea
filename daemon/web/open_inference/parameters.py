"""What requests say beside their tensors: the protocol's ``parameters``, of the request, an input or an output.

Any thread, no state. Those that nobody here knows are taken and ignored, as the protocol has it.
"""

from collections.abc import Mapping

from daemon.errors import BadRequest
from daemon.runtime.nesting import called

Parameters = Mapping[str, object]

NONE: Parameters = {}
_VALUES = frozenset({str, int, float, bool})


def parameters_of(stated: object, owner: str) -> Parameters:
    """The ``parameters`` of ``owner``; raises BadRequest unless they are an object of strings, numbers and booleans.

    One that is null counts as not given: some clients write all that they could say.
    """
    if stated is None:
        return NONE
    if type(stated) is not dict:
        raise BadRequest(f"the parameters of {owner} are {called(stated)}, expected an object")
    for name, value in stated.items():
        if type(value) not in _VALUES and value is not None:
            raise BadRequest(
                f"parameter {name!r:.100} of {owner} is {called(value)}, expected a string, a number or a boolean"
            )
    return stated


def flag(parameters: Parameters, name: str, owner: str, *, default: bool) -> bool:
    """The boolean ``name``; raises BadRequest for anything else."""
    value = parameters.get(name)
    if value is None:
        return default
    if value is True or value is False:
        return value
    raise BadRequest(f"parameter {name!r} of {owner} is {value!r:.100}, expected true or false")


def whole(parameters: Parameters, name: str, owner: str) -> int | None:
    """The whole number ``name``, from 0 on, if it is there; raises BadRequest for anything else."""
    value = parameters.get(name)
    if value is None or (type(value) is int and 0 <= value < 2**63):
        return value
    raise BadRequest(f"parameter {name!r} of {owner} is {value!r:.100}, expected a whole number from 0 on")


def refuse_sequences(parameters: Parameters) -> None:
    """Raise BadRequest where a request is to be one of a sequence, whose state no model here has."""
    if parameters.get("sequence_id") or parameters.get("sequence_start") or parameters.get("sequence_end"):
        raise BadRequest("sequences are not supported here: expected no sequence_id, sequence_start or sequence_end")


def refuse_shared_memory(parameters: Parameters, owner: str) -> None:
    """Raise BadRequest where a tensor is to be in memory that client and server share."""
    if parameters.get("shared_memory_region") is not None:
        raise BadRequest(f"shared memory is not supported here: expected the tensor of {owner} in the body")
