"""What is measured of serving, point by point, and what its figures are called."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from bench.configurations import DEFAULT, GRANIAN
from bench.models import NAMES
from bench.processes import FREE, PINNED
from bench.servers import BEFORE, FASTAPI, FLASK_DEV, FLASK_WAITRESS

CONNECTIONS = (1, 8, 32)
RAW = "session.run"
SECONDS = {"encoder": 2, "cnn": 3}
"""How many times as long as the others heavy models are asked: they answer a few times a second."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A model, where its server runs (free or pinned), and the connections that ask it."""

    case: str
    where: str
    connections: int

    def key(self, what: str, server: str) -> str:
        """The name among the facts of ``what`` was measured of ``server`` here."""
        return f"{what} of {server}, {self.case}, {self.connections}, {self.where}"


AIMED: Mapping[Cell, Collection[str]] = {
    Cell("tiny", PINNED, 8): (DEFAULT, GRANIAN, FLASK_WAITRESS, FLASK_DEV),
    Cell("tiny", FREE, 32): (DEFAULT, BEFORE),
    Cell("mlp", FREE, 32): (DEFAULT, FASTAPI),
    Cell("encoder", FREE, 8): (DEFAULT,),
    Cell("cnn", FREE, 8): (DEFAULT,),
}
"""The cells that an aim speaks of, with the servers that it compares: these are measured in every round, as is the
bare session; all others in the first rounds."""


def cells(case: str, where: str) -> Iterator[Cell]:
    """All cells of one group of servers. Pinned, heavy models are asked by 8 connections only."""
    for connections in CONNECTIONS:
        if where == FREE or connections == 8 or case == "tiny":
            yield Cell(case, where, connections)


def groups() -> Iterator[tuple[str, str]]:
    """Model and place of each group of servers that is started together."""
    for where in (PINNED, FREE):
        for case in NAMES:
            yield case, where
