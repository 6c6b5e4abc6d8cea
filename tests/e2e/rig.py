"""A real daemon as a process of its own, in folders of its own, and a small client to it."""

import http.client
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import orjson
import yaml

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
WAIT_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """What an HTTP request came back with."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Rig:
    """One folder with a config file, a drop directory and a state directory, and the daemon that runs on them.

    ``settings`` are merged into the config file, section by section.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    port: int = 0
    front: str = "waitress"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.drop.mkdir(exist_ok=True)

    @property
    def drop(self) -> Path:
        return self.folder / "model_drop"

    @property
    def working_directory(self) -> Path:
        return self.folder / "cwd"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> str:
        """What the daemon wrote to its log file."""
        path = self.folder / "logs" / "daemon.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr.txt").read_text(encoding="utf-8")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def write_config(self) -> Path:
        settings: dict[str, Any] = {
            "server": {"port": 0, "front": self.front},
            "watch": {"rescan_seconds": 0.5, "settle_ms": 100, "incomplete_seconds": 2},
        }
        for section, values in self.settings.items():
            settings[section] = {**settings.get(section, {}), **values} if isinstance(values, dict) else values
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
        return path

    def spawn(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """The daemon's process, started and not waited for, in a working directory that no path should depend on."""
        self.working_directory.mkdir(exist_ok=True)
        with (self.folder / "stderr.txt").open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "run_daemon.py"), "--config", str(self.write_config()), *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                cwd=self.working_directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "1", **self.environment},
            )
        return self.process

    def start(self, *arguments: str) -> "Rig":
        """Starts the daemon and waits for its ``ready`` line."""
        line = self.wait_for_line(self.spawn(*arguments))
        assert line.startswith("ready "), f"{line!r}; stderr: {self.stderr}"
        address = line.split()[1]
        self.port = int(address.rpartition(":")[2]) if address.startswith("http://") else 0
        return self

    def wait_for_line(self, process: "subprocess.Popen[bytes]") -> str:
        """The next line of the daemon's stdout; empty when it ended without one."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(START_SECONDS), f"nothing on stdout in time; stderr: {self.stderr}"
        return process.stdout.readline().decode().rstrip()

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Signals the daemon and waits for its end; gives the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = 30.0) -> int:
        """Waits for the daemon's end; gives the exit code."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            if self.process.stdout is not None:
                self.process.stdout.close()

    def kill(self) -> None:
        """``kill -9``."""
        self.stop(signal.SIGKILL)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = 60.0,
    ) -> Answer:
        """One request on a connection of its own. ``body`` is sent as it is when it is bytes, else as JSON."""
        payload = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        sent = dict(headers or {})
        if payload is not None and not isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body=payload, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> Answer:
        return self.request("POST", path, body, **more)

    def predict(self, inputs: object = None, model: str | None = None) -> Answer:
        """A prediction; by default of ten ones."""
        path = "/predict" if model is None else f"/models/{model}/predict"
        return self.post(path, {"inputs": [[1.0] * 10] if inputs is None else inputs})

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/events?after={after}&limit=1000").json["events"]
        return found

    def wait_for_event(self, after: int = 0, seconds: float = WAIT_SECONDS, **wanted: object) -> dict[str, Any]:
        """The first event beyond the id ``after`` whose fields are ``wanted``: ``wait_for_event(event="live")``."""
        deadline = time.monotonic() + seconds
        seen: list[dict[str, Any]] = []
        while (left := deadline - time.monotonic()) > 0:
            answer = self.get(f"/events?after={after}&wait={min(left, 5):.2f}&limit=1000").json
            for event in answer["events"]:
                if all(event.get(name) == value for name, value in wanted.items()):
                    return dict(event)
            seen += answer["events"]
            after = answer["last"]
        raise AssertionError(f"no event {wanted} in {seconds} s; there were {seen}")

    def last_id(self) -> int:
        """The newest event's id: what comes after it is new."""
        return int(self.get("/events?limit=0").json["last"])
