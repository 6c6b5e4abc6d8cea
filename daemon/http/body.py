"""Where bodies wait: short ones in memory, and longer ones as long as there is some to lend; others in unlinked files.

The loop thread fills a body, the spool's thread writes it down, the thread that serves the request reads it in the end.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from tempfile import TemporaryFile
from threading import Condition
from typing import Any

from daemon.http.spool import Spool

BATCH_BYTES = 256 << 10
"""What is handed to the disk's thread at once: handing over costs more than the system call."""

SMALL_BYTES = 4 << 10
"""What is shorter is not kept as it came."""

LAG_BYTES = 1 << 20
"""What may wait for the disk; past it nothing more of that body is read from its client."""


class Body:
    """One body: in memory up to ``spool_bytes``, or to the ``length`` that was announced where it is lent so much; past
    them in a file without a name, so that a crash leaves none.

    ``append`` and ``lags`` are the loop thread's, ``getfile`` the serving thread's, ``close`` is for either.
    ``room_made`` is called by the spool's thread when the disk has caught up.
    """

    def __init__(self, spool: Spool, room_made: Callable[[], None], *, length: int | None) -> None:
        self._spool = spool
        is_long = length is not None and length > spool.spool_bytes
        self._give_back = spool.loans.lend(self, length) if length is not None and is_long else None
        self._memory_bytes = length if length is not None and self._give_back else spool.spool_bytes
        self._room_made = room_made
        self._size = 0
        self._memory: BytesIO | None = None  # once all is there
        self._spooled = False
        self._batch: list[bytes | bytearray] = []
        self._batch_bytes = 0
        self._closed = False
        self._file: Any = None  # the spool thread's, as long as bytes are pending
        self._stored: Condition  # made for a body that is spooled
        self._pending_bytes = 0  # guarded by _stored
        self._error: OSError | None = None  # guarded by _stored, as long as bytes are pending

    def __len__(self) -> int:
        return self._size

    @property
    def lags(self) -> bool:
        """Whether so much waits for the disk that no more should be read."""
        return self._pending_bytes > LAG_BYTES

    def append(self, piece: bytes) -> None:
        """Take the next bytes. Raises ``OSError`` if earlier ones could not be stored."""
        self._size += len(piece)
        gather(self._batch, piece)
        self._batch_bytes += len(piece)
        if self._size <= self._memory_bytes:
            return
        if not self._spooled:
            self._spooled = True
            self._stored = Condition()
        if self._batch_bytes >= BATCH_BYTES:
            self._hand_over()

    @property
    def in_memory(self) -> bool:
        """Whether all that came so far is there at once."""
        return not self._spooled

    def getfile(self) -> Any:
        """Wait until all is stored; return it, to be read from its beginning. Raises ``OSError`` if it could not be."""
        if not self._spooled:
            if self._memory is None:
                self._memory = BytesIO(b"".join(self._take_batch()))
            self._memory.seek(0)
            return self._memory
        with self._stored:
            self._stored.wait_for(lambda: not self._pending_bytes)
        self._error = self._write(self._take_batch())  # alone with it now, and this thread may wait for the disk
        if self._error is not None:
            raise self._error
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Forget it; a second call does nothing."""
        self._closed = True
        if self._spooled:
            self._spool.submit(self._drop)
            return
        self._batch = []
        if self._memory is not None:
            self._memory.close()
        if self._give_back is not None:
            self._give_back()

    def _hand_over(self) -> None:
        with self._stored:
            if self._error is not None:
                raise self._error
            self._pending_bytes += self._batch_bytes
        self._spool.submit(partial(self._store, self._take_batch()))

    def _take_batch(self) -> list[bytes | bytearray]:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        return batch

    def _store(self, batch: list[bytes | bytearray]) -> None:
        error = None if self._closed else self._write(batch)
        with self._stored:
            lagged = self.lags
            self._pending_bytes -= sum(map(len, batch))
            self._error = error
            self._stored.notify_all()
        if lagged and not self.lags:
            self._room_made()

    def _write(self, batch: list[bytes | bytearray]) -> OSError | None:
        """Write ``batch``; return why it, or one before it, could not be stored."""
        if self._error is not None or not batch:
            return self._error
        try:
            if self._file is None:
                self._file = TemporaryFile("w+b", dir=self._spool.folder)  # noqa: SIM115  # closed by _drop
            self._file.write(b"".join(batch))
            self._file.flush()
        except OSError as error:
            return error
        return None

    def _drop(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk says so once more
                self._file.close()


def gather(pieces: list[bytes | bytearray], piece: bytes) -> None:
    """Adds ``piece`` to ``pieces``; small ones are put together, as each object weighs more than a few bytes."""
    last = pieces[-1] if pieces else None
    if len(piece) >= SMALL_BYTES or last is None:
        pieces.append(piece)
    elif isinstance(last, bytearray) and len(last) < BATCH_BYTES:
        last += piece
    else:
        pieces.append(bytearray(piece))


class _NoBody:
    """Holds nothing. For any thread."""

    def __len__(self) -> int:
        return 0

    def getbuf(self) -> "_NoBody":
        return self

    def close(self) -> None:
        """Do nothing: there is nothing."""


NO_BODY = _NoBody()
"""Stands for a body that cannot be delimited, or has no place yet."""
