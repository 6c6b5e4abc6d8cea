"""How many cores this process may really use: its affinity, cut to the quota of its cgroups; any thread.

Sources: the kernel's ``cgroup-v2.rst`` (``cpu.max``: "QUOTA PERIOD" or "max PERIOD", in microseconds) and
``sched-bwc.rst`` (v1's ``cpu.cfs_quota_us``, -1 for none, and ``cpu.cfs_period_us``).
"""

import math
import os
from pathlib import Path

from daemon.runtime.cgroups import CGROUPS, PROC, Folder, folders, read


def usable_cores(*, proc: Path = PROC, cgroups: Path = CGROUPS, affinity: int | None = None) -> int:
    """Cores that this process may use, at least 1; a quota of 1.5 cores counts as 2.

    ``proc`` and ``cgroups`` are the roots of the two file systems; ``affinity`` stands in for the system's own count.
    """
    available = float(_affinity() if affinity is None else affinity)
    quotas = (_quota(folder) for folder in folders("cpu", proc=proc, cgroups=cgroups))
    return max(1, math.ceil(min([available, *(quota for quota in quotas if quota is not None)])))


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # no such call on macOS and Windows
        return os.cpu_count() or 1


def _quota(folder: Folder) -> float | None:
    """A cgroup's quota in cores; None where it says nothing, or no limit (``max``, -1)."""
    if folder.version == 2:
        limit_us, _, period_us = read(folder.path / "cpu.max").partition(" ")
    else:
        limit_us, period_us = read(folder.path / "cpu.cfs_quota_us"), read(folder.path / "cpu.cfs_period_us")
    try:
        limit, period = int(limit_us), int(period_us)
    except ValueError:
        return None
    return limit / period if limit > 0 and period > 0 else None
