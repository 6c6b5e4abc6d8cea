"""What requests feel of a process beside them that only counts, at the niceness of a trial; part of ``swap``."""

import subprocess
import sys
import time
from collections.abc import Sequence

from bench.crowd import Taken
from bench.figures import percentile
from bench.page import Facts
from daemon.sections import TrialSection

SECONDS = 1.0
STARTING_SECONDS = 0.2
_COUNTING = "import os, sys; os.nice(int(sys.argv[1]))\nwhile True: pass"


def beside_it(nice: int | None) -> tuple[float, float]:
    """Counts for a second beside what runs, and gives its begin and end; None is the niceness that trials have."""
    value = TrialSection().nice if nice is None else nice
    counting = subprocess.Popen([sys.executable, "-c", _COUNTING, str(value)])
    try:
        time.sleep(STARTING_SECONDS)
        begin = time.monotonic()
        time.sleep(SECONDS)
        return begin, time.monotonic()
    finally:
        counting.kill()
        counting.wait()


def keep(answers: Sequence[Taken], span: tuple[float, float], name: str, facts: Facts) -> None:
    """Keeps the p99 of what was asked for and answered in the ``span``."""
    waited = [each.seconds for each in answers if span[0] <= each.sent and each.received < span[1]]
    facts.setdefault(key(name), []).append(percentile(waited, 99))


def key(name: str) -> str:
    """What the p99 is called among the facts."""
    return f"p99 beside a counter, {name}"
