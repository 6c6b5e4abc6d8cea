"""The log's level, seen and changed in the form of Triton's clients. Entered by request threads.

Source: Triton's ``extension_logging.md``.
"""

import logging
from collections.abc import Mapping

from flask import Blueprint, Response, request

from daemon.errors import BadRequest
from daemon.log import level, set_level
from daemon.web.answers import answer, read_body, read_object
from daemon.web.describing import described
from daemon.web.openapi import repository as told
from daemon.web.wanted import refuse_unknown_keys

MAX_REQUEST_BYTES = 64 << 10
FLAGS = {"log_info": logging.INFO, "log_warning": logging.WARNING, "log_error": logging.ERROR}
LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def logging_routes(*, log_file: str) -> Blueprint:
    """``GET`` and ``POST /v2/logging``; ``log_file`` is what the settings call the log's file."""
    routes = Blueprint("open-inference-logging", __name__)

    @routes.get("/v2/logging")
    @described(told.LOG_SETTINGS)
    def settings() -> Response:
        return answer(settings_of(level(), log_file))

    @routes.post("/v2/logging")
    @described(told.UPDATE_LOG_SETTINGS)
    def update() -> Response:
        wanted = read_object(read_body(request, MAX_REQUEST_BYTES), empty_is_object=True)
        number = level_of(wanted, level(), log_file)
        if number != level():
            set_level(number)
        return answer(settings_of(number, log_file))

    return routes


def settings_of(number: int, log_file: str) -> dict[str, object]:
    """The settings that Triton has for a log of the level ``number``, written to ``log_file``."""
    flags: dict[str, object] = {name: number <= least for name, least in FLAGS.items()}
    return {
        "log_file": log_file,
        **flags,
        "log_verbose_level": int(number <= logging.DEBUG),
        "log_format": "default",
    }


def level_of(wanted: Mapping[str, object], number: int, log_file: str) -> int:
    """The level nearest to ``number``, that of the log now, which has what is ``wanted``.

    Raises BadRequest for what no level has, and for what cannot be changed here.
    """
    now = settings_of(number, log_file)
    refuse_unknown_keys(wanted, now.keys())
    for name in FLAGS.keys() & wanted.keys():
        if not isinstance(wanted[name], bool):
            raise BadRequest(f"{name}: expected true or false, found {wanted[name]!r:.100}")
    for name in {"log_file", "log_format"} & wanted.keys():
        if wanted[name] != now[name]:
            raise BadRequest(f"{name}: expected {now[name]!r}, which is fixed, found {wanted[name]!r:.100}")
    asked = dict(wanted)
    if "log_verbose_level" in wanted:
        asked["log_verbose_level"] = min(_verbose(wanted["log_verbose_level"]), 1)
    found = [each for each in LEVELS if asked.items() <= settings_of(each, log_file).items()]
    if not found:
        raise BadRequest(
            "the log has levels: expected log_verbose_level only with log_info, log_info only with log_warning, "
            "and log_warning only with log_error"
        )
    return min(found, key=lambda each: abs(each - number))


def _verbose(value: object) -> int:
    """``value`` as a whole number; for JSON, 1.0 is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1:
        raise BadRequest(f"log_verbose_level: expected a whole number from 0 on, found {value!r:.100}")
    return int(value)
