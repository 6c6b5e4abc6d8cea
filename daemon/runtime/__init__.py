"""Floor 2: everything between a stored model file and an answer; only ``engine`` knows ONNX Runtime."""

from daemon.runtime.cores import usable_cores
from daemon.runtime.deadlines import Deadlines
from daemon.runtime.engine import EngineOptions, OnnxEngine, check_providers, load_engine
from daemon.runtime.memory import trim
from daemon.runtime.port import Engine, Output
from daemon.runtime.shelf import EngineShelf
from daemon.runtime.synthesis import attempts, try_out
from daemon.runtime.tensors import decode, encode

__all__ = [
    "Deadlines",
    "Engine",
    "EngineOptions",
    "EngineShelf",
    "OnnxEngine",
    "Output",
    "attempts",
    "check_providers",
    "decode",
    "encode",
    "load_engine",
    "trim",
    "try_out",
    "usable_cores",
]
