"""How much memory is to be had before something is killed for want of it; any thread.

Sources: proc(5) (``/proc/meminfo``, MemAvailable); the kernel's ``cgroup-v2.rst`` (``memory.max``, ``memory.current``,
``memory.stat``) and ``memory.rst`` for version 1 (``memory.limit_in_bytes``, ``memory.usage_in_bytes``). As in
Kubernetes' working set, file pages that nobody used of late (``inactive_file``) count as available.
"""

from dataclasses import dataclass
from pathlib import Path

from daemon.runtime.cgroups import CGROUPS, PROC, Folder, folders, read

_NO_LIMIT = 1 << 60
"""Version 1 writes "none" as a number near 2 to the 63rd."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """``available_bytes`` may still be taken of the ``limit_bytes`` that ``whose`` has, a machine or a cgroup."""

    available_bytes: int
    limit_bytes: int
    whose: str


def headroom(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> Headroom | None:
    """The least that the machine and every cgroup of this process leave; None where the system does not say."""
    machine = _of_machine(proc)
    limits = (_of_cgroup(folder) for folder in folders("memory", proc=proc, cgroups=cgroups))
    known = [room for room in (machine, *limits) if room is not None]
    return min(known, key=lambda room: room.available_bytes, default=None)


def _of_machine(proc: Path) -> Headroom | None:
    sizes = _table(read(proc / "meminfo"), ":")
    if "MemAvailable" not in sizes or "MemTotal" not in sizes:
        return None
    return Headroom(sizes["MemAvailable"] << 10, sizes["MemTotal"] << 10, "this machine")


def _of_cgroup(folder: Folder) -> Headroom | None:
    limit_file, usage_file, idle = (
        ("memory.max", "memory.current", "inactive_file")
        if folder.version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    try:
        limit, usage = int(read(folder.path / limit_file)), int(read(folder.path / usage_file))
    except ValueError:  # "max", or no such file
        return None
    if limit >= _NO_LIMIT:
        return None
    reclaimable = _table(read(folder.path / "memory.stat"), " ").get(idle, 0)
    return Headroom(max(0, limit - usage + min(reclaimable, usage)), limit, "its cgroup")


def _table(text: str, separator: str) -> dict[str, int]:
    """Lines of a name and a number, whatever its unit."""
    rows = (line.partition(separator) for line in text.splitlines())
    return {name.strip(): int(words[0]) for name, _, rest in rows if (words := rest.split()) and words[0].isdigit()}
