"""Whether anyone still has a file open for writing, asked of Linux by a lease; entered by any thread, holds no state.

fcntl(2): a read lease "can be placed only on a file descriptor that is opened read-only", and asking for one fails
with EAGAIN while the file is open for writing anywhere on this machine, by descriptor or by a shared mapping, our own
process included. EACCES (the file is another user's and we lack CAP_LEASE), EINVAL (the file system has no leases) and
everything else say nothing.
"""

import fcntl
import signal
from contextlib import suppress
from enum import Enum
from pathlib import Path

_SETTLED_BY_ONE_KERNEL = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs"}
)
"""File systems whose every writer this kernel knows. Others lie to the question in both ways: NFS and CIFS answer
EAGAIN for want of a delegation, and a FUSE, 9p or virtiofs mount knows nothing of writers on the other side."""


class Writers(Enum):
    """Who has the file open for writing: nobody, somebody, or it cannot be known."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


def writers_of(fd: int) -> Writers:
    """Whether the regular file behind ``fd``, which must be opened read-only, is open for writing. Never blocks.

    The lease is given back at once: another process that opens the file for writing in that instant waits for
    microseconds, one that does so with O_NONBLOCK is told to come again.
    """
    if _file_system(fd) not in _SETTLED_BY_ONE_KERNEL:
        return Writers.UNKNOWN
    try:
        # The kernel announces that the lease is being broken by SIGIO, which would kill us; SIGURG is ignored.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return Writers.SOME
    except OSError:
        return Writers.UNKNOWN
    with suppress(OSError):  # nothing is left to give back when the kernel took it
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Writers.NONE


def _file_system(fd: int) -> str | None:
    """The type of the file system that ``fd`` lies on, by proc(5)'s ``fdinfo`` and ``mountinfo``; None if unknown."""
    try:
        mount = _after(Path(f"/proc/self/fdinfo/{fd}").read_text("ascii"), "mnt_id:")
        for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
            if line.split(" ", 1)[0] == mount:
                return line.partition(" - ")[2].split(" ", 1)[0]
    except OSError:
        return None
    return None


def _after(text: str, label: str) -> str | None:
    for line in text.splitlines():
        if line.startswith(label):
            return line.removeprefix(label).strip()
    return None
