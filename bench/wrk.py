"""Asks a server by ``wrk``, which must be there, and tells what was felt."""

import json
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.processes import FREE, Running, clients_cores, on_cores
from bench.procfs import await_quiet, busy_seconds, computed_seconds

MISSING = "wrk is not there; on Debian and Ubuntu: apt install wrk"
JSON = "application/json"
_MARK = "felt "
_SCRIPT = """
local asked = {}
function init(args)
  local file = io.open(%(body)s, "rb")
  local body = file:read("*a")
  file:close()
  for path in string.gmatch(%(paths)s, "%%S+") do
    asked[#asked + 1] = wrk.format("POST", path, {%(headers)s}, body)
  end
end
local turn = 0
function request()
  turn = turn %% #asked + 1
  return asked[turn]
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('%(mark)s{"requests":%%d,"microseconds":%%d,"failures":%%d,"p50":%%f,"p99":%%f,"max":%%f}\\n',
    summary.requests, summary.duration, errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""


@dataclass(frozen=True, slots=True)
class Felt:
    """What ``wrk`` saw: answers a second, latencies in seconds, what was no 2xx or no answer; and what it cost.

    ``server`` and ``client`` are processor seconds a request, ``busy`` the cores that both kept busy, ``others`` those
    that everything else on the machine did.
    """

    rate: float
    p50: float
    p99: float
    longest: float
    failures: int
    server: float = float("nan")
    client: float = float("nan")
    busy: float = float("nan")
    others: float = float("nan")


def require() -> None:
    """Raises SystemExit, with the way out, where there is no ``wrk``."""
    if shutil.which("wrk") is None:
        raise SystemExit(MISSING)


def script(
    folder: Path,
    body: bytes,
    *,
    paths: Sequence[str] = ("/predict",),
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Path:
    """A script for ``wrk`` in ``folder``: ``body`` to each of ``paths`` in turn, with further ``headers``."""
    folder.mkdir(parents=True, exist_ok=True)
    sent = folder / "body"
    sent.write_bytes(body)
    asking = folder / "ask.lua"
    sends = {"Content-Type": media_type, **(headers or {})}
    values = {
        "body": json.dumps(str(sent)),
        "paths": json.dumps(" ".join(paths)),
        "headers": ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in sends.items()),
        "mark": _MARK,
    }
    asking.write_text(_SCRIPT % values, encoding="utf-8")
    return asking


def ask(server: Running, asking: Path, *, connections: int, seconds: int, where: str = FREE) -> Felt:
    """``connections`` that ask without a pause for ``seconds``; ends when the server is through with what they left."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(asking)]
    all_, theirs, mine, start = busy_seconds(), computed_seconds(server.pid), _children_seconds(), time.perf_counter()
    with on_cores(clients_cores(where)):
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{server.port}"],
            capture_output=True,
            check=True,
            text=True,
            timeout=seconds + 120,
        )
    took = time.perf_counter() - start
    ours = (computed_seconds(server.pid) - theirs, _children_seconds() - mine)
    others = max(0.0, busy_seconds() - all_ - sum(ours)) / took
    await_quiet(server.pid)
    return replace(felt_of(done.stdout, *ours, took), others=others)


def felt_of(said: str, server_seconds: float, client_seconds: float, took: float) -> Felt:
    """What the script's last line tells; the seconds are what server and client computed meanwhile."""
    line = next((line for line in said.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise RuntimeError(f"wrk did not say what it felt: {said[-1000:]}")
    told = json.loads(line.removeprefix(_MARK))
    requests = max(1, told["requests"])
    return Felt(
        rate=told["requests"] / (told["microseconds"] / 1e6),
        p50=told["p50"] / 1e6,
        p99=told["p99"] / 1e6,
        longest=told["max"] / 1e6,
        failures=int(told["failures"]),
        server=server_seconds / requests,
        client=client_seconds / requests,
        busy=(server_seconds + client_seconds) / took,
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
