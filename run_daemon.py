"""Starts the daemon: arguments, signals, exit codes.

    python run_daemon.py [--config config.yaml] [--check] [--version]

Exit codes: 0 after a drain in which everything was answered, 1 when something was cut, 2 when a setting is wrong or
the daemon cannot start, 128 plus the signal's number after a second signal.
"""

import argparse
import faulthandler
import logging
import os
import signal
import sys
from contextlib import redirect_stderr
from pathlib import Path
from types import FrameType

from daemon import __version__, log
from daemon.assembly import assemble, check
from daemon.config import Settings, load
from daemon.errors import ConfigError, StartupError
from daemon.lifecycle import Daemon

LOG = logging.getLogger("modeldrop")

CUT, REFUSED = 1, 2


def main() -> int:
    """Runs the daemon as the arguments say; gives the exit code."""
    arguments = _arguments()
    if arguments.version:
        print(f"modeldrop {__version__}")
        return 0
    try:
        settings = load(arguments.config)
        check(settings)
        if arguments.check:
            print("config ok")
            return 0
        return _run(settings)
    except (ConfigError, StartupError) as error:
        print(f"modeldrop: {error}", file=sys.stderr)
        return REFUSED


def _run(settings: Settings) -> int:
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
        ending = _Ending()
        try:
            return _serve(assemble(settings), settings, ending)
        finally:
            undo()
            faulthandler.disable()


def _serve(daemon: Daemon, settings: Settings, ending: "_Ending") -> int:
    ending.ends(daemon)
    LOG.info("modeldrop %s starts at %s", __version__, " ".join(daemon.addresses))
    answered_all = daemon.serve(lambda: _announce(daemon, settings))
    LOG.info("modeldrop stops; %s", "all that had begun was answered" if answered_all else "some requests were cut")
    code = 0 if answered_all else CUT
    if not answered_all or not daemon.close():
        # Some thread is still in a run or a load: an orderly end of the interpreter would wait for it, or crash it.
        _leave(code)
    return code


class _Ending:
    """From construction on, the first SIGTERM or SIGINT begins the drain, and a second one leaves at once.

    One that comes before there is a daemon counts: the sockets listen before everything else is built.
    """

    def __init__(self) -> None:
        self._daemon: Daemon | None = None
        self._received = False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def ends(self, daemon: Daemon) -> None:
        """Have ``daemon`` stopped by the first signal, now if it was here already."""
        self._daemon = daemon
        if self._received:
            daemon.stop()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._received:
            os._exit(128 + number)
        self._received = True
        if self._daemon is not None:
            self._daemon.stop()


def _announce(daemon: Daemon, settings: Settings) -> None:
    print(f"ready {' '.join(daemon.addresses)} watching {settings.watch.drop_dir}", flush=True)


def _leave(code: int) -> None:
    sys.stdout.flush()
    os._exit(code)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_daemon.py", description="Turns a folder into a model server.")
    default = Path(__file__).resolve().parent / "config.yaml"
    parser.add_argument("--config", type=Path, default=default, help="a YAML file (default: config.yaml beside this)")
    parser.add_argument("--check", action="store_true", help="read the settings, say `config ok`, and exit")
    parser.add_argument("--version", action="store_true", help="say the version, and exit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
