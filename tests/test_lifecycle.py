"""The daemon's life with fake parts: what waits for what at the start, and what ends in which order."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, cast

import pytest

from daemon.lifecycle import Daemon
from daemon.release import Release
from tests.fakes import WAIT_SECONDS, release_of


class Parts:
    """Every part of a daemon, noting what it is told in ``told``; the test lets each step happen."""

    def __init__(self, *, served_before: bool = True) -> None:
        self.told: list[str] = []
        self.restored: Future[Release | None] = Future()
        self.deployed = threading.Event()
        self.waiting_for_deploys = threading.Event()
        self.drained = threading.Event()
        self.announced = threading.Event()
        self.answered_all = True
        self.ends = {"watcher": True, "deployer": True}
        self._stopping = False
        self._settled = False
        undo = ExitStack()
        undo.callback(self.told.append, "undo")
        part = cast(Any, self)
        self.daemon = Daemon(
            server=part,
            deployer=cast(Any, _Ending(self, "deployer")),
            watcher=cast(Any, _Ending(self, "watcher")),
            journal=part,
            readiness=part,
            restored=[self.restored] if served_before else [],
            warm_up=lambda: self.told.append("warm up"),
            undo=undo,
        )
        self._serving = threading.Thread(target=self._serve)
        self.served: bool | None = None

    def serve(self) -> None:
        self._serving.start()

    def wait_until_served(self) -> None:
        self._serving.join(WAIT_SECONDS)
        assert not self._serving.is_alive()

    def _serve(self) -> None:
        self.served = self.daemon.serve(self.announced.set)

    # the server
    addresses = ("http://127.0.0.1:5000",)

    def run(self) -> bool:
        assert self.drained.wait(WAIT_SECONDS)
        return self.answered_all

    def begin_drain(self) -> None:
        self.told.append("drain")
        self.drained.set()

    # the journal
    def release_waiters(self) -> None:
        self.told.append("release waiters")

    # readiness
    def settle(self) -> None:
        self.told.append("settle")

    def stop(self) -> None:
        self._stopping = True
        self.told.append("not ready")

    @property
    def is_stopping(self) -> bool:
        return self._stopping


class _Ending:
    """The deployer or the watcher."""

    def __init__(self, parts: Parts, name: str) -> None:
        self._parts = parts
        self._name = name

    def __getattr__(self, asked: str) -> Any:
        return lambda *arguments: self._told(asked, *arguments)

    def _told(self, asked: str, *arguments: object) -> Any:
        self._parts.told.append(" ".join([self._name, asked, *map(str, arguments)]))
        if asked == "wait_for_first_deploys":
            self._parts.waiting_for_deploys.set()
            assert self._parts.deployed.wait(WAIT_SECONDS)
        return self._parts.ends[self._name]


@pytest.fixture
def parts() -> Iterator[Parts]:
    yield from _lived(Parts())


@pytest.fixture
def first_start() -> Iterator[Parts]:
    yield from _lived(Parts(served_before=False))


def _lived(parts: Parts) -> Iterator[Parts]:
    parts.serve()
    yield parts
    if not parts.restored.done():
        parts.restored.set_result(None)
    parts.deployed.set()
    parts.drained.set()
    parts.wait_until_served()


def test_drop_directory_is_looked_at_only_once_the_last_good_releases_serve(parts: Parts) -> None:
    assert not parts.waiting_for_deploys.wait(0.05)
    assert parts.told == ["watcher start"]
    parts.restored.set_result(release_of())
    assert parts.waiting_for_deploys.wait(WAIT_SECONDS)
    assert parts.told[1:] == ["warm up", "watcher look", "watcher wait_for_first_deploys 1.0"]


def test_ready_waits_longer_for_the_first_deploys_where_nothing_served_before(first_start: Parts) -> None:
    assert first_start.waiting_for_deploys.wait(WAIT_SECONDS)
    assert not first_start.announced.is_set()
    assert first_start.told[-1] == "watcher wait_for_first_deploys 10.0"
    first_start.deployed.set()
    assert first_start.announced.wait(WAIT_SECONDS)
    assert first_start.told[-1] == "settle"


def test_restore_that_fails_does_not_keep_the_daemon_from_starting(parts: Parts) -> None:
    parts.restored.set_exception(OSError("an odd disk"))
    parts.deployed.set()
    assert parts.announced.wait(WAIT_SECONDS)


@pytest.mark.parametrize("answered_all", [True, False])
def test_serve_says_whether_all_was_answered(parts: Parts, answered_all: bool) -> None:
    parts.answered_all = answered_all
    parts.daemon.stop()
    parts.wait_until_served()
    assert parts.served is answered_all


def test_stop_is_not_ready_first_then_lets_waiters_go_and_drains(parts: Parts) -> None:
    before = len(parts.told)
    parts.daemon.stop()
    assert [word for word in parts.told[before:] if not word.startswith("watcher")][:3] == [
        "not ready",
        "release waiters",
        "drain",
    ]


def test_stop_during_the_restore_looks_at_nothing_and_announces_nothing(parts: Parts) -> None:
    parts.daemon.stop()
    parts.wait_until_served()
    parts.restored.set_result(None)
    assert parts.daemon.close()
    assert "watcher look" not in parts.told
    assert not parts.announced.is_set()


def test_stop_during_the_first_deploys_announces_nothing(first_start: Parts) -> None:
    assert first_start.waiting_for_deploys.wait(WAIT_SECONDS)
    first_start.daemon.stop()
    first_start.wait_until_served()
    first_start.deployed.set()
    assert first_start.daemon.close()
    assert not first_start.announced.is_set()
    assert "settle" not in first_start.told


def test_close_ends_the_watcher_then_the_deployer_then_all_else(parts: Parts) -> None:
    parts.restored.set_result(None)
    parts.deployed.set()
    assert parts.announced.wait(WAIT_SECONDS)
    parts.daemon.stop()
    parts.wait_until_served()
    before = len(parts.told)
    assert parts.daemon.close()
    assert parts.told[before:] == ["watcher stop", "deployer stop", "undo"]


@pytest.mark.parametrize("name", ["watcher", "deployer"])
def test_close_that_cannot_end_a_part_closes_nothing_under_it(parts: Parts, name: str) -> None:
    parts.ends[name] = False
    assert not parts.daemon.close()
    assert "undo" not in parts.told
