"""Stand-ins for an engine and its loader, and plain values; what they were asked to do can be asked of them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.gate import Proof, Subject
from daemon.gate.tried import Ran
from daemon.release import Release, Signature, TensorSpec
from daemon.runtime import Array, Engine, Output, first_run
from daemon.trial import Interrupted
from daemon.web.asking import Asked, Target

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


def asked(body: bytes, target: Target | None = None, **fields: str) -> Asked:
    """A request with this body; ``fields`` are of its WSGI environment."""
    length = str(len(body))
    return Asked(target or Target(), {"CONTENT_LENGTH": length, "wsgi.input": BytesIO(body), **fields})


class FakeEngine:
    """Answers every run with ``value``; a run after ``close`` fails the test that asked for it.

    From the run on whose number is ``fails_from``, every run fails.
    """

    def __init__(self, value: float = 0.0) -> None:
        self.signature = SIGNATURE
        self.metadata: Mapping[str, object] = {"producer": "tests"}
        self.value = value
        self.runs = 0
        self.fails_from = 1_000_000
        self.closes = 0
        self.closed = threading.Event()

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]], *, timeout_seconds: float) -> list[Output]:
        assert not self.closed.is_set(), "run after close"
        self.runs += 1
        if self.runs >= self.fails_from:
            raise InferenceFailed("an operator gave up")
        return [np.full((len(inputs["input"]), 1), self.value, np.float32)]

    def close(self) -> None:
        self.closes += 1
        self.closed.set()


class FakeTried:
    """A candidate that answers every run with ``value``, and the proof that it is one."""

    def __init__(self, value: float = 0.0, signature: Signature = SIGNATURE) -> None:
        self.proof = Proof(signature, {"producer": "tests"}, {"runs": []})
        self.value = value
        self.loaded: list[tuple[str, Path]] = []
        self.ran: list[Mapping[str, Array]] = []

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = "candidate") -> Ran:
        self.ran.append(inputs)
        return Ran([np.full((len(inputs["input"]), 1), self.value, np.float32)], 0.001)

    def load(self, name: str, model_file: Path) -> None:
        self.loaded.append((name, model_file))

    def read_test_data(self, folder: Path) -> tuple[dict[str, Array], dict[str, Output]]:
        raise Rejected("golden", f"there is no test data in {folder.name}")


class ScriptedTried(FakeTried):
    """A candidate that answers each run by ``answer``, which may raise what an engine or a trial's process would.

    ``live`` answers in the same way for the release that serves, once it is loaded beside. ``seconds`` is what a run
    of each is said to take, ``test_data`` what ONNX's folders hold by their names.
    """

    def __init__(self, answer: Callable[[Mapping[str, Array]], list[Output]], signature: Signature = SIGNATURE) -> None:
        super().__init__(signature=signature)
        self.answer = answer
        self.live: Callable[[Mapping[str, Array]], list[Output]] = lambda _: []
        self.seconds = {"candidate": 0.001, "live": 0.001}
        self.test_data: dict[str, tuple[dict[str, Array], dict[str, Output]]] = {}
        self.ran_on: list[str] = []

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = "candidate") -> Ran:
        self.ran.append(inputs)
        self.ran_on.append(on)
        try:
            outputs = self.answer(inputs) if on == "candidate" else self.live(inputs)
        except (InvalidInput, InferenceFailed, RunTimeout) as error:
            return Ran([], failed=type(error).__name__, reason=str(error))
        return Ran(outputs, self.seconds[on])

    def read_test_data(self, folder: Path) -> tuple[dict[str, Array], dict[str, Output]]:
        if folder.name not in self.test_data:
            return super().read_test_data(folder)
        return self.test_data[folder.name]


class FakeTrial:
    """Proves every file that holds a number, and refuses every other, and those whose content is in ``refuses``.

    While ``held`` is set, a trial says so by ``begun`` and waits for ``let_go``, looking after ``meanwhile``; it is
    interrupted by ``end``.
    """

    name = "trial"

    def __init__(self) -> None:
        self.tried: list[Path] = []
        self.held = False
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.meanwhile: Callable[[], None] = lambda: None
        self.signature = SIGNATURE
        self.refuses: dict[str, str] = {}
        self._is_ending = False

    def end(self) -> None:
        """The daemon stops."""
        self._is_ending = True
        self.let_go.set()

    @contextmanager
    def of(self, subject: Subject) -> Iterator[FakeTried]:
        self.tried.append(subject.candidate.path)
        if self.held:
            self.begun.set()
            due = time.monotonic() + WAIT_SECONDS
            while not self.let_go.wait(0.005):
                assert time.monotonic() < due
                self.meanwhile()
        if self._is_ending:
            raise Interrupted
        content = subject.candidate.path.read_text()
        if content in self.refuses:
            raise Rejected("trial", self.refuses[content])
        try:
            value = float(content)
        except ValueError:
            raise Rejected("trial", "it holds no number") from None
        yield FakeTried(value, self.signature)


class InlineTried:
    """A candidate that is really loaded, in this process."""

    def __init__(self, engine: Engine) -> None:
        self.proof = Proof(engine.signature, engine.metadata, {"runs": []})
        self._engine = engine

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = "candidate") -> Ran:
        try:
            return Ran(self._engine.run(inputs, timeout_seconds=timeout_seconds), 0.001)
        except (InvalidInput, InferenceFailed, RunTimeout) as error:
            return Ran([], failed=type(error).__name__, reason=str(error))

    def load(self, name: str, model_file: Path) -> None:
        raise Rejected("trial", "there is room for one model")

    def read_test_data(self, folder: Path) -> tuple[dict[str, Array], dict[str, Output]]:
        raise Rejected("golden", f"there is no test data in {folder.name}")


class InlineTrial:
    """A trial without a process of its own, for tests of what lies above: it loads and runs the model for real."""

    name = "trial"

    def __init__(self, load: Callable[[Path], Engine]) -> None:
        self._load = load

    @contextmanager
    def of(self, subject: Subject) -> Iterator[InlineTried]:
        try:
            engine = self._load(subject.candidate.path)
        except Rejected as refusal:
            raise Rejected("trial", refusal.reason) from None
        try:
            first_run(engine, timeout_seconds=1)
            yield InlineTried(engine)
        finally:
            engine.close()


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


class Clock:
    """What a module takes for the time, in place of ``time``; ``step`` is for whoever makes it later with every act."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0

    def monotonic(self) -> float:
        return self.now
