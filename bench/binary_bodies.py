"""The same serving with NumPy's own form as the body, where the daemon takes it: what remains without JSON.

Beside ``bench.serving``, on whose servers it is measured: ours, by 32 connections, in each configuration.
"""

import http.client
import io
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from bench import wrk
from bench.cells import Cell
from bench.configurations import CONFIGURATIONS
from bench.figures import median
from bench.models import Case
from bench.page import Facts, Table, milliseconds, number
from bench.processes import FREE, Running

MEDIA_TYPE = "application/x-npy"
CASE, CONNECTIONS = "mlp", 32
CELL = Cell(CASE, FREE, CONNECTIONS)
RATE, P99 = "rate of npy bodies", "p99 of npy bodies"


def measure(case: Case, servers: Mapping[str, Running], folder: Path, facts: Facts, *, seconds: int) -> None:
    """One round of all servers of ours that take such a body."""
    asking = wrk.script(folder / "ask-npy", _body(case), media_type=MEDIA_TYPE)
    for name in (each.name for each in CONFIGURATIONS):
        if name in servers and _is_taken(servers[name], case):
            felt = wrk.ask(servers[name], asking, connections=CONNECTIONS, seconds=seconds)
            facts.setdefault(CELL.key(RATE, name), []).append(felt.rate)
            facts.setdefault(CELL.key(P99, name), []).append(felt.p99)


def tables(facts: Facts) -> Sequence[Table]:
    """The table, where anything was measured."""
    names = [each.name for each in CONFIGURATIONS if CELL.key(RATE, each.name) in facts]
    rows = [
        (name, number(median(facts[CELL.key(RATE, name)])), milliseconds(median(facts[CELL.key(P99, name)])))
        for name in names
    ]
    title = f"{CASE}, {CONNECTIONS} connections, body in NumPy's form"
    return [Table(title, ("server", "requests/s", "p99 ms"), rows)] if rows else []


def _body(case: Case) -> bytes:
    written = io.BytesIO()
    np.save(written, case.inputs)
    return written.getvalue()


def _is_taken(server: Running, case: Case) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        client.request("POST", "/predict", _body(case), {"Content-Type": MEDIA_TYPE})
        response = client.getresponse()
        response.read()
        return response.status == 200
