"""Starts the daemon in a folder of its own, for a benchmark, and asks it what a benchmark wants to know."""

import hashlib
import http.client
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from bench.models import Case
from bench.processes import FREE, ROOT, Running, started

CONFIG: Mapping[str, Any] = {"server": {"port": 0}, "log": {"file": ""}}
MOST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class DaemonUnderTest:
    """A running daemon, and the folder that has its config, its drop directory and its state."""

    folder: Path
    running: Running

    @property
    def drop(self) -> Path:
        return self.folder / "model_drop"

    @property
    def port(self) -> int:
        return self.running.port

    @property
    def pid(self) -> int:
        return self.running.pid

    def get(self, path: str) -> Any:
        """The JSON at ``path``."""
        return self._asked("GET", path, None)[1]

    def post(self, path: str, value: object = None) -> Any:
        """The JSON that a POST of ``value`` is answered with; raises RuntimeError unless that is 200."""
        status, told = self._asked("POST", path, b"" if value is None else orjson.dumps(value))
        if status != 200:
            raise RuntimeError(f"POST {path} was answered {status}: {told}")
        return told

    def last_event(self) -> int:
        """The id of the newest event."""
        return int(self.get("/events?limit=0")["last"])

    def await_live(self, sha256: str, after: int = 0) -> dict[str, Any]:
        """The ``live`` event of these bytes since the event ``after``.

        By a long poll, so that whoever waits leaves the cores to the daemon. Raises RuntimeError after two minutes.
        """
        due = time.monotonic() + MOST_SECONDS
        while time.monotonic() < due:
            found = self.get(f"/events?after={after}&wait=10")
            for event in found["events"]:
                if event.get("sha256") == sha256 and event["event"] in ("live", "rejected"):
                    if event["event"] == "rejected":
                        raise RuntimeError(f"the model was rejected: {event}")
                    return dict(event)
            after = found["last"]
        raise RuntimeError(f"the new model does not serve after {MOST_SECONDS} s")

    def deploy(self, case: Case, seed: int) -> str:
        """Writes a model, drops it, and waits until it serves; gives its hash."""
        model = case.write(self.folder / f"on_its_way_{seed}.onnx", seed)
        sha256, last = sha256_of(model), self.last_event()
        model.rename(self.drop / f"model_{seed}.onnx")
        self.await_live(sha256, last)
        return sha256

    def _asked(self, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=MOST_SECONDS)) as client:
            client.request(method, path, body)
            response = client.getresponse()
            return response.status, orjson.loads(response.read())


@contextmanager
def running(
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    variables: Mapping[str, str] | None = None,
    source: Path = ROOT,
    where: str = FREE,
) -> Iterator[DaemonUnderTest]:
    """A daemon on ``folder`` until the block ends: the defaults, but for sections in ``settings`` and ``variables``.

    ``source`` is where its code lies.
    """
    command = command_of(folder, settings, source=source)
    with started(command, folder, variables=variables, source=source, where=where) as daemon:
        yield DaemonUnderTest(folder, daemon)


def command_of(folder: Path, settings: Mapping[str, Any] | None = None, *, source: Path = ROOT) -> list[str]:
    """The command that runs a daemon on ``folder``, whose config is written."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, **(settings or {})}), encoding="utf-8")
    return [sys.executable, str(source / "run_daemon.py"), "--config", str(config)]


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
