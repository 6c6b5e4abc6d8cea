"""Models of a wanted size for the benchmarks: a stack of dense layers, different bytes for every seed."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 10
OPSET, IR_VERSION = 17, 8


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
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", WIDTH])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 5])]
    graph = helper.make_graph(nodes, "dense", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, path)
    return path
