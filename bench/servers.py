"""The servers that take turns: ours in each configuration, ours as it was, what people write instead, and ceilings."""

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench import daemon_under_test
from bench.configurations import Variables, available
from bench.processes import BENCH_ENVIRONMENT, ROOT, Running, free_port, started

FLASK_DEV, FLASK_WAITRESS, FASTAPI = "flask-dev", "flask-waitress", "fastapi-uvicorn"
HELLO_WAITRESS, HELLO_GRANIAN = "hello-waitress", "hello-granian"
BEFORE = "modeldrop, before"
BEFORE_REVISION = "5ea8dc0"
"""The last commit without what keeps threads from passing the interpreter's lock between cores."""
BENCH_PYTHON = BENCH_ENVIRONMENT / "bin" / "python"
MOST_SECONDS = 60.0

Servers = dict[str, AbstractContextManager[Running]]


def servers_of(case: str, model: Path, folder: Path, *, where: str) -> Servers:
    """Every server that can be measured with ``model``, not yet started; each gets a folder in ``folder``."""
    servers: Servers = {
        name: ours(model, folder / name, variables=variables, where=where)
        for name, variables in available(case).items()
    }
    if case == "tiny" and (source := source_before(folder)) is not None:
        servers[BEFORE] = ours(model, folder / BEFORE, source=source, where=where)
    for kind in (FLASK_WAITRESS, FLASK_DEV):
        servers[kind] = started([sys.executable, "-m", "bench.peers", kind, str(model)], folder / kind, where=where)
    if BENCH_PYTHON.exists():
        servers[FASTAPI] = started(
            [str(BENCH_PYTHON), "-m", "bench.fastapi_peer", str(model)], folder / FASTAPI, where=where
        )
    if case == "tiny":
        servers |= _ceilings(folder, where)
    return servers


@contextmanager
def ours(
    model: Path, folder: Path, *, variables: Variables | None = None, source: Path = ROOT, where: str
) -> Iterator[Running]:
    """The daemon with ``model`` in its drop directory, until the block ends."""
    (folder / "model_drop").mkdir(parents=True)
    shutil.copyfile(model, folder / "model_drop" / "model.onnx")
    with daemon_under_test.running(folder, variables=variables, source=source, where=where) as daemon:
        due = time.monotonic() + MOST_SECONDS
        while daemon.get("/models/default").get("state") != "live":
            if time.monotonic() > due:
                raise RuntimeError(f"{folder.name} does not serve")
            time.sleep(0.05)
        yield daemon.running


def source_before(folder: Path) -> Path | None:
    """The code of ``BEFORE_REVISION``, from the repository's history; None where that is not there."""
    source = folder / "source-before"
    source.mkdir(parents=True)
    wanted = ["git", "archive", BEFORE_REVISION, "daemon", "run_daemon.py"]
    archived = subprocess.run(wanted, cwd=ROOT, capture_output=True, check=False, timeout=60)
    if archived.returncode:
        return None
    subprocess.run(["tar", "-x"], cwd=source, input=archived.stdout, check=True, timeout=60)
    return source


def _ceilings(folder: Path, where: str) -> Servers:
    bare = [sys.executable, "-m", "bench.peers", HELLO_WAITRESS, ""]
    servers: Servers = {HELLO_WAITRESS: started(bare, folder / HELLO_WAITRESS, where=where)}
    if importlib.util.find_spec("granian") is not None:
        port = free_port()
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
        granian = [*command, "--no-ws", "bench.peers:hello"]
        servers[HELLO_GRANIAN] = started(granian, folder / HELLO_GRANIAN, port=port, where=where)
    return servers
