"""The journal's SQLite file: schema, its two connections, and how a commit is made durable; entered by any thread."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from daemon.errors import ShuttingDown, StartupError

SCHEMA_VERSION = 1

# `outcome` and `stands` repeat what `event` and `version` imply, so that a partial index finds the few rows that matter
# among many. A path is a BLOB: it may not be UTF-8.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    event   TEXT NOT NULL,
    model   TEXT,
    version INTEGER,
    outcome TEXT,           -- 'live' or 'rejected' where the event is a row of the model's history
    stands  TEXT,           -- 'serves' or 'unloaded' where the event decides what a restart does
    record  TEXT NOT NULL   -- the whole event as JSON
);
CREATE INDEX events_by_model ON events (model, id);
CREATE INDEX outcomes_by_model ON events (model, id) WHERE outcome IS NOT NULL;
CREATE INDEX standing_by_model ON events (model, id) WHERE stands IS NOT NULL;
CREATE TABLE releases (
    model   TEXT NOT NULL,
    version INTEGER NOT NULL,
    record  TEXT NOT NULL,
    PRIMARY KEY (model, version)
) WITHOUT ROWID;
CREATE TABLE sightings (
    path    BLOB PRIMARY KEY,
    model   TEXT NOT NULL,
    members TEXT NOT NULL,
    sha256  TEXT
) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


class Database:
    """One connection that writes and one that reads, to one file in WAL mode.

    Thread-safe: each connection is used under its own lock, so that a reader never waits for a writer's fsync. These
    two locks are held during a statement; no caller's code but the body of a ``transaction`` runs under them. Owned by
    the journal. Raises ``StartupError`` when the file is no journal of this schema or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._write_lock = Lock()
        self._read_lock = Lock()
        with startup_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _connect(path)  # guarded by _write_lock
            try:
                _ensure_schema(self._writer, path)
                self._reader = _connect(path)  # guarded by _read_lock
            except BaseException:
                self._writer.close()
                raise
            self._reader.execute("PRAGMA query_only = ON")
        self._closed = False  # written under both locks, read under either

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Commit what the body does as one, or nothing of it when it raises.

        What was committed survives the death of the process; with ``durable`` it is also fsynced, with everything
        committed before it, and survives the death of the machine. Raises ``ShuttingDown`` after ``close``.
        """
        with self._write_lock:
            self._refuse_closed_locked()
            if durable:  # SQLite ignores the change inside a transaction
                self._writer.execute("PRAGMA synchronous = FULL")
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                if durable:
                    self._writer.execute("PRAGMA synchronous = NORMAL")

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a query, as tuples, as of the last commit. Raises ``ShuttingDown`` after ``close``."""
        with self._read_lock:
            self._refuse_closed_locked()
            return self._reader.execute(query, values).fetchall()

    def _refuse_closed_locked(self) -> None:
        if self._closed:
            raise ShuttingDown("the journal is closed")

    def close(self) -> None:
        """Close both connections; a second call does nothing."""
        with self._write_lock, self._read_lock:
            self._closed = True
            self._reader.close()
            self._writer.close()  # last, so that SQLite folds the write-ahead log into the file


@contextmanager
def startup_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a journal is opened into a ``StartupError`` that names the file."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise StartupError(f"the journal {path} cannot be opened: {error}") from None
    except (sqlite3.Error, ValueError) as error:
        raise StartupError(
            f"the journal {path} is damaged or no journal: {error}; move it away to start anew"
        ) from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StartupError(
            f"the journal {path} was written by a newer modeldrop: expected schema {SCHEMA_VERSION}, found {version}"
        )
    if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise StartupError(f"the journal {path} is another program's database: expected an empty file or a journal")
    connection.executescript(_SCHEMA)
