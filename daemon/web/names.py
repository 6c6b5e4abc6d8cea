"""Places in a path that hold a name with nothing behind it. Any thread, no state."""

from werkzeug.routing import BaseConverter


class NameConverter(BaseConverter):
    """``<name:model>``: a place without a colon, since ``NAME:predict`` is no name but a name and what is asked of it.

    So those paths say truly which methods they have.
    """

    regex = "[^/:]+"
    part_isolating = True
