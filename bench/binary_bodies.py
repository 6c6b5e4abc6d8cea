"""The same serving with bodies of the Open Inference Protocol's binary form, both ways: what remains without JSON.

Beside ``bench.serving``, on whose servers it is measured: ours, by 32 connections, in each configuration. The bytes are
those that Triton's own client sends, and as it does, without a content type of JSON.
"""

import http.client
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import orjson

from bench import wrk
from bench.cells import Cell
from bench.configurations import CONFIGURATIONS
from bench.figures import median
from bench.models import Case
from bench.page import Facts, Table, milliseconds, number
from bench.processes import FREE, Running

PATH = "/v2/models/default/infer"
HEADER = "Inference-Header-Content-Length"
MEDIA_TYPE = "application/octet-stream"
CASE, CONNECTIONS = "mlp", 32
CELL = Cell(CASE, FREE, CONNECTIONS)
RATE, P99 = "rate of binary bodies", "p99 of binary bodies"


def measure(case: Case, servers: Mapping[str, Running], folder: Path, facts: Facts, *, seconds: int) -> None:
    """One round of all servers of ours that take such a body."""
    for name in (each.name for each in CONFIGURATIONS):
        server = servers.get(name)
        input_name = None if server is None else _input_of(server)
        if server is None or input_name is None:
            continue
        body, headers = body_of(case, input_name)
        asking = wrk.script(folder / "ask-binary", body, paths=[PATH], media_type=MEDIA_TYPE, headers=headers)
        felt = wrk.ask(server, asking, connections=CONNECTIONS, seconds=seconds)
        if felt.failures:
            raise RuntimeError(f"{name} failed {felt.failures} requests with binary bodies")
        facts.setdefault(CELL.key(RATE, name), []).append(felt.rate)
        facts.setdefault(CELL.key(P99, name), []).append(felt.p99)


def tables(facts: Facts) -> Sequence[Table]:
    """The table, where anything was measured."""
    names = [each.name for each in CONFIGURATIONS if CELL.key(RATE, each.name) in facts]
    rows = [
        (name, number(median(facts[CELL.key(RATE, name)])), milliseconds(median(facts[CELL.key(P99, name)])))
        for name in names
    ]
    title = f"{CASE}, {CONNECTIONS} connections, body and answer in binary (Open Inference Protocol)"
    return [Table(title, ("server", "requests/s", "p99 ms"), rows)] if rows else []


def body_of(case: Case, input_name: str) -> tuple[bytes, Mapping[str, str]]:
    """A request for all outputs in binary, and the header that says where its JSON ends."""
    blob = case.inputs.tobytes()
    entry = {
        "name": input_name,
        "shape": case.inputs.shape,
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(blob)},
    }
    head = orjson.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}})
    return head + blob, {HEADER: str(len(head))}


def _input_of(server: Running) -> str | None:
    """The name of the model's input, where the server speaks the protocol."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        client.request("GET", "/v2/models/default")
        response = client.getresponse()
        told = response.read()
        return str(orjson.loads(told)["inputs"][0]["name"]) if response.status == 200 else None
