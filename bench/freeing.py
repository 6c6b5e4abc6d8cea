"""What it costs to free an engine that many requests used at once, and for how long Python stands still meanwhile.

    python -m bench.freeing [--rounds 5] [--cases 100 cnn] [--glibc]

A case is as in ``bench.drop_to_serve``. In each round the compiled form is mapped, run by eight threads at once, and
freed as the daemon frees it: the session is closed, then the allocator gives memory back. A thread that wakes every
half millisecond shows by its longest pause whether the interpreter's lock is held. ``--glibc`` leaves the allocator's
thresholds as they are, to show what the daemon's are good for.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from bench.models import Case, case_of
from daemon.runtime import Array, Deadlines, EngineOptions, load_engine, map_engine, memory

THREADS, RUNS = 8, 3
TICK_SECONDS = 0.0005
OPTIONS = EngineOptions()


@dataclass
class Ticker:
    """When a thread that only sleeps came to itself."""

    stopping: threading.Event = field(default_factory=threading.Event)
    times: list[float] = field(default_factory=list)

    def tick(self) -> None:
        while not self.stopping.is_set():
            self.times.append(time.perf_counter())
            time.sleep(TICK_SECONDS)

    def longest_ms(self, start: float, end: float) -> float:
        """The longest pause between two ticks, of those that touch the time from ``start`` to ``end``."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return max(later - tick for tick, later in pairs if later > start and tick < end) * 1e3


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", default=["100", "cnn"], help="MB of a dense model, or cnn")
    parser.add_argument("--glibc", action="store_true", help="leave the allocator's thresholds as they are")
    arguments = parser.parse_args()
    if not arguments.glibc:
        memory.give_large_blocks_back()
    print("| model | close | longest pause | give back | longest pause |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder, ticking() as ticker:
        for case in map(case_of, arguments.cases):
            found = rounds(case, Path(folder), ticker, arguments.rounds)
            print(f"| {case.name} | {' | '.join(f'{statistics.median(each):.1f} ms' for each in found)} |", flush=True)


@contextmanager
def ticking() -> Iterator[Ticker]:
    ticker = Ticker()
    thread = threading.Thread(target=ticker.tick)
    thread.start()
    try:
        yield ticker
    finally:
        ticker.stopping.set()
        thread.join()


def rounds(case: Case, folder: Path, ticker: Ticker, count: int) -> list[tuple[float, ...]]:
    """The columns of the table, a value for each round."""
    deadlines = Deadlines()
    form = folder / case.name.replace(" ", "")
    form.mkdir()
    load_engine(case.write(folder / "model.onnx", 0), OPTIONS, deadlines, save_to=form).close()
    inputs = {"input": np.array(orjson.loads(case.body)["inputs"], np.float32)}
    try:
        return list(zip(*(freed(form, inputs, ticker, deadlines) for _ in range(count)), strict=True))
    finally:
        deadlines.stop()


def freed(form: Path, inputs: dict[str, Array], ticker: Ticker, deadlines: Deadlines) -> tuple[float, ...]:
    """One round: milliseconds to close and to give back, each with the longest pause."""
    engine = map_engine(form / "model.onnx", OPTIONS, deadlines)

    def run() -> None:
        for _ in range(RUNS):
            engine.run(inputs, timeout_seconds=60)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    start = time.perf_counter()
    engine.close()
    closed = time.perf_counter()
    time.sleep(10 * TICK_SECONDS)  # so that the ticker has its say of the one before the other
    again = time.perf_counter()
    memory.trim()
    ended = time.perf_counter()
    time.sleep(10 * TICK_SECONDS)
    pauses = ticker.longest_ms(start, closed), ticker.longest_ms(again, ended)
    return (closed - start) * 1e3, pauses[0], (ended - again) * 1e3, pauses[1]


if __name__ == "__main__":
    main()
