"""NumPy's files as a form of a release's inputs and answers, beside JSON. Entered by request threads."""

from collections.abc import Callable, Mapping

from daemon.errors import HandOver, NotAcceptable
from daemon.release import Release, Signature
from daemon.runtime import Array, Output, fit_inputs
from daemon.runtime.dtypes import DTYPES
from daemon.web.accepting import ANYTHING, best_of
from daemon.web.answers import JSON, release_headers
from daemon.web.array_files import NPY, NPZ, npy_array, npy_pieces, npz_arrays, npz_bytes
from daemon.web.asking import Asked, Prediction, Tell

ZIP = "application/zip"
"""What an ``.npz`` file is called, too."""
FILES = frozenset({NPY, NPZ, ZIP})
"""The media types of such files."""
_BYTES = {"type": "string", "format": "binary"}
FILE_SCHEMAS = {
    NPY: {**_BYTES, "description": "one array as `numpy.save` writes it, never pickled"},
    NPZ: {**_BYTES, "description": "arrays by name as `numpy.savez` writes them, never pickled"},
}
"""The files in OpenAPI's words: bytes, of which a schema says nothing more."""

ReadFile = Callable[[Asked, bytes], Mapping[str, Array]]
Choose = Callable[[str], Tell]


def file_reader(signature: Signature) -> ReadFile:
    """A function from a body of one of ``FILES`` to the arrays that it has for the inputs of ``signature``.

    A ``.npy`` file is the only required input, a ``.npz`` file has inputs by name. Raises BadRequest, TooLarge or
    InvalidInput; HandOver where an archive is to be read ``at_once``.
    """

    def read(asked: Asked, body: bytes) -> Mapping[str, Array]:
        if asked.media_type == NPY:
            return fit_inputs(npy_array(body), signature)
        if asked.at_once:
            raise HandOver
        return fit_inputs(npz_arrays(body, asked.limit_bytes), signature)

    return read


def chooser(release: Release, tell: Tell) -> Choose:
    """A function from an ``Accept`` header to how the answer is told: by ``tell`` in JSON, unless it asks for a file.

    Of ``.npy`` it is the first output, of ``.npz`` all by name. Raises NotAcceptable where the header takes nothing but
    a file that cannot carry the outputs.
    """
    told = {JSON: tell, **{kind: teller for kind, teller in _file_tellers(release).items() if teller}}
    possible = tuple(told)
    impossible = tuple(FILES - told.keys())

    def choose(accept: str) -> Tell:
        if accept in ANYTHING:
            return tell
        kind = best_of(accept, possible)
        if kind is None and impossible and best_of(accept, impossible) is not None:
            raise NotAcceptable("an output is no tensor, which NumPy's files cannot carry: ask for application/json")
        return told[kind or JSON]

    return choose


def _file_tellers(release: Release) -> Mapping[str, Tell | None]:
    """How each file is told; None where what it would carry is no tensor."""
    specs = release.signature.outputs
    names = [spec.name for spec in specs]
    same = tuple(release_headers(release).items())

    def tell_npy(outputs: list[Output]) -> Prediction:
        return Prediction(npy_pieces(outputs[0], names[0]), (("Content-Type", NPY), *same))

    def npz_teller(kind: str) -> Tell:
        headers = (("Content-Type", kind), *same)
        return lambda outputs: Prediction((npz_bytes(outputs, names),), headers)

    are_tensors = [spec.dtype in DTYPES for spec in specs]
    return {
        NPY: tell_npy if are_tensors[0] else None,
        **{kind: npz_teller(kind) if all(are_tensors) else None for kind in (NPZ, ZIP)},
    }
