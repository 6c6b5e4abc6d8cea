"""What every test lives under: no telemetry from ONNX Runtime, and no thread or process left behind."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything can import onnxruntime

import logging
import threading
import time
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker

import psutil
import pytest
from hypothesis import settings

from tests.serving_rig import FRONTS, By, Serve, skip_where_granian_differs

settings.register_profile("house", deadline=None)  # how long an example takes is the machine's mood
settings.load_profile("house")

GRACE_SECONDS = 3.0
"""How long a thread or child that is on its way out may take after the test."""


def _threads() -> set[threading.Thread]:
    """Return the threads that Python knows of; one that C code started is nobody's to join."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


def _children() -> set[psutil.Process]:
    """Return this process's own children, without those that multiprocessing keeps until the interpreter ends."""
    own = {
        getattr(resource_tracker._resource_tracker, "_pid", None),
        getattr(forkserver._forkserver, "_forkserver_pid", None),
    }
    return {child for child in psutil.Process().children() if child.pid not in own}


def _left_threads(before: set[threading.Thread], *, grace_seconds: float = GRACE_SECONDS) -> list[threading.Thread]:
    """Return the threads started since ``before`` that do not end within ``grace_seconds``, all together."""
    until = time.monotonic() + grace_seconds
    new = _threads() - before
    for thread in new:
        thread.join(max(0.0, until - time.monotonic()))
    return [thread for thread in new if thread.is_alive()]


def _left_children(before: set[psutil.Process], *, grace_seconds: float = GRACE_SECONDS) -> list[psutil.Process]:
    """Return the children started since ``before`` that do not end within ``grace_seconds``, all together."""
    new = _children() - before
    if not new:
        return []
    _, alive = psutil.wait_procs(new, timeout=grace_seconds)
    return list(alive)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaks a thread or a child, and end the child so that the next test does not meet it."""
    threads, children = _threads(), _children()
    yield
    late_children = _left_children(children)
    names = [f"process {child.pid} {child.name()!r}" for child in late_children if child.is_running()]
    for child in late_children:
        child.kill()
    psutil.wait_procs(late_children, timeout=GRACE_SECONDS)
    names += [f"thread {thread.name!r}" for thread in _left_threads(threads)]
    if names:
        pytest.fail("left behind: " + ", ".join(names), pytrace=False)


@pytest.fixture(autouse=True)
def level_of_the_log() -> Iterator[None]:
    """Requests may set the level; the next test begins with what it was."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture(params=FRONTS)
def serve(request: pytest.FixtureRequest) -> Serve:
    """``serving``, once by each front; what only one of them can do says so by a mark, with the reason."""
    skip_where_granian_differs(request.node, request.param)
    return By(request.param)
