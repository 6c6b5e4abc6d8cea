"""Starts servers as processes of their own, on the cores that they are to have, and ends them."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCH_ENVIRONMENT = ROOT / ".venv-bench"
"""What is measured beside the daemon and the product never installs; ``make bench-env`` makes it."""
CORES = sorted(os.sched_getaffinity(0))
FREE, PINNED = "free", "pinned"
"""Where a server runs: on all cores, beside its clients; or on the first, and they on the last."""
MOST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server: its port on 127.0.0.1, and its process."""

    port: int
    pid: int


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """What this thread starts in the block runs on ``cores`` alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def servers_cores(where: str) -> list[int]:
    """The cores of a server that is ``free`` or ``pinned``."""
    return CORES[:1] if where == PINNED else CORES


def clients_cores(where: str) -> list[int]:
    """The cores of its clients."""
    return CORES[-1:] if where == PINNED else CORES


@contextmanager
def started(
    command: Sequence[str],
    folder: Path,
    *,
    variables: Mapping[str, str] | None = None,
    source: Path = ROOT,
    port: int = 0,
    where: str = FREE,
) -> Iterator[Running]:
    """A server until the block ends: one that prints ``ready http://127.0.0.1:PORT``, or is to listen on ``port``.

    ``folder`` is where its standard error goes, ``source`` where its Python code lies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(source), "ORT_DISABLE_TELEMETRY": "1", **(variables or {})}
    said = folder / "stderr.txt"
    with said.open("wb") as stderr, on_cores(servers_cores(where)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment, cwd=source)
    try:
        found = _await_port(process, port) if port else _announced_port(process)
        if not found:
            raise RuntimeError(f"{command[-1]} did not start: {said.read_text(errors='replace')[-2000:]}")
        yield Running(found, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def all_started(servers: Mapping[str, AbstractContextManager[Running]]) -> Iterator[dict[str, Running]]:
    """All of them at a time, since each start takes a second; what starts is ended with the block.

    What does not start is left out, and told: it is not to cost the others their minutes.
    """
    with ExitStack() as stack, ThreadPoolExecutor(len(servers)) as threads:
        entering = {name: threads.submit(server.__enter__) for name, server in servers.items()}
        for name, entered in entering.items():
            if (failure := entered.exception()) is None:
                stack.push(servers[name].__exit__)
            else:
                print(f"{name} is left out: {failure}", file=sys.stderr)
        yield {name: entered.result() for name, entered in entering.items() if entered.exception() is None}


def free_port() -> int:
    """A port that nobody has, for servers that do not say which they took."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _announced_port(process: "subprocess.Popen[bytes]") -> int:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], MOST_SECONDS)[0]:
        return 0
    said = process.stdout.readline().decode()
    return int(said.split()[1].rpartition(":")[2]) if said.startswith("ready ") else 0


def _await_port(process: "subprocess.Popen[bytes]", port: int) -> int:
    due = time.monotonic() + MOST_SECONDS
    while time.monotonic() < due and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return port
        time.sleep(0.02)
    return 0
