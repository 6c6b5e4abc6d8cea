"""Where metrics come from: what a scrape asks, each thing for itself. Plain values and what gives them; any thread."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.holder import ModelHolder
from daemon.web.counting import Counting
from daemon.web.metrics.happenings import Happenings


class PoolLoad(Protocol):
    """How busy a pool of threads was a moment ago; of those who wait, ``in_lines`` wait for others of their kind."""

    @property
    def threads(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def in_lines(self) -> int: ...


class Load(Protocol):
    """How busy the HTTP server was a moment ago."""

    @property
    def connections(self) -> int: ...
    @property
    def fast(self) -> PoolLoad: ...
    @property
    def slow(self) -> PoolLoad: ...


@dataclass(frozen=True, slots=True)
class Watch:
    """How the watcher is: whether arrivals are noticed, whether by events, when it last looked (epoch seconds)."""

    alive: bool
    armed: bool
    looked: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a scrape asks. Every call answers at once, whatever is being deployed.

    ``code_of`` tells the code of an error's class, ``faults`` what keeps the daemon from being ready.
    """

    counting: Counting
    holder: ModelHolder
    happenings: Happenings
    load: Callable[[], Load]
    faults: Callable[[], Sequence[str]]
    watch: Callable[[], Watch]
    code_of: Callable[[type[BaseException]], str]
    build: Mapping[str, str]
