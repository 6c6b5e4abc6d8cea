"""Floor 2: everything between a stored model file and an answer; only ``sessions`` imports ONNX Runtime."""

from daemon.runtime.cores import usable_cores
from daemon.runtime.deadlines import Deadlines
from daemon.runtime.dtypes import Array
from daemon.runtime.engine import OnnxEngine, load_engine, map_engine
from daemon.runtime.headroom import Headroom, headroom
from daemon.runtime.memory import trim
from daemon.runtime.port import Engine, Output
from daemon.runtime.sessions import EngineOptions, can_save, check_providers, saved_key
from daemon.runtime.synthesis import FirstRun, alike, attempts, first_run
from daemon.runtime.tensors import decode, encode
from daemon.runtime.versions import RuntimeVersions, runtime_versions

__all__ = [
    "Array",
    "Deadlines",
    "Engine",
    "EngineOptions",
    "FirstRun",
    "Headroom",
    "OnnxEngine",
    "Output",
    "RuntimeVersions",
    "alike",
    "attempts",
    "can_save",
    "check_providers",
    "decode",
    "encode",
    "first_run",
    "headroom",
    "load_engine",
    "map_engine",
    "runtime_versions",
    "saved_key",
    "trim",
    "usable_cores",
]
