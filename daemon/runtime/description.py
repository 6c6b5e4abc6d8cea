"""Reads a session's own account of a model into the house's values, refusing what no request could feed or read.

Pure functions over the attributes of ONNX Runtime's ``NodeArg`` and ``ModelMetadata``; any thread.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from daemon.errors import Rejected
from daemon.release import Signature, TensorSpec
from daemon.runtime.dtypes import DTYPES, from_ort

_LONGEST_TEXT = 32_768
_NO_VERSION = 2**63 - 1  # what ONNX Runtime reports for a model that gives none
_TEXTS = ("producer_name", "domain", "description", "graph_name", "graph_description")


class Argument(Protocol):
    """What is read of ONNX Runtime's ``NodeArg``."""

    name: str
    type: str
    shape: Sequence[int | str | None]


def read_signature(
    required: Sequence[Argument], optional: Sequence[Argument], outputs: Sequence[Argument]
) -> Signature:
    """The signature of a model with these arguments; raises Rejected by the check ``load``.

    Inputs must be tensors of a type in ``dtypes``; outputs may also be sequences, maps and optionals, whose ``dtype``
    is then ONNX Runtime's own type string.
    """
    signature = Signature(
        inputs=(*(_input(one, optional=False) for one in required), *(_input(one, optional=True) for one in optional)),
        outputs=tuple(_output(one) for one in outputs),
    )
    if not signature.outputs:
        raise Rejected("load", "the model has no outputs, expected at least one")
    _refuse_doubles("input", signature.inputs)
    _refuse_doubles("output", signature.outputs)
    _refuse_mixtures(signature)
    return signature


def read_metadata(model: object, *, providers: Sequence[str]) -> Mapping[str, object]:
    """What the model says of itself, as plain values: texts, ``version``, ``custom``, and the ``providers`` in use.

    ``version`` is None where the model has none. Texts longer than 32 KiB are cut, since they travel in every record of
    a release.
    """
    metadata: dict[str, object] = {name: _text(model, name) for name in _TEXTS}
    version = getattr(model, "version", _NO_VERSION)
    metadata["version"] = None if version == _NO_VERSION else version
    metadata["custom"] = _custom(model)
    metadata["providers"] = list(providers)
    return metadata


def _text(model: object, name: str) -> str:
    try:
        return str(getattr(model, name, ""))[:_LONGEST_TEXT]
    except UnicodeDecodeError:  # the attribute is decoded when it is read, and a model may hold any bytes
        return ""


def _custom(model: object) -> dict[str, str]:
    try:
        entries: Mapping[str, str] = getattr(model, "custom_metadata_map", {})
    except UnicodeDecodeError:
        return {}
    return {key: value[:_LONGEST_TEXT] for key, value in sorted(entries.items())}


def _input(argument: Argument, *, optional: bool) -> TensorSpec:
    dtype = from_ort(argument.type)
    if dtype is None:
        raise Rejected(
            "load", f"input {argument.name!r} is {argument.type}, expected a tensor of one of {', '.join(DTYPES)}"
        )
    return TensorSpec(argument.name, dtype.name, _shape(argument), optional=optional)


def _output(argument: Argument) -> TensorSpec:
    dtype = from_ort(argument.type)
    if dtype is not None:
        return TensorSpec(argument.name, dtype.name, _shape(argument))
    if argument.type.startswith(("tensor(", "sparse_tensor(")):
        raise Rejected(
            "load", f"output {argument.name!r} is {argument.type}, expected a tensor of one of {', '.join(DTYPES)}"
        )
    return TensorSpec(argument.name, argument.type, None)


def _shape(argument: Argument) -> tuple[int | str | None, ...] | None:
    """ONNX Runtime gives ``[]`` for scalars and for unknown ranks alike, so it says nothing."""
    if not argument.shape:
        return None
    return tuple(None if dim is None or dim == "" or dim == -1 else dim for dim in argument.shape)


def _refuse_doubles(what: str, specs: Sequence[TensorSpec]) -> None:
    doubles = [name for name, count in Counter(spec.name for spec in specs).items() if count > 1]
    if doubles:
        raise Rejected("load", f"{what} names must differ, but {doubles[0]!r} is given more than once")


def _refuse_mixtures(signature: Signature) -> None:
    """A bfloat16 output can only be read as an ``OrtValue``, which carries neither strings in nor sequences out."""
    if all(spec.dtype != "bfloat16" for spec in signature.outputs):
        return
    for spec in signature.inputs:
        if spec.dtype == "string":
            raise Rejected("load", f"string input {spec.name!r} beside a bfloat16 output cannot be fed")
    for spec in signature.outputs:
        if spec.dtype not in DTYPES:
            raise Rejected("load", f"output {spec.name!r}, {spec.dtype}, beside a bfloat16 output cannot be read")
