"""The cgroup folders that this process is in, the least first, for whoever asks them for a limit; any thread.

Source: cgroups(7), ``/proc/self/cgroup``: "0::PATH" for version 2, "N:CONTROLLERS:PATH" for version 1.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


class Folder(NamedTuple):
    """One cgroup: where its files are, and whether they are version 1's or 2's."""

    path: Path
    version: int


def folders(controller: str, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> Iterator[Folder]:
    """Every cgroup that may limit what ``controller`` (``cpu``, ``memory``) gives this process, its parents included.

    ``proc`` and ``cgroups`` are the roots of the two file systems. Folders that are not there are given too.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            yield from _climb(group, [cgroups, cgroups / "unified"], 2)
        elif controller in controllers.split(","):
            yield from _climb(group, [cgroups / controllers, cgroups / controller], 1)


def read(path: Path) -> str:
    """What a file of a cgroup says; empty where it is not there."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _climb(group: str, roots: list[Path], version: int) -> Iterator[Folder]:
    """``group`` and all groups above it.

    In a container the path may be the host's and not exist here; the root, looked at last, is then the container's own.
    """
    parts = PurePosixPath(group).parts[1:]
    if ".." in parts:  # the group lies outside this cgroup namespace
        parts = ()
    for root in roots:
        for depth in range(len(parts), -1, -1):
            yield Folder(root.joinpath(*parts[:depth]), version)
