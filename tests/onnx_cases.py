"""ONNX's own test cases for operators: made by the onnx package, written as its layout of folders has them."""

import importlib
import pkgutil
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case import node as case_modules


@dataclass(frozen=True)
class OnnxCase:
    """A model with what it must give for some inputs; tensors as arrays, sequences as lists of them."""

    name: str
    model: onnx.ModelProto
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    relative: float
    absolute: float


def onnx_cases(*, seed: int, modules: int | None = None, each: int | None = None) -> list[OnnxCase]:
    """At most ``each`` cases of so many of the package's modules, one for each operator; always the same for a seed.

    Where ``modules`` is None they are all made, which takes seconds.
    """
    names = sorted(info.name for info in pkgutil.walk_packages(case_modules.__path__, f"{case_modules.__name__}."))
    chosen = random.Random(seed)
    found: list[OnnxCase] = []
    for name in names if modules is None else chosen.sample(names, modules):
        cases = _cases_of(name)
        found += cases if each is None else chosen.sample(cases, min(each, len(cases)))
    return found


def write_case(folder: Path, case: OnnxCase, outputs: Sequence[Any] | None = None) -> Path:
    """``model.onnx`` and ``test_data_set_0`` in the new ``folder``; with other ``outputs`` where they are given."""
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    graph = case.model.graph
    for stem, infos, values in (("input", graph.input, case.inputs), ("output", graph.output, outputs or case.outputs)):
        for number, (info, value) in enumerate(zip(infos, values, strict=False)):
            (data / f"{stem}_{number}.pb").write_bytes(_message(info, value).SerializeToString())
    return folder


def is_met_in_process(case: OnnxCase) -> bool:
    """Whether ONNX Runtime itself, here, gives what the case expects, by the measure of ONNX's own runner."""
    import onnxruntime  # here, because most tests need no session

    settings, options = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    settings.log_severity_level = options.log_severity_level = 4
    settings.intra_op_num_threads = 1
    feeds = {info.name: value for info, value in zip(case.model.graph.input, case.inputs, strict=False)}
    try:
        model, providers = case.model.SerializeToString(), ["CPUExecutionProvider"]
        found = onnxruntime.InferenceSession(model, settings, providers=providers).run(None, feeds, options)
    except Exception:  # its own exceptions have no base of their own
        return False
    return all(_alike(expected, ours, case) for expected, ours in zip(case.outputs, found, strict=False))


def spoilt(outputs: Sequence[Any]) -> list[Any] | None:
    """The outputs with one element that is another; None where there is none to spoil."""
    for number, value in enumerate(outputs):
        if (other := _spoilt(value)) is not None:
            return [*outputs[:number], other, *outputs[number + 1 :]]
    return None


@cache
def _cases_of(module: str) -> list[OnnxCase]:
    """The module makes its cases when it is imported, once."""
    made = case_modules._NodeTestCases
    before = len(made)
    with warnings.catch_warnings(action="ignore"):
        importlib.import_module(module)
    return [_case(case) for case in made[before:]]


def _case(case: Any) -> OnnxCase:
    ((inputs, outputs),) = case.data_sets
    return OnnxCase(case.name, case.model, [*map(_value, inputs)], [*map(_value, outputs)], case.rtol, case.atol)


def _value(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _message(info: onnx.ValueInfoProto, value: Any) -> Any:
    if info.type.HasField("sequence_type"):
        return numpy_helper.from_list(value, info.name)
    if info.type.HasField("optional_type"):
        return numpy_helper.from_optional(value, info.name)
    return numpy_helper.from_array(np.asarray(value), info.name)


def _alike(expected: Any, found: Any, case: OnnxCase) -> bool:
    if expected is None or found is None:
        return expected is found
    if isinstance(expected, list):
        return len(expected) == len(found) and all(
            _alike(one, other, case) for one, other in zip(expected, found, strict=True)
        )
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        return False
    if expected.dtype.kind in "OSU":
        return bool((expected.astype(str) == found.astype(str)).all())
    if expected.dtype != found.dtype:
        return False
    if expected.dtype.kind != "f":
        return bool((expected == found).all())
    return np.allclose(found.astype(float), expected.astype(float), case.relative, case.absolute, equal_nan=True)


def _spoilt(value: Any) -> Any:
    if isinstance(value, list):
        return spoilt(value)
    if value is None or not np.size(value):
        return None
    other = np.array(value)
    first = other.flat[0]
    if other.dtype.kind == "f":
        other.flat[0] = first + 1 + abs(first) if np.isfinite(first) else 0
    elif other.dtype.kind in "iub":
        other.flat[0] = first ^ True if other.dtype.kind == "b" else first ^ 1
    else:
        other.flat[0] = f"{first}, spoilt"
    return other


def written_cases(kinds: Sequence[str] = ("simple", "pytorch-converted", "pytorch-operator")) -> list[OnnxCase]:
    """The cases that lie as files in the onnx package, by the measure that its runner has for them."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
    return [_written(path) for kind in kinds for path in sorted((folder / kind).iterdir())]


def alike(case: OnnxCase, found: Sequence[Any]) -> bool:
    """Whether ``found`` is what ``case`` expects, by the measure of ONNX's own runner."""
    return len(found) == len(case.outputs) and all(
        _alike(expected, ours, case) for expected, ours in zip(case.outputs, found, strict=True)
    )


def _written(folder: Path) -> OnnxCase:
    model = onnx.load(folder / "model.onnx")
    data = folder / "test_data_set_0"
    inputs, outputs = (
        [
            _parsed(data / f"{stem}_{number}.pb", info)
            for number, info in enumerate(infos)
            if (data / f"{stem}_{number}.pb").exists()
        ]
        for stem, infos in (("input", model.graph.input), ("output", model.graph.output))
    )
    return OnnxCase(folder.name, model, inputs, outputs, 1e-3, 1e-7)


def _parsed(path: Path, info: onnx.ValueInfoProto) -> Any:
    if info.type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))
