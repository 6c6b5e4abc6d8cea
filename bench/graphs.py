"""Writes ONNX models node by node; every seed gives other weights, and so another file."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
PIXELS = 224
VOCABULARY, TOKENS = 8000, 128
Shape = list[str | int]


class Graph:
    """Collects nodes and weights."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, operator: str, sources: list[str], *, result: str = "", **attributes: Any) -> str:
        """A node with one result, whose name is returned."""
        result = result or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, sources, [result], **attributes))
        return result

    def constant(self, values: npt.NDArray[Any]) -> str:
        """A weight with these ``values``."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def normal(self, *shape: int, deviation: float) -> str:
        """A float32 weight, normally distributed."""
        return self.constant(self.random.standard_normal(shape, dtype=np.float32) * np.float32(deviation))

    def filled(self, size: int, value: float) -> str:
        """A float32 vector of one value."""
        return self.constant(np.full(size, value, np.float32))

    def add(self, node: onnx.NodeProto) -> None:
        """A node that was made elsewhere."""
        self._nodes.append(node)

    def save(self, path: Path, taken: Shape, outputs: dict[str, Shape], *, kind: int = TensorProto.FLOAT) -> Path:
        """Writes the model, from ``input`` with the shape ``taken`` to ``outputs``."""
        told = [
            helper.make_tensor_value_info(name, TensorProto.INT64 if name == "label" else TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ]
        source = helper.make_tensor_value_info("input", kind, taken)
        graph = helper.make_graph(self._nodes, "bench", [source], told, self._weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), path)
        return path


def dense(path: Path, sizes: list[int], seed: int, *, biased: bool = False) -> Path:
    """Layers without or with a bias and a Relu between: float32 [batch, first size] to [batch, last size]."""
    graph, last = Graph(seed), "input"
    for number, (rows, columns) in enumerate(pairwise(sizes), 2):
        result = "output" if number == len(sizes) else ""
        weights = graph.normal(rows, columns, deviation=rows**-0.5)
        if biased:
            last = graph.node("Gemm", [last, weights, graph.filled(columns, 0)], result=result)
            last = last if result else graph.node("Relu", [last])
        else:
            last = graph.node("MatMul", [last, weights], result=result)
    return graph.save(path, ["batch", sizes[0]], {"output": ["batch", sizes[-1]]})


def summing(path: Path, seed: int) -> Path:
    """Takes float32 [1, n], gives its sum and ``seed``: next to nothing beside the request itself."""
    graph = Graph(seed)
    total = graph.node("ReduceSum", ["input"], keepdims=1)
    graph.node("Add", [total, graph.filled(1, seed)], result="output")
    return graph.save(path, [1, "n"], {"output": [1, 1]})


def convolutional(path: Path, seed: int) -> Path:
    """A network of ResNet-50's layout, 102 MB: float32 [batch, 3, 224, 224] to [batch, 1000]."""
    graph = Graph(seed)
    last = _convolved(graph, "input", 3, 64, size=7, stride=2)
    last = graph.node("MaxPool", [last], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = 1 if block else first_stride
            inner = _convolved(graph, last, channels, width)
            inner = _convolved(graph, inner, width, width, size=3, stride=stride)
            inner = _convolved(graph, inner, width, 4 * width, gain=0.3, relu=False)
            skip = last if block else _convolved(graph, last, channels, 4 * width, stride=stride, gain=0.7, relu=False)
            last = graph.node("Relu", [graph.node("Add", [inner, skip])])
            channels = 4 * width
    pooled = graph.node("Flatten", [graph.node("GlobalAveragePool", [last])], axis=1)
    weights = graph.normal(channels, 1000, deviation=channels**-0.5)
    graph.node("MatMul", [pooled, weights], result="output")
    return graph.save(path, ["batch", 3, PIXELS, PIXELS], {"output": ["batch", 1000]})


def encoder(path: Path, seed: int, *, layers: int = 6, width: int = 384, heads: int = 12) -> Path:
    """A transformer's encoder as exporters write it, 55 MB: int64 [batch, up to 128 tokens] to float32 [batch, 384]."""
    graph = Graph(seed)
    last = graph.node("Gather", [graph.normal(VOCABULARY, width, deviation=0.5), "input"])
    one, two, zero = (graph.constant(np.array([value], np.int64)) for value in (1, 2, 0))
    length = graph.node("Slice", [graph.node("Shape", ["input"]), one, two])
    places = graph.node("Slice", [graph.normal(TOKENS, width, deviation=0.5), zero, length, zero])
    last = _normalised(graph, graph.node("Add", [last, places]), width)
    for _ in range(layers):
        last = _attending(graph, last, width, heads)
    graph.node("ReduceMean", [last], axes=[1], keepdims=0, result="output")
    return graph.save(path, ["batch", "tokens"], {"output": ["batch", width]}, kind=TensorProto.INT64)


def _convolved(
    graph: Graph,
    source: str,
    taken: int,
    given: int,
    *,
    size: int = 1,
    stride: int = 1,
    gain: float = 1,
    relu: bool = True,
) -> str:
    """A convolution with batch normalisation, as exporters write it."""
    weights = graph.normal(given, taken, size, size, deviation=gain * (2 / (taken * size * size)) ** 0.5)
    pads = [size // 2] * 4
    last = graph.node("Conv", [source, weights], kernel_shape=[size, size], strides=[stride, stride], pads=pads)
    ones, zeros = graph.filled(given, 1), graph.filled(given, 0)
    last = graph.node("BatchNormalization", [last, ones, zeros, zeros, ones])
    return graph.node("Relu", [last]) if relu else last


def _normalised(graph: Graph, source: str, width: int) -> str:
    return graph.node("LayerNormalization", [source, graph.filled(width, 1), graph.filled(width, 0)], axis=-1)


def _linear(graph: Graph, source: str, taken: int, given: int) -> str:
    product = graph.node("MatMul", [source, graph.normal(taken, given, deviation=taken**-0.5)])
    return graph.node("Add", [product, graph.filled(given, 0)])


def _attending(graph: Graph, source: str, width: int, heads: int) -> str:
    split = graph.constant(np.array([0, 0, heads, width // heads], np.int64))
    merge = graph.constant(np.array([0, 0, width], np.int64))
    asked, known, told = (
        graph.node("Transpose", [graph.node("Reshape", [_linear(graph, source, width, width), split])], perm=order)
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scale = graph.filled(1, (width // heads) ** -0.5)
    weighed = graph.node("Softmax", [graph.node("Mul", [graph.node("MatMul", [asked, known]), scale])], axis=-1)
    heard = graph.node("Transpose", [graph.node("MatMul", [weighed, told])], perm=[0, 2, 1, 3])
    heard = _linear(graph, graph.node("Reshape", [heard, merge]), width, width)
    last = _normalised(graph, graph.node("Add", [source, heard]), width)
    wide = _linear(graph, last, width, 4 * width)
    grown = graph.node("Erf", [graph.node("Div", [wide, graph.filled(1, 2**0.5)])])
    grown = graph.node("Mul", [wide, graph.node("Add", [grown, graph.filled(1, 1)])])
    grown = graph.node("Mul", [grown, graph.filled(1, 0.5)])
    return _normalised(graph, graph.node("Add", [last, _linear(graph, grown, 4 * width, width)]), width)
