"""What C libraries write to stderr, taken apart into lines and log records; pure, used by the ``native-log`` thread."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE = 8 * 1024
"""Bytes of one line that are kept."""

_CUT = "… (cut)"
LONGEST_MESSAGE = 100
"""Lines that one message of ONNX Runtime may have, should the end of its colour never come."""

# ONNX Runtime's form, core/platform/posix or common/logging/sinks/ostream_sink.cc: an optional colour, local time,
# [severity:category:log id, file:line function] message, and the end of the colour after the message.
_HEAD = re.compile(
    r"^(?P<colour>\x1b\[[0-9;]*m)?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ "
    r"\[(?P<severity>[VIWEF]):(?P<category>\w+):[^,\]]*, (?P<location>\S+:\d+ [^\]]*)\] (?P<message>.*)$",
    re.DOTALL,
)
_COLOUR_END = "\x1b[m"
_LEVELS = {
    "V": logging.DEBUG,
    "I": logging.INFO,
    "W": logging.WARNING,
    "E": logging.ERROR,
    "F": logging.CRITICAL,
}
_RUN_FAILED = re.compile(r"^sequential_executor\.cc:\d+ ExecuteKernel$")


@dataclass(frozen=True, slots=True)
class NativeLine:
    """One line for the log: the logger's name, its level, the message, and where in the library it was written."""

    logger: str
    level: int
    message: str
    location: str | None = None


class LineSplitter:
    """Cuts a stream of bytes into lines of bounded length. Not thread-safe; its one reader owns it."""

    def __init__(self) -> None:
        self._held = b""
        self._cutting = False

    def feed(self, received: bytes) -> Iterator[str]:
        """Give every line that is now whole; a longer one than ``LONGEST_LINE`` is given cut, its rest left out."""
        *whole, rest = (self._held + received).split(b"\n")
        self._held = b""
        for line in whole:
            if not self._cutting:
                yield _text(line)
            self._cutting = False
        if not self._cutting and len(rest) > LONGEST_LINE:
            yield _text(rest)
            self._cutting = True
        self._held = b"" if self._cutting else rest

    def rest(self) -> Iterator[str]:
        """Give what was written without a line's end."""
        if self._held:
            yield _text(self._held)
        self._held = b""


class NativeParser:
    """Turns lines into log records. A message of ONNX Runtime that has line breaks makes records of one kind.

    A run that fails writes what the request's own answer says: that is DEBUG, or one client could fill the log.
    Not thread-safe; its one reader owns it.
    """

    def __init__(self) -> None:
        self._open: NativeLine | None = None  # the coloured message whose end has not come yet
        self._lines = 0  # of that message

    def parse(self, line: str) -> NativeLine:
        """Say what one line is for the log."""
        head = _HEAD.match(line)
        if head is not None:
            return self._begin(head)
        if self._open is not None:
            return self._continue(self._open, line)
        return NativeLine("native", logging.WARNING, line)

    def _begin(self, head: re.Match[str]) -> NativeLine:
        message, ended = _without_end(head["message"])
        location = head["location"].rstrip()
        level = logging.DEBUG if _RUN_FAILED.match(location) else _LEVELS[head["severity"]]
        begun = NativeLine("onnxruntime", level, message, location)
        self._open = begun if head["colour"] and not ended else None
        self._lines = 1
        return begun

    def _continue(self, begun: NativeLine, line: str) -> NativeLine:
        message, ended = _without_end(line)
        self._lines += 1
        if ended or self._lines == LONGEST_MESSAGE:
            self._open = None
        return NativeLine(begun.logger, begun.level, message, begun.location)


def _without_end(message: str) -> tuple[str, bool]:
    """The message without the end of its colour, and whether it ended: one that was cut has lost its own."""
    bare = message.removesuffix(_COLOUR_END)
    return bare, len(bare) < len(message) or message.endswith(_CUT)


def _text(line: bytes) -> str:
    text = line[:LONGEST_LINE].removesuffix(b"\r").decode("utf-8", "backslashreplace")
    return text if len(line) <= LONGEST_LINE else text + _CUT
