"""From a config file to an exit code: settings, log, daemon. The main thread runs it; signals come from above."""

import faulthandler
import gc
import logging
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, suppress

from daemon import log
from daemon.assembly import assemble, check
from daemon.config import Settings
from daemon.intake.ahead import Known, nothing
from daemon.intake.naming import shown
from daemon.lifecycle import Daemon
from daemon.runtime import memory

__all__ = ["check", "run"]

LOG = logging.getLogger("modeldrop")

OK, CUT = 0, 1
STDOUT = 1

OnSignal = Callable[[Callable[[], None]], None]
"""Takes what a signal is to call; calls it at once when one has come already."""


def run(settings: Settings, on_signal: OnSignal, *, known: Known = nothing) -> int:
    """Serves until a signal; 0 when all that had begun was answered, else 1. Raises ConfigError or StartupError.

    ``known`` has hashed stored files already.
    """
    memory.give_large_blocks_back()
    with log.NativeLog() as native, redirect_stderr(native.stderr):
        faulthandler.enable(native.stderr)
        undo = log.configure(
            level=settings.log.level,
            format=settings.log.format,
            file=settings.place(settings.log.file) if settings.log.file else None,
            max_bytes=int(settings.log.max_mb * (1 << 20)),
            backups=settings.log.keep,
            stream=native.stderr,
        )
        try:
            return _serve(assemble(settings, known=known), settings, on_signal)
        finally:
            undo()
            faulthandler.disable()


def _serve(daemon: Daemon, settings: Settings, on_signal: OnSignal) -> int:
    on_signal(daemon.stop)
    answered_all = daemon.serve(lambda: _announce(daemon, settings))
    LOG.info("modeldrop stops; %s", "all that had begun was answered" if answered_all else "some requests were cut")
    code = OK if answered_all else CUT
    if not answered_all or not daemon.close():
        # Some thread is still in a run or a load: an orderly end of the interpreter would wait for it, or crash it.
        os._exit(code)
    return code


def _announce(daemon: Daemon, settings: Settings) -> None:
    gc.freeze()  # what a start made stays: a collection that looks through it holds every request up (10 ms and more)
    gc.enable()
    line = f"ready {' '.join(daemon.addresses)} watching {shown(settings.watch.drop_dir)}\n"
    with suppress(OSError):  # whoever started it may not listen any more; it serves all the same
        sys.stdout.flush()
        os.write(STDOUT, line.encode(errors="backslashreplace"))
