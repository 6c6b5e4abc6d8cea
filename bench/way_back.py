"""A rollback without others: from its request to the first answer by the release that it led to; part of ``swap``."""

import http.client
import time
from collections.abc import Sequence
from contextlib import closing

from bench.daemon_under_test import DaemonUnderTest
from bench.figures import median
from bench.models import Case
from bench.page import Facts, Table, milliseconds

STAGES = ("store", "gate", "gate.replay", "load", "swap")
"""Of the ``live`` event: what a rollback's time is spent on."""
ALONE_REQUESTS = 7


def measure(daemon: DaemonUnderTest, case: Case, name: str, facts: Facts) -> None:
    """From the rollback's request to an answer by the release that it led to, and what of it is not the prediction."""
    body = case.body
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)) as client:
        usual = median([_asked(client, "/predict", body)[0] for _ in range(ALONE_REQUESTS)])
        for _ in range(2):  # there and back again
            last = daemon.last_event()
            rolling, _told = _asked(client, "/models/default/rollback", b"")
            answering, sha256 = _asked(client, "/predict", body)
            if sha256 != daemon.get("/models/default")["sha256"]:
                raise RuntimeError("the answer after the rollback is not by the release that it led to")
            found = daemon.await_live(str(sha256), last)["seconds"]
            for stage in STAGES:
                facts.setdefault(f"rollback's {stage}, {name}", []).append(found.get(stage, 0.0))
            facts.setdefault(f"rollback alone, {name}", []).append(rolling + answering)
            facts.setdefault(f"one request, {name}", []).append(usual)
            facts.setdefault(f"way back, {name}", []).append(rolling + answering - usual)


def _asked(client: http.client.HTTPConnection, path: str, body: bytes) -> tuple[float, str | None]:
    """Seconds of a POST, and the hash of the model that answered it."""
    start = time.monotonic()
    client.request("POST", path, body)
    response = client.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"POST {path} was answered {response.status}")
    return time.monotonic() - start, response.getheader("X-Model-SHA256")


def table(names: Sequence[str], facts: Facts) -> Table:
    """One row a model."""
    columns = ("model", "request to first answer by the old release", "one request", "beyond it", *STAGES)
    parts = ("rollback alone", "one request", "way back", *(f"rollback's {stage}" for stage in STAGES))
    rows = [(name, *(milliseconds(median(facts[f"{part}, {name}"])) for part in parts)) for name in names]
    return Table("A rollback without others, milliseconds", columns, rows)
