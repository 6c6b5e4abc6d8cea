"""What a trial's process does to itself before it looks at a model; it cannot take any of it back.

Sources: getrlimit(2), prctl(2), setpriority(2), ``/proc/PID/oom_score_adj`` of proc(5).
"""

import ctypes
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

from daemon.trial.terms import TrialTerms

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_FIRST_TO_GO = "1000"
"""To the kernel that looks for a process to kill when memory runs out."""
_OPEN_FILES = 1024


def confine(terms: TrialTerms, parent: int) -> None:
    """Bind this process to ``terms``, and its life to that of its parent, whose pid is ``parent``."""
    _die_with(parent)
    os.setpgid(0, 0)  # so that whatever it starts ends with it
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    os.nice(terms.nice)
    _limit(resource.RLIMIT_CORE, 0)  # a dump would hold requests
    _limit(resource.RLIMIT_DATA, private_bytes() + terms.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, terms.file_bytes)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def private_bytes() -> int:
    """What this process has allocated, touched or not, as ``RLIMIT_DATA`` counts it."""
    return status_bytes("VmData")


def status_bytes(name: str) -> int:
    """One of the sizes in ``/proc/self/status``; 0 where it is not there."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0


def _die_with(parent: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
