"""Requests and answers of the Open Inference Protocol, as a client of its own writes and reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

Array = npt.NDArray[Any]

BITS = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BF16": "<u2",
}  # fmt: skip


def to_bytes(array: Array, datatype: str) -> bytes:
    """A tensor in binary; one of BF16 is given as float32."""
    if datatype == "BYTES":
        texts = [each.encode() if isinstance(each, str) else each for each in array.ravel().tolist()]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    if datatype == "BF16":
        return (np.ascontiguousarray(array, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.ascontiguousarray(array, BITS[datatype]).tobytes()


def from_bytes(data: bytes, datatype: str, shape: Sequence[int]) -> Array:
    """A tensor of the binary part of an answer; one of BF16 as float32."""
    if datatype == "BYTES":
        found, place = [], 0
        while place < len(data):
            end = place + 4 + int.from_bytes(data[place : place + 4], "little")
            found.append(data[place + 4 : end].decode())
            place = end
        array = np.empty(len(found), object)
        array[:] = found
        return array.reshape(shape)
    array = np.frombuffer(data, BITS[datatype])
    if datatype == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    return array.reshape(shape)


def from_json(data: Sequence[Any], datatype: str, shape: Sequence[int]) -> Array:
    """A tensor of the JSON of an answer; null as NaN."""
    if datatype == "BYTES":
        array = np.empty(len(data), object)
        array[:] = data
        return array.reshape(shape)
    dtype = "<f4" if datatype == "BF16" else BITS[datatype]
    values = [float("nan") if each is None else each for each in data]
    return np.array(values, dtype).reshape(shape)


def to_json(array: Array, datatype: str) -> list[Any]:
    """A tensor as flat JSON."""
    flat = array.ravel().tolist()
    return [each.decode() if isinstance(each, bytes) else each for each in flat] if datatype == "BYTES" else flat


def request(
    tensors: Mapping[str, tuple[Array, str]], *, binary: bool | Sequence[str] = False, **more: Any
) -> tuple[bytes, dict[str, str]]:
    """A body and its headers; ``binary`` are the inputs that are sent so, ``more`` what else the JSON has."""
    entries: list[dict[str, Any]] = []
    blobs = []
    for name, (array, datatype) in tensors.items():
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if binary is True or (binary and name in binary):
            blobs.append(to_bytes(array, datatype))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            entry["data"] = to_json(array, datatype)
        entries.append(entry)
    head = orjson.dumps({"inputs": entries, **more})
    headers = {"Inference-Header-Content-Length": str(len(head))} if blobs else {}
    return head + b"".join(blobs), headers


def outputs_of(body: bytes, headers: Mapping[str, str]) -> dict[str, Array]:
    """The tensors of an answer by name."""
    stated = headers.get("Inference-Header-Content-Length")
    length = len(body) if stated is None else int(stated)
    found: dict[str, Array] = {}
    for output in orjson.loads(body[:length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = from_json(output["data"], output["datatype"], output["shape"])
        else:
            found[output["name"]] = from_bytes(body[length : length + size], output["datatype"], output["shape"])
            length += size
    assert stated is None or length == len(body), "the binary data has the sizes that are stated"
    return found
