"""Where the daemon's time goes while it serves: samples by py-spy of whoever holds the interpreter's lock.

    python -m bench.profiles [--seconds 2]

In the cells that an aim speaks of. py-spy is in the bench's own environment (``make bench-env``) and wants to be
allowed to look into another process. Time in the kernel, in inference and wherever else the lock is not held is not
in the samples; how much the lock is held, is.
"""

import argparse
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench import wrk
from bench.cells import AIMED, Cell
from bench.configurations import DEFAULT, GRANIAN, available
from bench.models import case_of
from bench.page import Facts, Section, Table
from bench.processes import BENCH_ENVIRONMENT, Running, clients_cores, on_cores
from bench.procfs import kernel_and_user_seconds
from bench.servers import ours

PY_SPY = BENCH_ENVIRONMENT / "bin" / "py-spy"
HERTZ = 250
JSON = tuple(f"daemon/runtime/{room}" for room in ("tensors", "nesting", "decoders", "flat_json", "dtypes"))
GROUPS: dict[str, tuple[str, ...]] = {
    "HTTP": ("waitress/", "daemon/http/", "daemon/server.py", "granian/", "daemon/granian", "socket"),
    "JSON and arrays": (*JSON, "daemon/web/answers", "numpy/", "json/"),
    "the run": ("onnxruntime/", "daemon/runtime/"),
    "around it": ("daemon/",),
}
"""By the file of the innermost frame; the first that fits counts."""
OTHER = "other"
TOP = 8


def main() -> None:
    """Samples and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=2)
    print(measure(seconds=parser.parse_args().seconds).markdown())


def measure(*, seconds: int = 2) -> Section:
    """The section of the report on profiles."""
    wrk.require()
    section = Section("Profiles: where the daemon's time goes")
    if not PY_SPY.exists():
        section.notes = ["py-spy is not there; `make bench-env` installs it."]
        return section
    section.notes = [
        f"Samples of {seconds} s, {HERTZ} a second, while the cell is asked: how much of the time the interpreter's "
        "lock is held; of that, the share by the innermost function. `in the kernel` is of the process' processor time."
    ]
    rows, inner = [], []
    for cell in sorted(AIMED, key=str):
        for name in (DEFAULT, GRANIAN) if cell.case == "tiny" else (DEFAULT,):
            if name not in available(cell.case):
                continue
            row, functions = _profile(cell, name, seconds, section.facts)
            rows.append(row)
            inner.append((row[0], *functions))
    section.tables = [
        Table("Shares", ("row", "in the kernel", "lock held", *GROUPS, OTHER), rows),
        Table("Innermost functions", ("row", *(f"{place + 1}." for place in range(TOP))), inner),
    ]
    return section


def shares(collapsed: str) -> tuple[int, dict[str, float], list[tuple[str, float]]]:
    """Of py-spy's collapsed stacks: all samples, the groups' shares, and the functions with most samples."""
    groups: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        function, _, place = stack.rpartition(";")[2].rpartition(" (")
        if not function:  # a stack that py-spy could not read
            continue
        group = next((name for name, parts in GROUPS.items() if any(part in place for part in parts)), OTHER)
        groups[group] += int(count)
        functions[f"`{function}` in {place.partition(':')[0].rpartition('/')[2]}"] += int(count)
    total = groups.total()
    return (
        total,
        {name: groups[name] / max(1, total) for name in (*GROUPS, OTHER)},
        [(name, count / total) for name, count in functions.most_common(TOP)],
    )


def _profile(cell: Cell, name: str, seconds: int, facts: Facts) -> tuple[tuple[str, ...], list[str]]:
    case = case_of(cell.case)
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        model = case.write(Path(folder) / "model.onnx", 0)
        asking = wrk.script(Path(folder) / "ask", case.body)
        with ours(model, Path(folder) / "ours", variables=available(cell.case)[name], where=cell.where) as server:
            collapsed, kernel = _sampled(server, asking, cell, seconds, Path(folder) / "stacks")
    total, groups, functions = shares(collapsed)
    held = total / (seconds * HERTZ)
    facts[cell.key("lock held", name)] = [held]
    facts[cell.key("in the kernel", name)] = [kernel]
    facts |= {cell.key(f"share of {group}", name): [share] for group, share in groups.items()}
    called = f"{name}: {cell.case}, {cell.connections} conn., {cell.where}"
    told = [f"{function} {share:.0%}" for function, share in functions]
    row = (called, f"{kernel:.0%}", f"{held:.0%}", *(f"{share:.0%}" for share in groups.values()))
    return row, told + [""] * (TOP - len(told))


def _sampled(server: Running, asking: Path, cell: Cell, seconds: int, stacks: Path) -> tuple[str, float]:
    """The stacks, and the kernel's share of the process' time."""
    asked = threading.Thread(
        target=wrk.ask,
        args=(server, asking),
        kwargs={"connections": cell.connections, "seconds": seconds + 2, "where": cell.where},
    )
    asked.start()
    asked.join(0.7)  # the first answers are not like the others
    before = kernel_and_user_seconds(server.pid)
    command = [str(PY_SPY), "record", "--gil", "--pid", str(server.pid), "--rate", str(HERTZ)]
    recording: Sequence[str] = [*command, "--duration", str(seconds), "--format", "raw", "--output", str(stacks)]
    with on_cores(clients_cores(cell.where)):
        done = subprocess.run(recording, capture_output=True, text=True, timeout=seconds + 60, check=False)
    kernel, user = (after - then for after, then in zip(kernel_and_user_seconds(server.pid), before, strict=True))
    asked.join()
    if done.returncode:
        raise RuntimeError(f"py-spy could not look into the daemon: {done.stderr[-500:]}")
    return stacks.read_text(encoding="utf-8"), kernel / max(1e-9, kernel + user)


if __name__ == "__main__":
    main()
