"""What a request costs by the size of its body, from 10 bytes to 50 MB, with a model that does next to nothing.

    python -m bench.body_size [--seconds 0.5] [--sizes 10 100 …]

One client asks one request after another; the servers take turns at every size. The floor is the same work in a
process without HTTP: orjson, numpy, ``session.run``.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import argparse
import http.client
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson

from bench.configurations import DEFAULT
from bench.json_cost import seconds_of
from bench.models import case_of
from bench.page import Plot, Section, Table, milliseconds
from bench.processes import FREE, Running, all_started
from bench.servers import servers_of

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000)
FLOOR = "orjson + numpy + session.run"
NUMBER_BYTES = 20
"""About what one takes, with every digit of a double and a comma."""


def main() -> None:
    """Asks and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="for each size and server; thrice at least")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    print(measure(seconds=arguments.seconds, sizes=arguments.sizes).markdown())


def measure(*, seconds: float = 0.5, sizes: Sequence[int] = SIZES) -> Section:
    """The section of the report on the size of bodies."""
    section = Section("Cost by the size of the body")
    case = case_of("sum")
    found: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        model = case.write(Path(folder) / "model.onnx", 0)
        servers = servers_of(case.name, model, Path(folder), where=FREE)
        floor = _floor(model)
        with all_started(servers) as running:
            for size in sizes:
                body = body_of(size)
                for name, server in running.items():
                    found.setdefault(name, {})[size] = _asked(server, body, seconds)
                found.setdefault(FLOOR, {})[size] = seconds_of(partial(floor, body), seconds)
    section.notes = ["Milliseconds a request, medians; one client. The model adds the numbers up."]
    rows = [
        (
            name,
            *(milliseconds(times[size]) for size in sizes),
            *(f"{found[DEFAULT][size] / times[size]:.2f}" for size in sizes),
        )
        for name, times in found.items()
    ]
    columns = ("server", *map(_written, sizes), *(f"ours ÷ it, {_written(size)}" for size in sizes))
    section.tables = [Table("Time a request", columns, rows)]
    lines = {name: [(float(size), times[size] * 1e3) for size in sizes] for name, times in found.items()}
    section.plots = [Plot("body-size", "Time a request by the size of its body", "bytes", "ms", lines)]
    section.facts = {f"body of {size}, {name}": [times[size]] for name, times in found.items() for size in sizes}
    return section


def body_of(size: int) -> bytes:
    """A request of about ``size`` bytes; the smallest has one number."""
    count = max(1, (size - 15) // NUMBER_BYTES)
    if count == 1:
        return b'{"inputs":[[1]]}'
    return json.dumps({"inputs": [np.random.default_rng(7).random(count).tolist()]}).encode()


def _asked(server: Running, body: bytes, seconds: float) -> float:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)) as client:

        def ask() -> None:
            client.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = client.getresponse()
            told = response.read()
            if response.status != 200:
                raise RuntimeError(f"a body of {len(body)} bytes was answered {response.status}: {told[:200]!r}")

        return seconds_of(ask, seconds)


def _floor(model: Path) -> Callable[[bytes], object]:
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def predict(body: bytes) -> bytes:
        inputs = np.array(orjson.loads(body)["inputs"], np.float32)
        (output,) = session.run(None, {"input": inputs})
        return orjson.dumps({"output": output}, option=orjson.OPT_SERIALIZE_NUMPY)

    return predict


def _written(size: int) -> str:
    for unit, name in ((1_000_000, "MB"), (1_000, "KB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


if __name__ == "__main__":
    main()
