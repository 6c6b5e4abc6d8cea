"""The warm parent: a small process that has imported ONNX Runtime, never uses it, and is forked for every trial.

    python -P -m daemon.trial.warm FD

``FD`` is its end of a SOCK_SEQPACKET pair. The daemon sends a trial's terms as JSON with the trial's socket beside it
(SCM_RIGHTS); it answers ``forked PID`` with a pidfd, and ``ended PID STATUS`` (as of wait(2)) once that process and
whatever it started are gone. It has one thread, so a fork copies no lock that another thread holds. When the daemon
closes its end, or dies, it kills its children and ends.
"""

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from daemon.trial import child
from daemon.trial.terms import MOST_BYTES, READY, TrialTerms

_PR_SET_CHILD_SUBREAPER = 36


def main(control: socket.socket) -> NoReturn:
    """Forks until the daemon's end is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the daemon decides, and systemd signals every process of a service
    # What a trial's process leaves behind comes to this one, however it was detached, and can be ended here.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    gc.collect()
    gc.freeze()  # children would copy every page that a collection touches
    control.send(READY)
    running: dict[int, int] = {}  # pid by pidfd
    while True:
        ready = select.select([control.fileno(), *running], [], [])[0]
        for pidfd in [pidfd for pidfd in running if pidfd in ready]:
            _tell_end(control, running.pop(pidfd), pidfd, running.values())
        if control.fileno() in ready:
            pidfd, pid = _fork(control)
            running[pidfd] = pid


def _fork(control: socket.socket) -> tuple[int, int]:
    """Forks for one request; ends this process when there will be no more."""
    message, received, _, _ = socket.recv_fds(control, MOST_BYTES, 1)
    if not message:
        _end_children()
        os._exit(0)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        control.close()
        child.live(socket.socket(fileno=received[0]), TrialTerms(**json.loads(message)), parent)
    os.close(received[0])
    pidfd = os.pidfd_open(pid)
    socket.send_fds(control, [f"forked {pid}".encode()], [pidfd])
    return pidfd, pid


def _tell_end(control: socket.socket, pid: int, pidfd: int, others: Collection[int]) -> None:
    os.close(pidfd)
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)  # it still has its number: nobody has waited for it yet
    _, status = os.waitpid(pid, 0)
    _end_children(but=others)
    with suppress(OSError):
        control.send(f"ended {pid} {status}".encode())


def _end_children(*, but: Collection[int] = ()) -> None:
    """Kills and waits for every child, those that came here as orphans too, but for other trials' processes."""
    while pids := _children() - set(but):
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> set[int]:
    listed = Path("/proc/self/task").joinpath(str(os.getpid()), "children").read_text(encoding="ascii")
    return set(map(int, listed.split()))


if __name__ == "__main__":
    with suppress(OSError):  # the daemon is gone
        main(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)
