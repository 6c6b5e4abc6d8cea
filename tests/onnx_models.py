"""Small ONNX models for the tests, each made by one function that writes it to ``path`` and gives ``path`` back."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
IR_VERSION = 10

Dims = Sequence[int | str | None] | None

TYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "bfloat16": TensorProto.BFLOAT16,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
    "float8": TensorProto.FLOAT8E4M3FN,
}
"""ONNX's element types by the house's names; ``float8`` is one that nobody can feed."""


def value(name: str, dtype: str = "float32", shape: Dims = None) -> onnx.ValueInfoProto:
    """An input or output; ``shape`` None leaves the rank open."""
    return helper.make_tensor_value_info(name, TYPES[dtype], shape)


def constant(name: str, array: npt.NDArray[Any] | float) -> onnx.TensorProto:
    """An initialiser."""
    return numpy_helper.from_array(np.asarray(array), name)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
) -> Path:
    """Write a model of these parts, as they are: nothing is checked, so it may be a bad one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(_model(nodes, inputs, outputs, constants), path)
    return path


def constant_model(path: Path, value_of: float, *, inputs: int = 10, outputs: int = 5) -> Path:
    """``input`` float32 [batch, inputs] → ``output`` [batch, outputs], each element ``value_of``, to tell who answered.

    NaN or infinity in the input would show, too: the input is multiplied with zeros.
    """
    return gemm(path, np.zeros((inputs, outputs), np.float32), np.full(outputs, value_of, np.float32))


def gemm(path: Path, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> Path:
    """``input`` float32 [batch, rows of weights] → ``output`` = input · weights + bias."""
    rows, columns = weights.shape
    return save(
        path,
        [helper.make_node("Gemm", ["input", "weights", "bias"], ["output"])],
        [value("input", "float32", ["batch", rows])],
        [value("output", "float32", ["batch", columns])],
        [constant("weights", weights), constant("bias", bias)],
    )


def big(path: Path, megabytes: float, value_of: float = 0.0) -> Path:
    """A ``constant_model`` whose file weighs about ``megabytes``, of random numbers that no optimiser drops."""
    columns = max(5, int(megabytes * 1024 * 1024 / 4 / 10))
    weights = np.random.default_rng(0).random((10, columns), np.float32)
    return save(
        path,
        [
            helper.make_node("MatMul", ["input", "weights"], ["wide"]),
            helper.make_node("ReduceMin", ["wide", "last"], ["least"], keepdims=1),
            helper.make_node("Mul", ["least", "zeros"], ["nothing"]),
            helper.make_node("Add", ["nothing", "value"], ["output"]),
        ],
        [value("input", "float32", ["batch", 10])],
        [value("output", "float32", ["batch", 5])],
        [
            constant("weights", weights),
            constant("last", np.array([-1], np.int64)),
            constant("zeros", np.zeros(5, np.float32)),
            constant("value", np.full(5, value_of, np.float32)),
        ],
    )


def heavy(path: Path, shift: float) -> Path:
    """The first five of each row's ten numbers plus ``shift``, exactly, by way of 8 MB of weights.

    A run spends its time on reading them, so that rows cost little beside each other.
    """
    wide = 1024
    spread, pick = np.eye(10, wide, dtype=np.float32), np.eye(wide, 5, dtype=np.float32)
    through = np.eye(wide, dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["input", "spread"], ["a"]),
        helper.make_node("MatMul", ["a", "first"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["c"]),
        helper.make_node("MatMul", ["c", "pick"], ["d"]),
        helper.make_node("Add", ["d", "shift"], ["output"]),
    ]
    constants = [
        constant("spread", spread),
        constant("first", through),
        constant("second", through),
        constant("pick", pick),
        constant("shift", np.full(5, shift, np.float32)),
    ]
    return save(path, nodes, [value("input", shape=["batch", 10])], [value("output", shape=["batch", 5])], constants)


def chain(path: Path, nodes: int) -> Path:
    """``input`` float32 [batch, 10] → ``output`` [batch, 5], zeros; small, but slow to load: it has ``nodes`` nodes."""
    names = ["input", *(f"step{number}" for number in range(nodes))]
    steps = [helper.make_node("Sin", [source], [target]) for source, target in pairwise(names)]
    return save(
        path,
        [*steps, helper.make_node("MatMul", [names[-1], "zeros"], ["output"])],
        [value("input", "float32", ["batch", 10])],
        [value("output", "float32", ["batch", 5])],
        [constant("zeros", np.zeros((10, 5), np.float32))],
    )


def external(path: Path, *, location: str = "", value_of: float = 0.0, rows: int = 10, columns: int = 5) -> Path:
    """A ``constant_model`` whose bias and weights lie in the file ``location`` (``NAME.onnx.data``) beside it.

    The data file is written beside the model whatever ``location`` names when that leads elsewhere (``..``, absolute).
    """
    location = location or f"{path.name}.data"
    weights = np.zeros((rows, columns), np.float32)
    bias = np.full(columns, value_of, np.float32)
    gemm(path, weights, bias)
    model = onnx.load(path)
    blob = b""
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (("location", location), ("offset", str(len(blob))), ("length", str(len(raw)))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, text
        blob += raw
    path.write_bytes(model.SerializeToString())
    inside = not Path(location).is_absolute() and ".." not in Path(location).parts
    data_file = path.parent / (location if inside else Path(location).name)
    data_file.parent.mkdir(parents=True, exist_ok=True)
    data_file.write_bytes(blob)
    return path


def identity(path: Path, dtype: str = "float32", shape: Dims = None) -> Path:
    """``x`` → ``y``, the same."""
    return save(
        path, [helper.make_node("Identity", ["x"], ["y"])], [value("x", dtype, shape)], [value("y", dtype, shape)]
    )


def cast(path: Path, source: str, target: str, shape: Dims = None) -> Path:
    """``x`` of the dtype ``source`` → ``y`` of the dtype ``target``."""
    return save(
        path,
        [helper.make_node("Cast", ["x"], ["y"], to=TYPES[target])],
        [value("x", source, shape)],
        [value("y", target, shape)],
    )


def strings(path: Path) -> Path:
    """``x`` string of any shape → ``y``, the same."""
    return identity(path, "string")


def two_inputs(path: Path) -> Path:
    """``a`` and ``b`` float32 [n] → ``sum``, ``product``."""
    return save(
        path,
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])],
        [value("a", "float32", ["n"]), value("b", "float32", ["n"])],
        [value("sum", "float32", ["n"]), value("product", "float32", ["n"])],
    )


def optional_input(path: Path) -> Path:
    """``x`` float32 [n] → ``y`` = x + ``offset``, an input with the default 5."""
    return save(
        path,
        [helper.make_node("Add", ["x", "offset"], ["y"])],
        [value("x", "float32", ["n"]), value("offset", "float32", [1])],
        [value("y", "float32", ["n"])],
        [constant("offset", np.array([5], np.float32))],
    )


def no_input(path: Path) -> Path:
    """No input → ``y`` float32 [2], always 1 and 2."""
    node = helper.make_node("Constant", [], ["y"], value=constant("", np.array([1, 2], np.float32)))
    return save(path, [node], [], [value("y", "float32", [2])])


def gather(path: Path) -> Path:
    """``x`` int64 [n], indices below 10 → ``y``: ONNX Runtime blames the input for an index out of range."""
    return save(
        path,
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [value("x", "int64", ["n"])],
        [value("y", "float32", ["n"])],
        [constant("table", np.arange(10, dtype=np.float32))],
    )


def failing(path: Path, *, inputs: int = 10) -> Path:
    """``input`` float32 [batch, inputs] → ``output``; loads, but every run fails: its rows do not make rows of 1009."""
    return save(
        path,
        [helper.make_node("Reshape", ["input", "shape"], ["output"])],
        [value("input", "float32", ["batch", inputs])],
        [value("output", "float32", [None, 1009])],
        [constant("shape", np.array([-1, 1009], np.int64))],
    )


def endless_loop(path: Path) -> Path:
    """``x`` float32 [1] → ``y``, after more rounds than anyone will wait for."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            value("v", "float32", [1]),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), value("w", "float32", [1])],
    )
    return save(
        path,
        [helper.make_node("Loop", ["", "forever", "x"], ["y"], body=body)],
        [value("x", "float32", [1])],
        [value("y", "float32", [1])],
        [constant("forever", np.array(True))],
    )


def counted_loop(path: Path) -> Path:
    """``rounds`` int64 scalar and ``x`` float32 [1] → ``y`` = x + rounds; takes about a microsecond a round."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "one"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            value("v", "float32", [1]),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), value("w", "float32", [1])],
    )
    return save(
        path,
        [helper.make_node("Loop", ["rounds", "", "x"], ["y"], body=body)],
        [value("rounds", "int64", []), value("x", "float32", [1])],
        [value("y", "float32", [1])],
        [constant("one", np.array([1], np.float32))],
    )


def zipmap_like(path: Path, *, keys: str = "int64") -> Path:
    """``x`` float32 [n, 2] → ``label`` int64 [n] and ``probabilities``, a sequence of maps, as from scikit-learn."""
    labels: dict[str, Any] = {"classlabels_int64s": [3, 7]}
    if keys == "string":
        labels = {"classlabels_strings": ["nein", "já"]}
    key_type = TYPES[keys]
    map_type = helper.make_map_type_proto(key_type, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return save(
        path,
        [
            helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
            helper.make_node("ZipMap", ["x"], ["probabilities"], domain="ai.onnx.ml", **labels),
        ],
        [value("x", "float32", ["n", 2])],
        [
            value("label", "int64", ["n"]),
            helper.make_value_info("probabilities", helper.make_sequence_type_proto(map_type)),
        ],
    )


def sequence_output(path: Path) -> Path:
    """``x`` float32 → ``parts``, a sequence of x and its double."""
    return save(
        path,
        [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("SequenceConstruct", ["x", "double"], ["parts"]),
        ],
        [value("x", "float32", ["n"])],
        [helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)],
    )


def sequence_input(path: Path) -> Path:
    """``parts``, a sequence of float32 → ``y``, the first: a model that no request can feed."""
    return save(
        path,
        [helper.make_node("SequenceAt", ["parts", "first"], ["y"])],
        [helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)],
        [value("y", "float32")],
        [constant("first", np.array(0, np.int64))],
    )


def optional_output(path: Path) -> Path:
    """``x`` float32 [n] → ``maybe``, an optional that is always empty, and ``y``, the same as x."""
    tensor_type = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    return save(
        path,
        [
            helper.make_node("Identity", ["x"], ["y"]),
            helper.make_node("Optional", [], ["maybe"], type=tensor_type),
        ],
        [value("x", "float32", ["n"])],
        [
            value("y", "float32", ["n"]),
            helper.make_value_info("maybe", helper.make_optional_type_proto(tensor_type)),
        ],
    )


def ort_format(path: Path, value_of: float) -> Path:
    """A ``constant_model`` in ONNX Runtime's own format; the name of ``path`` should end in ``.ort``."""
    import onnxruntime  # here, because most tests need no session

    source = constant_model(path.with_suffix(".onnx.source"), value_of)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    source.unlink()
    return path


def described(path: Path, **custom: str) -> Path:
    """An ``identity`` that says all it can of itself; ``custom`` is its metadata map."""
    identity(path, "float32", ["n"])
    model = onnx.load(path)
    model.producer_name, model.producer_version = "tests", "1.2"
    model.domain, model.doc_string, model.model_version = "org.example", "a model that says who it is", 7
    model.graph.doc_string = "a graph that does, too"
    helper.set_model_props(model, custom)
    onnx.save(model, path)
    return path


def mapped_weights(path: Path, columns: int) -> Path:
    """``x`` float32 [batch, columns] → ``y`` = x + weights, in ``NAME.onnx.data``, which each run reads."""
    save(
        path,
        [helper.make_node("Add", ["x", "weights"], ["y"])],
        [value("x", "float32", ["batch", columns])],
        [value("y", "float32", ["batch", columns])],
        [constant("weights", np.ones(columns, np.float32))],
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)
    return path


def memory_bomb(path: Path, size_bytes: int) -> Path:
    """``x`` float32 [1] → ``y`` float32 [1], by way of a tensor of ``size_bytes``."""
    return save(
        path,
        [
            helper.make_node("Expand", ["x", "shape"], ["wide"]),
            helper.make_node("ReduceMax", ["wide", "first"], ["y"], keepdims=0),
        ],
        [value("x", "float32", [1])],
        [value("y", "float32", [1])],
        [constant("shape", np.array([size_bytes // 4, 1], np.int64)), constant("first", np.array([0], np.int64))],
    )


def batch_mean(path: Path) -> Path:
    """``x`` float32 [batch, 3] → ``y`` = x less the mean of its rows: what a row gives depends on the others."""
    return save(
        path,
        [
            helper.make_node("ReduceMean", ["x", "first"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [value("x", "float32", ["batch", 3])],
        [value("y", "float32", ["batch", 3])],
        [constant("first", np.array([0], np.int64))],
    )


def single_row(path: Path) -> Path:
    """``x`` float32 [batch, 4] → ``y`` [1, 4], the same: says that it takes batches, and runs for one row alone."""
    return save(
        path,
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [value("x", "float32", ["batch", 4])],
        [value("y", "float32", [1, 4])],
        [constant("shape", np.array([1, 4], np.int64))],
    )


def row_count(path: Path) -> Path:
    """``x`` float32 [batch, 4] → ``y`` float32 [1], the sum of all: no row of a batch has an answer of its own."""
    return save(
        path,
        [
            helper.make_node("ReduceSum", ["x", "all"], ["sum"], keepdims=0),
            helper.make_node("Identity", ["sum"], ["y"]),
        ],
        [value("x", "float32", ["batch", 4])],
        [value("y", "float32", [])],
        [constant("all", np.array([0, 1], np.int64))],
    )


def pairs(path: Path) -> Path:
    """``x`` float32 [batch] → ``y`` [half, 8]: takes eight, sixteen or more elements, never one alone."""
    return save(
        path,
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [value("x", "float32", ["batch"])],
        [value("y", "float32", [None, 8])],
        [constant("shape", np.array([-1, 8], np.int64))],
    )


def noise(path: Path) -> Path:
    """``x`` float32 [batch, 4] → ``y`` = x + noise, which is other noise in every run.

    The first node is dropped when the graph is optimised. By its place among the nodes the noise is seeded, so it is
    other noise in the saved form, too.
    """
    return save(
        path,
        [
            helper.make_node("Identity", ["x"], ["same"]),
            helper.make_node("RandomNormalLike", ["same"], ["noise"]),
            helper.make_node("Add", ["x", "noise"], ["y"]),
        ],
        [value("x", "float32", ["batch", 4])],
        [value("y", "float32", ["batch", 4])],
    )


def odd_numbers(path: Path) -> Path:
    """``x`` float32 [batch, 2], from 0 to 1 → ``nan`` = √(x - 2), ``infinite`` = 1 / (x - x)."""
    return save(
        path,
        [
            helper.make_node("Sub", ["x", "two"], ["below"]),
            helper.make_node("Sqrt", ["below"], ["nan"]),
            helper.make_node("Sub", ["x", "x"], ["zero"]),
            helper.make_node("Div", ["one", "zero"], ["infinite"]),
        ],
        [value("x", "float32", ["batch", 2])],
        [value("nan", "float32", ["batch", 2]), value("infinite", "float32", ["batch", 2])],
        [constant("two", np.array([2], np.float32)), constant("one", np.array([1], np.float32))],
    )


def odd_nests(path: Path) -> Path:
    """``x`` float32 [batch, 2], from 0 to 1 → ``parts``, a sequence, and ``maps``, as from scikit-learn; all is NaN."""
    map_type = helper.make_map_type_proto(TYPES["int64"], helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return save(
        path,
        [
            helper.make_node("Sub", ["x", "two"], ["below"]),
            helper.make_node("Sqrt", ["below"], ["nan"]),
            helper.make_node("SequenceConstruct", ["nan", "nan"], ["parts"]),
            helper.make_node("ZipMap", ["nan"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[3, 7]),
        ],
        [value("x", "float32", ["batch", 2])],
        [
            helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None),
            helper.make_value_info("maps", helper.make_sequence_type_proto(map_type)),
        ],
        [constant("two", np.array([2], np.float32))],
    )


def greeting(path: Path) -> Path:
    """``x`` string [batch] → ``y`` = x and a greeting: texts that are made anew in each run."""
    return save(
        path,
        [helper.make_node("StringConcat", ["x", "greeting"], ["y"])],
        [value("x", "string", ["batch"])],
        [value("y", "string", ["batch"])],
        [constant("greeting", np.array([", grüß dich"], object))],
    )


def unguessable(path: Path) -> Path:
    """``x`` int64 [n] → ``y``, the 20th, 30th … of a table: what is guessed, 0 or 1, is never an index that it has."""
    return save(
        path,
        [helper.make_node("Sub", ["x", "far"], ["place"]), helper.make_node("Gather", ["table", "place"], ["y"])],
        [value("x", "int64", ["n"])],
        [value("y", "float32", ["n"])],
        [constant("table", np.arange(10, dtype=np.float32)), constant("far", np.array([1000], np.int64))],
    )


def single_row_of_ten(path: Path) -> Path:
    """``input`` float32 [batch, 10] → ``output`` [1, 10], the same: one row is answered, every batch of more fails."""
    return save(
        path,
        [helper.make_node("Reshape", ["input", "shape"], ["output"])],
        [value("input", "float32", ["batch", 10])],
        [value("output", "float32", [1, 10])],
        [constant("shape", np.array([1, 10], np.int64))],
    )


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def six_to_rows_of_three(path: Path) -> Path:
    """``input`` float32 of any shape with six elements, or twelve, … → ``output``: no guess makes rows of three."""
    return save(
        path,
        [helper.make_node("Reshape", ["input", "shape"], ["output"])],
        [value("input", "float32", ["n"])],
        [value("output", "float32", [None, 3])],
        [constant("shape", np.array([-1, 3], np.int64))],
    )
