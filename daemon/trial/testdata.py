"""ONNX's own test data, ``test_data_set_N/input_0.pb`` and ``output_0.pb``. Entered by a trial's process.

Source: the onnx repository's ``docs/OnnxBackendTest.md``; each file is a TensorProto, or a SequenceProto or
OptionalProto where the model's input or output is one. The onnx package reads them, and is imported only here.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from daemon.errors import Rejected
from daemon.release import Signature, TensorSpec

MOST_FILES = 1000


def read_test_data(folder: Path, signature: Signature) -> dict[str, object]:
    """``inputs`` and ``outputs`` by name; raises Rejected by the check ``golden`` for what cannot be read.

    A tensor that has the name of an input or output is that one's, any other belongs where its number says.
    """
    return {
        "inputs": _read_all(folder, "input", signature.inputs),
        "outputs": _read_all(folder, "output", signature.outputs),
    }


def _read_all(folder: Path, stem: str, specs: Sequence[TensorSpec]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in range(MOST_FILES):
        path = folder / f"{stem}_{number}.pb"
        if not path.is_file():
            break
        if number >= len(specs):
            raise Rejected("golden", f"{folder.name}/{path.name}: the model has {len(specs)} {stem}s")
        name, value = _read(path, specs[number])
        found[name if any(spec.name == name for spec in specs) else specs[number].name] = value
    return found


def _read(path: Path, spec: TensorSpec) -> tuple[str, Any]:
    import onnx
    from onnx import numpy_helper

    readers: dict[str, tuple[Any, Any]] = {
        "seq(tensor": (onnx.SequenceProto, numpy_helper.to_list),
        "optional(": (onnx.OptionalProto, numpy_helper.to_optional),
    }
    kind, convert = next(
        (reader for start, reader in readers.items() if spec.dtype.startswith(start)),
        (onnx.TensorProto, numpy_helper.to_array),
    )
    try:
        message = kind.FromString(path.read_bytes())
        if _lies_elsewhere(message):  # anywhere, and what is expected is told where it is missed
            raise ValueError("its values lie in another file, expected them in it")
        value = convert(message)
        if spec.dtype == "bfloat16":
            value = value.astype("float32")
        if isinstance(value, np.ndarray) and value.dtype.kind not in "biufO":
            raise ValueError(f"it holds {value.dtype}")
    except Exception as error:
        raise Rejected("golden", f"{path.parent.name}/{path.name} cannot be read as {spec.dtype}: {error}") from None
    return message.name, value


def _lies_elsewhere(message: Any) -> bool:
    """Whether a tensor in a message of onnx.proto names a file that its values are in."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        return message.data_location == onnx.TensorProto.EXTERNAL
    parts = [value for field, value in message.ListFields() if field.message_type is not None]
    return any(_lies_elsewhere(each) for part in parts for each in (part if isinstance(part, Iterable) else [part]))
