"""Files that must not serve: what is no model, models that are broken, and models that do harm when they are run.

Each is made by one function that writes it to ``path`` and gives ``path`` back; ``CORPUS`` lists them with the verdict.
"""

import io
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from tests import onnx_models
from tests.onnx_models import constant, constant_model, save, value

GIB = 1 << 30
TIB = 1 << 40
FUTURE = 9999
"""A version that nobody will have written for a while."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A file, the check that must refuse it, and a pattern that its reason must match."""

    make: Callable[[Path], Path]
    check: str
    says: str

    @property
    def name(self) -> str:
        return self.make.__name__


# No models.


def empty(path: Path) -> Path:
    return _write(path, b"")


def noise(path: Path) -> Path:
    return _write(path, random.Random(3).randbytes(100_000))


def zip_archive(path: Path) -> Path:
    """Of a model, as a download often is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(constant_model(path, 666.0), "model.onnx")
    return _write(path, buffer.getvalue())


def tar_archive(path: Path) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(constant_model(path, 666.0), "model.onnx")
    return _write(path, buffer.getvalue())


def web_page(path: Path) -> Path:
    return _write(path, b"<!DOCTYPE html>\n<html><body>404: no such model, please log in</body></html>\n")


def lfs_pointer(path: Path) -> Path:
    return _write(path, b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._sprung,)


def trap_of(path: Path) -> Path:
    """What is there once somebody has loaded the ``pickled`` that was made at ``path``."""
    return path.with_suffix(".sprung")


def pickled(path: Path) -> Path:
    return _write(path, pickle.dumps(_Trap(trap_of(path))))


def sparse(path: Path, size_bytes: int = 2 * GIB) -> Path:
    """A hole of that size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def sparse_model(path: Path, weights_bytes: int = 2 * GIB - (1 << 20)) -> Path:
    """A whole model by its outline, with a hole for its weights."""
    rows = weights_bytes // 4
    model = onnx.load(
        save(
            path,
            [helper.make_node("Add", ["input", "weights"], ["output"])],
            [value("input", "float32", [1])],
            [value("output", "float32", [rows])],
        )
    )
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[rows]).SerializeToString()
    raw_data = _head(9, weights_bytes)
    initializer = _head(5, len(tensor) + len(raw_data) + weights_bytes) + tensor + raw_data
    graph = model.graph.SerializeToString() + initializer
    model.ClearField("graph")
    start = model.SerializeToString() + _head(7, len(graph) + weights_bytes) + graph
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + weights_bytes)
    return path


# Broken models.


def future_opset(path: Path) -> Path:
    def change(model: ModelProto) -> None:
        model.opset_import[0].version = FUTURE

    return _changed(path, change)


def future_opset_of_a_domain(path: Path) -> Path:
    def change(model: ModelProto) -> None:
        model.opset_import[1].version = FUTURE

    return _changed(path, change)


def future_ir(path: Path) -> Path:
    def change(model: ModelProto) -> None:
        model.ir_version = FUTURE

    return _changed(path, change)


def unknown_operator(path: Path) -> Path:
    def change(model: ModelProto) -> None:
        model.graph.node[0].op_type = "Frobnicate"

    return _changed(path, change)


def unknown_domain(path: Path) -> Path:
    def change(model: ModelProto) -> None:
        model.graph.node[0].domain = "com.example"
        model.opset_import.append(helper.make_opsetid("com.example", 1))

    return _changed(path, change)


def undeclared_domain(path: Path) -> Path:
    """The domain of an operator is not among the opset imports."""

    def change(model: ModelProto) -> None:
        model.graph.node[0].domain = "com.example"

    return _changed(path, change)


def no_outputs(path: Path) -> Path:
    return _changed(path, lambda model: model.graph.ClearField("output"))


def no_nodes(path: Path) -> Path:
    return _changed(path, lambda model: model.graph.ClearField("node"))


def missing_value(path: Path) -> Path:
    """A node reads what nobody gives."""

    def change(model: ModelProto) -> None:
        model.graph.node[0].input[0] = "nobody"

    return _changed(path, change)


def duplicate_values(path: Path) -> Path:
    """Two nodes give a value of one name."""
    return _changed(path, lambda model: model.graph.node.append(model.graph.node[0]))


def duplicate_inputs(path: Path) -> Path:
    """Two inputs of the graph have one name."""
    return _changed(path, lambda model: model.graph.input.append(model.graph.input[0]))


def duplicate_nodes(path: Path) -> Path:
    """Two nodes have one name."""
    return save(
        path,
        [
            helper.make_node("Sin", ["input"], ["wave"], name="twin"),
            helper.make_node("Cos", ["wave"], ["output"], name="twin"),
        ],
        [value("input", "float32", ["n"])],
        [value("output", "float32", ["n"])],
    )


def cycle(path: Path) -> Path:
    """Each of two nodes needs what the other gives."""
    return save(
        path,
        [
            helper.make_node("Add", ["input", "second"], ["first"]),
            helper.make_node("Add", ["input", "first"], ["second"]),
        ],
        [value("input", "float32", ["n"])],
        [value("second", "float32", ["n"])],
    )


def cycle_of_one(path: Path) -> Path:
    """A node needs what it gives."""
    return save(
        path,
        [helper.make_node("Add", ["input", "output"], ["output"])],
        [value("input", "float32", ["n"])],
        [value("output", "float32", ["n"])],
    )


def recursion(path: Path) -> Path:
    """A function of the model's own calls itself."""
    return _of_functions(path, {"F": ["F"]}, "F")


def nested(path: Path, depth: int = 1000) -> Path:
    """``input`` bool scalar → ``output``, by way of an If in an If in an If …

    Put together from the inside out, as bytes: a library that is to write it would recurse.
    """
    leaf = helper.make_node("Constant", [], ["output"], value=constant("", np.array(0, np.float32)))
    otherwise = helper.make_graph([leaf], "leaf", [], [value("output", shape=[])]).SerializeToString()
    around = helper.make_graph([], "graph", [], [value("output", shape=[])]).SerializeToString()
    inner = otherwise
    for _ in range(depth):
        branches = _branch(b"then_branch", inner) + _branch(b"else_branch", otherwise)
        node = _field(1, b"input") + _field(2, b"output") + _field(4, b"If") + branches
        inner = _field(1, node) + around
    model = onnx.load(save(path, [], [], []))
    model.ClearField("graph")
    graph = inner + _field(11, value("input", "bool", []).SerializeToString())
    return _write(path, model.SerializeToString() + _field(7, graph))


# Models that do harm.


def memory_bomb(path: Path) -> Path:
    return onnx_models.memory_bomb(path, TIB)


def memory_bomb_of_inputs(path: Path) -> Path:
    """An input that weighs terabytes by its own shape."""
    return onnx_models.identity(path, "float32", [TIB])


def slow_load(path: Path) -> Path:
    """Minutes of arithmetic on constants, which an optimiser does while it loads."""
    node = helper.make_node("ConstantOfShape", ["shape"], ["step0"], value=constant("", np.array([0.5], np.float32)))
    return _of_products(path, node)


def slow_run(path: Path) -> Path:
    """Minutes in a few long steps, none of which can be stopped half-way."""
    return _of_products(path, helper.make_node("Expand", ["x", "shape"], ["step0"]))


def function_bomb(path: Path) -> Path:
    """A thousand million nodes, once its functions, each of which calls the one before it twice, are written out."""
    calls = {f"F{number}": [f"F{number - 1}"] * 2 for number in range(1, 31)}
    return _of_functions(path, {"F0": [], **calls}, "F30")


CORPUS = (
    Bad(empty, "structure", "^truncated: empty$"),
    Bad(noise, "structure", "^not an ONNX model: a model has no field 1023$"),
    Bad(zip_archive, "structure", "zip archive.*export the model to ONNX"),
    Bad(tar_archive, "structure", "tar archive: unpack it first"),
    Bad(web_page, "structure", "HTML page"),
    Bad(lfs_pointer, "structure", "Git LFS pointer.*git lfs pull"),
    Bad(pickled, "structure", "pickle: it is never loaded; export the model to ONNX"),
    Bad(sparse, "structure", "zeros where a field should begin"),
    Bad(future_opset, "structure", rf"has opset {FUTURE} of ai\.onnx, onnxruntime \S+ loads up to opset \d\d: "),
    Bad(future_opset_of_a_domain, "structure", rf"has opset {FUTURE} of ai\.onnx\.ml, .* loads up to opset \d: "),
    Bad(future_ir, "structure", rf"has IR version {FUTURE}, onnxruntime \S+ loads up to IR version \d\d: "),
    Bad(unknown_domain, "structure", r"operator 'Gemm' of the domain 'com\.example' .* export it with standard "),
    Bad(undeclared_domain, "trial", r"No opset import for domain 'com\.example'"),
    Bad(unknown_operator, "trial", "No Op registered for Frobnicate"),
    Bad(no_outputs, "trial", "the model has no outputs, expected at least one"),
    Bad(no_nodes, "trial", r"Graph output \(output\) does not exist"),
    Bad(missing_value, "trial", "'nobody' is not a graph input, initializer, or output of a previous node"),
    Bad(duplicate_values, "trial", r"Duplicate definition of name \(output\)"),
    Bad(duplicate_inputs, "trial", r"Duplicate definition-site for \(input\)"),
    Bad(duplicate_nodes, "trial", r"two nodes with same node name \(twin\)"),
    Bad(cycle, "trial", "not acyclic"),
    Bad(cycle_of_one, "trial", "not acyclic"),
    Bad(recursion, "trial", "must not be recursive"),
    Bad(nested, "trial", "Protobuf parsing failed"),
    Bad(onnx_models.failing, "trial", "no run on synthesised inputs succeeded: Reshape node: .*cannot be reshaped"),
    Bad(onnx_models.sequence_input, "trial", r"input 'parts' is seq\(tensor\(float\)\), expected a tensor of one of "),
    Bad(memory_bomb, "trial", rf"ran out of the \d+ MB .*\(gate\.trial\.memory_mb\): .*Expand node: .* size {TIB}$"),
    Bad(memory_bomb_of_inputs, "trial", r"ran out of the \d+ MB that a trial may take \(gate\.trial\.memory_mb\)"),
    Bad(onnx_models.endless_loop, "trial", r"on synthesised inputs was stopped after [01](\.\d+)? seconds"),
    Bad(
        slow_run,
        "trial",
        r"not finish within 1 seconds while it ran for the first time \(gate\.trial\.timeout_seconds\)",
    ),
    Bad(slow_load, "trial", r"not finish within 1 seconds while it was loaded \(gate\.trial\.timeout_seconds\)"),
    Bad(function_bomb, "trial", r"not finish within 1 seconds while it was loaded \(gate\.trial\.timeout_seconds\)"),
)
"""For a daemon whose ``gate.trial.timeout_seconds`` is 1."""


def _of_products(path: Path, first: onnx.NodeProto) -> Path:
    """``x`` float32 [1, 1] → ``y``, a corner of a large matrix that is multiplied with itself time and again."""
    steps = [helper.make_node("MatMul", [f"step{n}", f"step{n}"], [f"step{n + 1}"]) for n in range(50)]
    return save(
        path,
        [
            first,
            *steps,
            helper.make_node("Slice", ["step50", "zeros", "ones"], ["corner"]),
            helper.make_node("Add", ["x", "corner"], ["y"]),
        ],
        [value("x", "float32", [1, 1])],
        [value("y", "float32", [None, None])],
        [
            constant("shape", np.array([6144, 6144], np.int64)),
            constant("zeros", np.array([0, 0], np.int64)),
            constant("ones", np.array([1, 1], np.int64)),
        ],
    )


def _of_functions(path: Path, calls: dict[str, list[str]], called: str) -> Path:
    """``x`` float32 [1] → ``y`` by the function ``called`` of the model's own; each calls those that ``calls`` says."""
    model = onnx.load(
        save(
            path,
            [helper.make_node(called, ["x"], ["y"], domain="own")],
            [value("x", "float32", [1])],
            [value("y", "float32", [1])],
        )
    )
    opsets = [helper.make_opsetid("", onnx_models.OPSET), helper.make_opsetid("own", 1)]
    for name, inner in calls.items():
        steps = [f"step{number}" for number in range(len(inner) + 1)]
        nodes = [
            helper.make_node(each, [before], [after], domain="own")
            for each, before, after in zip(inner, steps, steps[1:], strict=False)
        ]
        nodes.append(helper.make_node("Sin", [steps[-1]], ["end"]))
        model.functions.append(helper.make_function("own", name, [steps[0]], ["end"], nodes, opsets))
    model.opset_import.append(opsets[1])
    return _write(path, model.SerializeToString())


def _changed(path: Path, change: Callable[[ModelProto], object]) -> Path:
    """A ``constant_model`` after ``change`` was done to its message."""
    model = onnx.load(constant_model(path, 666.0))
    change(model)
    return _write(path, model.SerializeToString())


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Protobuf by hand; the numbers of fields are those of onnx.proto.


def _branch(name: bytes, graph: bytes) -> bytes:
    """An attribute of a node: ``name`` 1, ``g`` 6, and ``type`` 20, which is 5 for a graph."""
    return _field(5, _field(1, name) + _field(6, graph) + b"\xa0\x01\x05")


def _field(number: int, content: bytes) -> bytes:
    return _head(number, len(content)) + content


def _head(number: int, length: int) -> bytes:
    return bytes([number << 3 | 2]) + _varint(length)


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
