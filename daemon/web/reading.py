"""The pages that read: models, releases and the event feed. Entered by request threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Response, request

from daemon.errors import Overloaded
from daemon.history import Journal
from daemon.log import event_fields
from daemon.web.answers import answer
from daemon.web.catalogue import Catalogue
from daemon.web.describing import described
from daemon.web.openapi import reading as told
from daemon.web.queries import seconds, whole

MOST_ROWS = 1000
MOST_WAIT_SECONDS = 60.0


class Seats:
    """A bounded number of places for those who wait, so that long polls never take every thread. Thread-safe."""

    def __init__(self, number: int) -> None:
        self._free = threading.BoundedSemaphore(number) if number else None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Holds one seat; raises Overloaded when there is none."""
        if self._free is None or not self._free.acquire(blocking=False):
            raise Overloaded("too many clients wait for events; ask without wait, or come again")
        try:
            yield
        finally:
            self._free.release()


def read_routes(catalogue: Catalogue, journal: Journal, seats: Seats) -> Blueprint:
    """``GET /models``, ``/models/NAME``, ``/models/NAME/releases`` and ``/events``."""
    routes = Blueprint("reading", __name__)

    @routes.get("/models")
    @described(told.MODELS)
    def models() -> Response:
        return answer({"models": catalogue.models()})

    @routes.get("/models/<model>")
    @described(told.MODEL)
    def model(model: str) -> Response:
        return answer(catalogue.model(model))

    @routes.get("/models/<model>/releases")
    @described(told.RELEASES)
    def releases(model: str) -> Response:
        limit = whole(request.args, "limit", 100, most=MOST_ROWS)
        return answer({"releases": catalogue.releases(model, limit)})

    @routes.get("/events")
    @described(told.EVENTS)
    def events() -> Response:
        after = whole(request.args, "after", 0, most=2**62)
        limit = whole(request.args, "limit", 100, most=MOST_ROWS)
        patience = seconds(request.args, "wait", most=MOST_WAIT_SECONDS)
        about = request.args.get("model")
        found = journal.events(after=after, model=about, limit=limit)
        if not found and patience and limit:
            with seats.taken():
                found = journal.wait(after, about, patience, limit=limit)
        # With nothing to show, `last` is still an id that can be asked after without missing anything.
        newest = journal.last_id()
        last = found[-1].id if found else (min(after, newest) if limit else newest)
        return answer({"events": [event_fields(event) for event in found], "last": last})

    return routes
