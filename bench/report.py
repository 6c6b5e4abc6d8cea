"""Runs every measurement and writes ``bench/REPORT.md`` and its plots.

    python -m bench.report [--only serving swap …] [--again] [--thoroughly]

What each measurement gave is kept in ``bench/.measured/``; ``--only`` measures some again, and the report is bound of
those and of what was kept. ``--again`` measures nothing. ``--thoroughly`` takes thrice as many rounds, and as long.
"""

import argparse
import json
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import (
    aims,
    body_size,
    connections,
    drop_to_serve,
    json_cost,
    machine,
    model_count,
    profiles,
    serving,
    start,
    svg,
    swap,
    swap_memory,
    wrk,
)
from bench.page import Facts, Section, Table, number, section_of

FOLDER = Path(__file__).resolve().parent
KEPT = FOLDER / ".measured"
MEASUREMENTS: Mapping[str, Callable[[int], Section]] = {
    "serving": lambda more: serving.measure(rounds=3 * more, all_rounds=more),
    "profiles": lambda more: profiles.measure(seconds=2 * more),
    "swap": lambda more: swap.measure(rounds=3 * more),
    "memory": lambda more: swap_memory.measure(swaps=50 * more),
    "json": lambda _more: json_cost.measure(),
    "body_size": lambda more: body_size.measure(seconds=0.3 * more),
    "connections": lambda more: connections.measure(rounds=more),
    "models": lambda more: model_count.measure(seconds=more),
    "model_size": lambda more: drop_to_serve.measure(rounds=2 * more),
    "start": lambda more: start.measure(rounds=5 * more),
}


def main() -> None:
    """Measures, keeps, and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--again", action="store_true", help="write the report of what was kept")
    parser.add_argument("--thoroughly", action="store_true", help="thrice as many rounds")
    arguments = parser.parse_args()
    wrk.require()
    KEPT.mkdir(exist_ok=True)
    failed = [] if arguments.again else _measure(arguments.only, 3 if arguments.thoroughly else 1)
    _write({name: json.loads(path.read_text(encoding="utf-8")) for name, path in _kept().items()})
    if failed:
        raise SystemExit(f"could not be measured: {', '.join(failed)}")


def _measure(names: list[str], more: int) -> list[str]:
    """Those that failed; the others are kept."""
    failed = []
    for name in names:
        begun, start_ = datetime.now(UTC), time.monotonic()
        try:
            section = MEASUREMENTS[name](more)
        except Exception:  # one that fails is not to cost the minutes of the others
            traceback.print_exc()
            failed.append(name)
            continue
        took = time.monotonic() - start_
        print(f"{name}: {took:.0f} s", flush=True)
        kept = {"begun": f"{begun:%Y-%m-%d %H:%M} UTC", "took": took, "section": section.as_json()}
        (KEPT / f"{name}.json").write_text(json.dumps(kept), encoding="utf-8")
    return failed


def _kept() -> dict[str, Path]:
    """In the order of the measurements."""
    paths = {name: KEPT / f"{name}.json" for name in MEASUREMENTS}
    return {name: path for name, path in paths.items() if path.exists()}


def _write(kept: Mapping[str, Mapping[str, Any]]) -> None:
    sections = {name: section_of(each["section"]) for name, each in kept.items()}
    facts: Facts = {key: values for section in sections.values() for key, values in section.facts.items()}
    told = [bound(sections, facts, {name: (each["begun"], each["took"]) for name, each in kept.items()})]
    for section in sections.values():
        for plot in section.plots:
            (FOLDER / f"{plot.name}.svg").write_text(svg.drawn(plot), encoding="utf-8")
    (FOLDER / "REPORT.md").write_text("\n".join(told), encoding="utf-8")
    print(f"wrote {FOLDER / 'REPORT.md'}")


def bound(sections: Mapping[str, Section], facts: Facts, when: Mapping[str, tuple[str, float]]) -> str:
    """The whole report as Markdown; ``when`` each measurement began, and the seconds that it took."""
    rows = [(name, begun, number(took)) for name, (begun, took) in when.items()]
    rows.append(("all", "", number(sum(took for _, took in when.values()))))
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`; no number in it by hand. Within a round all servers take turns, a ratio is that "
            "of figures of the same round, and what is shown are medians. What else the machine did is in them.",
            "",
            aims.table(facts).markdown(),
            machine.table().markdown(),
            Table("What was measured when", ("measurement", "begun", "took s"), rows).markdown(),
            *(section.markdown() for section in sections.values()),
        ]
    )


if __name__ == "__main__":
    main()
