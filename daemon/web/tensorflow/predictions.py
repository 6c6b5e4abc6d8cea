"""A release's outputs as TensorFlow Serving answers: by row or by column. Entered by request threads.

Source: ``g3doc/api_rest.md``. NaN and the infinities are ``null``, as in every dialect; there they are no JSON.
"""

import base64
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from daemon.errors import BadRequest
from daemon.release import Release
from daemon.runtime import Output, encode
from daemon.web.answers import JSON, dumps, release_headers
from daemon.web.asking import Prediction, Tell

BYTES_SUFFIX = "_bytes"
"""An output of strings whose name ends so is told as base64."""


def row_teller(release: Release) -> Callable[[int], Tell]:
    """A function from the number of instances to how the outputs are told as ``predictions``.

    They are a list of values, or of objects where there are several outputs. Raises BadRequest where an output has not
    a row for each instance.
    """
    values_of = _encoder(release)
    names = [spec.name for spec in release.signature.outputs]
    headers = _headers(release)

    def tell(outputs: list[Output], rows: int) -> Prediction:
        _check_rows(outputs, names, rows)
        told, *others = values = values_of(outputs)
        if others:
            told = [dict(zip(names, row, strict=True)) for row in zip(*map(_rows, values), strict=True)]
        return Prediction((b'{"predictions":' + dumps(told) + b"}",), headers)

    return lambda rows: partial(tell, rows=rows)


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


def _check_rows(outputs: list[Output], names: list[str], rows: int) -> None:
    """Raises BadRequest unless each output has a row for each instance."""
    for name, output in zip(names, outputs, strict=True):
        count = _count(output)
        if count is None:
            raise BadRequest(f"output {name!r} has no rows: ask for it in column form, with 'inputs'")
        if count != rows:
            raise BadRequest(
                f"output {name!r} has {_counted(count, 'row')} for {_counted(rows, 'instance')}: "
                "ask for it in column form, with 'inputs'"
            )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _rows(value: Any) -> Any:
    """The rows of an encoded output. Whole numbers become Python's: orjson does not know all scalars of numpy's."""
    is_whole = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iub"
    return value.tolist() if is_whole else value


def _count(output: Output) -> int | None:
    """How many rows an output has: a sequence of maps has one in each, as classifiers have it; one of tensors none."""
    if isinstance(output, np.ndarray):
        return len(output) if output.ndim else None
    if not isinstance(output, list) or not all(isinstance(row, Mapping) for row in output[:1]):
        return None
    return len(output)


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
