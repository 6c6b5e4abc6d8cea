"""What the journal keeps beside events, and the JSON form of releases and events; pure, any thread."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import orjson

from daemon.release import Event, Release, signature_from

FileStamp = tuple[int, ...]
"""What tells one state of a file from another: ``(dev, ino, size, mtime_ns, ctime_ns)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row of a model's history: a release that went live, or a candidate that was rejected (it has no version)."""

    outcome: str
    version: int | None
    sha256: str | None
    model_path: str | None
    time: str
    reason: str | None
    check: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What start-up owes a model: to serve ``release``, unless it was ``unloaded`` (then it is what served last)."""

    model: str
    release: Release
    unloaded: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the watcher last saw at a path, so that a restart does not take an old file for an arrival.

    ``members`` are the model file and its external data, each by its location and its stamp. ``sha256`` is None where
    the content was never read to its end. ``path`` and locations may hold surrogate escapes.
    """

    path: str
    model: str
    members: tuple[tuple[str, FileStamp], ...]
    sha256: str | None


def dumps(value: object) -> str:
    """Write dataclasses, mappings, sequences and scalars as one line of JSON; ``loads`` reads it as plain values.

    orjson refuses strings with surrogate escapes (file names that are not UTF-8) and numbers beyond 64 bits; both are
    written losslessly by the standard library instead. Raises ``TypeError`` for what JSON has no form for.
    """
    try:
        return orjson.dumps(value, default=_plain).decode()
    except TypeError:
        return json.dumps(value, default=_plain, separators=(",", ":"))


def loads(text: str) -> Any:
    """Read what ``dumps`` wrote. Raises ``ValueError`` for what is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def to_json(release: Release) -> str:
    """A release as one JSON object with the fields of ``Release``."""
    return dumps(release)


def from_json(text: str) -> Release:
    """The release that ``to_json`` wrote, equal to the original (lists in its metadata stay lists)."""
    record = loads(text)
    return Release(signature=signature_from(record.pop("signature")), **record)


def event_to_json(event: Event) -> str:
    """An event as one JSON object, without its id and without the fields that it does not have."""
    record = {field.name: getattr(event, field.name) for field in fields(event) if field.name != "id"}
    return dumps({name: value for name, value in record.items() if value is not None and value != {}})


def event_from_json(event_id: int, text: str) -> Event:
    """The event that ``event_to_json`` wrote, with the id under which it was found."""
    return Event(id=event_id, **loads(text))


def outcome_row(outcome: str, event: Event) -> Outcome:
    """The row of a model's history that an event of this outcome (``live`` or ``rejected``) makes."""
    return Outcome(
        outcome=outcome,
        version=event.version,
        sha256=event.sha256,
        model_path=event.model_path,
        time=event.time,
        reason=event.reason,
        check=event.check,
        cause=event.cause,
    )
