"""Loads models into ONNX Runtime and runs them; the only importer of it. Loads come one by one, runs on any thread."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Wheels from 1.29 on write an id and a database under the home directory unless this is set before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from daemon.errors import ConfigError, InferenceFailed, InvalidInput, ModeldropError, Rejected, RunTimeout
from daemon.release import Signature
from daemon.runtime import feeds
from daemon.runtime.cores import usable_cores
from daemon.runtime.deadlines import Deadlines
from daemon.runtime.description import read_metadata, read_signature
from daemon.runtime.dtypes import Array
from daemon.runtime.port import Output
from daemon.runtime.sentences import clean

LOG = logging.getLogger("modeldrop.runtime")

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_SILENT = 4  # only what is fatal


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How sessions are made. ``providers`` are tried in order; ``("auto",)`` is CUDA where it is there, then the CPU.

    ``threads`` is how many one run may use; 0 is as many as there are usable cores.
    """

    providers: tuple[str, ...] = ("auto",)
    threads: int = 0


class OnnxEngine:
    """A model in an ONNX Runtime session. ``run`` and ``close`` may be called by any threads at any time.

    Made by ``load_engine``, whose caller owns it and closes it. The session dies with its last run in flight.
    """

    def __init__(
        self, session: Any, signature: Signature, metadata: Mapping[str, object], deadlines: Deadlines
    ) -> None:
        self._session = session  # None once closed; read once by each run, which thereby keeps it alive
        self._deadlines = deadlines
        self._output_names = [spec.name for spec in signature.outputs]
        self._dtypes = {spec.name: spec.dtype for spec in signature.inputs}
        self._has_bfloat16_output = any(spec.dtype == "bfloat16" for spec in signature.outputs)
        self.signature = signature
        self.metadata = metadata

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        """The outputs in the order of ``signature.outputs``, for ``inputs`` by name; optional ones may be left out.

        Arrays of any layout and byte order, of the dtype that ``dtypes`` has for the input (bfloat16 as float32).
        Raises InvalidInput where ONNX Runtime blames the inputs, RunTimeout at the deadline, else InferenceFailed.
        """
        session = self._session
        if session is None:
            raise InferenceFailed("the engine is closed")
        ready = feeds.normalise(inputs, self._dtypes)
        options = ort.RunOptions()
        options.log_severity_level = _SILENT  # a failed run is told once, by what is raised

        def stop() -> None:
            options.terminate = True

        with self._deadlines.guard(timeout_seconds, stop) as guard:
            try:
                return self._call(session, ready, options)
            except Exception as error:
                if guard.expired:
                    raise RunTimeout(f"the run was stopped at its deadline of {timeout_seconds:g} seconds") from error
                raise _run_error(error) from error

    def close(self) -> None:
        """Let go of the session; memory is freed when the last run in flight is over. May be called again."""
        self._session = None

    def _call(self, session: Any, ready: dict[str, Array], options: Any) -> list[Output]:
        if self._has_bfloat16_output:
            values = {name: self._as_value(name, array) for name, array in ready.items()}
            return [_read(value) for value in session.run_with_ort_values(self._output_names, values, options)]
        if "bfloat16" in self._dtypes.values():
            mixed = {name: self._as_value(name, array, plain=True) for name, array in ready.items()}
            return list(session.run(self._output_names, mixed, options))
        return list(session.run(self._output_names, ready, options))

    def _as_value(self, name: str, array: Array, *, plain: bool = False) -> Any:
        """An ``OrtValue`` over ``array``, which ``ready`` keeps alive; the array itself where ``plain`` will do."""
        if self._dtypes.get(name) == "bfloat16":
            return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, feeds.ONNX_BFLOAT16)
        return array if plain else ort.OrtValue.ortvalue_from_numpy(array)


def load_engine(path: Path, options: EngineOptions, deadlines: Deadlines) -> OnnxEngine:
    """Load the model at ``path``, whose bytes nobody may change while the engine lives: external data is mapped.

    Takes as long as the model is large, without holding the GIL. Raises Rejected by the check ``load``, with ONNX
    Runtime's sentence; ConfigError for a provider that is not there. Loads must not overlap.
    """
    check_providers(options.providers)
    session = _open(path, _session_options(options), _preferences(options.providers))
    metadata = read_metadata(session.get_modelmeta(), providers=session.get_providers())
    return OnnxEngine(session, _signature(session), metadata, deadlines)


def check_providers(names: Sequence[str]) -> None:
    """Raise ConfigError, naming those that are there, unless each of ``names`` is one or the only one is ``auto``."""
    available = ort.get_available_providers()
    if not names or ("auto" in names and len(names) > 1):
        raise ConfigError(f"runtime.providers: expected ['auto'] or names of {', '.join(available)}, got {list(names)}")
    for name in names:
        if name not in (*available, "auto"):
            raise ConfigError(f"runtime.providers: {name!r} is not available, expected auto or {', '.join(available)}")


def _session_options(options: EngineOptions) -> Any:
    settings = ort.SessionOptions()
    settings.logid = "modeldrop"
    settings.intra_op_num_threads = options.threads or usable_cores()
    settings.inter_op_num_threads = 1
    # Idle threads that spin take the cores from the other models and from the requests themselves.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return settings


def _preferences(providers: tuple[str, ...]) -> list[list[str]]:
    """Lists of providers to try in turn: ``auto`` outlives a CUDA build on a machine without a working device."""
    if providers != ("auto",):
        return [list(providers)]
    with_cuda = [[_CUDA, _CPU]] if _CUDA in ort.get_available_providers() else []
    return [*with_cuda, [_CPU]]


def _open(path: Path, settings: Any, preferences: list[list[str]]) -> Any:
    *preferred, last = preferences
    for providers in preferred:
        try:
            return ort.InferenceSession(str(path), settings, providers=providers, enable_fallback=0)
        except Exception as error:
            LOG.warning("no session with %s, trying %s: %s", providers[0], last[0], clean(str(error), path=path))
    try:
        return ort.InferenceSession(str(path), settings, providers=last, enable_fallback=0)
    except Exception as error:
        raise Rejected("load", clean(str(error), path=path) or type(error).__name__) from error


def _signature(session: Any) -> Signature:
    try:
        return read_signature(session.get_inputs(), session.get_overridable_initializers(), session.get_outputs())
    except UnicodeDecodeError:  # names are decoded when they are read
        raise Rejected("load", "the name of an input or output is not UTF-8") from None


def _read(value: Any) -> Output:
    """The array of an ``OrtValue``, copied where numpy has no type for it; None where it holds nothing."""
    if not value.has_value():
        return None
    if value.element_type() == feeds.ONNX_BFLOAT16:
        return feeds.read_bfloat16(value.data_ptr(), tuple(value.shape()))
    array: Array = value.numpy()
    return array


def _run_error(error: Exception) -> ModeldropError:
    text = clean(str(error)) or type(error).__name__
    if isinstance(error, InvalidArgument | ValueError):
        return InvalidInput(text)
    return InferenceFailed(text)
