"""The two forms of the log: text for people, JSON for programs; entered by every thread that logs."""

import logging
import time
from datetime import UTC, datetime

import orjson

from daemon.log.lines import event_fields, plain
from daemon.log.text import visible
from daemon.release import Event

OWN = "modeldrop"
"""The logger that all of the daemon's own are below."""

_LEVELS = {logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}


class TextFormatter(logging.Formatter):
    """``2026-11-22 10:15:02.318 INFO  …``: local time, and after the level one line whatever the message holds.

    A logger that is not the daemon's own is named before its message. A traceback follows on lines of its own, indented
    so that nothing in it can pass for a line of the log. Thread-safe.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, and those of its traceback."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        level = _LEVELS.get(record.levelno, record.levelname)
        text = visible(_origin(record) + record.getMessage())
        first = f"{stamp}.{int(record.msecs):03d} {level:<5} {text}"
        return "\n".join([first, *(f"    {visible(line)}" for line in _traceback(self, record).splitlines())])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``; an event's fields are keys too.

    Thread-safe.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": visible(record.getMessage()),
        }
        event = getattr(record, "event", None)
        if isinstance(event, Event):
            fields |= {name: value for name, value in event_fields(event).items() if value is not None and value != ""}
        if location := getattr(record, "location", None):
            fields["location"] = plain(location)
        if traceback := _traceback(self, record):
            fields["exception"] = "\n".join(map(visible, traceback.splitlines()))
        return orjson.dumps(fields).decode()


def _origin(record: logging.LogRecord) -> str:
    own = record.name == OWN or record.name.startswith(f"{OWN}.")
    return "" if own else f"{record.name}: "


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    return "\n".join([*parts, record.stack_info] if record.stack_info else parts)


def _utc(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with milliseconds and ``Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
