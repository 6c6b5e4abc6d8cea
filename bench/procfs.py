"""What Linux knows of a process: its memory, its children, the time it computed."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
QUIET_SECONDS = 0.05
MOST_RESTLESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Memory:
    """A process' memory in bytes; ``pss`` counts pages that others map, too, by their share."""

    rss: int
    pss: int
    anonymous: int
    file: int


def memory(pid: int) -> Memory:
    """From ``smaps_rollup``; ``file`` is what ``rss`` holds of files."""
    return memory_of(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8"))


def memory_of(rollup: str) -> Memory:
    """The figures in the text of a ``smaps_rollup``."""
    lines = (line.split() for line in rollup.splitlines()[1:])
    sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
    return Memory(sizes["Rss"], sizes["Pss"], sizes["Anonymous"], sizes["Rss"] - sizes["Anonymous"])


def forget_peak(pid: int) -> None:
    """From now on ``peak`` is that of the time from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")


def peak(pid: int) -> int:
    """The most bytes that were resident."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    for each in found:
        try:
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text(encoding="utf-8").split())
        except OSError:  # it ended
            continue
    return found


def computed_seconds(pid: int) -> float:
    """The processor time of the process and everything below it, ended children included."""
    return sum(_computed_ticks(each) for each in tree(pid)) / TICKS


def await_quiet(pid: int) -> None:
    """Returns when the process and everything below it computes next to nothing, or never stops doing so.

    A server still works for those who left, and whoever is measured next would be beside it.
    """
    due, before = time.monotonic() + MOST_RESTLESS_SECONDS, computed_seconds(pid)
    while time.monotonic() < due:
        time.sleep(QUIET_SECONDS)
        now = computed_seconds(pid)
        if now - before <= 1.5 / TICKS:
            return
        before = now


def tree_pss(pid: int) -> int:
    """The memory of the process and everything below it, shared pages counted once, in bytes."""
    total = 0
    for each in tree(pid):
        try:
            total += memory(each).pss
        except (OSError, KeyError):  # it ended
            continue
    return total


def busy_seconds() -> float:
    """The processor time of everything on the machine, what the host took from it included."""
    user, nice, system, _idle, _waiting, *others = map(int, _first_line(Path("/proc/stat")).split()[1:9])
    return (user + nice + system + sum(others)) / TICKS


def kernel_and_user_seconds(pid: int) -> tuple[float, float]:
    """The process' own processor time, in the kernel and outside."""
    fields = _fields(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8"))
    return int(fields[12]) / TICKS, int(fields[11]) / TICKS


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0]


def _fields(stat: str) -> list[str]:
    """Those after the process' name, which may hold anything."""
    return stat.rpartition(")")[2].split()


def _computed_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return sum(map(int, _fields(stat)[11:15]))  # utime, stime, and those of children that were waited for
