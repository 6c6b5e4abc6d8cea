"""The table of what the watcher knew of each path; entered by the scanner thread and by start-up."""

from daemon.history.database import Database
from daemon.history.records import Sighting, dumps, loads


class Sightings:
    """Sightings by path, in the journal's file. Thread-safe; the journal owns the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, Sighting]:
        """Every sighting that is kept, by its path."""
        rows = self._database.rows("SELECT path, model, members, sha256 FROM sightings")
        return {sighting.path: sighting for sighting in (_from_row(*row) for row in rows)}

    def keep(self, sighting: Sighting) -> None:
        """Keep a sighting in place of the one of the same path."""
        row = (_as_bytes(sighting.path), sighting.model, dumps(sighting.members), sighting.sha256)
        with self._database.transaction() as writer:
            writer.execute("INSERT OR REPLACE INTO sightings (path, model, members, sha256) VALUES (?, ?, ?, ?)", row)

    def forget(self, path: str) -> None:
        """Forget a path; one that is not known is no error."""
        with self._database.transaction() as writer:
            writer.execute("DELETE FROM sightings WHERE path = ?", (_as_bytes(path),))


def _from_row(path: bytes, model: str, members: str, sha256: str | None) -> Sighting:
    stamped = tuple((location, tuple(stamp)) for location, stamp in loads(members))
    return Sighting(path.decode("utf-8", "surrogateescape"), model, stamped, sha256)


def _as_bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
