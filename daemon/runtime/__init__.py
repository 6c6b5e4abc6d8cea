"""Floor 2: everything between a stored model file and an answer; only ``sessions`` imports ONNX Runtime."""

from daemon.runtime.batcher import Batch, Share
from daemon.runtime.budget import CoreBudget
from daemon.runtime.cores import usable_cores
from daemon.runtime.deadlines import Deadlines
from daemon.runtime.decoders import decoder_of
from daemon.runtime.dtypes import Array, from_ort
from daemon.runtime.engine import OnnxEngine, load_engine, map_engine
from daemon.runtime.fitting import fit, fit_inputs
from daemon.runtime.flat_json import read_flat
from daemon.runtime.gearbox import Gearbox
from daemon.runtime.gears import complete, in_gear, is_complete, runs_abreast, waits_for_cores
from daemon.runtime.headroom import Headroom, headroom
from daemon.runtime.memory import trim
from daemon.runtime.pace import Pace, elements_of
from daemon.runtime.plans import batch_limit_seconds, batch_size, takes_long
from daemon.runtime.port import Engine, Output
from daemon.runtime.sessions import EngineOptions, can_save, check_providers, saved_key
from daemon.runtime.synthesis import FirstRun, alike, attempts, first_run
from daemon.runtime.tensors import decode, encode
from daemon.runtime.versions import RuntimeVersions, runtime_versions

__all__ = [
    "Array",
    "Batch",
    "CoreBudget",
    "Deadlines",
    "Engine",
    "EngineOptions",
    "FirstRun",
    "Gearbox",
    "Headroom",
    "OnnxEngine",
    "Output",
    "Pace",
    "RuntimeVersions",
    "Share",
    "alike",
    "attempts",
    "batch_limit_seconds",
    "batch_size",
    "can_save",
    "check_providers",
    "complete",
    "decode",
    "decoder_of",
    "elements_of",
    "encode",
    "first_run",
    "fit",
    "fit_inputs",
    "from_ort",
    "headroom",
    "in_gear",
    "is_complete",
    "load_engine",
    "map_engine",
    "read_flat",
    "runs_abreast",
    "runtime_versions",
    "saved_key",
    "takes_long",
    "trim",
    "usable_cores",
    "waits_for_cores",
]
