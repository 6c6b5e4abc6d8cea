"""Trials' processes, for real: what they may do, what becomes of them, and that nothing of them is left."""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from daemon.runtime import EngineOptions
from daemon.trial import (
    Ended,
    Interrupted,
    Lost,
    Overdue,
    TrialProcess,
    TrialTerms,
    WarmParent,
    child,
    confinement,
)
from daemon.trial.wire import Wire, nothing
from tests import onnx_models
from tests.trial_acts import odd_parent

MB = 1 << 20
TERMS = TrialTerms(memory_bytes=256 * MB, file_bytes=MB, nice=7)
WAIT_SECONDS = 20.0
SOON_SECONDS = 0.1
"""For what will not come."""

TOKEN = "MODELDROP_AUTH__ADMIN_TOKEN"


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmParent]:
    """One for all tests that leave it as it is."""
    parent = odd_parent(tmp_path_factory.mktemp("odd"))
    yield parent
    parent.stop()


@pytest.fixture
def own_parent(tmp_path: Path) -> Iterator[WarmParent]:
    """One that a test may kill."""
    parent = odd_parent(tmp_path / "odd")
    yield parent
    parent.stop()


@pytest.fixture
def process(parent: WarmParent) -> Iterator[TrialProcess]:
    with closing(parent.fork(TERMS)) as process:
        yield process


def ask(process: TrialProcess, do: str, **more: object) -> dict[str, Any]:
    return process.ask({"do": do, **more}, seconds=WAIT_SECONDS, doing=f"it did {do}")


def prove(process: TrialProcess, path: Path, **more: object) -> dict[str, Any]:
    terms = {"save_to": None, "seconds": WAIT_SECONDS, "measure_seconds": 0, "providers": ["auto"], "threads": 1}
    given: dict[str, list[object]] = {"arrays": [], "plain": [], "folders": []}
    return ask(process, "prove", path=str(path), **{**terms, **given, **more})


def run(process: TrialProcess, seconds: float = WAIT_SECONDS, on: str = "candidate", **inputs: Any) -> dict[str, Any]:
    return ask(process, "run", on=on, inputs=inputs, seconds=seconds)


def pid_of(parent: WarmParent) -> int:
    assert parent._process is not None
    return parent._process.pid


def is_gone(pid: int) -> bool:
    """Whether a process ends, for which this waits."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], WAIT_SECONDS)[0])
    finally:
        os.close(pidfd)


def descriptors_of(pid: int) -> int:
    """How many there are."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)
    assert is_gone(pid)


# What it does.


def test_trial_loads_runs_and_answers(process: TrialProcess, tmp_path: Path) -> None:
    proof = prove(process, onnx_models.constant_model(tmp_path / "m.onnx", 3.0))
    assert proof["signature"]["inputs"][0]["name"] == "input"
    ran = run(process, input=np.zeros((2, 10), np.float32))
    assert ran["outputs"][0].tolist() == [[3.0] * 5] * 2
    assert ran["seconds"] > 0


@pytest.mark.parametrize(
    "given",
    [
        {"arrays": [{"x": np.array([1005])}]},
        {"plain": [np.frombuffer(b'{"x": [1005]}', np.uint8)]},
        {"plain": [np.frombuffer(b"[1005]", np.uint8)]},
    ],
)
def test_trial_runs_the_inputs_that_are_given(process: TrialProcess, tmp_path: Path, given: dict[str, object]) -> None:
    path = onnx_models.unguessable(tmp_path / "m.onnx")
    assert prove(process, path)["unguessed"] != ""
    assert prove(process, path, **given)["unguessed"] == ""


def test_trial_tells_the_memory_that_the_model_took(process: TrialProcess, tmp_path: Path) -> None:
    memory = prove(process, onnx_models.big(tmp_path / "m.onnx", 32))["memory"]
    assert memory["peak_bytes"] >= 32 * MB
    assert memory["peak_bytes"] >= memory["resident_bytes"] >= 16 * MB


def test_trial_runs_another_model_beside_the_candidate(process: TrialProcess, tmp_path: Path) -> None:
    prove(process, onnx_models.constant_model(tmp_path / "1.onnx", 1.0))
    other = onnx_models.constant_model(tmp_path / "2.onnx", 2.0)
    assert ask(process, "load", **{"as": "live"}, path=str(other), saved=False, providers=["auto"], threads=1) == {}
    inputs = np.zeros((1, 10), np.float32)
    assert [run(process, on=name, input=inputs)["outputs"][0][0, 0] for name in ("candidate", "live")] == [1.0, 2.0]


def test_trial_maps_the_form_that_another_trial_saved(parent: WarmParent, tmp_path: Path) -> None:
    form = tmp_path / "form"
    form.mkdir()
    with closing(parent.fork(TERMS)) as process:
        prove(process, onnx_models.constant_model(tmp_path / "m.onnx", 3.0), save_to=str(form))
    with closing(parent.fork(TERMS)) as process:
        saved = str(form / "model.onnx")
        ask(process, "load", **{"as": "candidate"}, path=saved, saved=True, providers=["auto"], threads=1)
        assert run(process, input=np.zeros((1, 10), np.float32))["outputs"][0][0, 0] == 3.0


def test_trial_reads_test_data_for_its_candidate(process: TrialProcess, tmp_path: Path) -> None:
    prove(process, onnx_models.constant_model(tmp_path / "m.onnx", 3.0))
    folder = tmp_path / "test_data_set_0"
    folder.mkdir()
    tensor = onnx_models.constant("", np.ones((1, 10), np.float32))
    (folder / "input_0.pb").write_bytes(tensor.SerializeToString())
    assert ask(process, "read", folder=str(folder))["inputs"]["input"].tolist() == [[1.0] * 10]


def test_model_that_does_not_load_is_refused_and_the_process_lives_on(process: TrialProcess, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    assert "Protobuf parsing failed" in prove(process, tmp_path / "bad.onnx")["refused"]
    assert "signature" in prove(process, onnx_models.constant_model(tmp_path / "m.onnx", 3.0))


def test_what_nobody_knows_is_refused_and_the_process_lives_on(process: TrialProcess) -> None:
    assert ask(process, "fly") == {"refused": "KeyError: 'fly'"}
    assert ask(process, "run", on="candidate") == {"refused": "KeyError: 'candidate'"}


@pytest.mark.parametrize(
    ("make", "inputs", "failed"),
    [
        (onnx_models.failing, {"input": np.zeros((1, 10), np.float32)}, "InferenceFailed"),
        (onnx_models.gather, {"x": np.array([99])}, "InvalidInput"),
        (onnx_models.endless_loop, {"x": np.zeros(1, np.float32)}, "RunTimeout"),
    ],
)
def test_run_that_fails_says_how(
    process: TrialProcess, tmp_path: Path, make: Callable[[Path], Path], inputs: Mapping[str, Any], failed: str
) -> None:
    loading = {"saved": False, "providers": ["auto"], "threads": 1}
    ask(process, "load", **{"as": "candidate"}, path=str(make(tmp_path / "m.onnx")), **loading)
    ran = run(process, SOON_SECONDS if failed == "RunTimeout" else WAIT_SECONDS, **inputs)
    assert ran["failed"] == failed
    assert ran["reason"]
    assert "outputs" not in ran


# How it ends.


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGKILL, "killed by SIGKILL, most likely by the system for want of memory"),
        (signal.SIGSEGV, "killed by SIGSEGV"),
        (signal.SIGBUS, "killed by SIGBUS"),
        (signal.SIGXCPU, "killed by SIGXCPU"),
        (signal.SIGRTMIN + 7, f"killed by signal {signal.SIGRTMIN + 7}"),
    ],
)
def test_process_that_a_signal_ends_is_told_with_its_name(parent: WarmParent, number: int, how: str) -> None:
    with closing(parent.fork(TERMS)) as process:
        os.kill(process.pid, number)
        with pytest.raises(Ended) as end:
            ask(process, "hang")
        assert (end.value.how, end.value.doing) == (how, "it did hang")
        assert str(end.value) == f"{how} while it did hang"


@pytest.mark.parametrize(("act", "name"), [("abort", "SIGABRT"), ("fall", "SIGSEGV")])
def test_process_that_crashes_by_itself_is_told_with_the_signal(process: TrialProcess, act: str, name: str) -> None:
    with pytest.raises(Ended, match=f"^killed by {name} while it did {act}$"):
        ask(process, act)


def test_model_that_crashes_its_process_is_told_with_the_signal(process: TrialProcess, tmp_path: Path) -> None:
    """Its weights are mapped, so reading them fails where the file has become shorter."""
    path = onnx_models.mapped_weights(tmp_path / "m.onnx", MB)
    prove(process, path)
    os.truncate(tmp_path / "m.onnx.data", 0)
    with pytest.raises(Ended, match=r"^killed by SIGBUS while it did run$"):
        run(process, x=np.zeros((1, MB), np.float32))


def test_process_that_exits_is_told_with_its_code(process: TrialProcess) -> None:
    with pytest.raises(Ended, match=r"^ended with exit code 7 while it did exit_with$"):
        ask(process, "exit_with", code=7)


def test_end_is_told_with_what_the_process_said_it_did(process: TrialProcess) -> None:
    with pytest.raises(Ended) as end:
        ask(process, "murmur", doing="it was compiled", then="abort")
    assert end.value.doing == "it was compiled"


def test_process_that_hangs_is_overdue_and_gone_once_closed(process: TrialProcess) -> None:
    with pytest.raises(Overdue) as end:
        process.ask({"do": "murmur", "doing": "it slept", "then": "hang"}, seconds=SOON_SECONDS, doing="it woke")
    assert end.value.doing == "it slept"
    process.close()
    assert not psutil.pid_exists(process.pid) or is_gone(process.pid)


def test_process_that_talks_for_ever_is_overdue(process: TrialProcess) -> None:
    with pytest.raises(Overdue):
        process.ask({"do": "flood"}, seconds=SOON_SECONDS, doing="it listened")


class Scripted:
    """A process that has said all it will say before it is asked."""

    def __init__(self, *said: object, meanwhile: Callable[[], None] = nothing) -> None:
        near, far = socket.socketpair()
        self.far = Wire(far)
        for each in said:
            self.far.send(each)
        self._control = socket.socket()
        self.process = TrialProcess(near, 0, -1, self._control, meanwhile)

    def __enter__(self) -> TrialProcess:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.close()
        self.far.close()
        self._control.close()


def test_what_a_process_begins_with_may_have_more_time_once() -> None:
    scripted = Scripted({"doing": "it talked"}, {"doing": "it talked"})
    later = threading.Timer(3 * SOON_SECONDS, lambda: scripted.far.send({"answer": 1}))
    with scripted as process:
        later.start()
        more = {"it talked": WAIT_SECONDS}
        assert process.ask({}, seconds=SOON_SECONDS, doing="it was asked", more_seconds=more) == {"answer": 1}
        assert more == {"it talked": WAIT_SECONDS}
        later.join()
    with Scripted(*[{"doing": "it talked"}] * 9) as process, pytest.raises(Overdue):
        process.ask({}, seconds=SOON_SECONDS, doing="it was asked", more_seconds={"it talked": SOON_SECONDS})


def test_answer_after_the_time_counts_for_nothing_however_quickly_it_comes() -> None:
    with Scripted(*[{"doing": "it talked"}] * 50, {"answer": 1}) as process, pytest.raises(Overdue):
        process.ask({}, seconds=0, doing="it was asked")


def test_meanwhile_is_called_even_if_a_process_talks_all_the_time() -> None:
    calls: list[int] = []
    said = [{"doing": "it talked"}, {"doing": "it talked on"}, {"answer": 1}]
    with Scripted(*said, meanwhile=lambda: calls.append(1)) as process:
        assert process.ask({}, seconds=WAIT_SECONDS, doing="it was asked") == {"answer": 1}
    assert len(calls) == 2


def test_what_a_process_says_that_it_does_is_cut_short() -> None:
    with Scripted({"doing": "x" * 1000}, []) as process, pytest.raises(Ended) as end:
        process.ask({}, seconds=WAIT_SECONDS, doing="it was asked")
    assert end.value.doing == "x" * 200


def test_process_that_hangs_up_is_to_blame_and_gone_once_closed(
    process: TrialProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.trial.process.REAP_SECONDS", SOON_SECONDS)
    with pytest.raises(Ended, match="its process hung up"):
        ask(process, "hang_up")
    monkeypatch.undo()
    process.close()
    assert is_gone(process.pid)


@pytest.mark.parametrize("answer", [[], None, "text", 3])
def test_answer_that_is_no_mapping_ends_the_trial(process: TrialProcess, answer: object) -> None:
    with pytest.raises(Ended, match="its process answered with no mapping"):
        ask(process, "answer", answer=answer)


def test_close_leaves_nothing_and_may_be_called_again(parent: WarmParent) -> None:
    process = parent.fork(TERMS)
    process.close()
    assert is_gone(process.pid)
    process.close()


def test_close_waits_for_the_end(parent: WarmParent) -> None:
    process = parent.fork(TERMS)
    pidfd = os.pidfd_open(process.pid)
    try:
        process.close()
        assert select.select([pidfd], [], [], 0)[0] == [pidfd]
    finally:
        os.close(pidfd)


def test_many_trials_leave_no_descriptor_and_no_process(parent: WarmParent) -> None:
    parent.fork(TERMS).close()
    before = descriptors_of(os.getpid())
    with closing(parent.fork(TERMS)):
        before_there = descriptors_of(pid_of(parent))
    for _ in range(30):
        parent.fork(TERMS).close()
    assert descriptors_of(os.getpid()) == before
    with closing(parent.fork(TERMS)) as last:  # it is answered after the ends of those before
        assert descriptors_of(pid_of(parent)) == before_there
        assert [child.pid for child in psutil.Process(pid_of(parent)).children()] == [last.pid]


def test_end_of_a_trial_is_not_taken_for_that_of_the_next(parent: WarmParent) -> None:
    for number in (signal.SIGSEGV, signal.SIGABRT):
        with closing(parent.fork(TERMS)) as process:
            os.kill(process.pid, number)
            with pytest.raises(Ended, match=signal.Signals(number).name):
                ask(process, "hang")


def test_two_trials_at_once_leave_each_other_alone(parent: WarmParent) -> None:
    with closing(parent.fork(TERMS)) as one, closing(parent.fork(TERMS)) as other:
        assert len(wired(ask(other, "show"))) == 1
        os.kill(one.pid, signal.SIGSEGV)
        with pytest.raises(Ended, match="killed by SIGSEGV"):
            ask(one, "hang")
        assert ask(other, "answer", answer={"alive": True}) == {"alive": True}


def test_end_of_one_of_two_trials_is_not_taken_for_the_others(parent: WarmParent) -> None:
    with closing(parent.fork(TERMS)) as one, closing(parent.fork(TERMS)) as other:
        kill(one.pid, signal.SIGSEGV)
        kill(other.pid, signal.SIGBUS)
        with pytest.raises(Ended, match="killed by SIGBUS"):
            ask(other, "hang")


# What it leaves behind.


def test_process_that_a_trial_left_behind_ends_when_the_trial_is_closed(process: TrialProcess) -> None:
    pid = ask(process, "leave")["pid"]
    process.close()
    assert is_gone(pid)


def test_process_that_a_trial_left_behind_ends_when_the_trial_crashes(process: TrialProcess) -> None:
    pid = ask(process, "leave")["pid"]
    with pytest.raises(Ended):
        ask(process, "abort")
    assert not psutil.pid_exists(pid)


def test_process_that_a_trial_left_behind_ends_when_the_daemon_stops(own_parent: WarmParent) -> None:
    process = own_parent.fork(TERMS)
    pid = ask(process, "leave")["pid"]
    own_parent.stop()
    assert is_gone(pid)
    process.close()


# What it may take.


def test_memory_beyond_its_limit_is_not_given(process: TrialProcess) -> None:
    assert ask(process, "eat", bytes=TERMS.memory_bytes // 2) == {"eaten": TERMS.memory_bytes // 2}
    assert ask(process, "eat", bytes=TERMS.memory_bytes * 3 // 2) == {"refused": "std::bad_alloc"}


def test_model_that_takes_too_much_memory_is_refused_and_the_process_lives_on(
    process: TrialProcess, tmp_path: Path
) -> None:
    path = onnx_models.memory_bomb(tmp_path / "m.onnx", 2 * TERMS.memory_bytes)
    assert "allocate memory" in prove(process, path)["refused"]
    assert "signature" in prove(process, onnx_models.memory_bomb(tmp_path / "less.onnx", TERMS.memory_bytes // 8))


def test_file_beyond_its_limit_is_not_written(process: TrialProcess, tmp_path: Path) -> None:
    assert ask(process, "write", path=str(tmp_path / "a"), bytes=TERMS.file_bytes) == {"written": TERMS.file_bytes}
    assert "File too large" in ask(process, "write", path=str(tmp_path / "b"), bytes=TERMS.file_bytes + 1)["refused"]


def test_process_is_bound_to_its_terms(process: TrialProcess) -> None:
    shown = ask(process, "show")
    assert shown["nice"] == TERMS.nice
    assert shown["first_to_go"] == 1000
    assert shown["no_new_privileges"] == "1"
    assert shown["dumpable"] == 0
    assert shown["limits"]["CORE"] == [0, 0]
    assert shown["limits"]["FSIZE"] == [TERMS.file_bytes] * 2
    assert shown["limits"]["NOFILE"] == [1024, 1024]
    (soft, hard) = shown["limits"]["DATA"]
    assert soft == hard
    assert abs(soft - shown["allocated_bytes"] - TERMS.memory_bytes) < 16 * MB


def test_process_leads_a_group_of_its_own(process: TrialProcess) -> None:
    assert ask(process, "show")["group"] == process.pid != os.getpgid(0)


def wired(shown: Mapping[str, Any]) -> list[str]:
    """What kinds of descriptors a process has beyond the three that every process has."""
    return [target.partition(":")[0] for number, target in shown["descriptors"].items() if number > 2]


@pytest.fixture
def with_open_files(tmp_path: Path) -> Iterator[None]:
    """This process reads from, writes to and has open what a child would be given."""
    kept = {number: os.dup(number) for number in (0, 1)}
    opened = os.open(tmp_path / "open", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(opened, True)
    for number in kept:
        os.dup2(opened, number)
    yield
    for number, before in kept.items():
        os.dup2(before, number)
        os.close(before)
    os.close(opened)


@pytest.mark.usefixtures("with_open_files")
def test_process_has_no_descriptors_but_its_own(tmp_path: Path) -> None:
    parent = odd_parent(tmp_path / "odd")
    try:
        with closing(parent.fork(TERMS)) as process:
            shown = ask(process, "show")
    finally:
        parent.stop()
    assert wired(shown) == ["socket"]
    assert (shown["descriptors"][0], shown["descriptors"][1]) == ("/dev/null", "/dev/null")


def test_processes_have_none_of_the_daemons_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "a-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    parent = odd_parent(tmp_path / "odd")
    try:
        with closing(parent.fork(TERMS)) as process:
            environment = ask(process, "show")["environment"]
            of_parent = Path(f"/proc/{pid_of(parent)}/environ").read_bytes()
    finally:
        parent.stop()
    assert b"a-secret" not in of_parent
    assert b"PYTHONPATH=" in of_parent
    assert "a-secret" not in environment.values()
    assert environment["LC_ALL"] == "C.UTF-8"
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"


# The warm parent.


def test_signals_to_every_process_of_the_daemon_do_not_end_the_warm_parent(own_parent: WarmParent) -> None:
    own_parent.fork(TERMS).close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid_of(own_parent), number)
    with closing(own_parent.fork(TERMS)) as process:
        assert psutil.Process(process.pid).ppid() == pid_of(own_parent)


def test_warm_parent_is_in_a_group_of_its_own_so_that_the_keyboard_does_not_reach_it(parent: WarmParent) -> None:
    assert os.getpgid(pid_of(parent)) == pid_of(parent)


def test_trial_is_in_the_session_of_the_daemon_so_that_niceness_counts(process: TrialProcess) -> None:
    """Where the kernel groups tasks by session (sched(7), autogroup), another session would get an equal share."""
    assert os.getsid(process.pid) == os.getsid(0)


def test_fork_starts_a_warm_parent_when_nobody_has() -> None:
    parent = WarmParent()
    try:
        with closing(parent.fork(TERMS)) as process:
            assert ask(process, "fly") == {"refused": "KeyError: 'fly'"}
    finally:
        parent.stop()


def test_start_leaves_a_running_warm_parent_alone(parent: WarmParent) -> None:
    before = pid_of(parent)
    parent.start()
    assert pid_of(parent) == before


def test_warm_parent_that_was_killed_is_replaced(own_parent: WarmParent, caplog: pytest.LogCaptureFixture) -> None:
    own_parent.fork(TERMS).close()
    killed = pid_of(own_parent)
    kill(killed)
    with caplog.at_level(logging.WARNING), closing(own_parent.fork(TERMS)) as process:
        assert ask(process, "fly") == {"refused": "KeyError: 'fly'"}
    assert pid_of(own_parent) != killed
    assert "the trials' parent process was gone (-9); starting another" in caplog.messages


def test_warm_parent_that_was_killed_while_it_started_is_replaced(own_parent: WarmParent) -> None:
    kill(pid_of(own_parent))
    with closing(own_parent.fork(TERMS)) as process:
        assert ask(process, "fly") == {"refused": "KeyError: 'fly'"}


@pytest.mark.parametrize("is_warm", [True, False])
def test_fork_raises_lost_when_the_warm_parent_dies_over_it(own_parent: WarmParent, is_warm: bool) -> None:
    if is_warm:
        own_parent.fork(TERMS).close()
    os.kill(pid_of(own_parent), signal.SIGSTOP)  # it takes the request, and never answers
    killer = threading.Timer(SOON_SECONDS, os.kill, [pid_of(own_parent), signal.SIGKILL])
    killer.start()
    with pytest.raises(Lost):
        own_parent.fork(TERMS)
    killer.join()
    own_parent.fork(TERMS).close()


def test_trial_is_lost_when_the_warm_parent_is_killed_during_it(own_parent: WarmParent) -> None:
    victim: list[int] = []

    def meanwhile() -> None:
        if victim:
            os.kill(victim.pop(), signal.SIGKILL)

    with closing(own_parent.fork(TERMS, meanwhile)) as process:
        victim.append(pid_of(own_parent))
        with pytest.raises(Lost):
            ask(process, "hang")
    with closing(own_parent.fork(TERMS)) as process:
        assert psutil.Process(process.pid).ppid() == pid_of(own_parent)


def test_trial_dies_when_the_warm_parent_dies(own_parent: WarmParent) -> None:
    process = own_parent.fork(TERMS)
    kill(pid_of(own_parent))
    assert is_gone(process.pid)
    process.close()


DAEMON = """
import sys
from pathlib import Path
from daemon.trial import TrialTerms
from tests.trial_acts import odd_parent
parent = odd_parent(Path(sys.argv[1]))
process = parent.fork(TrialTerms(memory_bytes=1 << 28, file_bytes=1 << 20, nice=0))
left = process.ask({"do": "leave"}, seconds=60, doing="")["pid"]
print(parent._process.pid, process.pid, left, flush=True)
process.ask({"do": "hang"}, seconds=1000, doing="")
"""


def test_everything_ends_when_the_daemon_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", DAEMON, str(tmp_path)], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        pids = [int(word) for word in daemon.stdout.readline().split()]
        daemon.kill()
    assert len(pids) == 3
    assert [pid for pid in pids if not is_gone(pid)] == []


# The end.


def test_stop_from_another_thread_interrupts_a_waiting_trial(own_parent: WarmParent) -> None:
    is_waiting = threading.Event()

    def stop() -> None:
        assert is_waiting.wait(WAIT_SECONDS)
        own_parent.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with closing(own_parent.fork(TERMS, is_waiting.set)) as process, pytest.raises(Interrupted):
        ask(process, "hang")
    stopper.join(WAIT_SECONDS)
    assert is_gone(process.pid)


@pytest.mark.parametrize("is_warm", [True, False])
def test_stop_from_another_thread_interrupts_a_fork(
    own_parent: WarmParent, monkeypatch: pytest.MonkeyPatch, is_warm: bool
) -> None:
    monkeypatch.setattr("daemon.trial.parent.STOP_SECONDS", SOON_SECONDS)
    if is_warm:
        own_parent.fork(TERMS).close()
    os.kill(pid_of(own_parent), signal.SIGSTOP)  # it takes the request, and never answers
    stopper = threading.Timer(SOON_SECONDS, own_parent.stop)
    stopper.start()
    with pytest.raises(Interrupted):
        own_parent.fork(TERMS)
    stopper.join()


def test_fork_is_interrupted_after_stop(own_parent: WarmParent) -> None:
    own_parent.stop()
    with pytest.raises(Interrupted):
        own_parent.fork(TERMS)


def test_start_starts_nothing_after_stop(own_parent: WarmParent) -> None:
    own_parent.stop()
    own_parent.start()
    assert own_parent._process is None


def test_stop_leaves_no_process_and_may_be_called_again(own_parent: WarmParent) -> None:
    process = own_parent.fork(TERMS)
    pids = [pid_of(own_parent), process.pid]
    own_parent.stop()
    own_parent.stop()
    assert not psutil.pid_exists(pids[0])  # waited for
    assert is_gone(pids[1])
    process.close()


def test_stop_kills_a_warm_parent_that_does_not_end(own_parent: WarmParent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.trial.parent.STOP_SECONDS", SOON_SECONDS)
    pid = pid_of(own_parent)
    os.kill(pid, signal.SIGSTOP)
    own_parent.stop()
    assert not psutil.pid_exists(pid)


def test_meanwhile_is_called_while_a_trial_is_waited_for(parent: WarmParent) -> None:
    calls: list[int] = []

    class Enough(Exception):
        pass

    def meanwhile() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Enough

    with closing(parent.fork(TERMS, meanwhile)) as process, pytest.raises(Enough):
        ask(process, "hang")


# Inside, without a process.


@pytest.mark.parametrize("saved", [True, False])
def test_form_is_mapped_and_a_model_as_it_came_is_loaded(monkeypatch: pytest.MonkeyPatch, saved: bool) -> None:
    called: list[tuple[str, Path, EngineOptions]] = []
    for name in ("load_engine", "map_engine"):
        monkeypatch.setattr(
            child, name, lambda path, options, deadlines, name=name: called.append((name, path, options))
        )
    asked = {"as": "live", "path": "/store/m.onnx", "saved": saved, "providers": ["auto"], "threads": 3}
    assert child.Child(lambda _: None).load(asked) == {}
    options = EngineOptions(providers=("auto",), threads=3)
    assert called == [("map_engine" if saved else "load_engine", Path("/store/m.onnx"), options)]


# Confinement by itself.


def forked(body: str) -> int:
    """The exit code of a child that does ``body``, with ``parent`` and ``terms`` at hand."""
    script = (
        "import os\nfrom daemon.trial.confinement import confine\nfrom daemon.trial.terms import TrialTerms\n"
        "terms = TrialTerms(memory_bytes=1 << 28, file_bytes=1 << 20, nice=0)\nparent = os.getpid()\n"
        f"pid = os.fork()\nif pid == 0:\n    {body}\n"
        "os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    return subprocess.run([sys.executable, "-c", script], check=False, timeout=WAIT_SECONDS).returncode


def test_confine_ends_a_process_whose_parent_is_gone_already() -> None:
    assert forked("confine(terms, parent + 1); os._exit(5)") == 1
    assert forked("confine(terms, parent); os._exit(5)") == 5


def test_confine_keeps_a_limit_that_is_lower_already() -> None:
    body = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (99, 99)); confine(terms, parent); "
        "os._exit(r.getrlimit(r.RLIMIT_NOFILE)[1])"
    )
    assert forked(body) == 99


def test_sizes_of_this_process_are_read() -> None:
    seen = psutil.Process().memory_info()
    assert confinement.status_bytes("VmRSS") == pytest.approx(seen.rss, rel=0.2)
    assert confinement.private_bytes() == pytest.approx(seen.data, rel=0.5)
    assert confinement.status_bytes("VmNone") == 0


def test_nothing_does_nothing() -> None:
    nothing()
