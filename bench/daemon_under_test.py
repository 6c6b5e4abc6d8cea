"""Starts the daemon in a folder of its own, for a benchmark, and ends it."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG: Mapping[str, Any] = {"server": {"port": 0}, "log": {"file": ""}}


@dataclass(frozen=True, slots=True)
class DaemonUnderTest:
    """A running daemon: its drop directory and its port on 127.0.0.1."""

    drop: Path
    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[DaemonUnderTest]:
    """A daemon on ``folder`` until the block ends, with the default settings but for sections in ``settings``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, **settings}), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "1"}
    with (folder / "stderr.txt").open("wb") as stderr:
        command = [sys.executable, str(ROOT / "run_daemon.py"), "--config", str(config)]
        daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment)
    assert daemon.stdout is not None
    try:
        ready = daemon.stdout.readline().decode()
        if not ready.startswith("ready "):
            raise SystemExit(f"the daemon did not start: {(folder / 'stderr.txt').read_text()}")
        yield DaemonUnderTest(folder / "model_drop", int(ready.split()[1].rpartition(":")[2]))
    finally:
        daemon.terminate()
        daemon.wait(30)
        daemon.stdout.close()
