"""Makes ONNX Runtime's sessions, from a model as it came or from the form that was saved of it; one at a time.

The only importer of ONNX Runtime: what a run needs of it is handed on from here.

The saved form is what ONNX Runtime itself writes: the optimised graph, and beside it the weights, prepacked, which a
later session maps. It holds for this library on this kind of processor (``saved_key``), not for others.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Wheels from 1.29 on write an id and a database under the home directory unless this is set before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime import OrtValue, RunOptions
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from daemon.errors import ConfigError, Rejected
from daemon.runtime.cores import usable_cores
from daemon.runtime.sentences import clean

__all__ = [
    "SAVED_MODEL",
    "VERSION",
    "EngineOptions",
    "InvalidArgument",
    "OrtValue",
    "RunOptions",
    "can_save",
    "check_providers",
    "open_model",
    "open_saved",
    "operator_domains",
    "refusal_of_bytes",
    "saved_key",
]

LOG = logging.getLogger("modeldrop.runtime")

VERSION: str = ort.__version__

SAVED_MODEL = "model.onnx"
SAVED_WEIGHTS = "model.data"
SMALLEST_WEIGHT_BYTES = 1024
"""Smaller initialisers stay in the saved graph itself."""

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY = 3
_SILENT = 4
_FORM = 1
"""To be raised when what is saved, or how, changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How sessions are made. ``providers`` are tried in order; ``("auto",)`` is CUDA where it is there, then the CPU.

    ``threads`` is how many one run may use; 0 is as many as there are usable cores.
    """

    providers: tuple[str, ...] = ("auto",)
    threads: int = 0


def open_model(path: Path, options: EngineOptions, *, save_to: Path | None = None) -> Any:
    """A session of the model at ``path`` as it came; the saved form is written into ``save_to`` on the way.

    Raises Rejected by the check ``load``, with ONNX Runtime's sentence; ConfigError for a provider that is not there.
    """
    check_providers(options.providers)
    settings = _settings(options)
    if save_to is not None:
        _save(settings, save_to)
    *preferred, last = _preferences(options.providers)
    for providers in preferred:
        try:
            return _open(path, settings, providers)
        except Exception as error:
            LOG.warning("no session with %s, trying %s: %s", providers[0], last[0], clean(str(error), path=path))
    try:
        return _open(path, settings, last)
    except Exception as error:
        raise Rejected("load", clean(str(error), path=path) or type(error).__name__) from error


def open_saved(path: Path, options: EngineOptions) -> Any:
    """A session that maps the saved form at ``path``, as it is; raises Rejected by the check ``load``."""
    settings = _settings(options)
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return _open(path, settings, [_CPU])
    except Exception as error:
        raise Rejected("load", clean(str(error), path=path) or type(error).__name__) from error


def can_save(options: EngineOptions) -> bool:
    """Whether there is a saved form of what these options load: there is of the CPU's own sessions."""
    return _preferences(options.providers) == [[_CPU]]


def saved_key(options: EngineOptions, *, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What a saved form, and what was found out with it, holds for: library, processor, session; 16 hex digits."""
    facts = [_FORM, VERSION, _preferences(options.providers), _processor(cpuinfo)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def refusal_of_bytes(model: bytes) -> str:
    """What ONNX Runtime says against a model of a few bytes; empty where it takes it."""
    settings = ort.SessionOptions()
    settings.log_severity_level = _SILENT
    try:
        ort.InferenceSession(model, settings, providers=[_CPU])
    except Exception as error:
        return str(error)
    return ""


def operator_domains() -> frozenset[str] | None:
    """The domains that this library has operators of, "" for ``ai.onnx``; None where it does not say."""
    try:
        return frozenset(schema.domain for schema in ort.capi.onnxruntime_pybind11_state.get_all_operator_schema())
    except AttributeError:  # it is no promise of the library's
        return None


def check_providers(names: Sequence[str]) -> None:
    """Raise ConfigError, naming those that are there, unless each of ``names`` is one or the only one is ``auto``."""
    available = ort.get_available_providers()
    if not names or ("auto" in names and len(names) > 1):
        raise ConfigError(f"runtime.providers: expected ['auto'] or names of {', '.join(available)}, got {list(names)}")
    for name in names:
        if name not in (*available, "auto"):
            raise ConfigError(f"runtime.providers: {name!r} is not available, expected auto or {', '.join(available)}")


def _open(path: Path, settings: Any, providers: list[str]) -> Any:
    return ort.InferenceSession(str(path), settings, providers=providers, enable_fallback=0)


def _settings(options: EngineOptions) -> Any:
    settings = ort.SessionOptions()
    settings.logid = "modeldrop"
    settings.intra_op_num_threads = options.threads or usable_cores()
    settings.inter_op_num_threads = 1
    # Threads that spin take the cores from the other models and from the requests themselves.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return settings


def _save(settings: Any, folder: Path) -> None:
    settings.log_severity_level = _ERRORS_ONLY  # it would warn that the form is for this machine alone, as it is meant
    settings.optimized_model_filepath = str(folder / SAVED_MODEL)
    prefix = "session.optimized_model_external_initializers"
    settings.add_session_config_entry(f"{prefix}_file_name", SAVED_WEIGHTS)
    settings.add_session_config_entry(f"{prefix}_min_size_in_bytes", str(SMALLEST_WEIGHT_BYTES))
    settings.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")


def _preferences(providers: tuple[str, ...]) -> list[list[str]]:
    """Lists of providers to try in turn: ``auto`` outlives a CUDA build on a machine without a working device."""
    if providers != ("auto",):
        return [list(providers)]
    with_cuda = [[_CUDA, _CPU]] if _CUDA in ort.get_available_providers() else []
    return [*with_cuda, [_CPU]]


def _processor(cpuinfo: Path) -> list[str]:
    """What the first processor says of its kind and its instructions; lines and words sorted, as no order matters."""
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    except OSError:
        return []
    wanted = ("vendor_id", "cpu family", "model", "model name", "flags", "Features", "CPU part", "CPU implementer")
    pairs = (line.partition(":") for line in first.splitlines())
    known = ((name.strip(), sorted(value.split())) for name, _, value in pairs)
    return sorted(f"{name}={' '.join(words)}" for name, words in known if name in wanted)
