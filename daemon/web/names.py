"""Places in a path: names with nothing behind them, and versions. Any thread, no state."""

from werkzeug.routing import BaseConverter, IntegerConverter

VERSION = "[0-9]+"
"""A version in a path, as a regular expression: the digits of ASCII alone."""


class NameConverter(BaseConverter):
    """``<name:model>``: a place without a colon, since ``NAME:predict`` is no name but a name and what is asked of it.

    So those paths say truly which methods they have.
    """

    regex = "[^/:]+"
    part_isolating = True


class VersionConverter(IntegerConverter):
    """``<int:version>``: a place for a ``VERSION``; Flask's own takes the digits of every script."""

    regex = VERSION
