"""Daemons for the end-to-end tests; each is ended with its test."""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.arrivals import Spot
from tests.e2e.rig import Rig
from tests.e2e.siege import ALLOWED, Siege, besieged
from tests.serving_rig import FRONTS, skip_where_granian_differs

NewRig = Callable[..., Rig]

_SPOTS = itertools.count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that are marked so by both fronts."""
    if "front" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_fronts"):
        metafunc.parametrize("front", FRONTS, scope="module")


@pytest.fixture(scope="module")
def front() -> str:
    """What serves HTTP; a fixture that makes a ``Rig`` asks for it, so that it is made anew for each front."""
    return "waitress"


@pytest.fixture(autouse=True)
def differences(request: pytest.FixtureRequest, front: str) -> None:
    """Skip what is marked with a reason why the front that runs cannot do it."""
    skip_where_granian_differs(request.node, front)


@pytest.fixture
def new_rig(tmp_path: Path, front: str) -> Iterator[NewRig]:
    """Makes rigs in folders of their own; keyword arguments are sections of the config file."""
    rigs: list[Rig] = []

    def make(name: str = "rig", *, environment: dict[str, str] | None = None, **settings: Any) -> Rig:
        rigs.append(Rig(tmp_path / name, settings, environment or {}, front=front))
        return rigs[-1]

    yield make
    for rig in rigs:
        if rig.process is not None and rig.process.poll() is None:
            rig.kill()
        elif rig.process is not None and rig.process.stdout is not None:
            rig.process.stdout.close()


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    """A daemon that runs, with an empty drop directory."""
    return new_rig().start()


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon for all tests of a module, each of which keeps to a ``spot`` of its own; it is not patient."""
    settings = {"watch": {"incomplete_seconds": 1}, "deploy": {"allowed_dirs": ["allowed"]}}
    rig = Rig(tmp_path_factory.mktemp("shared"), settings).start()
    yield rig
    rig.kill()


@pytest.fixture
def spot(shared_rig: Rig, request: pytest.FixtureRequest) -> Spot:
    """A model that nobody else has, named after the test, and its folder in the shared daemon's drop directory."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_"))[:80].strip("-")
    model = f"{name}-{next(_SPOTS)}"
    spot = Spot(shared_rig, model, shared_rig.last_id())
    spot.folder.mkdir()
    return spot


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """One daemon for all tests of a module that try to harm it, with a crowd that predicts all the time."""
    settings = {
        "watch": {"incomplete_seconds": 0.5},
        "gate": {"trial": {"timeout_seconds": 1, "measure_ms": 50}},
        "deploy": {"allowed_dirs": [ALLOWED]},
    }
    rig = Rig(tmp_path_factory.mktemp("siege"), settings)
    try:
        with besieged(rig) as siege:
            yield siege
    finally:
        if rig.process is not None:
            rig.kill()
