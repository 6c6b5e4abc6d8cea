"""Models that say by their answer which one they are, and every way in which one is put in another's place."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic
from typing import Literal

from tests.e2e.rig import Rig
from tests.onnx_models import constant_model

Way = Literal["drop", "copy", "update", "upload", "rollback"]
WAYS: tuple[Way, ...] = ("drop", "copy", "update", "upload", "rollback")
ALLOWED = "models"
"""The folder, beside the config file, from which updates are taken: ``deploy.allowed_dirs`` must name it."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """One change of what serves that was told to whoever asked for it, and when (monotonic seconds)."""

    way: Way
    told: float
    version: int
    sha256: str


@dataclass
class Swapper:
    """Deploys one new model after the other to the default model of ``rig``, in the way that it is told.

    ``values`` is what each model answers, by its hash; ``asked`` is the hash that was asked for last, None where
    the daemon chooses (a rollback). One thread at a time.
    """

    rig: Rig
    values: dict[str, float] = field(default_factory=dict)
    asked: str | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def swap(self, way: Way) -> Deployed:
        """Deploys, and returns when the daemon has said that it is done."""
        if way == "rollback":
            self.asked = None
            return self._answered(way, "POST", "/models/default/rollback", {})
        path = self._new_model()
        if way == "update":
            return self._answered(way, "POST", "/update_model", {"model_path": f"{ALLOWED}/{path.name}"})
        if way == "upload":
            return self._answered(way, "PUT", f"/models/default/upload?filename={path.name}", path.read_bytes())
        return self._dropped(way, path)

    def _new_model(self) -> Path:
        number = next(self._numbers)
        path = constant_model(self.rig.folder / ALLOWED / f"{number}.onnx", float(number))
        self.asked = sha256(path.read_bytes()).hexdigest()
        self.values[self.asked] = float(number)
        return path

    def _answered(self, way: Way, method: str, path: str, body: object) -> Deployed:
        answer = self.rig.request(method, path, body)
        told = monotonic()
        assert answer.status == 200, (way, answer.status, answer.body)
        assert answer.json["outcome"] == "live"
        return Deployed(way, told, answer.json["version"], answer.json["sha256"])

    def _dropped(self, way: Way, path: Path) -> Deployed:
        before = self.rig.last_id()
        place = self.rig.drop / f"{way}-{path.name}"
        if way == "copy":
            shutil.copy(path, place)
        else:
            aside = place.with_suffix(".tmp")
            shutil.copy(path, aside)
            aside.rename(place)
        live = self.rig.wait_for_event(before, event="live", model_path=f"model_drop/{place.name}")
        return Deployed(way, monotonic(), live["version"], live["sha256"])


def shuffled_ways(number: int, seed: int) -> list[Way]:
    """``number`` ways in a seeded order, each about as often as the others; none of the first two is a rollback."""
    random = Random(seed)
    ways = [WAYS[index % len(WAYS)] for index in range(number - 2)]
    random.shuffle(ways)
    return ["drop", "upload", *ways]
