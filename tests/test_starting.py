"""What makes a start lighter, seen in interpreters of their own: what has begun cannot be begun again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.starting import with_room

ROOT = Path(__file__).resolve().parent.parent


def said_by(code: str, **variables: str) -> str:
    """What an interpreter says that runs ``code``, in an environment without what this one has of its kind."""
    kept = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", f"from daemon import starting\n{code}"]
    return subprocess.run(
        command, env={**kept, **variables}, cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.strip()


def test_numpy_starts_no_threads() -> None:
    code = "starting.lighten(); import numpy, os; print(len(os.listdir('/proc/self/task')))"
    assert said_by(code) == "1"


def test_whoever_says_how_many_threads_numpy_starts_is_not_overruled() -> None:
    code = "starting.lighten(); import os; print(os.environ['OPENBLAS_NUM_THREADS'])"
    assert said_by(code, OPENBLAS_NUM_THREADS="3") == "3"


def test_no_garbage_is_collected() -> None:
    assert said_by("starting.lighten(); import gc; print(gc.isenabled())") == "False"


FAULTS = """
import resource

def deep(calls):
    if calls:
        deep(calls - 1)

def faults():
    deep(300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        deep(300)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""
"""How much memory is touched for the first time by 200 calls, each of them deep, after one such call."""


def test_act_gets_its_arguments_and_gives_its_result() -> None:
    assert with_room(lambda *given, **named: (given, named))(1, 2, three=3) == ((1, 2), {"three": 3})


def test_what_the_act_raises_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        with_room(lambda: 1 / 0)()


def test_frames_of_deep_calls_find_room_and_none_is_mapped_anew() -> None:
    assert int(said_by(f"{FAULTS}print(starting.with_room(faults)())")) < 200
