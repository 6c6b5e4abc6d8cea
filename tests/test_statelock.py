"""Two daemons never share a state directory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.errors import StartupError
from daemon.intake.statelock import StateLock

HOLDER = """
import sys
from pathlib import Path
from daemon.intake.statelock import StateLock
lock = StateLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def hold_elsewhere(state_dir: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its stdin closes."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    return holder


def test_statelock_makes_the_directory_and_writes_its_pid(tmp_path: Path) -> None:
    state_dir = tmp_path / "deep" / "state"
    with StateLock(state_dir):
        assert (state_dir / "lock").read_text() == f"{os.getpid()}\n"


def test_statelock_refuses_a_second_holder_and_names_the_first(tmp_path: Path) -> None:
    with StateLock(tmp_path), pytest.raises(StartupError, match=rf"in use by another daemon \(pid {os.getpid()}\)"):
        StateLock(tmp_path)


def test_statelock_refuses_another_process_and_is_free_after_its_death(tmp_path: Path) -> None:
    with hold_elsewhere(tmp_path) as holder:
        with pytest.raises(StartupError, match=rf"\(pid {holder.pid}\)"):
            StateLock(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    StateLock(tmp_path).close()


def test_statelock_is_free_after_close_and_close_may_be_repeated(tmp_path: Path) -> None:
    first = StateLock(tmp_path)
    first.close()
    first.close()
    with StateLock(tmp_path):
        pass


def test_statelock_refuses_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot be used"):
        StateLock(tmp_path / "file" / "state")


def test_statelock_does_not_follow_a_planted_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(StartupError):
        StateLock(tmp_path)
    assert victim.read_text() == "precious"
