"""A trial's process: what it may do, and that whatever becomes of it touches nobody else."""

import http.client
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TypeVar

import psutil
import pytest

from tests.e2e.arrivals import made
from tests.e2e.conftest import NewRig
from tests.e2e.proc import cpu_seconds, is_running, threads, trials, warm_parent
from tests.e2e.rig import Rig
from tests.e2e.siege import Siege, besieged
from tests.e2e.waiting import eventually
from tests.onnx_models import constant_model, endless_loop

NICE = 13
PATIENT = {"trial": {"timeout_seconds": 60, "nice": NICE}}
"""A trial of an endless loop lasts longer than any test waits."""
BRISK = {"trial": {"timeout_seconds": 1, "measure_ms": 50}}
GONE_SECONDS = 15.0
WORK_SECONDS = 0.1
"""Of the processor: the load of an endless loop takes a fraction of that."""
T = TypeVar("T")
TOKEN = "a-token-that-nobody-else-has"


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """A besieged daemon that gives its trials time."""
    rig = Rig(tmp_path_factory.mktemp("patient"), {"gate": PATIENT})
    try:
        with besieged(rig) as siege:
            yield siege
    finally:
        if rig.process is not None:
            rig.kill()


@contextmanager
def looping_trial(rig: Rig, model: str = "loop") -> Iterator[tuple[int, int]]:
    """The process of a trial that runs an endless loop, which was dropped for ``model``, and the last event before."""
    before = rig.last_id()
    path = made(rig.drop / model) / "loop.onnx"
    endless_loop(rig.folder / "made" / f"{model}.onnx").rename(path)
    try:
        pid = _trial_at_work(rig)
        yield pid, before
    finally:
        path.unlink()
        for each in trials(rig.pid) if is_running(rig.pid) else []:
            os.kill(each, signal.SIGKILL)


def _trial_at_work(rig: Rig) -> int:
    """The process of a trial that has run for a while, so that it has loaded its model."""

    def find() -> int:
        return next((pid for pid in trials(rig.pid) if cpu_seconds(pid) > WORK_SECONDS), 0)

    return eventually(find, "a trial that runs")


# What becomes of it.


@pytest.mark.parametrize(
    "number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL], ids=lambda n: n.name
)
def test_trial_killed_by_a_signal_is_a_verdict_that_names_it(patient: Siege, number: signal.Signals) -> None:
    rig = patient.rig
    with looping_trial(rig, f"by-{number.name.lower()}") as (pid, before):
        os.kill(pid, number)
        rejected = rig.wait_for_event(before, event="rejected", model=f"by-{number.name.lower()}")
    assert rejected["check"] == "trial"
    assert rejected["reason"].startswith(f"killed by {number.name}")
    assert rejected["reason"].endswith(" while it ran for the first time")
    patient.expect_unharmed()


def test_trial_that_stops_moving_is_ended_when_its_time_is_up(new_rig: NewRig) -> None:
    rig = new_rig(gate={"trial": {"timeout_seconds": 3, "measure_ms": 50}}).start()
    with looping_trial(rig) as (pid, before):
        os.kill(pid, signal.SIGSTOP)
        rejected = rig.wait_for_event(before, event="rejected", model="loop")
    assert rejected["check"] == "trial"
    assert rejected["reason"] == (
        "it did not finish within 3 seconds while it ran for the first time (gate.trial.timeout_seconds)"
    )
    eventually(lambda: not is_running(pid), "the process to be gone")


def test_deploy_after_the_warm_parent_was_killed_is_live(patient: Siege) -> None:
    rig = patient.rig
    os.kill(patient.parent, signal.SIGKILL)
    content = constant_model(rig.folder / "after.onnx", 2.0).read_bytes()
    assert patient.upload(content, "after").status == 200
    patient.parent = _another_parent(rig, patient.parent)
    patient.expect_unharmed()


def test_trial_whose_parent_is_killed_is_made_again(new_rig: NewRig) -> None:
    rig = new_rig(gate={"trial": {"timeout_seconds": 3, "measure_ms": 50}}).start()
    parent = warm_parent(rig.pid)
    assert parent is not None
    with looping_trial(rig) as (pid, before):
        os.kill(parent, signal.SIGKILL)
        eventually(lambda: not is_running(pid), "the trial to go with its parent")
        rejected = rig.wait_for_event(before, event="rejected", model="loop")
    assert "was stopped after" in rejected["reason"], "the verdict is to be the model's own"
    _another_parent(rig, parent)


def test_trial_whose_parent_is_killed_each_time_is_rejected(patient: Siege) -> None:
    rig = patient.rig
    with looping_trial(rig, "lost") as (_, before):
        os.kill(patient.parent, signal.SIGKILL)
        patient.parent = _another_parent(rig, patient.parent)
        _trial_at_work(rig)
        os.kill(patient.parent, signal.SIGKILL)
        rejected = rig.wait_for_event(before, event="rejected", model="lost")
    assert (rejected["check"], rejected["reason"]) == ("trial", "the process of its trial was lost 2 times")
    assert patient.upload(constant_model(rig.folder / "found.onnx", 3.0).read_bytes(), "found").status == 200
    patient.parent = _another_parent(rig, patient.parent)
    patient.expect_unharmed()


def _another_parent(rig: Rig, than: int) -> int:
    def find() -> int:
        parent = warm_parent(rig.pid)
        return parent if parent not in (None, than) and parent is not None and is_running(parent) else 0

    return eventually(find, "another warm parent")


# What becomes of the daemon.


def test_trial_and_parent_vanish_when_the_daemon_is_killed(new_rig: NewRig) -> None:
    rig = new_rig(gate=PATIENT).start()
    parent = warm_parent(rig.pid)
    assert parent is not None
    with looping_trial(rig) as (pid, _):
        rig.kill()
        for each in (pid, parent):
            eventually(lambda each=each: not is_running(each), "the process to be gone", GONE_SECONDS)  # type: ignore[misc]


def test_parent_vanishes_when_an_idle_daemon_is_killed(new_rig: NewRig) -> None:
    rig = new_rig().start()
    constant_model(rig.drop / "x.onnx", 1.0)
    rig.wait_for_event(event="live")
    parent = warm_parent(rig.pid)
    assert parent is not None
    rig.kill()
    eventually(lambda: not is_running(parent), "the process to be gone", GONE_SECONDS)


def test_sigterm_during_a_trial_ends_the_daemon_with_0(new_rig: NewRig) -> None:
    rig = new_rig(gate=PATIENT).start()
    parent = warm_parent(rig.pid)
    assert parent is not None
    with looping_trial(rig) as (pid, _):
        assert rig.stop(seconds=GONE_SECONDS) == 0
        assert not is_running(pid)
        assert not is_running(parent)
    assert "Traceback" not in rig.log
    assert not (rig.state / "journal.sqlite3-wal").exists(), "it left in a hurry: the trial held up its end"


def test_file_whose_trial_was_cut_by_the_end_is_tried_at_the_next_start(new_rig: NewRig) -> None:
    rig = new_rig(gate=PATIENT).start()
    with looping_trial(rig) as (_, before):
        assert rig.stop() == 0
        rig.settings["gate"] = BRISK
        rig.start()
        rejected = rig.wait_for_event(before, event="rejected", model="loop")
        assert rejected["check"] == "trial"
        verdicts = [event for event in rig.events() if event["event"] in ("rejected", "live")]
        assert [event["id"] for event in verdicts] == [rejected["id"]], "what was cut was no verdict"


def test_update_whose_trial_outlasts_the_drain_is_cut(new_rig: NewRig) -> None:
    rig = new_rig(gate=PATIENT, deploy={"allowed_dirs": ["made"]}, server={"drain_seconds": 0.5}).start()
    endless_loop(rig.folder / "made" / "loop.onnx")
    client = Thread(target=_update_to_be_cut, args=[rig], name="client")
    client.start()
    try:
        pid = _trial_at_work(rig)
        assert rig.stop(seconds=GONE_SECONDS) == 1
    finally:
        client.join(GONE_SECONDS)
    eventually(
        lambda: not is_running(pid), "the process to be gone", GONE_SECONDS
    )  # it was left behind, to die by itself


def _update_to_be_cut(rig: Rig) -> None:
    with suppress(OSError, http.client.HTTPException):
        rig.post("/update_model", {"model_path": "loop.onnx"})


# What it may do.


def test_trial_runs_at_the_niceness_of_the_settings(patient: Siege) -> None:
    with looping_trial(patient.rig, "nice") as (pid, _):
        usual = psutil.Process(patient.rig.pid).nice()
        assert psutil.Process(patient.parent).nice() == usual
        assert psutil.Process(pid).nice() == min(19, usual + NICE)


def test_trial_runs_on_one_thread_by_default(patient: Siege) -> None:
    with looping_trial(patient.rig, "threads") as (pid, _):
        assert threads(pid) <= 2, "one that runs and one that looks after its deadline"


def test_trial_has_no_socket_but_its_own(patient: Siege) -> None:
    with looping_trial(patient.rig, "sockets") as (pid, _):
        of_daemon = _sockets(patient.rig.pid)
        for each in (pid, patient.parent):
            assert len(_sockets(each)) == 1
            assert not _sockets(each) & of_daemon
            assert psutil.Process(each).net_connections("inet") == []


def test_trial_has_no_file_of_the_daemon_s(patient: Siege) -> None:
    with looping_trial(patient.rig, "files") as (pid, _):
        folder = str(patient.rig.folder)
        assert [place for place in _descriptors(patient.rig.pid) if place.startswith(folder)]
        for each in (pid, patient.parent):
            assert [place for place in _descriptors(each) if place.startswith(folder)] == []


def test_secrets_reach_neither_trial_nor_warm_parent(new_rig: NewRig) -> None:
    environment = {
        "MODELDROP_AUTH__ADMIN_TOKEN": TOKEN,
        "MODELDROP_LOG__LEVEL": "debug",
        "AWS_SECRET_ACCESS_KEY": TOKEN,
    }
    rig = new_rig(gate=PATIENT, environment=environment).start()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert rig.get("/models", headers=headers).status == 200, "the daemon was to have the token"
    path = made(rig.drop / "loop") / "loop.onnx"
    endless_loop(rig.folder / "loop.onnx").rename(path)
    pid, parent = _trial_at_work(rig), warm_parent(rig.pid)
    assert parent is not None
    assert TOKEN.encode() in _of(rig.pid, "environ")
    for each in (pid, parent):
        for part in ("environ", "cmdline"):
            assert b"MODELDROP_" not in _of(each, part)
            assert TOKEN.encode() not in _of(each, part)


def _sockets(pid: int) -> set[str]:
    return {link for link in _descriptors(pid) if link.startswith("socket:")}


def _descriptors(pid: int) -> list[str]:
    """What its file descriptors lead to; those that were closed meanwhile are left out."""
    found = []
    for each in _look(lambda: list(Path(f"/proc/{pid}/fd").iterdir())):
        with suppress(FileNotFoundError):
            found.append(str(each.readlink()))
    return found


def _of(pid: int, part: str) -> bytes:
    return _look(lambda: Path(f"/proc/{pid}/{part}").read_bytes())


def _look(look: Callable[[], T]) -> T:
    try:
        return look()
    except PermissionError:
        pytest.skip("only root may look into a process that is not dumpable")
