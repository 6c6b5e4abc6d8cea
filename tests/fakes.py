"""Stand-ins for an engine and its loader, and plain values; what they were asked to do can be asked of them."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from daemon.errors import Rejected
from daemon.release import Release, Signature, TensorSpec
from daemon.runtime import Output

SIGNATURE = Signature(
    inputs=(TensorSpec("input", "float32", ("batch", 2)),), outputs=(TensorSpec("output", "float32", ("batch", 1)),)
)
WAIT_SECONDS = 10.0


def release_of(version: int = 1, model: str = "default", *, sha256: str = "") -> Release:
    """A release that nothing backs."""
    sha256 = sha256 or f"{version:064x}"
    return Release(
        model=model,
        version=version,
        sha256=sha256,
        stored_as=f"{sha256}/__model__.onnx",
        model_path=f"model_drop/{version}.onnx",
        cause="dropped",
        time="2026-11-22T10:15:02.318Z",
        signature=SIGNATURE,
    )


class FakeEngine:
    """Answers every run with ``value``; a run after ``close`` fails the test that asked for it."""

    def __init__(self, value: float = 0.0) -> None:
        self.signature = SIGNATURE
        self.metadata: Mapping[str, object] = {"producer": "tests"}
        self.value = value
        self.runs = 0
        self.closed = threading.Event()

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]], *, timeout_seconds: float) -> list[Output]:
        assert not self.closed.is_set(), "run after close"
        self.runs += 1
        return [np.full((len(inputs["input"]), 1), self.value, np.float32)]

    def close(self) -> None:
        self.closed.set()


class FakeLoader:
    """Makes a ``FakeEngine`` of a file that holds a number, and refuses every other.

    While ``held`` is set, a load says so by ``loading`` and waits for ``let_go``.
    """

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []
        self.held = False
        self.loading = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, path: Path) -> FakeEngine:
        if self.held:
            self.loading.set()
            assert self.let_go.wait(WAIT_SECONDS)
        try:
            self.engines.append(FakeEngine(float(path.read_text())))
        except ValueError:
            raise Rejected("load", "it holds no number") from None
        return self.engines[-1]

    @property
    def open_engines(self) -> list[FakeEngine]:
        """Those that nobody has closed."""
        return [engine for engine in self.engines if not engine.closed.is_set()]
