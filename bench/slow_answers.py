"""Where in a deploy the slow answers fall: what of it requests feel; part of ``swap``."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bench.crowd import Taken
from bench.figures import median
from bench.page import Facts, Table, milliseconds

TRIAL = "the trial"
STAGES = ("the copy", "checks before the trial", TRIAL, "checks after it", "load and swap", "half a second after")
_OF_EVENT = {"settle": STAGES[0], "store": STAGES[0], "gate.trial": TRIAL, "load": STAGES[4], "swap": STAGES[4]}


def keep(
    answers: Sequence[Taken], event: Mapping[str, Any], slow: float, until: float, name: str, facts: Facts
) -> None:
    """What each stage of the deploy that ``event`` (live) tells of took, and the answers that fell into it.

    ``slow`` is the seconds beyond which an answer is, and ``until`` (monotonic) when the last stage ends.
    """
    for stage, start, end in spans(event, until):
        waited = [each.seconds for each in answers if start <= (each.sent + each.received) / 2 < end]
        values = (end - start, len(waited), sum(seconds > slow for seconds in waited), max(waited, default=0.0))
        for what, value in zip(("took", "answers", "slow", "worst"), values, strict=True):
            facts.setdefault(f"{what} in {stage}, {name}", []).append(float(value))


def spans(event: Mapping[str, Any], until: float) -> Iterator[tuple[str, float, float]]:
    """Each stage with its beginning and its end, in seconds of ``event["monotonic"]``, when it was live."""
    took = dict.fromkeys(STAGES, 0.0)
    stage = STAGES[0]
    for part, seconds in event["seconds"].items():
        if part in ("total", "gate"):
            continue
        stage = _OF_EVENT.get(part, STAGES[1] if stage in STAGES[:2] else STAGES[3])  # parts come as they ran
        took[stage] += seconds
    live = event["monotonic"]
    took[STAGES[-1]] = until - live
    start = live - sum(took[stage] for stage in STAGES[:-1])
    for stage in STAGES:
        yield stage, start, start + took[stage]
        start += took[stage]


def monotonic_of(time_of_event: str, now: float, monotonic_now: float) -> float:
    """When an event was told, by the clock of ``time.monotonic``; ``now`` and ``monotonic_now`` are one moment."""
    return monotonic_now - (now - datetime.fromisoformat(time_of_event).timestamp())


def where(name: str, facts: Facts) -> str:
    """In which stages the slow answers came, as a clause."""
    slow = {stage: median(facts[f"slow in {stage}, {name}"]) for stage in STAGES}
    parts = ", ".join(f"{count:,.0f} in {stage}" for stage, count in slow.items() if count)
    return f"of the answers slower than the p99 before, {parts or 'there were none'}"


def table(names: Sequence[str], facts: Facts) -> Table:
    """One row a model and stage."""
    rows = [
        (
            name,
            stage,
            milliseconds(median(facts[f"took in {stage}, {name}"])),
            f"{median(facts[f'answers in {stage}, {name}']):,.0f}",
            f"{median(facts[f'slow in {stage}, {name}']):,.0f}",
            milliseconds(median(facts[f"worst in {stage}, {name}"])),
        )
        for name in names
        for stage in STAGES
    ]
    columns = ("model", "stage of a deploy", "it takes ms", "answers", "slower than the p99 before", "worst ms")
    return Table("Where the slow answers of a drop fall", columns, rows)
