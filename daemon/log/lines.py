"""The one log line of an event, and the same event as keys; pure but for ``log_event``, any thread."""

import logging
from collections.abc import Iterator, Mapping

import orjson

from daemon.log.text import quoted, visible
from daemon.release import Event

LONGEST_VALUE = 2_000
"""Characters of one value that a line shows; the journal keeps the rest."""

_EVENTS = logging.getLogger("modeldrop.events")
_WARNINGS = frozenset({"rejected", "watch_lost"})


def log_event(event: Event) -> None:
    """Write an event's line to the log; with the JSON format the event's fields are keys of the line."""
    _EVENTS.log(level_of(event), "%s", event_line(event), extra={"event": event})


def level_of(event: Event) -> int:
    """WARNING for what someone should look at, else INFO.

    That is, too, a restore that has a reason, since it fell back to older bytes, and a release that was given up.
    """
    fell_back = event.event == "restored" and event.reason is not None
    gave_up = event.event == "rolled_back" and event.cause == "probation"
    return logging.WARNING if fell_back or gave_up or event.event in _WARNINGS else logging.INFO


def event_line(event: Event) -> str:
    """What a log line says of an event after its time and level.

    ``live model=default version=4 path=model_drop/new.onnx sha256=9c1e04a2…  total=0.212s settle=0.004``: values
    that could break the line or be misread are quoted and escaped; seconds come last, after two spaces.
    """
    line = " ".join((event.event, *_words(event)))
    return f"{line}  {_timings(event.seconds)}" if event.seconds else line


def event_fields(event: Event) -> dict[str, object]:
    """An event as the keys of a JSON object: what every event has, then what this one has, details at the same level.

    Text is made ``visible``; a detail never takes the place of a field.
    """
    always = {"id": event.id, "event": event.event, "time": event.time}
    named = {"model": event.model, "model_path": event.model_path}
    sometimes = {
        "version": event.version,
        "sha256": event.sha256,
        "cause": event.cause,
        "check": event.check,
        "reason": event.reason,
        "seconds": event.seconds,
    }
    fields: dict[str, object] = always | named
    fields |= {name: value for name, value in sometimes.items() if value is not None}
    fields |= {name: value for name, value in event.detail.items() if name not in always | named | sometimes}
    return {name: plain(value) for name, value in fields.items()}


def plain(value: object) -> object:
    """A value in a form that orjson can write: text made visible, keys text, what JSON has no form for as its text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 64 else str(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return visible(str(value))


def _words(event: Event) -> Iterator[str]:
    if event.model is not None:
        yield f"model={quoted(event.model)}"
    if event.version is not None:
        yield f"version={event.version}"
    if event.model_path is not None:
        yield f"path={_value(event.model_path)}"
    if event.sha256 is not None:
        yield f"sha256={quoted(event.sha256[:8])}…"
    if event.cause is not None:
        yield f"cause={quoted(event.cause)}"
    if event.check is not None:
        yield f"check={quoted(event.check)}"
    if event.reason is not None:
        yield f"reason={_value(event.reason, always=True)}"
    for name, value in event.detail.items():
        yield from _details(name, value)


def _value(text: str, *, always: bool = False) -> str:
    return quoted(text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…", always=always)


def _details(name: str, value: object) -> Iterator[str]:
    """A detail as words; the keys of a mapping follow its name after a dot. Counts that all are 0 say nothing."""
    if isinstance(value, Mapping):
        if not any(value.values()):
            return
        for key, inner in value.items():
            yield from _details(f"{name}.{key}", inner)
    elif name.endswith("sha256") and isinstance(value, str):
        yield f"{visible(name)}={quoted(value[:8])}…"
    elif value is not None:
        yield f"{visible(name)}={_detail(value)}"


def _detail(value: object) -> str:
    if isinstance(value, str):
        return _value(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return _value(",".join(value))
    return _value(orjson.dumps(plain(value)).decode())


def _timings(seconds: Mapping[str, float]) -> str:
    """Every stage with three decimals, the total first and with its unit; parts of a stage, such as a check, are left
    to the event."""
    whole = {stage: took for stage, took in seconds.items() if stage != "total" and "." not in stage}
    stages = [f"{visible(stage)}={took:.3f}" for stage, took in whole.items()]
    return " ".join([f"total={seconds['total']:.3f}s", *stages] if "total" in seconds else stages)
