"""A daemon that answers a crowd all the time, while somebody offers it what must not serve."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.arrivals import rename_in
from tests.e2e.crowd import Crowd, failures
from tests.e2e.proc import descendants, warm_parent
from tests.e2e.rig import Answer, Rig
from tests.e2e.waiting import eventually
from tests.onnx_models import constant_model

CLIENTS = 2
VALUE = 1.0
"""What the model that serves answers."""
ALLOWED = "offered"


@dataclass
class Siege:
    """A daemon whose default model has one release, a crowd that asks for it, and the daemon's warm parent."""

    rig: Rig
    crowd: Crowd
    parent: int
    checked: int = 0

    def drop(self, made: Path) -> tuple[str, int]:
        """Moves a file into the default model's folder; gives its path as the daemon calls it, and the last event."""
        before = self.rig.last_id()
        rename_in(made, self.rig.drop / made.name)
        return f"model_drop/{made.name}", before

    def upload(self, content: bytes, model: str, *, seconds: float = 60.0, digest: str | None = None) -> Answer:
        headers = {"X-Content-SHA256": digest} if digest else {}
        path = f"/models/{model}/upload?filename=x.onnx"
        return self.rig.request("PUT", path, content, headers=headers, seconds=seconds)

    def expect_unharmed(self) -> None:
        """Every prediction since the last time was answered by the one release, and of every trial nothing is left."""
        self.crowd.wait_for_more(2 * CLIENTS + 1)
        answers = self.crowd.answers[self.checked :]
        self.checked += len(answers)
        assert failures(answers) == []
        assert {(taken.version, taken.body["output"][0][0]) for taken in answers} == {(1, VALUE)}
        self.expect_nothing_left()

    def expect_nothing_left(self) -> None:
        """No process but the warm parent, and nothing half-way in the store."""
        eventually(lambda: descendants(self.rig.pid) == {self.parent}, "nothing of a trial to be left")
        half_way = self.rig.state / "store" / "tmp"
        eventually(lambda: not list(half_way.iterdir()), "nothing to be half-way in the store")


@contextmanager
def besieged(rig: Rig) -> Iterator[Siege]:
    """Starts ``rig`` with a model that serves, and a crowd that lasts as long as the ``with`` block."""
    constant_model(rig.drop / "good.onnx", VALUE)
    rig.start()
    with Crowd(rig.port, clients=CLIENTS) as crowd:
        parent = warm_parent(rig.pid)
        assert parent is not None
        yield Siege(rig, crowd, parent)
