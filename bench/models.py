"""Models for the benchmarks, with different bytes for every seed, and a request for each."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
from onnx import TensorProto, helper, numpy_helper

WIDTH = 10
PIXELS = 224
OPSET, IR_VERSION = 17, 8


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of model: its name in tables, what writes one of a seed, and the body of a request for it."""

    name: str
    write: Callable[[Path, int], Path]
    body: bytes


def case_of(name: str) -> Case:
    """``cnn``, or a number: a stack of dense layers of so many MB."""
    if name == "cnn":
        pixels = np.random.default_rng(0).random((1, 3, PIXELS, PIXELS), dtype=np.float32)
        body = orjson.dumps({"inputs": pixels}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Case("cnn, 102 MB", lambda path, seed: convolutional(path, seed=seed), body)
    megabytes = float(name)
    called = f"dense, {megabytes * 1000:.0f} KB" if megabytes < 1 else f"dense, {megabytes:.0f} MB"
    body = orjson.dumps({"inputs": [[1.0] * WIDTH]})
    return Case(called, lambda path, seed: dense(path, megabytes=megabytes, seed=seed), body)


def dense(path: Path, *, megabytes: float, seed: int) -> Path:
    """Writes a model of about ``megabytes`` MB at ``path``: ``input`` float32 [batch, 10] to ``output`` [batch, 5].

    Two matrices are enough to reach any size: 10 x hidden and hidden x hidden, with a third one to 5 columns.
    """
    hidden = max(8, int((megabytes * 1e6 / 4) ** 0.5))
    sizes = [WIDTH, hidden, hidden, 5] if megabytes > 0.1 else [WIDTH, 170, 5]
    random = np.random.default_rng(seed)
    nodes, weights, last = [], [], "input"
    for number, (rows, columns) in enumerate(pairwise(sizes)):
        values = random.standard_normal((rows, columns), dtype=np.float32) / np.float32(rows**0.5)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        result = "output" if number == len(sizes) - 2 else f"h{number}"
        nodes.append(helper.make_node("MatMul", [last, f"w{number}"], [result]))
        last = result
    return _save(path, nodes, weights, ["batch", WIDTH], ["batch", 5])


def convolutional(path: Path, *, seed: int) -> Path:
    """Writes a network of ResNet-50's layout, 102 MB, at ``path``.

    ``input`` is float32 [batch, 3, 224, 224], ``output`` [batch, 1000].
    """
    network = _Network(seed)
    last = network.convolved("input", 3, 64, size=7, stride=2)
    last = network.node("MaxPool", [last], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = 1 if block else first_stride
            inner = network.convolved(last, channels, width)
            inner = network.convolved(inner, width, width, size=3, stride=stride)
            inner = network.convolved(inner, width, 4 * width, gain=0.3, relu=False)
            skip = last if block else network.convolved(last, channels, 4 * width, stride=stride, gain=0.7, relu=False)
            last = network.node("Relu", [network.node("Add", [inner, skip])])
            channels = 4 * width
    pooled = network.node("Flatten", [network.node("GlobalAveragePool", [last])], axis=1)
    weights = network.weight((channels, 1000), channels**-0.5)
    network.node("MatMul", [pooled, weights], result="output")
    return _save(path, network.nodes, network.weights, ["batch", 3, PIXELS, PIXELS], ["batch", 1000])


class _Network:
    """Collects nodes and weights."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def weight(self, shape: tuple[int, ...], deviation: float) -> str:
        values = self._random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        return self._constant(values)

    def node(self, operator: str, sources: list[str], *, result: str = "", **attributes: Any) -> str:
        result = result or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, sources, [result], **attributes))
        return result

    def convolved(
        self, source: str, taken: int, given: int, *, size: int = 1, stride: int = 1, gain: float = 1, relu: bool = True
    ) -> str:
        """A convolution with batch normalisation, as exporters write it."""
        weights = self.weight((given, taken, size, size), gain * (2 / (taken * size * size)) ** 0.5)
        pads = [size // 2] * 4
        last = self.node("Conv", [source, weights], kernel_shape=[size, size], strides=[stride, stride], pads=pads)
        ones, zeros = (self._constant(np.full(given, value, np.float32)) for value in (1, 0))
        last = self.node("BatchNormalization", [last, ones, zeros, zeros, ones])
        return self.node("Relu", [last]) if relu else last

    def _constant(self, values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> str:
        self.weights.append(numpy_helper.from_array(values, f"w{len(self.weights)}"))
        return f"w{len(self.weights) - 1}"


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
    taken: list[str | int],
    given: list[str | int],
) -> Path:
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, taken)]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, given)]
    graph = helper.make_graph(nodes, "bench", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, path)
    return path
