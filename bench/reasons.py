"""Why an aim was or was not reached: sentences made of what was measured; KeyError where that is missing."""

from collections.abc import Callable

from bench import company, limits, slow_answers, start
from bench.cells import Cell
from bench.configurations import DEFAULT
from bench.figures import median, ratio
from bench.page import Facts, megabytes, milliseconds, number, times
from bench.servers import BEFORE, HELLO_WAITRESS
from bench.swap import BEFORE_SECONDS
from bench.way_back import STAGES

Says = Callable[[Facts], str]


def worked(cell: Cell, name: str = DEFAULT, ceiling: str = "") -> Says:
    """What a request is spent on, and how far the HTTP server's own ceiling is."""

    def told(facts: Facts) -> str:
        spent = median(facts[cell.key("server", name)])
        parts = limits.parts_of(cell, name, facts)
        said = limits.verdict(cell, name, parts, facts)
        of = ", ".join(f"{part} {share:.0%}" for part, share in parts.items())
        told_of = f"{said} ({number(spent * 1e6)} µs a request: {of})"
        if not ceiling:
            return told_of
        above = ratio(facts[cell.key("rate", ceiling)], facts[cell.key("rate", name)])
        return f"{told_of}; {ceiling} answers {times(above)} × as many"

    return told


def faster(cell: Cell) -> Says:
    """How many a second it was, and is."""

    def told(facts: Facts) -> str:
        rates = {name: number(median(facts[cell.key("rate", name)])) for name in (DEFAULT, BEFORE)}
        return f"{rates[DEFAULT]} a second, {rates[BEFORE]} before; {worked(cell, ceiling=HELLO_WAITRESS)(facts)}"

    return told


def beside_json(cell: Cell, rate: str) -> Says:
    """How many a second it is in binary, whose facts are called ``rate``, and in JSON."""
    return lambda facts: (
        f"{number(median(facts[cell.key(rate, DEFAULT)]))} a second, "
        f"{number(median(facts[cell.key('rate', DEFAULT)]))} with bodies in JSON"
    )


def trial(case: str) -> Says:
    """How long a deploy competes with requests, what they feel of its stages, and what without one."""

    def told(facts: Facts) -> str:
        first = median(facts[f"first, drop, {case}"])
        worst = ratio(facts[f"worst, drop, {case}"], facts[f"p99, drop, {case}"])
        counted = ratio(facts[company.key(case)], facts[f"p99, drop, {case}"])
        return (
            f"the trial computes beside the requests: a new model answers after {milliseconds(first)} ms; "
            f"{slow_answers.where(case, facts)}; a process of its niceness that only counts makes the p99 "
            f"{times(counted)} × as long; without any swap the worst request of {BEFORE_SECONDS:g} s is "
            f"{times(worst)} × p99 already"
        )

    return told


def stages(facts: Facts) -> str:
    """What a rollback of the cnn spends its time on."""
    found = {stage: median(facts[f"rollback's {stage}, cnn"]) for stage in STAGES}
    parts = [f"{stage} {milliseconds(seconds)}" for stage, seconds in found.items()]
    return f"ms by stage: {', '.join(parts)}"


def started(facts: Facts) -> str:
    """What a start takes beside the imports."""
    imports, empty, full = (median(facts[step]) for step in ("interpreter + imports", start.EMPTY, start.FULL))
    return (
        f"{milliseconds(empty - imports)} ms without a model, {milliseconds(full - empty)} more to restore three; the "
        f"imports take {milliseconds(imports)}"
    )


def kept(facts: Facts) -> str:
    """Memory at both ends of the swaps."""
    first, last = (facts[f"rss {mark}"][0] for mark in ("after 1", "at the end"))
    return f"{megabytes(first)} MB after the first swap, {megabytes(last)} at the end"


def peak(facts: Facts) -> str:
    """The most memory, and the least."""
    return (
        f"{megabytes(facts['rss peak'][0])} MB at most; {megabytes(facts['rss with nothing'][0])} with nothing loaded, "
        f"{megabytes(facts['rss with one'][0])} with one engine at work"
    )
