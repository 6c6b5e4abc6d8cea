"""The daemon's side of the warm parent: starts it, has it fork, and replaces it when it is gone.

Entered by the deployer's thread, and by the main thread at the start and the end.
"""

import dataclasses
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from daemon.trial.process import Interrupted, Lost, TrialProcess
from daemon.trial.terms import MOST_BYTES, READY, TrialTerms
from daemon.trial.wire import nothing

LOG = logging.getLogger("modeldrop.gate")

START_SECONDS = 60.0
"""For the imports, on a machine that has everything else to do."""
STOP_SECONDS = 5.0

_KEPT = frozenset({"LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TZ", "VIRTUAL_ENV"})
_KEPT_PREFIXES = ("CUDA_", "LC_", "NVIDIA_")
_TUNED = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",  # else numpy starts threads, and a process with threads should not fork
    # Large pages for the heap: the load of a 100 MB model took half as long, as its memory is new in every trial.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class WarmParent:
    """Owns the process that is forked for trials. ``fork`` is for one thread, ``start`` and ``stop`` for another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None  # guarded by _lock
        self._control: socket.socket | None = None  # guarded by _lock
        self._is_warm = False  # the forking thread's alone
        self._stopping = threading.Event()

    def start(self) -> None:
        """Starts the process and does not wait for it: it warms up while the daemon starts."""
        with self._lock:
            self._start_locked()

    def fork(self, terms: TrialTerms, meanwhile: Callable[[], None] = nothing) -> TrialProcess:
        """A fresh process under ``terms``, which the caller closes.

        ``meanwhile`` is called now and then while it is waited for. Raises Lost when the warm parent died over it,
        Interrupted after ``stop``.
        """

        def look() -> None:
            if self._stopping.is_set():
                raise Interrupted
            meanwhile()

        control = self._ready_control()
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        control.settimeout(START_SECONDS)
        try:
            with far:
                socket.send_fds(control, [json.dumps(dataclasses.asdict(terms)).encode()], [far.fileno()])
            message, received, _, _ = socket.recv_fds(control, MOST_BYTES, 1)
            while message.startswith(b"ended "):  # of a trial that nobody waited for
                message, received, _, _ = socket.recv_fds(control, MOST_BYTES, 1)
            if not message.startswith(b"forked ") or not received:
                raise OSError("the warm parent is gone")
        except OSError as error:
            near.close()
            self._give_up()
            raise self._lost() from error
        return TrialProcess(near, int(message.split()[1]), received[0], control, look)

    def stop(self) -> None:
        """Ends the process and every trial; whoever waits for one gets Interrupted. Any thread, more than once."""
        self._stopping.set()
        self._give_up()

    def _ready_control(self) -> socket.socket:
        """The control socket of a process that is warm; starts another where there is none."""
        with self._lock:
            if self._stopping.is_set():
                raise Interrupted
            if self._process is None or self._process.poll() is not None:
                if self._process is not None:
                    LOG.warning("the trials' parent process was gone (%s); starting another", self._process.returncode)
                self._end_locked()
                self._start_locked()
            control = self._control
        assert control is not None
        if not self._is_warm:
            try:
                control.settimeout(START_SECONDS)
                if control.recv(MOST_BYTES) != READY:
                    raise OSError("it ended while it started")
            except OSError as error:
                self._give_up()
                raise self._lost() from error
            self._is_warm = True
        return control

    def _lost(self) -> Interrupted | Lost:
        return Interrupted() if self._stopping.is_set() else Lost()

    def _give_up(self) -> None:
        with self._lock:
            self._end_locked()

    def _start_locked(self) -> None:
        if self._stopping.is_set() or self._process is not None:
            return
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "daemon.trial.warm", str(far.fileno())],
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                # A Ctrl-C is for the daemon. No session of its own: where the kernel shares the cores out between
                # sessions (autogroup, sched(7)), niceness counts only within one.
                process_group=0,
            )
        self._control, self._is_warm = near, False

    def _end_locked(self) -> None:
        """Closes our end, at which the process kills its children and goes; kills it where it does not."""
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            with suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)  # wakes whoever waits on it
            control.close()
        if process is None:
            return
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """What a trial needs to run, and nothing else: the daemon's own environment may hold its tokens."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return {**kept, **_TUNED, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
