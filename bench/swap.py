"""What clients feel of a swap, by a dropped file and by a rollback, and how long until the first answer by the release.

    python -m bench.swap [--rounds 3] [--connections 8] [--cases tiny mlp encoder cnn] [--nice 0 1 10]

In each round a daemon is started for each model. Clients in a process of their own ask without a pause; a new model is
renamed into the drop directory, and some seconds later it is rolled back. ``before`` are the requests of the seconds
before, ``during`` those from the drop (or the rollback's request) to half a second after the first answer by the
release that was to serve. After both a process counts for a second beside them. Then, idle, it is rolled back again and
asked once: the way back without others. ``--nice`` measures several values of ``gate.trial.nice`` in turns.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from bench import company, slow_answers, way_back
from bench.crowd import Taken, crowd
from bench.daemon_under_test import running, sha256_of
from bench.figures import Values, median, percentile, ratio
from bench.models import Case, case_of
from bench.page import Facts, Section, Table, milliseconds, number, times
from bench.procfs import computed_seconds

CASES = ("tiny", "mlp", "encoder", "cnn")
AIMED = ("mlp", "cnn")
"""The models that an aim speaks of: the others are measured in the first round alone, unless they are named."""
WAYS = ("drop", "rollback")
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 0.5
COLUMNS = (
    "model",
    "way",
    "requests/s before",
    "p50",
    "p99",
    "worst",
    "p50 during",
    "p99 during",
    "worst during",
    "p99 ÷ p99 before",
    "worst ÷ p99 before",
    "failures",
    "first new answer",
    "the daemon's CPU s",
    "p99 beside a process that counts",
)


@dataclass(frozen=True, slots=True)
class Swap:
    """What was felt of one swap, in seconds; ``first`` is the time to the first answer by what was to serve."""

    rate: float
    p50: float
    p99: float
    worst: float
    p50_during: float
    p99_during: float
    worst_during: float
    failures: float
    first: float
    computed: float


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--cases", nargs="+", default=[], help="models by name, or MB of a dense one")
    parser.add_argument("--nice", type=int, nargs="+", help="values of gate.trial.nice")
    arguments = parser.parse_args()
    cases = [case_of(name) for name in arguments.cases]
    nices: list[int | None] = arguments.nice or [None]
    print(measure(rounds=arguments.rounds, connections=arguments.connections, cases=cases, nices=nices).markdown())


def measure(
    *, rounds: int = 3, connections: int = 8, cases: Sequence[Case] = (), nices: Sequence[int | None] = (None,)
) -> Section:
    """The section of the report on swaps."""
    section = Section("Swaps: what clients feel")
    called: list[tuple[str, str]] = []
    for number_ in range(rounds):
        for case in cases or [case_of(name) for name in (AIMED if number_ else CASES)]:
            for nice in nices:
                name = case.name if nice is None else f"{case.name}, nice {nice}"
                with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
                    _measure_case(case, name, Path(folder), connections, nice, section.facts)
                called += [(name, way) for way in WAYS if not number_]
    section.notes = [
        f"Milliseconds, medians of {rounds} rounds for what an aim speaks of, else of one; {connections} clients "
        "on the same cores. A rollback leads to a release whose engine still stands by: what serves is on probation.",
    ]
    section.tables = [
        Table("Under load", COLUMNS, [_row(name, way, section.facts) for name, way in called]),
        slow_answers.table([name for name, way in called if way == "drop"], section.facts),
        way_back.table([name for name, way in called if way == "rollback"], section.facts),
    ]
    return section


def _measure_case(case: Case, name: str, folder: Path, connections: int, nice: int | None, facts: Facts) -> None:
    settings = {} if nice is None else {"gate": {"trial": {"nice": nice}}}
    with running(folder, settings) as daemon:
        first = daemon.deploy(case, 0)
        model = case.write(folder / "on_its_way.onnx", 1)
        second, last = sha256_of(model), daemon.last_event()
        with crowd(daemon.port, case.body, connections) as working:
            time.sleep(1.0 + BEFORE_SECONDS)
            spent, dropped = [computed_seconds(daemon.pid)], time.monotonic()
            model.rename(daemon.drop / "model_1.onnx")
            live = daemon.await_live(second, last)
            clocks = time.time(), time.monotonic()
            time.sleep(0.5 + AFTER_SECONDS)
            spent.append(computed_seconds(daemon.pid))
            time.sleep(BEFORE_SECONDS)
            spent.append(computed_seconds(daemon.pid))
            rolled_back = time.monotonic()
            daemon.post("/models/default/rollback")
            time.sleep(0.5 + AFTER_SECONDS)
            spent.append(computed_seconds(daemon.pid))
            counted = company.beside_it(nice)
            answers = working.answers()
        company.keep(answers, counted, name, facts)
        for way, start, sha256, computed in (
            ("drop", dropped, second, spent[1] - spent[0]),
            ("rollback", rolled_back, first, spent[3] - spent[2]),
        ):
            swap = felt(answers, start, sha256, computed)
            _keep(swap, f"{way}, {name}", facts)
            if way == "drop":
                live["monotonic"] = slow_answers.monotonic_of(live["time"], *clocks)
                slow_answers.keep(answers, live, swap.p99, live["monotonic"] + AFTER_SECONDS, name, facts)
        way_back.measure(daemon, case, name, facts)


def felt(answers: Sequence[Taken], start: float, sha256: str, computed: float) -> Swap:
    """What ``answers`` tell of the swap to ``sha256`` that began at ``start``."""
    before = [each.seconds for each in answers if start - BEFORE_SECONDS <= each.sent and each.received < start]
    # By when it was asked: the release that a rollback leads to has answered earlier as well.
    first = min((each.received for each in answers if each.sha256 == sha256 and each.received > start), default=start)
    felt_during = [each for each in answers if each.received >= start and each.sent <= first + AFTER_SECONDS]
    during = [each.seconds for each in felt_during]
    return Swap(
        rate=len(before) / BEFORE_SECONDS,
        p50=median(before),
        p99=percentile(before, 99),
        worst=max(before, default=float("nan")),
        p50_during=median(during),
        p99_during=percentile(during, 99),
        worst_during=max(during, default=float("nan")),
        failures=float(sum(each.status != 200 for each in felt_during)),
        first=first - start if first > start else float("nan"),
        computed=computed,
    )


def _keep(swap: Swap, key: str, facts: Facts) -> None:
    for field in fields(swap):
        facts.setdefault(f"{field.name}, {key}", []).append(getattr(swap, field.name))


def _row(name: str, way: str, facts: Facts) -> tuple[str, ...]:
    def of(what: str) -> Values:
        return facts[f"{what}, {way}, {name}"]

    felt_ = ("p50", "p99", "worst", "p50_during", "p99_during", "worst_during")
    return (
        name,
        way,
        number(median(of("rate"))),
        *(milliseconds(median(of(what))) for what in felt_),
        times(ratio(of("p99_during"), of("p99"))),
        times(ratio(of("worst_during"), of("p99"))),
        f"{sum(of('failures')):.0f}",
        milliseconds(median(of("first"))),
        number(median(of("computed"))),
        milliseconds(median(facts[company.key(name)])),
    )


if __name__ == "__main__":
    main()
