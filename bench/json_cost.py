"""What JSON costs by size: request bytes to an array, and an array to answer bytes, each in several ways.

    python -m bench.json_cost [--seconds 0.2]

In one thread, without a server. ``ours`` is what the daemon does for a request; ``raw bytes`` is what a binary body
would cost. ``pysimdjson`` flattens what is nested and checks nothing: the shape has to be known.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import simdjson

from bench.figures import median
from bench.page import Section, Table, number
from daemon.release import Signature, TensorSpec
from daemon.runtime import encode
from daemon.web.answers import dumps
from daemon.web.dialects.plain import body_decoder

SHAPES = ((1, 10), (1, 256), (1, 10_000), (1, 3, 224, 224))
SIZES = (5, 384, 1000, 150_528)
Array = npt.NDArray[Any]
Ways = dict[str, Callable[[], object]]


def main() -> None:
    """Times each and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.2, help="for each way and size")
    print(measure(seconds=parser.parse_args().seconds).markdown())


def measure(*, seconds: float = 0.2) -> Section:
    """The section of the report on JSON."""
    random = np.random.default_rng(7)
    section = Section("JSON: bytes to arrays and back")
    section.notes = ["Microseconds, medians, one thread. Numbers in requests have every digit of a double."]
    arrays = [random.random(shape, dtype=np.float32) for shape in SHAPES]
    section.tables = [
        _table("Request bytes to a float32 array", [decoding(array) for array in arrays], arrays, seconds),
        _table(
            "A float32 array to answer bytes",
            [_encoding(array) for array in (random.random((1, size), dtype=np.float32) for size in SIZES)],
            [np.empty((1, size), np.float32) for size in SIZES],
            seconds,
        ),
    ]
    return section


def decoding(array: Array) -> Ways:
    """Each way from the bytes of a request to ``array``, as a call that does it once."""
    body, raw, shape = json.dumps({"inputs": array.tolist()}).encode(), array.tobytes(), array.shape
    parser = simdjson.Parser()
    spec = TensorSpec("input", str(array.dtype), ("batch", *shape[1:]))
    ours = body_decoder(Signature((spec,), ()))

    def simdjson_flat() -> Array:
        flat = parser.parse(body)["inputs"].as_buffer(of_type="d")  # type: ignore[index, union-attr]
        return np.frombuffer(flat, np.float64).astype(array.dtype).reshape(shape)

    return {
        "json + numpy": lambda: np.array(json.loads(body)["inputs"], array.dtype),
        "orjson + numpy": lambda: np.array(orjson.loads(body)["inputs"], array.dtype),
        "ours": lambda: ours(body),
        "pysimdjson": simdjson_flat,
        "raw bytes, copied": lambda: np.frombuffer(raw, array.dtype).reshape(shape).copy(),
    }


def seconds_of(call: Callable[[], object], budget: float) -> float:
    """The median time of a call, tried for ``budget`` seconds and at least thrice."""
    call()
    taken: list[float] = []
    due = time.perf_counter() + budget
    while time.perf_counter() < due or len(taken) < 3:
        times = 1 if not taken or taken[-1] > 1e-3 else 50  # the clock's own time is not to count
        start = time.perf_counter()
        for _ in range(times):
            call()
        taken.append((time.perf_counter() - start) / times)
    return median(taken)


def _encoding(array: Array) -> Ways:
    signature = Signature((), (TensorSpec("output", "float32", None),))
    return {
        "json + tolist": lambda: json.dumps({"output": array.tolist(), "model_path": "m"}).encode(),
        "orjson + tolist": lambda: orjson.dumps({"output": array.tolist(), "model_path": "m"}),
        "ours": lambda: dumps({"output": encode([array], signature)[0], "model_path": "m"}),
        "raw bytes": array.tobytes,
    }


def _table(title: str, ways: list[Ways], arrays: list[Array], seconds: float) -> Table:
    found = [{name: seconds_of(call, seconds) for name, call in each.items()} for each in ways]
    columns = (
        "way",
        *(f"{array.size:,} floats" for array in arrays),
        *(f"ours ÷ it, {array.size:,}" for array in arrays),
    )
    rows = []
    for name in ways[0]:
        times = [number(each[name] * 1e6) for each in found]
        ratios = [f"{each['ours'] / each[name]:.2f}" for each in found]
        rows.append((name, *times, *ratios))
    return Table(title, columns, rows)


if __name__ == "__main__":
    main()
