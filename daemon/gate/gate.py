"""The visible list of checks between candidate and release. It runs on the deployer's thread."""

from collections.abc import Sequence
from typing import Protocol

from daemon.gate.subject import Subject
from daemon.gate.trial import Proof, Trial


class Check(Protocol):
    """One reason to refuse a candidate before it is run."""

    name: str

    def examine(self, subject: Subject) -> None:
        """Returns when ``subject`` passes; raises Rejected with the check's name and a sentence to act on."""


class Gate:
    """Every check in order, then the trial; the first refusal ends it."""

    def __init__(self, checks: Sequence[Check], trial: Trial) -> None:
        self._checks = tuple(checks)
        self._trial = trial

    def admit(self, subject: Subject) -> Proof:
        """What ``subject`` showed of itself; raises Rejected for the first check that it fails."""
        for check in self._checks:
            check.examine(subject)
        return self._trial.prove(subject)
