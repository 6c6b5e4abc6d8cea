"""A deployer with a real store and journal in folders of their own, and a fake loader; and folders to deploy from."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from daemon.deployer import Deployer
from daemon.gate import Check, Gate, Integrity, Relapse, RequestRing, SignatureCheck, TriedCheck
from daemon.gate.gate import Trying
from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.intake.members import fingerprint
from daemon.intake.store import Store
from daemon.lane import FileSource, Lane, Outcome, Wish
from daemon.lane.adopt import Adoption
from daemon.lane.housekeeping import Housekeeping
from daemon.lane.prepare import Preparation
from daemon.lane.probation import Probation, ProbationTerms
from daemon.lane.succession import Succession
from daemon.release import Event
from daemon.runtime import Array, Engine
from tests.fakes import WAIT_SECONDS, FakeLoader, FakeTrial

TERMS = ProbationTerms(seconds=60, max_error_rate=0.05, min_requests=20, non_finite="warn", keep_previous=False)
"""Without a release that stands by, so that what is retired is freed at once."""


@dataclass
class DeployingRig:
    """Everything that a deploy passes, in ``folder``; a second one in the same folder is what a restart is.

    A candidate is a file that holds a number, unless ``loader``, ``trying`` and ``checks`` want another. Owns all of
    it: ``with`` closes it.
    """

    folder: Path
    keep: int = 5
    load: FakeLoader = field(default_factory=FakeLoader)
    trial: FakeTrial = field(default_factory=FakeTrial)
    loader: Callable[[Path], Engine] | None = None
    trying: Trying | None = None
    checks: Sequence[Check] = (Integrity(),)
    tried_checks: Sequence[TriedCheck] = (Relapse(), SignatureCheck("warn"))
    probation_terms: ProbationTerms = TERMS
    has_room: Callable[[], bool] = lambda: True
    look_up: Callable[[Path], object] = lambda _: None
    on_event: Callable[[Event], None] = lambda _: None
    recent: Callable[[str], Sequence[Mapping[str, Array]]] = lambda _: ()

    def __post_init__(self) -> None:
        self._undo = ExitStack()
        self.drop = self.folder / "drop"
        self.drop.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.folder / "journal.sqlite3", self.on_event)
        self._undo.callback(self.journal.close)
        self.holder = ModelHolder()
        self._undo.callback(self.holder.close)
        self.store = Store(self.folder / "store")
        self.ring = RequestRing(most=64, per_second=1000, most_bytes=1 << 20)
        gate = Gate(self.checks, self.trying or self.trial, self.tried_checks)
        self.adoption = Adoption(
            self.holder, self.store.root, self.loader or self.load, recent=self.recent, timeout_seconds=5
        )
        self.probation = Probation(self.probation_terms, has_room=lambda: self.has_room())
        housekeeping = Housekeeping(
            self.holder,
            self.store,
            self.journal,
            self.adoption,
            seal=lambda: None,
            fallbacks=self.probation.fallbacks,
            keep=self.keep,
        )
        lane = Lane(housekeeping.tidy)
        self.trial.meanwhile = lane.run_urgent
        succession = Succession(
            lane, self.holder, self.journal, self.adoption, self.probation, housekeeping, verify=self.store.verify
        )
        self.probation.start(succession.give_up)
        self.deployer = Deployer(
            lane=lane,
            holder=self.holder,
            store=self.store,
            journal=self.journal,
            preparation=Preparation(self.store, gate, self.journal, expect_size=lambda _: None, look_up=self.look_up),
            adoption=self.adoption,
            succession=succession,
            end_trials=self.trial.end,
        )
        self._undo.callback(self.deployer.stop)
        self._undo.callback(self.load.let_go.set)

    def __enter__(self) -> "DeployingRig":
        self.deployer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    def wish(self, content: object, *, model: str = "default", name: str = "", **more: Any) -> Wish:
        """A wish for a new file with ``content``; a drop unless ``cause`` says otherwise."""
        name = name or f"{content}.onnx"
        path = self.drop / name
        path.write_text(str(content))
        source = FileSource((("", path, fingerprint(path)),), ".onnx")
        return Wish(**{"model": model, "model_path": f"drop/{name}", "cause": "dropped", "source": source, **more})

    def submit(self, *wishes: Wish) -> list["Future[Outcome]"]:
        return self.deployer.submit(wishes)

    def deploy(self, content: object, **more: Any) -> Outcome:
        """What became of a wish, once all that follows it is done."""
        outcome = self.submit(self.wish(content, **more))[0].result(WAIT_SECONDS)
        self.settle()
        return outcome

    def settle(self) -> None:
        """Waits for what follows the acts so far: engines are freed and the store is pruned after the answer."""
        self.deployer._enter("", lambda: None).result(WAIT_SECONDS)

    def serving(self, model: str = "default") -> tuple[int, float] | None:
        """The version that serves and what it answers."""
        release = self.holder.release_of(model)
        if release is None:
            return None
        with self.holder.lease(model) as serving:
            return serving.release.version, serving.engine.value  # type: ignore[attr-defined]

    def events(self, *names: str) -> list[Event]:
        """All events, or those of these names, oldest first."""
        return [event for event in self.journal.events(limit=1000) if not names or event.event in names]

    def happened(self) -> list[tuple[str, int | None]]:
        """Name and version of every event."""
        return [(event.event, event.version) for event in self.events()]
