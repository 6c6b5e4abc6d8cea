"""What all connections of one server share on the second front. Entered by every thread that serves."""

from typing import Any

from daemon.http.pools import Pools
from daemon.http.terms import Terms
from daemon.native.inflow import Inflows


class Desk:
    """What every request of one server needs. Safe to share between threads: what changes changes in single steps."""

    def __init__(self, app: Any, terms: Terms, pools: Pools) -> None:
        self.app = app
        self.terms = terms
        self.pools = pools
        self.inflows: Inflows = {}
        """The bodies that are on their way."""
        self.open: dict[int, str] = {}
        """The requests for which granian was given no answer yet, by identity: who sent them."""
        self.answered: dict[str, float] = {}
        """The clients that were answered: when granian was last given an answer to them (``time.monotonic()``)."""
        self.draining = False
