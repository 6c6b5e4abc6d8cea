"""How events and releases become rows; entered by whoever appends, inside the journal's transaction."""

import sqlite3
from datetime import UTC, datetime

from daemon.history.records import event_to_json, to_json
from daemon.release import Event, Release


def insert_event(writer: sqlite3.Connection, event: Event) -> int:
    """Write an event and give its id."""
    row = (event.event, event.model, event.version, _outcome(event), _stands(event), event_to_json(event))
    cursor = writer.execute(
        "INSERT INTO events (event, model, version, outcome, stands, record) VALUES (?, ?, ?, ?, ?, ?)", row
    )
    assert cursor.lastrowid is not None  # only other statements than INSERT leave it so
    return cursor.lastrowid


def insert_release(writer: sqlite3.Connection, release: Release) -> None:
    """Write a release. Raises ``ValueError`` when its version is already another release's."""
    row = (release.model, release.version, to_json(release))
    try:
        writer.execute("INSERT INTO releases (model, version, record) VALUES (?, ?, ?)", row)
    except sqlite3.IntegrityError:
        raise ValueError(f"model {release.model!r} already has a release with the version {release.version}") from None


def utc_now() -> str:
    """The time as ISO 8601 in UTC with milliseconds, such as ``2026-11-22T10:15:02.318Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_seconds(time: str) -> float:
    """How long ago ``time``, as ``utc_now`` writes it, was; raises ValueError for another form."""
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


def _outcome(event: Event) -> str | None:
    """``live`` or ``rejected`` where the event is a row of the model's history.

    A ``restored`` is one when it has a cause: then its release has no row yet. It is a new one made of older bytes, or
    one that was committed just before a crash.
    """
    if event.event in ("live", "rejected"):
        return event.event
    return "live" if event.event == "restored" and event.cause is not None else None


def _stands(event: Event) -> str | None:
    if event.event == "unloaded":
        return "unloaded"
    return "serves" if event.event in ("live", "restored") else None
