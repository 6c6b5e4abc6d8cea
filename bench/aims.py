"""What was aimed at, whether this run reached it, and what limits it: each computed from the run's own figures."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import binary_bodies, reasons, swap
from bench.cells import RAW, Cell
from bench.configurations import DEFAULT, GRANIAN, GRANIAN_ONE_BY_ONE
from bench.figures import median, ratio
from bench.page import Facts, Table, times
from bench.processes import FREE, PINNED
from bench.servers import BEFORE, FASTAPI, FLASK_DEV, FLASK_WAITRESS, HELLO_GRANIAN, HELLO_WAITRESS

TINY, CROWDED = Cell("tiny", PINNED, 8), Cell("tiny", FREE, 32)
MLP, ENCODER, CNN = Cell("mlp", FREE, 32), Cell("encoder", FREE, 8), Cell("cnn", FREE, 8)
NOT_MEASURED = "not measured"

Of = Callable[[Facts], float]
Says = Callable[[Facts], str]


@dataclass(frozen=True, slots=True)
class Aim:
    """One aim: ``value`` is to be ``at_least`` or at most ``bound``; it raises KeyError where nothing was measured."""

    what: str
    bound: float
    value: Of
    limit: Says
    at_least: bool = True
    unit: str = ""

    def verdict(self, facts: Facts) -> tuple[str, ...]:
        """The aim's row: what, the bound, the value, reached or not, and what limits it."""
        sign = "≥" if self.at_least else "≤"
        told = (self.what, f"{sign} {self.bound:g}{self.unit}")
        try:
            value = self.value(facts)
        except KeyError:
            value = float("nan")
        if value != value:
            return (*told, "–", NOT_MEASURED, "")
        reached = value >= self.bound if self.at_least else value <= self.bound
        return (*told, f"{times(value)}{self.unit}", "reached" if reached else "**not reached**", self._limit(facts))

    def _limit(self, facts: Facts) -> str:
        try:
            return self.limit(facts)
        except KeyError as missing:
            return f"{missing} was not measured"


def table(facts: Facts) -> Table:
    """All aims, in their order."""
    columns = ("aim", "wanted", "found", "verdict", "what limits it")
    return Table("Aims", columns, [aim.verdict(facts) for aim in AIMS])


def _rate(cell: Cell, name: str, other: str, *, what: str = "rate") -> Of:
    return lambda facts: ratio(facts[cell.key(what, name)], facts[cell.key(what, other)])


def _binary_beside_bare(cell: Cell) -> Of:
    return lambda facts: ratio(facts[cell.key(binary_bodies.RATE, DEFAULT)], facts[cell.key("rate", RAW)])


def _swapped(what: str, case: str) -> Of:
    if what == "failures":
        return lambda facts: sum(sum(facts[f"failures, {way}, {case}"]) for way in swap.WAYS)
    return lambda facts: ratio(facts[f"p99_during, drop, {case}"], facts[f"p99, drop, {case}"])


AIMS = (
    Aim(
        "tiny, 8 connections, pinned: ours ÷ Flask on waitress with a lock",
        2.5,
        _rate(TINY, DEFAULT, FLASK_WAITRESS),
        reasons.worked(TINY, ceiling=HELLO_WAITRESS),
    ),
    Aim(
        "tiny, 8 connections, pinned: ours ÷ the classroom's development server",
        6,
        _rate(TINY, DEFAULT, FLASK_DEV),
        reasons.worked(TINY, ceiling=HELLO_WAITRESS),
    ),
    Aim(
        "tiny, 32 connections, cores free: ours ÷ ours before it kept threads apart",
        3,
        _rate(CROWDED, DEFAULT, BEFORE),
        reasons.faster(CROWDED),
    ),
    Aim(
        "tiny, 8 connections, pinned: granian front ÷ waitress front",
        2.5,
        _rate(TINY, GRANIAN, DEFAULT),
        reasons.worked(TINY, GRANIAN, HELLO_GRANIAN),
    ),
    Aim(
        "cnn, 8 connections: ours ÷ bare session.run, best threads", 0.95, _rate(CNN, DEFAULT, RAW), reasons.worked(CNN)
    ),
    Aim(
        "encoder, 8 connections: ours ÷ bare session.run, best threads",
        0.95,
        _rate(ENCODER, DEFAULT, RAW),
        reasons.worked(ENCODER),
    ),
    Aim(
        "cnn, 8 connections, binary body: ours ÷ bare session.run, best threads",
        0.95,
        _binary_beside_bare(CNN),
        reasons.beside_json(CNN, binary_bodies.RATE),
    ),
    Aim("mlp, 32 connections: ours ÷ FastAPI one by one", 2.5, _rate(MLP, DEFAULT, FASTAPI), reasons.worked(MLP)),
    Aim(
        "mlp, 32 connections, binary body, granian front: ours ÷ the same with batching off",
        1.5,
        _rate(MLP, GRANIAN, GRANIAN_ONE_BY_ONE, what=binary_bodies.RATE),
        reasons.worked(MLP, GRANIAN),
    ),
    Aim("swap of mlp under 8 connections: failures", 0, _swapped("failures", "mlp"), lambda _: "", at_least=False),
    Aim(
        "swap of mlp under 8 connections: p99 during ÷ before",
        1.3,
        _swapped("p99", "mlp"),
        reasons.trial("mlp"),
        at_least=False,
    ),
    Aim("swap of cnn under 8 connections: failures", 0, _swapped("failures", "cnn"), lambda _: "", at_least=False),
    Aim(
        "swap of cnn under 8 connections: p99 during ÷ before",
        1.3,
        _swapped("p99", "cnn"),
        reasons.trial("cnn"),
        at_least=False,
    ),
    Aim(
        "rollback of cnn: request to first answer, beyond one request",
        25,
        lambda facts: 1e3 * median(facts["way back, cnn"]),
        reasons.stages,
        at_least=False,
        unit=" ms",
    ),
    Aim(
        "restart with three models: start to ready, beyond the imports",
        100,
        lambda facts: 1e3 * median(facts["start beyond the imports"]),
        reasons.started,
        at_least=False,
        unit=" ms",
    ),
    Aim(
        "50 swaps of cnn under load: memory at the end ÷ after the first",
        1.05,
        lambda facts: facts["rss at the end"][0] / facts["rss after 1"][0],
        reasons.kept,
        at_least=False,
    ),
    Aim(
        "50 swaps of cnn under load: peak beyond nothing loaded and two engines",
        50,
        lambda facts: (facts["rss peak"][0] + facts["rss with nothing"][0] - 2 * facts["rss with one"][0]) / 1e6,
        reasons.peak,
        at_least=False,
        unit=" MB",
    ),
)
