"""Requests that come to no application, but to the HTTP layer's own answers. Entered by the front's threads."""

from daemon.web.counting import Counting
from daemon.web.dialects import route_of
from daemon.web.metrics.happenings import Happenings


def note_refusal(counting: Counting, happenings: Happenings, method: str, path: str, code: str) -> None:
    """Counts one, told an error of this ``code``: as a request to run a model, too, where it was one."""
    happenings.refused(code)
    route = route_of(path) if method == "POST" else None
    if route is not None:
        counting.refused(route.dialect, code)
