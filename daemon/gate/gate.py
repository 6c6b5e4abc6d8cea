"""The visible list of checks between candidate and release. It runs on the deployer's thread."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from daemon.errors import Rejected
from daemon.gate.report import Report, Verdict
from daemon.gate.subject import Subject
from daemon.gate.tried import Tried


class Check(Protocol):
    """One reason to refuse a candidate before it is run."""

    name: str

    def examine(self, subject: Subject) -> Mapping[str, object]:
        """What was found out, for whoever asks; raises Rejected with the check's name and a sentence to act on."""


class TriedCheck(Protocol):
    """One reason to refuse a candidate that can be run; whoever forces a deploy passes it."""

    name: str

    def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:
        """As ``Check.examine``; ``tried`` runs the candidate in its trial's process."""


class Trying(Protocol):
    """The check that has a candidate prove itself: ``Trial``."""

    name: str

    def of(self, subject: Subject) -> AbstractContextManager[Tried]:
        """The candidate of ``subject``, proved, for as long as the context lasts; raises Rejected or Interrupted."""


class Gate:
    """The checks before the trial, the trial, and the checks after it.

    A refusal before the trial or by it is the last word: what comes after needs what came before. The checks after it
    are all made, so that whoever is refused knows of everything at once.
    """

    def __init__(self, before: Sequence[Check], trial: Trying, after: Sequence[TriedCheck]) -> None:
        self._before = tuple(before)
        self._trial = trial
        self._after = tuple(after)
        self._passable = frozenset(check.name for check in after)

    def examine(self, subject: Subject) -> Report:
        """Everything that the checks say of ``subject``; raises Interrupted when the daemon stops over it."""
        verdicts: list[Verdict] = []
        for check in self._before:
            verdicts.append(_verdict(check.name, lambda check=check: check.examine(subject)))  # type: ignore[misc]
            if verdicts[-1].refusal is not None:
                return Report(verdicts, None, self._passable)
        with ExitStack() as stack:
            held: list[Tried] = []

            def try_it() -> Mapping[str, object]:
                held.append(stack.enter_context(self._trial.of(subject)))
                return held[0].proof.trial

            verdicts.append(_verdict(self._trial.name, try_it))
            if not held:
                return Report(verdicts, None, self._passable)
            verdicts += self._after_trial(subject, held[0])
            return Report(verdicts, held[0].proof, self._passable)

    def prove(self, subject: Subject) -> None:
        """Has the trial alone prove that ``subject`` can be loaded and run; raises Rejected when it cannot."""
        with self._trial.of(subject):
            pass

    def _after_trial(self, subject: Subject, tried: Tried) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for check in self._after:
            verdicts.append(_verdict(check.name, lambda check=check: check.examine(subject, tried)))  # type: ignore[misc]
            refusal = verdicts[-1].refusal
            if refusal is not None and refusal.check == self._trial.name:
                break  # its process is gone
        return verdicts


def _verdict(name: str, examine: Callable[[], Mapping[str, object]]) -> Verdict:
    start = time.perf_counter()
    try:
        findings = examine()
    except Rejected as refusal:
        return Verdict(name, time.perf_counter() - start, refusal, refusal.detail)
    return Verdict(name, time.perf_counter() - start, None, findings)
