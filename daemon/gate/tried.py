"""A candidate that came through its trial, at hand to be run in its process. Used by the deployer's thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from daemon.errors import Rejected
from daemon.gate.proofs import Proof
from daemon.runtime import Array, Output
from daemon.trial import Ended, Lost, Overdue, TrialProcess

GRACE_SECONDS = 1.0
"""Beyond a run's own deadline, after which its process counts as hung."""
LOAD_SECONDS = 60.0
"""For what is known to load."""


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

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = "candidate") -> Ran:
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

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float, on: str = "candidate") -> Ran:
        asked = {"do": "run", "on": on, "inputs": dict(inputs), "seconds": timeout_seconds}
        answer = self._ask(asked, timeout_seconds + GRACE_SECONDS, "it ran on an example")
        if "failed" in answer:
            return Ran([], failed=str(answer["failed"]), reason=str(answer.get("reason", "")))
        return Ran(list(answer["outputs"]), float(answer["seconds"]))

    def load(self, name: str, model_file: Path) -> None:
        self._ask({"do": "load", "as": name, **self._loading(model_file)}, LOAD_SECONDS, "another model was loaded")

    def read_test_data(self, folder: Path) -> tuple[dict[str, Array], dict[str, Output]]:
        answer = self._ask({"do": "read", "folder": str(folder)}, LOAD_SECONDS, "its test data was read")
        return dict(answer["inputs"]), dict(answer["outputs"])

    def close(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _ask(self, asked: Mapping[str, object], seconds: float, doing: str) -> dict[str, Any]:
        for is_last in (False, True):
            if self._process is None:
                self._process = self._start()
            try:
                answer = self._process.ask(asked, seconds=seconds, doing=doing)
                if "refused" in answer:
                    raise Rejected("golden" if asked["do"] == "read" else "trial", str(answer["refused"]))
                return answer
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
        raise AssertionError("unreachable")
