"""A release's outputs as TensorFlow Serving answers: by row or by column. Entered by request threads.

Source: ``g3doc/api_rest.md``. NaN and the infinities are ``null``, as in every dialect; there they are no JSON.
"""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from daemon.errors import BadRequest
from daemon.release import Release
from daemon.runtime import Output, encode
from daemon.web.answers import JSON, dumps, release_headers
from daemon.web.asking import Prediction, Tell

BYTES_SUFFIX = "_bytes"
"""An output of strings whose name ends so is told as base64."""


def row_teller(release: Release) -> Tell:
    """Tells the outputs as ``predictions``: a list of values, or of objects where there are several outputs.

    Raises BadRequest where the outputs are not rows of one number.
    """
    values_of = _encoder(release)
    names = [spec.name for spec in release.signature.outputs]
    headers = _headers(release)

    def tell(outputs: list[Output]) -> Prediction:
        _check_rows(outputs, names)
        told, *others = values = values_of(outputs)
        if others:
            told = [dict(zip(names, row, strict=True)) for row in zip(*map(_rows, values), strict=True)]
        return Prediction((b'{"predictions":' + dumps(told) + b"}",), headers)

    return tell


def column_teller(release: Release) -> Tell:
    """Tells the outputs as ``outputs``: one value, or an object of them where there are several."""
    values_of = _encoder(release)
    names = [spec.name for spec in release.signature.outputs]
    headers = _headers(release)

    def tell(outputs: list[Output]) -> Prediction:
        values = values_of(outputs)
        told = values[0] if len(names) == 1 else dict(zip(names, values, strict=True))
        return Prediction((b'{"outputs":' + dumps(told) + b"}",), headers)

    return tell


def _headers(release: Release) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", JSON), *release_headers(release).items())


def _check_rows(outputs: list[Output], names: list[str]) -> None:
    """Raises BadRequest unless all outputs have rows, and one number of them."""
    counts = [_count(output) for output in outputs]
    for name, count in zip(names, counts, strict=True):
        if count is None:
            raise BadRequest(f"output {name!r} has no rows: ask for it in column form, with 'inputs'")
        if count != counts[0]:
            raise BadRequest(
                f"output {names[0]!r} has {counts[0]} rows and output {name!r} has {count}: "
                "ask for them in column form, with 'inputs'"
            )


def _rows(value: Any) -> Any:
    """The rows of an encoded output. Whole numbers become Python's: orjson does not know all scalars of numpy's."""
    is_whole = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iub"
    return value.tolist() if is_whole else value


def _count(output: Output) -> int | None:
    if isinstance(output, np.ndarray):
        return len(output) if output.ndim else None
    return len(output) if isinstance(output, list) else None


def _encoder(release: Release) -> Callable[[list[Output]], list[Any]]:
    """A function from outputs to what JSON can carry, with base64 where the output's name says bytes."""
    signature = release.signature
    coded = [
        index
        for index, spec in enumerate(signature.outputs)
        if spec.dtype == "string" and spec.name.endswith(BYTES_SUFFIX)
    ]

    def encoded(outputs: list[Output]) -> list[Any]:
        values = encode(outputs, signature)
        for index in coded:
            values[index] = _base64(outputs[index])
        return values

    return encoded


def _base64(output: Any) -> object:
    texts = np.asarray(output, object)
    coded = np.empty(texts.size, object)
    coded[:] = [{"b64": base64.b64encode(str(text).encode()).decode()} for text in texts.ravel()]
    told: object = coded.reshape(texts.shape).tolist()
    return told
