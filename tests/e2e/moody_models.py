"""Models that come through their trial and fail, or give what is no number, only once they serve.

All take ``input`` float32 [batch, 10] and give ``output`` [batch, 5], each element ``value_of``. ONNX Runtime does not
blame the input where they fail.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.onnx_models import constant, save, value

STEADY_RUNS = 12
"""So many runs of a ``faltering`` model go well at first."""
_SHARE = 0.3


def failing_from(path: Path, value_of: float, limit: float = 100.0) -> Path:
    """Each run fails whose largest input is ``limit`` or more."""
    return _moody(
        path,
        value_of,
        [
            helper.make_node("ReduceMax", ["input"], ["most"], keepdims=0),
            helper.make_node("GreaterOrEqual", ["most", "limit"], ["is_bad"]),
        ],
        limit,
    )


def faltering(path: Path, value_of: float) -> Path:
    """The first ``STEADY_RUNS`` runs of a session go well, of those to come about a third fails, whatever the input."""
    seed = next(seed for seed in range(100_003, 1 << 24, 104_729) if _is_steady_at_first(path, seed))
    return _moody(path, value_of, [_chance(seed), helper.make_node("Less", ["chance", "limit"], ["is_bad"])], _SHARE)


def non_finite_from(path: Path, value_of: float, limit: float = 100.0) -> Path:
    """Every output is NaN whose largest input is more than ``limit``."""
    return save(
        path,
        [
            helper.make_node("ReduceMax", ["input"], ["most"], keepdims=0),
            helper.make_node("Sub", ["limit", "most"], ["room"]),
            helper.make_node("Sqrt", ["room"], ["odd"]),
            helper.make_node("Mul", ["odd", "zero"], ["nothing"]),
            helper.make_node("Gemm", ["input", "weights", "bias"], ["right"]),
            helper.make_node("Add", ["right", "nothing"], ["output"]),
        ],
        *_ends(),
        [*_constants(value_of, limit), constant("zero", np.array(0, np.float32))],
    )


def _moody(path: Path, value_of: float, decide: list[onnx.NodeProto], limit: float) -> Path:
    """Fails where ``is_bad``: then a reshape is told a size that no input has."""
    return save(
        path,
        [
            *decide,
            helper.make_node("Where", ["is_bad", "wrong", "any"], ["size"]),
            helper.make_node("Reshape", ["input", "size"], ["flat"]),
            helper.make_node("ReduceMin", ["flat"], ["least"], keepdims=0),
            helper.make_node("Mul", ["least", "zero"], ["nothing"]),
            helper.make_node("Gemm", ["input", "weights", "bias"], ["right"]),
            helper.make_node("Add", ["right", "nothing"], ["output"]),
        ],
        *_ends(),
        [
            *_constants(value_of, limit),
            constant("zero", np.array(0, np.float32)),
            constant("wrong", np.array([1009], np.int64)),
            constant("any", np.array([-1], np.int64)),
        ],
    )


def _ends() -> tuple[list[Any], list[Any]]:
    return [value("input", "float32", ["batch", 10])], [value("output", "float32", ["batch", 5])]


def _constants(value_of: float, limit: float) -> list[onnx.TensorProto]:
    return [
        constant("weights", np.zeros((10, 5), np.float32)),
        constant("bias", np.full(5, value_of, np.float32)),
        constant("limit", np.array(limit, np.float32)),
    ]


def _chance(seed: int) -> onnx.NodeProto:
    """A number from [0, 1) that is another in each run of a session, and the same in the same run of each."""
    return helper.make_node("RandomUniform", [], ["chance"], shape=[1], seed=float(seed))


def _is_steady_at_first(path: Path, seed: int) -> bool:
    import onnxruntime  # here, because other tests need no session

    trial = path.with_suffix(".chance")
    save(trial, [_chance(seed)], [], [value("chance", "float32", [1])])
    session = onnxruntime.InferenceSession(trial.read_bytes(), providers=["CPUExecutionProvider"])
    trial.unlink()
    drawn = [float(session.run(None, {})[0][0]) for _ in range(STEADY_RUNS + 60)]
    return min(drawn[:STEADY_RUNS]) >= _SHARE and sum(each < _SHARE for each in drawn[STEADY_RUNS:]) > 12
