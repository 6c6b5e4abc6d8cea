"""The check that loads and runs a candidate in a process of its own, and has it compiled there.

It runs on the deployer's thread. The daemon loads nothing that has not come through here.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from daemon.errors import Rejected
from daemon.gate.compiling import Compile, why_not_compiled
from daemon.gate.examples import Given
from daemon.gate.proofs import Proof, Proofs
from daemon.gate.subject import Subject
from daemon.gate.testimony import proof_from
from daemon.gate.tried import CANDIDATE, LOAD_SECONDS, InProcess
from daemon.release import Candidate
from daemon.runtime import EngineOptions, Headroom
from daemon.trial import Ended, Lost, Overdue, TrialProcess, TrialTerms, WarmParent
from daemon.trial.proving import COMPILING, LOADING, MEASURING, RUNNING

LOG = logging.getLogger("modeldrop.gate")

MB = 1 << 20
LEAST_MEMORY_BYTES = 256 * MB
FILE_FACTOR = 3
MOST_LOG_BYTES = MB
GRACE_SECONDS = 0.5
"""For the process to tell by itself that the time is up."""
TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """What a trial may take. ``memory_bytes`` None is what is available then, less ``reserve_bytes``.

    ``timeout_seconds`` is for the load and the first run, ``measure_seconds`` for what is measured beyond that; None is
    as long as the load took.
    """

    timeout_seconds: float
    measure_seconds: float | None
    nice: int
    threads: int
    memory_bytes: int | None
    reserve_bytes: int
    compile: Compile


class Trial:
    """Proves candidates. It owns no process: each lives as long as the ``with`` block of ``of``."""

    name = "trial"

    def __init__(
        self,
        parent: WarmParent,
        proofs: Proofs,
        settings: TrialSettings,
        options: EngineOptions,
        *,
        examples: Callable[[Subject], Given],
        headroom: Callable[[], Headroom | None],
        meanwhile: Callable[[], None],
    ) -> None:
        self._parent = parent
        self._proofs = proofs
        self._settings = settings
        self._options = options
        self._examples = examples
        self._headroom = headroom
        self._meanwhile = meanwhile

    @contextmanager
    def of(self, subject: Subject) -> Iterator[InProcess]:
        """The candidate of ``subject``, proved; raises Rejected, or Interrupted when the daemon stops over it.

        What was proved before, by this library on this kind of machine, need not be proved again: then its process is
        only started when something is to be run in it.
        """
        model_file = subject.candidate.path
        proof, process = self._proofs.known(model_file), None
        if proof is None:
            proof, process = self._prove(subject.candidate, self._examples(subject))
        tried = InProcess(proof, lambda: self._start(model_file), self._loading, running=process)
        try:
            yield tried
        finally:
            tried.close()

    def _prove(self, candidate: Candidate, given: Given) -> tuple[Proof, TrialProcess]:
        """Proof, and the process that has the candidate loaded.

        Where it is to be compiled and does not come through that, it is proved without: only what the model itself
        does counts against it.
        """
        why_not = why_not_compiled(candidate, self._settings.compile, self._options)
        if why_not is None:
            try:
                with self._proofs.making(candidate.path) as form:
                    return self._prove_once(candidate, given, form)
            except (_CompilingFailed, OSError) as error:
                why_not = f"failed: {error}"
                LOG.warning("the compiled form of %s was not made: %s", candidate.sha256[:8], error)
        return self._prove_once(candidate, given, None, why_not)

    def _prove_once(
        self, candidate: Candidate, given: Given, form: Path | None, why_not: str = ""
    ) -> tuple[Proof, TrialProcess]:
        for _ in range(TRIES):
            try:
                process = self._parent.fork(self._terms(candidate, form), self._meanwhile)
                try:
                    answer = self._answer(process, candidate, given, form)
                    proof = self._kept(candidate, answer, form, why_not)
                except BaseException:
                    process.close()
                    raise
                return proof, process
            except Lost:
                LOG.warning("the process of a trial was lost through no fault of the model; trying again")
        raise Rejected(self.name, f"the process of its trial was lost {TRIES} times")

    def _answer(self, process: TrialProcess, candidate: Candidate, given: Given, form: Path | None) -> dict[str, Any]:
        settings = self._settings
        asked = {
            "do": "prove",
            "path": str(candidate.path),
            "save_to": str(form) if form else None,
            "seconds": settings.timeout_seconds,
            "measure_seconds": settings.measure_seconds,
            "arrays": given.arrays,
            "plain": [np.frombuffer(orjson.dumps(value), np.uint8) for value in given.plain],
            "folders": given.folders,
            **self._options_of_trial(),
        }
        measuring = settings.timeout_seconds if settings.measure_seconds is None else settings.measure_seconds
        seconds = settings.timeout_seconds + GRACE_SECONDS
        later = {COMPILING: settings.timeout_seconds, MEASURING: measuring}
        try:
            answer = process.ask(asked, seconds=seconds, doing=LOADING, more_seconds=later)
        except (Ended, Overdue) as end:
            if form is not None and end.doing in (LOADING, COMPILING, MEASURING):  # the form is what is measured
                raise _CompilingFailed(str(end)) from None
            raise Rejected(self.name, self._sentence(end)) from None
        if "refused" in answer:
            reason = self._with_memory(str(answer["refused"]), candidate)
            is_original = form is None or process.doing == RUNNING  # what is compiled runs later
            raise Rejected(self.name, reason) if is_original else _CompilingFailed(reason)
        return answer

    def _kept(self, candidate: Candidate, answer: dict[str, Any], form: Path | None, why_not: str) -> Proof:
        """The proof that a process's answer makes, kept with the form that was made for it."""
        proof = proof_from(answer, why_not_compiled=why_not if form is None else None)
        if "unguessed" in proof.trial:
            LOG.warning("the trial of %s proves little: %s", candidate.sha256[:8], proof.trial["unguessed"])
        self._proofs.keep(candidate.path, proof, form if isinstance(proof.trial["compiled"], Mapping) else None)
        return proof

    def _start(self, model_file: Path) -> TrialProcess:
        """A process that has a candidate loaded which was proved before; raises Rejected, Lost or Interrupted."""
        terms = TrialTerms(memory_bytes=self._memory_bytes(), file_bytes=MOST_LOG_BYTES, nice=self._settings.nice)
        process = self._parent.fork(terms, self._meanwhile)
        try:
            self._load(process, model_file)
        except BaseException:
            process.close()
            raise
        return process

    def _load(self, process: TrialProcess, model_file: Path) -> None:
        """Loads the candidate as the daemon will; as it came, if its compiled form does not load."""
        loading = self._loading(model_file)
        refusal = self._refusal(process, loading)
        if refusal and loading["saved"]:
            LOG.warning("a compiled form did not load, so the model is loaded as it came: %s", refusal)
            self._proofs.distrust(model_file)
            refusal = self._refusal(process, {**loading, "path": str(model_file), "saved": False})
        if refusal:
            raise Rejected(self.name, refusal)

    def _refusal(self, process: TrialProcess, loading: Mapping[str, object]) -> str:
        """Why what is known to load does not; empty where it does."""
        try:
            asked = {"do": "load", "as": CANDIDATE, **loading}
            answer = process.ask(asked, seconds=LOAD_SECONDS, doing="it was loaded again")
        except Ended as end:
            raise Rejected(self.name, str(end)) from None
        except Overdue as end:
            raise Rejected(self.name, f"no answer within {LOAD_SECONDS:g} seconds while {end.doing}") from None
        return str(answer.get("refused", ""))

    def _loading(self, model_file: Path) -> Mapping[str, object]:
        form = self._proofs.form_of(model_file)
        return {"path": str(form or model_file), "saved": form is not None, **self._options_of_trial()}

    def _options_of_trial(self) -> Mapping[str, object]:
        return {"providers": list(self._options.providers), "threads": self._settings.threads}

    def _terms(self, candidate: Candidate, form: Path | None) -> TrialTerms:
        file_bytes = MOST_LOG_BYTES if form is None else FILE_FACTOR * candidate.size_bytes + 64 * MB
        return TrialTerms(memory_bytes=self._memory_bytes(), file_bytes=file_bytes, nice=self._settings.nice)

    def _memory_bytes(self) -> int:
        if self._settings.memory_bytes is not None:
            return self._settings.memory_bytes
        room = self._headroom()
        available = room.available_bytes - self._settings.reserve_bytes if room else 1 << 40
        return max(LEAST_MEMORY_BYTES, available)

    def _sentence(self, end: Ended | Overdue) -> str:
        if isinstance(end, Ended):
            return str(end)
        seconds = self._settings.timeout_seconds
        return f"it did not finish within {seconds:g} seconds while {end.doing} (gate.trial.timeout_seconds)"

    def _with_memory(self, reason: str, candidate: Candidate) -> str:
        reason = reason.replace(f"{candidate.path.parent}/", "")
        if "bad_alloc" in reason or "allocate memory" in reason:
            limit = self._memory_bytes() / MB
            return f"it ran out of the {limit:.0f} MB that a trial may take (gate.trial.memory_mb): {reason}"
        return reason


class _CompilingFailed(Exception):
    """The candidate did not come through while it was compiled; that may not be its own fault."""
