"""The append-only record of every event and release: the commit point of a deploy, and what start-up replays.

Entered by the deployer's lane and the scanner (they append), by request threads (they read and wait) and by start-up.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import monotonic

from daemon.errors import ShuttingDown
from daemon.history.database import Database, startup_errors
from daemon.history.entries import insert_event, insert_release, utc_now
from daemon.history.feed import Feed
from daemon.history.records import Outcome, Sighting, Standing, event_from_json, from_json, outcome_row
from daemon.history.retention import Retention
from daemon.history.sightings import Sightings
from daemon.history.standing import standing
from daemon.release import Event, Release

LOG = logging.getLogger("modeldrop.journal")


def ignore(event: Event) -> None:
    """Do nothing with an event."""


class Journal:
    """The journal file, opened; thread-safe. ``assembly`` owns it and closes it after everyone who appends.

    ``on_event`` is called for each event on the thread that appended it, after the commit and outside every lock (so
    two threads' calls may come out of the order of ids). Events beyond the newest ``keep_events`` that belong to no
    release are pruned when the file is opened and after every ``prune_every`` appends; ids go on rising.
    Raises ``StartupError`` when the file is no journal, is damaged, or is of a newer schema.
    """

    def __init__(
        self,
        path: Path,
        on_event: Callable[[Event], None] = ignore,
        *,
        keep_events: int = 100_000,
        prune_every: int = 1_000,
    ) -> None:
        self._on_event = on_event
        self._database = Database(path)
        self._sightings = Sightings(self._database)
        self._retention = Retention(self._database, keep=keep_events, every=prune_every)
        self._lock = Lock()
        try:
            with startup_errors(path):
                self._feed = Feed(self._newest_id())
                self._retention.prune(self._feed.last_id())
                self._models = self._known_models()  # guarded by _lock
        except BaseException:
            self._database.close()
            raise

    def commit(self, release: Release) -> None:
        """The commit point of a deploy: from here on a restart serves ``release``, even after a power cut.

        Its ``live`` event follows when it serves. Raises ``ValueError`` when its version is another release's,
        ``ShuttingDown`` after ``close``, ``sqlite3.Error`` when the file cannot be written.
        """
        with self._database.transaction(durable=True) as writer:
            insert_release(writer, release)

    def append(self, event: Event, *, durable: bool = False) -> Event:
        """Write one event and give it back with its id and time; see ``append_all``."""
        return self.append_all([event], durable=durable)[0]

    def append_all(self, events: Sequence[Event], *, durable: bool = False) -> list[Event]:
        """Write events with consecutive ids in one transaction, then announce them; all of them stay, or none.

        With ``durable`` the commit survives a power cut too. Raises ``ShuttingDown`` after ``close``,
        ``sqlite3.Error`` when the file cannot be written.
        """
        with self._database.transaction(durable=durable) as writer:
            timed = [replace(event, time=utc_now()) for event in events]
            written = [replace(event, id=insert_event(writer, event)) for event in timed]
        self._announce(written)
        self._retention.count(len(written), last_id=self._feed.last_id())
        return written

    def events(self, *, after: int = 0, model: str | None = None, limit: int = 100) -> list[Event]:
        """At most ``limit`` events with an id beyond ``after``, oldest first, of one model or of all."""
        if model is None:
            rows = self._database.rows("SELECT id, record FROM events WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        else:
            query = "SELECT id, record FROM events WHERE model = ? AND id > ? ORDER BY id LIMIT ?"
            rows = self._database.rows(query, (model, after, limit))
        return [event_from_json(event_id, record) for event_id, record in rows]

    def last_id(self) -> int:
        """The newest event's id, 0 before the first. Ask before ``events``, or what comes between them is skipped."""
        return self._feed.last_id()

    def wait(self, after: int, model: str | None, seconds: float, *, limit: int = 100) -> list[Event]:
        """Like ``events``, but block up to ``seconds`` till there is one; empty when none came or all were released."""
        deadline = monotonic() + seconds
        while True:  # a turn for each event of other models, till the deadline
            seen = self._feed.last_id()
            try:
                found = self.events(after=after, model=model, limit=limit)
            except ShuttingDown:
                return []
            if found or not self._feed.wait_beyond(seen, deadline=deadline):
                return found

    def release_waiters(self) -> None:
        """Let everyone go who is in ``wait``; from now on it does not block."""
        self._feed.release()

    def releases(self, model: str, *, limit: int = 1_000) -> list[Release]:
        """The model's newest ``limit`` releases, newest first, whether or not their bytes are still kept."""
        query = "SELECT record FROM releases WHERE model = ? ORDER BY version DESC LIMIT ?"
        return [from_json(record) for (record,) in self._database.rows(query, (model, limit))]

    def releases_about(self, model: str, sha256: str, *, limit: int = 1_000) -> list[Release]:
        """Of the model's newest ``limit`` releases, newest first, those that say how bytes of this hash fared.

        They were made of these bytes, or serve in the place of a release that failed its probation. The others are not
        read: a history of records that are long, as those of many inputs are, takes half a second.
        """
        newest = "SELECT version, record FROM releases WHERE model = ? ORDER BY version DESC LIMIT ?"
        query = (  # what instr finds it finds as ``to_json`` wrote it; quotes in texts are escaped there
            f"SELECT record FROM ({newest}) WHERE instr(record, ?) OR NOT instr(record, '\"instead_of\":null')"
            " ORDER BY version DESC"
        )
        rows = self._database.rows(query, (model, limit, f'"sha256":"{sha256}"'))
        return [from_json(record) for (record,) in rows]

    def release(self, model: str, version: int) -> Release | None:
        """One release by its number, or None."""
        query = "SELECT record FROM releases WHERE model = ? AND version = ?"
        rows = self._database.rows(query, (model, version))
        return from_json(rows[0][0]) if rows else None

    def outcomes(self, model: str, limit: int = 100) -> list[Outcome]:
        """The newest ``limit`` rows of the model's history, newest first: what went live and what was rejected."""
        query = (
            "SELECT id, outcome, record FROM events WHERE model = ? AND outcome IS NOT NULL ORDER BY id DESC LIMIT ?"
        )
        rows = self._database.rows(query, (model, limit))
        return [outcome_row(outcome, event_from_json(event_id, record)) for event_id, outcome, record in rows]

    def is_told(self, release: Release) -> bool:
        """Whether the history has a row for ``release``: a crash between commit and swap leaves it without one."""
        query = "SELECT 1 FROM events WHERE model = ? AND version = ? AND outcome = 'live' LIMIT 1"
        return bool(self._database.rows(query, (release.model, release.version)))

    def standing(self) -> dict[str, Standing]:
        """What start-up owes each model that ever had a release: its newest, unless it was unloaded since."""
        return standing(self._database.rows)

    def next_version(self, model: str) -> int:
        """One more than any version the model ever had; 1 for its first release."""
        query = "SELECT coalesce(max(version), 0) + 1 FROM releases WHERE model = ?"
        return int(self._database.rows(query, (model,))[0][0])

    def models(self) -> set[str]:
        """Every model that ever had an event; from memory."""
        with self._lock:
            return set(self._models)

    def sightings(self) -> dict[str, Sighting]:
        """What the watcher knew of each path."""
        return self._sightings.all()

    def keep_sighting(self, sighting: Sighting) -> None:
        """Remember what was seen at a path, in place of what was known of it."""
        self._sightings.keep(sighting)

    def forget_sighting(self, path: str) -> None:
        """Forget what was known of a path."""
        self._sightings.forget(path)

    def close(self) -> None:
        """Let everyone go who waits and close the file; a second call does nothing."""
        self._feed.release()
        self._database.close()

    def _announce(self, written: Sequence[Event]) -> None:
        if not written:
            return
        with self._lock:
            self._models.update(event.model for event in written if event.model is not None)
        self._feed.announce(written[-1].id)
        for event in written:
            try:
                self._on_event(event)
            except Exception:  # what is committed has happened: a listener's failure must not undo the deploy
                LOG.exception("a listener failed on event %d (%s)", event.id, event.event)

    def _newest_id(self) -> int:
        rows = self._database.rows("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(rows[0][0]) if rows else 0

    def _known_models(self) -> set[str]:
        return {model for (model,) in self._database.rows("SELECT DISTINCT model FROM events WHERE model IS NOT NULL")}
