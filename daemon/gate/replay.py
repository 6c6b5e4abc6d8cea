"""Recent requests are run through a candidate, and its answers held beside those that were given.

It runs on the deployer's thread. Nothing of a request goes into a reason, an event or the log: only figures do.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from daemon.errors import Rejected
from daemon.gate.drift import Drift, Pair, drift
from daemon.gate.ring import RequestRing, Sample
from daemon.gate.subject import Subject
from daemon.gate.tried import Ran, Tried
from daemon.release import Release, Signature
from daemon.runtime import Output

LIVE = "live"
TIMED = 8
"""So many runs of both releases are timed, to compare their speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLimits:
    """What is still good: shares from 0 to 1 of ``Drift``'s figures, differences, and a ratio of seconds. None: all."""

    max_errors: float | None = None
    max_non_finite: float | None = None
    max_abs: float | None = None
    max_mean_abs: float | None = None
    max_changed_argmax: float | None = None
    max_changed_labels: float | None = None
    max_speed_ratio: float | None = None


class Replay:
    """Replays what the release that serves has answered, for ``budget_seconds``.

    ``stored_at`` gives the model file of a release. Where inputs are others than they were, there is nothing to replay.
    Who goes back to an earlier release wants that now: then nothing is replayed for the sake of the figures alone.
    """

    name = "replay"

    def __init__(
        self,
        ring: RequestRing,
        limits: ReplayLimits,
        stored_at: Callable[[Release], Path],
        *,
        budget_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._ring = ring
        self._limits = limits
        self._stored_at = stored_at
        self._budget_seconds = budget_seconds
        self._timeout_seconds = timeout_seconds

    def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:
        if subject.serving is None or (subject.is_known and not subject.is_rehearsal and not _limited(self._limits)):
            return {}
        samples = self._ring.samples(subject.model, subject.serving.sha256)
        fitting = [sample for sample in samples if _fits(sample, tried.proof.signature)]
        if not fitting:
            return {"requests": 0}
        found = self._replayed(fitting, subject.serving, tried)
        figures = found.plain()
        beyond = [
            f"{name} is {figures[name]} (gate.replay.{limit} is {most:g})"
            for name, limit, most in _limited(self._limits)
            if (value := getattr(found, name)) is not None and value > most
        ]
        if beyond:
            drifted = f"over {found.requests} replayed requests, {' and '.join(beyond)}"
            raise Rejected(self.name, f"{drifted}; deploy it with force to accept that", figures)
        return figures

    def _replayed(self, samples: Sequence[Sample], serving: Release, tried: Tried) -> Drift:
        due = time.monotonic() + self._budget_seconds
        pairs: list[Pair] = []
        ran_well: list[Sample] = []
        longest = 0.0
        for sample in samples:
            if pairs and time.monotonic() + longest > due:
                break
            ran = tried.run(sample.inputs, timeout_seconds=self._timeout_seconds)
            live = _named(serving.signature, sample.outputs)
            pairs.append(Pair(live, None if ran.failed else _named(tried.proof.signature, ran.outputs)))
            longest = max(longest, ran.seconds)
            if not ran.failed:
                ran_well.append(sample)
        needed = _load_seconds(serving) + 3 * longest
        ratio = None
        if ran_well and time.monotonic() + needed <= due:
            ratio = self._speed_ratio(ran_well, serving, tried, due)
        if ratio is None:
            ratio = _ratio_of_trials(tried.proof.trial, serving.trial)
        return replace(drift(pairs), speed_ratio=ratio)

    def _speed_ratio(self, samples: Sequence[Sample], serving: Release, tried: Tried, due: float) -> float | None:
        """The same requests on both releases in turn, in one process; None where that fails, which is not to blame."""
        ours: list[float] = []
        theirs: list[float] = []
        try:
            self._load_live(serving, tried)
            self._run_live(samples[0], tried)  # the first is a slow one
            for sample in islice(cycle(samples), TIMED):
                if theirs and time.monotonic() >= due:
                    break
                live = self._run_live(sample, tried)
                again = tried.run(sample.inputs, timeout_seconds=self._timeout_seconds)
                if not live.failed and not again.failed:
                    theirs.append(live.seconds)
                    ours.append(again.seconds)
        except _LiveFailed:
            return None
        return statistics.median(ours) / statistics.median(theirs) if theirs else None

    def _load_live(self, serving: Release, tried: Tried) -> None:
        try:
            tried.load(LIVE, self._stored_at(serving))
        except Rejected as end:
            raise _LiveFailed from end

    def _run_live(self, sample: Sample, tried: Tried) -> Ran:
        try:
            return tried.run(sample.inputs, timeout_seconds=self._timeout_seconds, on=LIVE)
        except Rejected as end:
            raise _LiveFailed from end


class _LiveFailed(Exception):
    """What serves could not be run beside the candidate, which is not the candidate's fault."""


def _load_seconds(release: Release) -> float:
    """How long a release takes to load in a trial, by its own; for ever where that is not known."""
    compiled = release.trial.get("compiled")
    found = compiled.get("load_seconds") if isinstance(compiled, Mapping) else release.trial.get("load_seconds")
    return found if isinstance(found, float) else math.inf


def _ratio_of_trials(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float | None:
    """The run times that the two trials measured for a single row, where both did."""
    singles = [[run["seconds"] for run in trial.get("runs", []) if run["batch"] == 1] for trial in (ours, theirs)]
    return singles[0][0] / singles[1][0] if all(singles) and singles[1][0] > 0 else None


def _limited(limits: ReplayLimits) -> list[tuple[str, str, float]]:
    """The figure, its limit's name, and the limit, for every limit that is set."""
    figures = {
        "errors": "max_errors",
        "non_finite": "max_non_finite",
        "max_abs": "max_abs",
        "mean_abs": "max_mean_abs",
        "changed_argmax": "max_changed_argmax",
        "changed_labels": "max_changed_labels",
        "speed_ratio": "max_speed_ratio",
    }
    pairs = ((figure, limit, getattr(limits, limit)) for figure, limit in figures.items())
    return [(figure, limit, most) for figure, limit, most in pairs if most is not None]


def _fits(sample: Sample, signature: Signature) -> bool:
    """Whether the candidate has the inputs that were sent, and needs no others."""
    names = {spec.name for spec in signature.inputs}
    required = {spec.name for spec in signature.inputs if not spec.optional}
    return required <= sample.inputs.keys() <= names


def _named(signature: Signature, outputs: Sequence[Output]) -> dict[str, Output]:
    return {spec.name: value for spec, value in zip(signature.outputs, outputs, strict=False)}
