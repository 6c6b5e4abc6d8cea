"""How many cores this process may really use: its affinity, cut to the quota of its cgroups; any thread.

Sources: cgroups(7); the kernel's ``cgroup-v2.rst`` (``cpu.max``: "QUOTA PERIOD" or "max PERIOD", in microseconds) and
``sched-bwc.rst`` (v1's ``cpu.cfs_quota_us``, -1 for none, and ``cpu.cfs_period_us``).
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(*, proc: Path = _PROC, cgroups: Path = _CGROUPS, affinity: int | None = None) -> int:
    """Cores that this process may use, at least 1; a quota of 1.5 cores counts as 2.

    ``proc`` and ``cgroups`` are the roots of the two file systems; ``affinity`` stands in for the system's own count.
    """
    available = float(_affinity() if affinity is None else affinity)
    return max(1, math.ceil(min([available, *_quotas(proc, cgroups)])))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # no such call on macOS and Windows
        return os.cpu_count() or 1


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """Every quota above this process, in cores."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            yield from _climb(group, [cgroups, cgroups / "unified"], _quota_v2)
        elif "cpu" in controllers.split(","):
            yield from _climb(group, [cgroups / controllers, cgroups / "cpu"], _quota_v1)


def _climb(group: str, roots: list[Path], quota: Callable[[Path], float | None]) -> Iterator[float]:
    """The quotas of ``group`` and all groups above it.

    In a container the path may be the host's and not exist here; the root, looked at last, is then the container's own.
    """
    parts = PurePosixPath(group).parts[1:]
    if ".." in parts:  # the group lies outside this cgroup namespace
        parts = ()
    for root in roots:
        for depth in range(len(parts), -1, -1):
            if (cores := quota(root.joinpath(*parts[:depth]))) is not None:
                yield cores


def _quota_v2(folder: Path) -> float | None:
    limit, _, period = _read(folder / "cpu.max").partition(" ")
    return _cores(limit, period)


def _quota_v1(folder: Path) -> float | None:
    return _cores(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _cores(limit_us: str, period_us: str) -> float | None:
    """Quota over period; None where either says nothing, or no limit (``max``, -1)."""
    try:
        limit, period = int(limit_us), int(period_us)
    except ValueError:
        return None
    return limit / period if limit > 0 and period > 0 else None
