"""What MLflow's and SageMaker's clients say: ``POST /invocations``, in JSON, CSV, NumPy's files or raw bytes.

Entered by request threads. The content type says what came, ``Accept`` what is to go back: JSON where it says nothing
else. ``/models/NAME/invocations`` asks a named model, and so does ``/models/NAME/invoke``, as SageMaker has it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from daemon.errors import UnsupportedMediaType
from daemon.release import Release, Signature
from daemon.runtime import Array, Output, encode, fit_inputs
from daemon.runtime.tables import fitter_of, header_test_of
from daemon.web.accepting import ANYTHING, best_of
from daemon.web.answers import JSON, dumps, release_headers
from daemon.web.array_files import NPY, npy_array
from daemon.web.array_forms import FILES, chooser, file_reader
from daemon.web.asking import Asked, Dialect, Prediction, Read, Tell
from daemon.web.binary.raw import read_raw
from daemon.web.content_types import CSV, refuse_other_forms
from daemon.web.invoking.csv_tables import read_csv, write_csv
from daemon.web.invoking.operations import INVOCATIONS as OPERATION
from daemon.web.invoking.scoring import Manner, Scored, json_reader_of

RAW = "application/octet-stream"
OFFERED = (JSON, CSV, *sorted(FILES))
NAMED_CSV = f"{CSV}; header=present"
_KNOWN = FILES | {CSV}
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_NPY_BEGINS = b"\x93NUMPY"

ReadForm = Callable[[Asked, bytes, Mapping[str, str]], Scored]
"""The inputs that a body holds, given the parameters of its content type, and the manner of its answer."""


def _reader_of(release: Release) -> Read:
    read_json = json_reader_of(release.signature)
    forms = _readers_of(release.signature)
    tell_of = _tellers_of(release)

    def read(asked: Asked, body: bytes) -> tuple[Mapping[str, Array], Tell]:
        stated = asked.fields.get("CONTENT_TYPE") or ""
        if stated == JSON:
            inputs, manner = read_json(body)
        else:
            kind, parameters = _stated(stated)
            form = forms.get(kind)
            inputs, manner = read_json(body) if form is None else form(asked, body, parameters)
        return inputs, tell_of(asked.header("ACCEPT"), manner)

    return read


def _readers_of(signature: Signature) -> Mapping[str, ReadForm]:
    """A function for each form but JSON, by its content type."""
    fit_table = fitter_of(signature)
    has_header = header_test_of(signature)
    read_file = file_reader(signature)

    def csv(_: Asked, body: bytes, parameters: Mapping[str, str]) -> Scored:
        stated = parameters.get("header")
        return fit_table(read_csv(body, has_header if stated is None else lambda _: stated == "present")), Manner.ROWS

    def file(asked: Asked, body: bytes, _: Mapping[str, str]) -> Scored:
        return read_file(asked, body), Manner.BARE

    def raw(_: Asked, body: bytes, __: Mapping[str, str]) -> Scored:
        if body.startswith(_NPY_BEGINS):
            return fit_inputs(npy_array(body), signature), Manner.BARE
        return read_raw(body, signature), Manner.BARE

    return {CSV: csv, RAW: raw, **dict.fromkeys(FILES, file)}


def _tellers_of(release: Release) -> Callable[[str, Manner], Tell]:
    """A function for the answer that a header ``Accept`` asks for; what does not depend on a request is made once."""
    signature = release.signature
    names = [spec.name for spec in signature.outputs]
    which = tuple(release_headers(release).items())

    def as_json(told: Callable[[Sequence[Output]], bytes]) -> Tell:
        headers = (("Content-Type", JSON), *which)
        return lambda outputs: Prediction((told(outputs),), headers)

    def in_object(outputs: Sequence[Output]) -> bytes:
        return b'{"predictions":' + bare(outputs) + b"}"

    def bare(outputs: Sequence[Output]) -> bytes:
        values = encode(outputs, signature)
        return dumps(values[0] if len(values) == 1 else dict(zip(names, values, strict=True)))

    def by_rows(outputs: Sequence[Output]) -> bytes:
        rows = _rows([_row_values(value) for value in encode(outputs, signature)], names)
        return in_object(outputs) if rows is None else b'{"predictions":' + dumps(rows) + b"}"

    def csv(outputs: list[Output]) -> Prediction:
        return Prediction((write_csv(outputs, signature),), (("Content-Type", CSV), *which))

    def named_csv(outputs: list[Output]) -> Prediction:
        return Prediction((write_csv(outputs, signature, header=True),), (("Content-Type", NAMED_CSV), *which))

    in_json = {Manner.TENSORS: as_json(in_object), Manner.ROWS: as_json(by_rows), Manner.BARE: as_json(bare)}
    choosers = {manner: chooser(release, tell) for manner, tell in in_json.items()}

    def tell_of(accept: str, manner: Manner) -> Tell:
        if accept in ANYTHING:
            return in_json[manner]
        if best_of(accept, OFFERED) == CSV:
            return named_csv if "header=present" in accept.replace(" ", "").lower() else csv
        return choosers[manner](accept)

    return tell_of


def _rows(values: Sequence[Any], names: Sequence[str]) -> Any:
    """What the outputs have for each row: of several, an object by their names; None where these have no rows."""
    if len(values) == 1:
        return values[0]
    if any(not isinstance(value, list | np.ndarray) for value in values) or len(set(map(len, values))) > 1:
        return None
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _row_values(value: object) -> Any:
    """An output as what it has for each row, without a dimension that says nothing."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value[:, 0]) if value.ndim == 2 and value.shape[1] == 1 else value
    return [row[0] for row in value] if _is_column(value) else value  # type: ignore[attr-defined]


def _is_column(value: object) -> bool:
    """Whether a list is one of lists of one element each, as strings come."""
    return isinstance(value, list) and bool(value) and all(type(row) is list and len(row) == 1 for row in value)


@lru_cache(maxsize=256)
def _stated(content_type: str) -> tuple[str, Mapping[str, str]]:
    """The media type and its parameters; raises UnsupportedMediaType for what no reader knows."""
    kind, *parts = (part.strip() for part in content_type[:1000].lower().split(";"))
    refuse_other_forms(kind, known=_KNOWN, expected=f"{JSON}, {CSV}, {NPY} or {RAW}")
    pairs = (part.partition("=") for part in parts)
    parameters = {name.strip(): value.strip().strip('"') for name, _, value in pairs}
    if (charset := parameters.get("charset", "utf-8")) not in _UTF8:
        raise UnsupportedMediaType(f"found charset {charset!r:.100}, expected utf-8")
    if kind == CSV and parameters.get("header", "present") not in ("present", "absent"):
        raise UnsupportedMediaType(f"found header={parameters['header']:.100}, expected present or absent")
    return kind, parameters


INVOCATIONS = Dialect(
    "invocations",
    ("/invocations", "/models/<model>/invocations", "/models/<model>/invoke"),
    _reader_of,
    OPERATION,
)
