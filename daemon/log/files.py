"""The log's file: rotated by its size, followed when others rotate it; entered by every thread that logs."""

import contextlib
import logging
import os
import stat
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 50 * 1024 * 1024
BACKUPS = 5


class DurableFileHandler(RotatingFileHandler):
    """Appends to a file and keeps ``backups`` older ones (``daemon.log.1`` …) of about ``max_bytes`` each.

    When the file was renamed, deleted or replaced (logrotate's ``create``), it is opened anew under its name, with its
    folder; when it was cut (``copytruncate``), appending goes on at its new end. What cannot be written (a full disk, a
    folder that cannot be made) is lost and said once on stderr; the next line is tried again. Never raises into the
    caller. Thread-safe by the lock of ``logging.Handler``; whoever attaches it closes it.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, backups: int = BACKUPS) -> None:
        super().__init__(path, "a", max_bytes, backups, encoding="utf-8", delay=True, errors="backslashreplace")
        self._failing = False  # guarded by the handler's own lock

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; called under the handler's lock."""
        try:
            line = self.format(record) + self.terminator
        except Exception:
            self.handleError(record)  # the caller's message is at fault: said on stderr, with where it was logged
            return
        try:
            self._write(line)
            self._failing = False
        except Exception as error:
            self._drop_stream()
            self._complain(error)

    def doRollover(self) -> None:
        """Rotate; where the folder refuses it, go on in the same file rather than lose lines."""
        self._drop_stream()
        with contextlib.suppress(OSError):
            super().doRollover()

    def _write(self, line: str) -> None:
        self._follow_path()
        if self.stream is None:
            self.stream = self._open()
        if self._is_full(self.stream, line):
            self.doRollover()
            self.stream = self._open()
        self.stream.write(line)
        self.stream.flush()

    def _is_full(self, stream: TextIOWrapper, line: str) -> bool:
        state = os.fstat(stream.fileno())  # the size as it is: someone else may have cut the file
        return stat.S_ISREG(state.st_mode) and state.st_size > 0 and state.st_size + len(line) > self.maxBytes > 0

    def _complain(self, error: Exception) -> None:
        """Say that the file is not written, once until a line could be written again."""
        if self._failing or sys.stderr is None:
            return
        self._failing = True
        with contextlib.suppress(Exception):  # stderr may be closed or full as well
            print(f"the log file {self.baseFilename!a} cannot be written: {error}", file=sys.stderr)

    def _follow_path(self) -> None:
        """Let go of a file that no longer lies at its path, and see that the folder is there."""
        if self.stream is not None and not _lies_at(self.stream, self.baseFilename):
            self._drop_stream()
        if self.stream is None:
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)

    def _drop_stream(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            with contextlib.suppress(Exception):  # closing writes what is left in the buffer, which may fail again
                stream.close()


def _lies_at(stream: TextIOWrapper, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))  # noqa: PTH116
    except OSError:
        return False
