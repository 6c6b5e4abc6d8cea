"""Predictions that are made together: one lease, one batch. Entered by request threads, each group by one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, thread_time

from daemon.errors import ARRIVED, HandOver
from daemon.holder import Serving
from daemon.runtime import Array, Batch, Share
from daemon.web.asking import Asked, Dialect, Prediction, Tell
from daemon.web.faces import Face
from daemon.web.figures import Figures, record_of
from daemon.web.runs import Runs


@dataclass(frozen=True, slots=True)
class Group:
    """What predictions have in common that are made together. ``joined`` is where each of them counts."""

    serving: Serving
    face: Face
    batch: Batch
    runs: Runs
    joined: list[Figures] = field(default_factory=list)
    started: float = field(default_factory=thread_time)
    """The time that the thread had worked before."""

    @contextmanager
    def in_flight(self) -> Iterator["Group"]:
        """Within the block, who joins is being answered."""
        try:
            yield self
        finally:
            for figures in self.joined:
                figures.in_flight.pop()

    def join(self, dialect: Dialect, asked: Asked, limit_bytes: int) -> "Member":
        """Takes one request, with a body of at most so many bytes; raises what is wrong with it, counted.

        HandOver where it is to be answered by itself.
        """
        began = perf_counter()
        read, figures = self.face.tongue(dialect)
        figures.in_flight.append(None)
        self.joined.append(figures)
        try:
            inputs, tell = read(asked, dialect.body_of(asked, limit_bytes))
            if asked.patience_seconds is not None:
                raise HandOver  # a deadline of its own is no deadline for the others
        except Exception as error:
            figures.failed(type(error), perf_counter() - began)
            raise
        share, rows = self.batch.add(inputs), self.face.rows(inputs)
        arrived = asked.fields.get(ARRIVED) or began
        return Member(self, figures, inputs, tell, share, rows, arrived, began, perf_counter())


@dataclass(slots=True)
class Member:
    """One request of a group, and what gives its answer once all have joined. The last three are times."""

    group: Group
    figures: Figures
    inputs: Mapping[str, Array]
    tell: Tell
    share: Share
    rows: int
    arrived: float
    began: float
    decoded: float

    def __call__(self) -> Prediction:
        """Raises HandOver where this one is to be answered by itself."""
        group = self.group
        try:
            outputs = self.share()
            ran = perf_counter()
            prediction = self.tell(outputs)
            group.runs.note(group.serving.release, self.inputs, outputs)  # as those are that are answered alone
        except Exception as error:
            group.runs.blame(group.serving.release, error)
            self.figures.failed(type(error), perf_counter() - self.arrived)
            raise
        self._count(ran, perf_counter())
        if len(group.joined) == 1:
            group.face.ended(group.started)
        return prediction

    def _count(self, ran: float, ended: float) -> None:
        """Its own times are moved to the end: what lies between them and around the run is what it waited for."""
        infer, rows, runs = self.share.take_run()
        decoded = ran - infer
        began = decoded - (self.decoded - self.began)
        self.figures.answered(record_of(self.arrived, began, decoded, ran, ended, self.rows, rows, runs))
