"""Memory over many swaps of the 102 MB network under load.

    python -m bench.swap_memory [--swaps 50] [--connections 2]

Three models of the same layout take turns by ``/update_model``, so that what is to serve is never what still stands by;
each is tried once, at its first turn. Resident memory is shown with its parts, from ``/proc/PID/smaps_rollup``, of the
daemon's own process, and proportionally with its children; the peak is the kernel's own (``VmHWM``).
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from bench.crowd import crowd
from bench.daemon_under_test import DaemonUnderTest, running, sha256_of
from bench.figures import median, percentile
from bench.models import Case, case_of
from bench.page import Section, Table, megabytes, milliseconds, times
from bench.procfs import Memory, forget_peak, memory, peak, tree_pss

MARKS = (1, 5, 10, 25, 50)
KINDS = 3
SETTLE_SECONDS = 1.0
"""After a swap, so that the engine before it is freed when memory is read."""


def main() -> None:
    """Swaps and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--case", default="cnn")
    arguments = parser.parse_args()
    print(measure(swaps=arguments.swaps, connections=arguments.connections, case=case_of(arguments.case)).markdown())


def measure(*, swaps: int = 50, connections: int = 2, case: Case | None = None) -> Section:
    """The section of the report on memory."""
    section = Section("Memory over swaps")
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        with running(Path(folder)) as daemon:
            _measure(daemon, case or case_of("cnn"), swaps, connections, section)
    return section


def _measure(daemon: DaemonUnderTest, case: Case, swaps: int, connections: int, section: Section) -> None:
    kept = daemon.folder / "kept"
    kept.mkdir()
    models = [case.write(kept / f"model_{seed}.onnx", seed) for seed in range(KINDS)]
    size = models[0].stat().st_size
    first, *others = models
    rows, taken, facts = [("nothing loaded", *_parts(daemon))], [], section.facts
    facts["rss with nothing"] = [float(memory(daemon.pid).rss)]
    _drop(daemon, first, 0)
    with crowd(daemon.port, case.body, connections):
        time.sleep(2 * SETTLE_SECONDS)
        rows.append(("one loaded, under load", *_parts(daemon)))
        facts["rss with one"] = [float(memory(daemon.pid).rss)]
    for number_, model in enumerate(others, 1):  # what is proved holds; the trials themselves are no swaps
        _drop(daemon, model, number_)
    with crowd(daemon.port, case.body, connections) as working:
        time.sleep(SETTLE_SECONDS)
        rows.append(("before the swaps", *_parts(daemon)))
        forget_peak(daemon.pid)
        for swap in range(1, swaps + 1):
            start = time.monotonic()
            daemon.post("/update_model", {"model_path": f"model_{swap % KINDS}.onnx"})
            taken.append(time.monotonic() - start)
            if swap in (*MARKS, swaps):
                time.sleep(SETTLE_SECONDS)
                rows.append((f"after {swap}", *_parts(daemon)))
                facts[f"rss after {swap}"] = [float(memory(daemon.pid).rss)]
                facts["rss at the end"] = facts[f"rss after {swap}"]
        highest = peak(daemon.pid)
        answers = working.answers()
    rows.append(("peak during the swaps", megabytes(highest), "", "", "", ""))
    facts["rss peak"] = [float(highest)]
    section.notes = [
        f"{swaps} swaps of {case.name} ({megabytes(size)} MB) under {connections} clients, three models in turns. A "
        f"swap took {milliseconds(median(taken))} ms (median; 99 %: {milliseconds(percentile(taken, 99))}), and "
        f"{sum(each.status != 200 for each in answers)} of {len(answers)} requests failed. Memory at the end is "
        f"{times(facts['rss at the end'][0] / facts['rss after 1'][0])} × that after the first swap.",
    ]
    columns = ("MB", "resident", "proportional", "anonymous", "of files", "proportional, with children")
    section.tables = [Table("The daemon's process", columns, rows)]


def _drop(daemon: DaemonUnderTest, model: Path, number: int) -> None:
    sha256, last = sha256_of(model), daemon.last_event()
    shutil.copyfile(model, daemon.folder / "on_its_way.onnx")
    (daemon.folder / "on_its_way.onnx").rename(daemon.drop / f"model_{number}.onnx")
    daemon.await_live(sha256, last)


def _parts(daemon: DaemonUnderTest) -> tuple[str, ...]:
    found: Memory = memory(daemon.pid)
    sizes = (found.rss, found.pss, found.anonymous, found.file, tree_pss(daemon.pid))
    return tuple(megabytes(size) for size in sizes)


if __name__ == "__main__":
    main()
