"""ONNX's own test cases as requests of the Open Inference Protocol, and whether an answer meets them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tests.onnx_cases import OnnxCase, alike
from tests.v2_wire import request

WAYS = ("JSON", "binary")
NO_JSON = "with inputs that JSON has no numbers for"


def asked(case: OnnxCase, datatypes: Mapping[str, str], way: str) -> tuple[bytes, dict[str, str]]:
    """The body and the headers that ask for a case; ``datatypes`` are the protocol's of the inputs, by name."""
    named = zip(case.model.graph.input, case.inputs, strict=False)
    tensors = {info.name: (native(value), datatypes[info.name]) for info, value in named if value is not None}
    is_binary = way == "binary"
    return request(tensors, binary=is_binary, parameters={"binary_data_output": is_binary})


def is_finite(value: Any) -> bool:
    """Whether JSON can carry it."""
    return value is None or native(value).dtype.kind != "f" or bool(np.isfinite(native(value)).all())


def native(value: Any) -> Any:
    """Types that numpy borrows as those that it has."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def kind_of(case: OnnxCase) -> str:
    """Whether the case is about tensors alone."""
    infos = (*case.model.graph.input, *case.model.graph.output)
    return "tensors" if all(info.type.WhichOneof("value") == "tensor_type" for info in infos) else "others"


def is_met(case: OnnxCase, found: dict[str, Any], way: str) -> bool:
    """Whether all outputs are there, at the case's own tolerance; JSON has null for what is no number."""
    outputs: list[Any] = [found.get(info.name) for info in case.model.graph.output]
    if kind_of(case) != "tensors":  # a sequence comes as one tensor
        pairs = zip(case.outputs, outputs, strict=True)
        outputs = [list(ours) if isinstance(wanted, list) else ours for wanted, ours in pairs]
    expected = [nulled(value) if way == "JSON" else value for value in case.outputs]
    return alike(replace(case, outputs=expected), outputs)


def nulled(value: Any) -> Any:
    if isinstance(value, list):
        return [nulled(each) for each in value]
    if value is None or np.asarray(value).dtype.kind != "f":
        return value
    return np.where(np.isfinite(value), value, np.asarray(value).dtype.type("nan"))
