"""What the gate found: one verdict for each check, and what follows from them. Plain values, any thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daemon.errors import Rejected
from daemon.gate.proofs import Proof


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check said, and how long it took; ``findings`` are what it found out besides."""

    check: str
    seconds: float
    refusal: Rejected | None = None
    findings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """Every verdict in order. ``proof`` is there where the candidate came through its trial.

    ``passable`` names the checks whose refusal a forced deploy passes.
    """

    verdicts: Sequence[Verdict]
    proof: Proof | None
    passable: frozenset[str]

    def refusal(self, *, forced: bool) -> Rejected | None:
        """The first refusal that stands; a forced deploy is not kept back by the passable ones."""
        refusals = self.refusals()
        standing = [each for each in refusals if each.check not in self.passable] if forced else refusals
        return standing[0] if standing else None

    def refusals(self) -> list[Rejected]:
        """All of them, in order."""
        return [verdict.refusal for verdict in self.verdicts if verdict.refusal is not None]

    def findings(self) -> dict[str, Mapping[str, object]]:
        """What the checks found out besides, by their names."""
        return {verdict.check: verdict.findings for verdict in self.verdicts if verdict.findings}
