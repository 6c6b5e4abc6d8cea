"""Models in ONNX Runtime, loaded and run; loads one by one, runs on any thread."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.errors import InferenceFailed, InvalidInput, ModeldropError, Rejected
from daemon.release import Signature
from daemon.runtime import feeds, sessions
from daemon.runtime.deadlines import Deadlines, overdue
from daemon.runtime.description import read_metadata, read_signature
from daemon.runtime.dtypes import Array
from daemon.runtime.port import Output
from daemon.runtime.sentences import clean
from daemon.runtime.sessions import EngineOptions, InvalidArgument, OrtValue, RunOptions

_SILENT = 4  # only what is fatal


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
        options = RunOptions()
        options.log_severity_level = _SILENT  # a failed run is told once, by what is raised

        def stop() -> None:
            options.terminate = True

        with self._deadlines.guard(timeout_seconds, stop) as guard:
            try:
                return self._call(session, ready, options)
            except Exception as error:
                if guard.expired:
                    raise overdue(timeout_seconds) from error
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
            return OrtValue.ortvalue_from_numpy_with_onnx_type(array, feeds.ONNX_BFLOAT16)
        return array if plain else OrtValue.ortvalue_from_numpy(array)


def load_engine(path: Path, options: EngineOptions, deadlines: Deadlines, *, save_to: Path | None = None) -> OnnxEngine:
    """Load the model at ``path``, whose bytes nobody may change while the engine lives: external data is mapped.

    Takes as long as the model is large, without holding the GIL; its saved form is written into ``save_to`` on the way.
    Raises Rejected by the check ``load``, with ONNX Runtime's sentence; ConfigError for a provider that is not there.
    Loads must not overlap.
    """
    return _engine(sessions.open_model(path, options, save_to=save_to), deadlines)


def map_engine(path: Path, options: EngineOptions, deadlines: Deadlines) -> OnnxEngine:
    """Load the saved form at ``path``, which is mapped and so must not change; raises and waits as ``load_engine``."""
    return _engine(sessions.open_saved(path, options), deadlines)


def _engine(session: Any, deadlines: Deadlines) -> OnnxEngine:
    metadata = read_metadata(session.get_modelmeta(), providers=session.get_providers())
    return OnnxEngine(session, _signature(session), metadata, deadlines)


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
