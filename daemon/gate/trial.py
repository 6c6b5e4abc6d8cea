"""The check that loads a candidate and runs it once on synthesised inputs. It runs on the deployer's thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.gate.subject import Subject
from daemon.release import Signature
from daemon.runtime import Engine, EngineShelf, try_out


@dataclass(frozen=True, slots=True)
class Proof:
    """What a candidate showed of itself by being loaded and run."""

    signature: Signature
    metadata: Mapping[str, object]


class Trial:
    """Loads the store's copy, runs it, and leaves the warm engine on the shelf for the release that may follow."""

    name = "trial"

    def __init__(self, load: Callable[[Path], Engine], shelf: EngineShelf, *, timeout_seconds: float) -> None:
        self._load = load
        self._shelf = shelf
        self._timeout_seconds = timeout_seconds

    def prove(self, subject: Subject) -> Proof:
        """What ``subject`` is, proved by a run; raises Rejected when it cannot be loaded or run."""
        engine = self._load(subject.candidate.path)
        try:
            try_out(engine, timeout_seconds=self._timeout_seconds)
        except BaseException:
            engine.close()
            raise
        self._shelf.put(subject.candidate.sha256, engine)
        return Proof(engine.signature, engine.metadata)
