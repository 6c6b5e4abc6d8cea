"""The log: one line per event for people or programs, to stderr and a file, libraries' own words included."""

from daemon.log.files import DurableFileHandler
from daemon.log.formats import JsonFormatter, TextFormatter
from daemon.log.levels import level, set_level
from daemon.log.lines import event_fields, event_line, level_of, log_event
from daemon.log.native import NativeLog
from daemon.log.text import quoted, visible
from daemon.log.wiring import configure

__all__ = [
    "DurableFileHandler",
    "JsonFormatter",
    "NativeLog",
    "TextFormatter",
    "configure",
    "event_fields",
    "event_line",
    "level",
    "level_of",
    "log_event",
    "quoted",
    "set_level",
    "visible",
]
