"""Starts the daemon: arguments, signals, exit codes.

    python run_daemon.py [--config config.yaml] [--check] [--version]

Exit codes: 0 after a drain in which everything was answered, 1 when something was cut, 2 when a setting is wrong or
the daemon cannot start, 128 plus the signal's number after a second signal.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from daemon import __version__, starting
from daemon.errors import ConfigError, StartupError

REFUSED = 2


class Signals:
    """From construction on, the first SIGTERM or SIGINT ends the daemon in an orderly way, a second one at once.

    A terminal that closes (SIGHUP) counts too, unless whoever started the daemon had that ignored, as nohup does.
    """

    def __init__(self) -> None:
        self._end: Callable[[], None] | None = None
        self._received = False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._on_signal)

    def on_first(self, end: Callable[[], None]) -> None:
        """Have ``end`` called by the first signal; now, if it has come already."""
        self._end = end
        if self._received:
            end()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._received:
            os._exit(128 + number)
        self._received = True
        if self._end is not None:
            self._end()


def main() -> int:
    """Runs the daemon as the arguments say; gives the exit code."""
    arguments = _arguments()
    if arguments.version:
        print(f"modeldrop {__version__}")
        return 0
    signals = Signals()
    starting.lighten()
    try:
        return starting.with_room(_run)(arguments, signals)
    except (ConfigError, StartupError) as error:
        print(f"modeldrop: {error}", file=sys.stderr)
        return REFUSED


def _run(arguments: argparse.Namespace, signals: Signals) -> int:
    from daemon import early
    from daemon.config import load
    from daemon.intake.ahead import Ahead

    settings = load(arguments.config)
    with Ahead() as ahead:
        if not arguments.check:
            early.look_ahead(settings, ahead)
        from daemon import running  # takes half a second, in which a signal may come

        running.check(settings)
        if arguments.check:
            print("config ok")
            return 0
        return running.run(settings, signals.on_first, known=ahead.known)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_daemon.py", description="Turns a folder into a model server.")
    default = Path(__file__).resolve().parent / "config.yaml"
    parser.add_argument("--config", type=Path, default=default, help="a YAML file (default: config.yaml beside this)")
    parser.add_argument("--check", action="store_true", help="read the settings, say `config ok`, and exit")
    parser.add_argument("--version", action="store_true", help="say the version, and exit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
