"""Stored files that are hashed before anybody asks: while a start imports what it needs, another core reads them.

The main thread starts and stops it; the threads "hash-ahead" read; whoever needs a hash asks, on any thread.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from daemon.errors import Rejected, SourceChanged
from daemon.intake.copying import Part, expect_unchanged, filling_from, in_identity_order
from daemon.intake.entry import stored_parts, would_show
from daemon.intake.members import MADE_FOLDER, fingerprint, open_regular

STEP_BYTES = 8 << 20
"""So much is hashed at a time, without the interpreter's lock, which imports hold for as long as others may wait.

It is read, not mapped: should somebody cut the file meanwhile, a mapping would take the process down.
"""


@dataclass(frozen=True, slots=True)
class Hashed:
    """What some files hash to: the first of them alone, which is the model's, and all of them in order."""

    file_sha256: str
    sha256: str
    size_bytes: int


Known = Callable[[Sequence[Part]], Hashed | None]
"""What files hash to that look like this, in their order; None where nobody has read them."""


def nothing(_parts: Sequence[Part]) -> Hashed | None:
    """Knows of no file."""
    return None


class Ahead:
    """Hashes entries of the store; thread-safe. Its threads end by themselves, sooner once the ``with`` block ends.

    An entry that cannot be read is left to whoever asks for it, to be read again and complained of.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        threads = threads or max(1, len(os.sched_getaffinity(0)) - 1)  # one core imports meanwhile
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash-ahead")
        self._futures: dict[tuple[Part, ...], Future[Hashed]] = {}
        self._is_over = Event()

    def begin(self, model_files: Sequence[Path]) -> None:
        """Hashes the entries of these model files, and what was made of them. Once."""
        for model_file in model_files:
            with suppress(OSError):
                self._submit(stored_parts(model_file))
            for path in sorted(model_file.parent.joinpath(MADE_FOLDER).glob("*/*")):
                with suppress(OSError):
                    self._submit([("", path, fingerprint(path))])
        self._pool.shutdown(wait=False)

    def known(self, parts: Sequence[Part]) -> Hashed | None:
        """What files hash to that look like ``parts``; waits for them where they are being read."""
        future = self._futures.get(tuple(parts))
        if future is None or not would_show(look for _, _, look in parts):
            return None
        with suppress(OSError, Rejected, SourceChanged, CancelledError, _Over):
            return future.result()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, parts: Sequence[Part]) -> None:
        self._futures[tuple(parts)] = self._pool.submit(self._hash, parts)

    def _hash(self, parts: Sequence[Part]) -> Hashed:
        running, file_sha256 = sha256(), ""
        for _, path, look in in_identity_order(parts):
            fd = open_regular(path)
            try:
                expect_unchanged(fd, path, look)
                fill, buffer = filling_from(fd, look.size), memoryview(bytearray(min(STEP_BYTES, look.size)))
                while count := fill(buffer):
                    if self._is_over.is_set():
                        raise _Over
                    running.update(buffer[:count])
                expect_unchanged(fd, path, look)
            finally:
                os.close(fd)
            file_sha256 = file_sha256 or running.hexdigest()
        return Hashed(file_sha256, running.hexdigest(), sum(look.size for _, _, look in parts))


class _Over(Exception):
    """Nobody needs it any more."""
