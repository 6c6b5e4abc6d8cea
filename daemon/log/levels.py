"""The level from which on the log has lines, while the daemon runs; entered by request threads."""

import logging

LOG = logging.getLogger("modeldrop")


def level() -> int:
    """The lowest level that is written, as ``logging`` counts levels."""
    return logging.getLogger().level


def set_level(number: int) -> None:
    """Writes ``number`` and what is above it from here on; what libraries say keeps its own."""
    LOG.warning("the log's level is %s from here on, it was %s", *map(logging.getLevelName, (number, level())))
    logging.getLogger().setLevel(number)
