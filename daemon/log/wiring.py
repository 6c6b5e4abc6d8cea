"""Connects the loggers of the daemon and of its libraries to where the log goes; entered by start-up and shutdown."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from daemon.log.files import BACKUPS, MAX_BYTES, DurableFileHandler
from daemon.log.formats import JsonFormatter, TextFormatter

_OFF = logging.CRITICAL + 1

_LIBRARY_LEVELS = {
    "waitress": logging.WARNING,
    "waitress.queue": _OFF,  # a line for each request that waits for a thread; the metrics have the depth
    "_granian": logging.WARNING,
    "watchdog": logging.WARNING,  # at DEBUG a line for each file event
}


def configure(
    *,
    level: str,
    format: str,
    file: Path | None,
    stream: TextIO,
    max_bytes: int = MAX_BYTES,
    backups: int = BACKUPS,
) -> Callable[[], None]:
    """Send the log to ``stream`` and, when given, to ``file``; what is called afterwards undoes it.

    ``level`` is ``debug|info|warning|error|critical`` in any case, ``format`` is ``text`` or ``json``. Raises
    ``ValueError`` for others. ``max_bytes`` and ``backups`` are the file's. ``stream`` stays its owner's; the undo
    closes only the file.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level must be debug, info, warning, error or critical, not {level!r}")
    if format not in ("text", "json"):
        raise ValueError(f"log format must be text or json, not {format!r}")
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    if file is not None:
        handlers.append(DurableFileHandler(file, max_bytes=max_bytes, backups=backups))
    for target in handlers:
        target.setFormatter(TextFormatter() if format == "text" else JsonFormatter())
    return _attach(handlers, {"": number, **_LIBRARY_LEVELS})


def _attach(handlers: list[logging.Handler], levels: dict[str, int]) -> Callable[[], None]:
    root = logging.getLogger()
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    for target in handlers:
        root.addHandler(target)

    def undo() -> None:
        for target in handlers:
            root.removeHandler(target)
            target.close()
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)

    return undo
