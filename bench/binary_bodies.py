"""The same serving with bodies of the Open Inference Protocol's binary form, both ways: what remains without JSON.

Beside ``bench.serving``, on whose servers it is measured: ours, in the cells that an aim speaks of. The bytes are those
that Triton's own client sends, and as it does, without a content type of JSON.
"""

import http.client
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import orjson

from bench import wrk
from bench.cells import Cell
from bench.configurations import CONFIGURATIONS, DEFAULT
from bench.figures import median
from bench.models import Case
from bench.page import Facts, Table, milliseconds, number
from bench.processes import FREE, Running
from daemon.web.open_inference.datatypes import DATATYPES

PATH = "/v2/models/default/infer"
HEADER = "Inference-Header-Content-Length"
MEDIA_TYPE = "application/octet-stream"
CELLS: Mapping[Cell, Sequence[str]] = {
    Cell("mlp", FREE, 32): [each.name for each in CONFIGURATIONS],
    Cell("cnn", FREE, 8): [DEFAULT],
    Cell("encoder", FREE, 8): [DEFAULT],
}
"""Where it is measured, and of which servers."""
RATE, P99 = "rate of binary bodies", "p99 of binary bodies"


def measure(
    cell: Cell, case: Case, servers: Mapping[str, Running], folder: Path, facts: Facts, *, seconds: int
) -> None:
    """One round in ``cell``."""
    for name in CELLS[cell]:
        if name not in servers:
            continue
        body, headers = body_of(case, _input_of(servers[name]))
        asking = wrk.script(folder / "ask-binary", body, paths=[PATH], media_type=MEDIA_TYPE, headers=headers)
        felt = wrk.ask(servers[name], asking, connections=cell.connections, seconds=seconds)
        if felt.failures:
            raise RuntimeError(f"{name} failed {felt.failures} requests with binary bodies")
        facts.setdefault(cell.key(RATE, name), []).append(felt.rate)
        facts.setdefault(cell.key(P99, name), []).append(felt.p99)


def tables(facts: Facts) -> Sequence[Table]:
    """The table, where anything was measured."""
    rows = [
        (
            f"{cell.case}, {cell.connections} conn.",
            name,
            number(median(facts[cell.key(RATE, name)])),
            milliseconds(median(facts[cell.key(P99, name)])),
        )
        for cell, names in CELLS.items()
        for name in names
        if cell.key(RATE, name) in facts
    ]
    title = "Body and answer in binary (Open Inference Protocol), cores free"
    return [Table(title, ("model", "server", "requests/s", "p99 ms"), rows)] if rows else []


def body_of(case: Case, input_name: str) -> tuple[bytes, Mapping[str, str]]:
    """A request for all outputs in binary, and the header that says where its JSON ends."""
    blob = case.inputs.tobytes()
    entry = {
        "name": input_name,
        "shape": case.inputs.shape,
        "datatype": DATATYPES[case.inputs.dtype.name],
        "parameters": {"binary_data_size": len(blob)},
    }
    head = orjson.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}})
    return head + blob, {HEADER: str(len(head))}


def _input_of(server: Running) -> str:
    """The name of the model's input."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        client.request("GET", "/v2/models/default")
        return str(orjson.loads(client.getresponse().read())["inputs"][0]["name"])
