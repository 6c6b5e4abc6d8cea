"""Whatever is dropped, predictions go on: not one answer but 200, and each by the release that serves."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.arrivals import made, outwait_patience, rename_in, truncated, wait_until
from tests.e2e.conftest import NewRig
from tests.e2e.rig import Answer, Rig
from tests.e2e.test_completeness import GARBAGE
from tests.onnx_models import constant_model, endless_loop, external, failing, ort_format, sequence_input

CLIENTS = 2
HUGE_BYTES = 1 << 36
"""Of holes: they need no disk, but more time to be read than any test has."""


def test_bad_drops_cost_no_prediction(new_rig: NewRig) -> None:
    rig = new_rig(watch={"incomplete_seconds": 0.5}, gate={"trial": {"timeout_seconds": 1}})
    constant_model(rig.drop / "good.onnx", 1.0)
    rig.start()
    with _predictions(rig) as answers:
        bad = _drop_everything_bad(rig)
        for name in bad:
            rig.wait_for_event(event="rejected", model_path=f"model_drop/{name}", seconds=30)
        outwait_patience(rig)
        for name in bad:
            (rig.drop / name).unlink()
            rig.wait_for_event(event="removed", model_path=f"model_drop/{name}")
    assert len(answers) > 50
    assert {(answer.status, answer.headers["X-Model-Version"]) for answer in answers} == {(200, "1")}
    assert rig.get("/models/default").json["version"] == 1


@pytest.mark.parametrize("make", [failing, endless_loop, sequence_input])
def test_bad_model_overwriting_the_good_one_costs_no_prediction(new_rig: NewRig, make: object) -> None:
    assert callable(make)
    rig = new_rig(gate={"trial": {"timeout_seconds": 1}})
    constant_model(rig.drop / "x.onnx", 1.0)
    rig.start()
    with _predictions(rig) as answers:
        shutil.copyfile(make(rig.folder / "bad.onnx"), rig.drop / "x.onnx")
        rig.wait_for_event(event="rejected")
        (rig.drop / "x.onnx").unlink()
        rig.wait_for_event(event="removed")
    assert {answer.status for answer in answers} == {200}


def test_huge_junk_delays_no_other_drop_and_no_stop(new_rig: NewRig) -> None:
    rig = new_rig().start()
    junk = made(rig.drop / "junk") / "junk.onnx"
    with junk.open("wb") as file:
        file.truncate(HUGE_BYTES)
    rig.wait_for_event(event="rejected", model="junk")
    wait_until(lambda: _is_read(rig, junk))
    for value in (1.0, 2.0):  # the second has the first one's size: only its content tells that it is new
        last = rig.last_id()
        constant_model(rig.drop / "x.onnx", value)
        rig.wait_for_event(after=last, event="live", model="default")
    assert _is_read(rig, junk), "both were to be live before the junk was read"
    assert rig.stop() == 0


def test_huge_junk_that_is_removed_is_read_no_further(new_rig: NewRig) -> None:
    rig = new_rig().start()
    junk = rig.drop / "junk.onnx"
    with junk.open("wb") as file:
        file.truncate(HUGE_BYTES)
    wait_until(lambda: _is_read(rig, junk))
    junk.unlink()
    rig.wait_for_event(event="removed")
    wait_until(lambda: not _is_read(rig, junk))


def _is_read(rig: Rig, path: Path) -> bool:
    """Whether the daemon has the file open, which may have lost its name meanwhile."""
    opened = Path(f"/proc/{rig.pid}/fd").iterdir()
    return any(os.path.realpath(each).startswith(str(path)) for each in opened)


def _drop_everything_bad(rig: Rig) -> list[str]:
    """Every kind of bad entry, in the default model's folder; gives the names of those that will be rejected."""
    outside = rig.folder / "outside"
    for kind, content in GARBAGE.items():
        (rig.drop / f"{kind}.onnx").write_bytes(content)
        rig.wait_for_event(event="rejected", model_path=f"model_drop/{kind}.onnx")  # else it may be superseded
    whole = constant_model(outside / "whole.onnx", 9.0)
    (rig.drop / "empty.onnx").touch()
    truncated(whole, rig.drop / "truncated.onnx")
    rename_in(ort_format(outside / "other.ort", 9.0), rig.drop / "other-format.onnx")
    shutil.copyfile(whole, rig.drop / "other-format.ort")
    for make in (failing, endless_loop, sequence_input):
        shutil.copyfile(make(outside / "bad.onnx"), rig.drop / f"{make.__name__}.onnx")
        rig.wait_for_event(event="rejected", model_path=f"model_drop/{make.__name__}.onnx", seconds=30)
    for number, location in enumerate(("../x", "/dev/zero", "missing.data")):
        rename_in(external(outside / "e.onnx", location=location), rig.drop / f"external{number}.onnx")
    os.mkfifo(rig.drop / "fifo.onnx")
    (rig.drop / "outside.onnx").symlink_to(whole)
    (rig.drop / "loop.onnx").symlink_to("loop.onnx")
    _bind(rig.drop / "socket.onnx")
    (rig.drop / "wrong.onnx.sha256").write_text("0" * 64)
    shutil.copyfile(whole, rig.drop / "wrong.onnx")
    with (rig.drop / "sparse.onnx").open("wb") as file:
        file.truncate(50_000_000)
    names = [entry.name for entry in rig.drop.iterdir() if entry.suffix in (".onnx", ".ort")]
    (rig.drop / "dangling.onnx").symlink_to("nowhere")
    (rig.drop / "folder.onnx").mkdir()
    return [name for name in names if name != "good.onnx"]


def _bind(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


@contextmanager
def _predictions(rig: Rig) -> Iterator[list[Answer]]:
    """Clients that predict all the time, one request after the other; gives the list of all answers."""
    answers: list[Answer] = []
    ended = threading.Event()

    def predict() -> None:
        while not ended.is_set():
            answers.append(rig.predict())

    clients = [threading.Thread(target=predict, name=f"client-{number}") for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield answers
    finally:
        ended.set()
        for client in clients:
            client.join(30)
