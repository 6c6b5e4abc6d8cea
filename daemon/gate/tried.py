"""A candidate that came through its trial, at hand to be run in its process. Used by the deployer's thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from daemon.errors import Rejected
from daemon.gate.proofs import Proof
from daemon.gate.testimony import unreadable
from daemon.runtime import Array, Output
from daemon.trial import Ended, Lost, Overdue, TrialProcess

GRACE_SECONDS = 1.0
"""Beyond a run's own deadline, after which its process counts as hung."""
LOAD_SECONDS = 60.0
"""For what is known to load."""
CANDIDATE = "candidate"
LOADING_ANOTHER = "another model was loaded"


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: its outputs and the seconds that it took; or ``failed``, the kind of failure, and ``reason``."""

    outputs: list[Output]
    seconds: float = 0.0
    failed: str = ""
    reason: str = ""


class Tried(Protocol):
    """A candidate that can be run, and the proof of it. Every method raises Rejected("trial") when its process dies."""

    @property
    def proof(self) -> Proof:
        """What it showed of itself."""

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = CANDIDATE) -> Ran:
        """One run of the candidate, or of the other model that was ``load``ed."""

    def load(self, name: str, model_file: Path) -> None:
        """Loads another model that is known to run, such as what serves; raises Rejected when that fails."""

    def read_test_data(self, folder: Path) -> tuple[dict[str, Array], dict[str, Output]]:
        """ONNX's test data in ``folder``: inputs and outputs by name. Raises Rejected when it cannot be read."""


Start = Callable[[], TrialProcess]
"""Gives a process in which the candidate is loaded."""


class InProcess:
    """A candidate in a process that is started, or started again, when it is first needed."""

    def __init__(
        self,
        proof: Proof,
        start: Start,
        loading: Callable[[Path], Mapping[str, object]],
        *,
        running: TrialProcess | None = None,
    ) -> None:
        self.proof = proof
        self._start = start
        self._loading = loading
        self._process = running
        self._others: dict[str, Path] = {}  # loaded beside the candidate, and again where it is started again

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = CANDIDATE) -> Ran:
        asked = {"do": "run", "on": on, "inputs": dict(inputs), "seconds": timeout_seconds}
        answer = self._ask(asked, timeout_seconds + GRACE_SECONDS, "it ran on an example")
        if "failed" in answer:
            return Ran([], failed=str(answer["failed"]), reason=str(answer.get("reason", "")))
        try:
            ran = Ran(list(answer["outputs"]), float(answer["seconds"]))
        except (KeyError, TypeError, ValueError):
            raise unreadable() from None
        if on == CANDIDATE and len(ran.outputs) != len(self.proof.signature.outputs):
            raise unreadable()
        return ran

    def load(self, name: str, model_file: Path) -> None:
        self._ask(self._load_of(name, model_file), LOAD_SECONDS, LOADING_ANOTHER)
        self._others[name] = model_file

    def read_test_data(self, folder: Path) -> tuple[dict[str, Array], dict[str, Output]]:
        answer = self._ask({"do": "read", "folder": str(folder)}, LOAD_SECONDS, "its test data was read")
        try:
            inputs, outputs = dict(answer["inputs"]), dict(answer["outputs"])
        except (KeyError, TypeError, ValueError):
            raise unreadable() from None
        if not outputs.keys() <= {spec.name for spec in self.proof.signature.outputs}:
            raise unreadable()
        return inputs, outputs

    def close(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _ask(self, asked: Mapping[str, object], seconds: float, doing: str) -> dict[str, Any]:
        for is_last in (False, True):
            try:
                answer = self._started().ask(asked, seconds=seconds, doing=doing)
            except Ended as end:
                self.close()
                raise Rejected("trial", str(end)) from None
            except Overdue:
                self.close()
                raise Rejected("trial", f"no answer within {seconds:g} seconds while {doing}") from None
            except Lost:
                self.close()
                if is_last:
                    raise Rejected("trial", f"its process was lost twice while {doing}") from None
                continue
            if "refused" in answer:
                raise Rejected("golden" if asked["do"] == "read" else "trial", str(answer["refused"]))
            return answer
        raise AssertionError("unreachable")

    def _started(self) -> TrialProcess:
        """The process, with everything loaded that is to be run in it."""
        if self._process is None:
            self._process = self._start()
            for name, model_file in self._others.items():
                self._process.ask(self._load_of(name, model_file), seconds=LOAD_SECONDS, doing=LOADING_ANOTHER)
        return self._process

    def _load_of(self, name: str, model_file: Path) -> Mapping[str, object]:
        return {"do": "load", "as": name, **self._loading(model_file)}
