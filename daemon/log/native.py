"""Leads what C libraries write to file descriptor 2 into the log, on the thread ``native-log``.

Python's own output stays out of it: ``sys.stderr``, the log and faulthandler get the real stderr, kept in ``stderr``.
"""

import contextlib
import fcntl
import logging
import os
import select
from collections.abc import Iterable, Iterator
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import TextIO

from daemon.log.native_lines import LineSplitter, NativeLine, NativeParser

STDERR = 2
PIPE_BYTES = 1024 * 1024
"""Room for what is written while the reader waits for its turn; 64 KiB where the system refuses more."""

LINES_A_SECOND = 200
"""More lines than this in a second are counted, not logged."""

_CHUNK_BYTES = 64 * 1024
_CHUNKS_AT_CLOSE = 64


class NativeLog:
    """Redirects file descriptor 2 into the log, from construction until ``close``.

    ``stderr`` is the real one, a line-buffered text stream (the null device when it was closed); it is closed by
    ``close``, so point ``sys.stderr``, the log and faulthandler elsewhere before. One at a time in a process. Owned by
    start-up, which makes it before it opens any file: where descriptor 2 was closed, the first file opened would become
    it. What a library writes in the last moment before it aborts the process may be lost.
    """

    def __init__(self) -> None:
        kept = _keep_stderr()
        self.stderr: TextIO = os.fdopen(kept, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        self._source, sink = os.pipe()
        self._wake_source, self._wake_sink = os.pipe()
        with contextlib.suppress(OSError):  # a user's share of pipe memory may be used up
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self._source, False)
        os.dup2(sink, STDERR)  # inheritable: a child's stderr goes into the log too
        os.close(sink)
        self._closed = False
        self._thread = Thread(target=self._read, name="native-log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give file descriptor 2 back, log what was written before, and join; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        os.dup2(self.stderr.fileno(), STDERR)
        os.close(self._wake_sink)
        self._thread.join()
        os.close(self._source)
        os.close(self._wake_source)
        self.stderr.close()

    def __enter__(self) -> "NativeLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> None:
        """Read until ``close``. A child may hold the pipe's other end for longer, so its end is not waited for."""
        try:
            self._read_till_closed()
        finally:  # whatever ended this thread: nobody may hang on a pipe that no one reads
            os.dup2(self.stderr.fileno(), STDERR)

    def _read_till_closed(self) -> None:
        writer = _LimitedWriter()
        splitter, parser = LineSplitter(), NativeParser()
        watched = [self._source, self._wake_source]
        while self._wake_source in watched:
            ready, _, _ = select.select(watched, [], [], writer.due_seconds())
            closing = self._wake_source in ready
            for chunk in self._chunks(_CHUNKS_AT_CLOSE if closing else 1):
                writer.write(map(parser.parse, splitter.feed(chunk)))
                if not chunk and self._source in watched:  # descriptor 2 was taken over by someone else
                    watched.remove(self._source)
            writer.tick()
            if closing:
                watched.remove(self._wake_source)
        writer.write(map(parser.parse, splitter.rest()))
        writer.finish()

    def _chunks(self, most: int) -> Iterator[bytes]:
        """What lies in the pipe, in at most ``most`` pieces; an empty one when its other end is closed."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(most):
                chunk = os.read(self._source, _CHUNK_BYTES)
                yield chunk
                if not chunk:
                    return


class _LimitedWriter:
    """Logs at most ``LINES_A_SECOND`` lines in each second and counts the others. Owned by the reading thread."""

    def __init__(self) -> None:
        self._second_ends = 0.0
        self._written = 0
        self._left_out = 0

    def write(self, lines: Iterable[NativeLine]) -> None:
        """Log each line that is not blank and of a level that is logged, or count it."""
        for line in lines:
            if not line.message.strip() or not logging.getLogger(line.logger).isEnabledFor(line.level):
                continue
            self.tick()
            if self._written >= LINES_A_SECOND:
                self._left_out += 1
                continue
            self._written += 1
            _log(line)

    def due_seconds(self) -> float | None:
        """How long until lines that were left out must be told of; None when there are none."""
        return max(0.0, self._second_ends - monotonic()) if self._left_out else None

    def tick(self) -> None:
        """Begin a new second when the last is over, and say what was left out of it."""
        if monotonic() >= self._second_ends:
            self.finish()
            self._second_ends = monotonic() + 1.0
            self._written = 0

    def finish(self) -> None:
        """Say how many lines were left out, if any."""
        left_out, self._left_out = self._left_out, 0
        if left_out:
            _log(NativeLine("native", logging.WARNING, f"{left_out} more lines came at once and are left out"))


def _log(line: NativeLine) -> None:
    shown = f"{line.message} [{line.location}]" if line.location and line.level == logging.DEBUG else line.message
    # were an exception of a log's filter to end this thread, the pipe would fill and the libraries would hang on it
    with contextlib.suppress(Exception):
        logging.getLogger(line.logger).log(line.level, "%s", shown, extra={"location": line.location})


def _keep_stderr() -> int:
    """Duplicate file descriptor 2, out of the way of the first three; one that is closed becomes the null device."""
    try:
        return fcntl.fcntl(STDERR, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != STDERR:
            os.dup2(null, STDERR)
            os.close(null)
        return fcntl.fcntl(STDERR, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
