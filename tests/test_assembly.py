"""Assembling: a daemon that serves, and nothing left behind by one that cannot or that ends."""

import http.client
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon import assembly, front, lookout, reception, spine
from daemon.api import build_app
from daemon.assembly import assemble, check
from daemon.config import Settings, load
from daemon.deployer import Deployer
from daemon.errors import ConfigError, StartupError
from daemon.holder import ModelHolder
from daemon.intake.statelock import StateLock
from tests.fakes import WAIT_SECONDS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.upper().startswith("MODELDROP_")]:
        monkeypatch.delenv(variable)


def settings_in(folder: Path, text: str = "server: {port: 0}") -> Settings:
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path)


def descriptors() -> list[str]:
    """What this process has open, without what a listing opens itself."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  (names are enough)
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
        except FileNotFoundError:
            continue
    return sorted(found)


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    """What was open before is open afterwards, and nothing else; no holder lives on."""
    before, threads = descriptors(), set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= threads
    assert ModelHolder._singleton is None
    assert descriptors() == before


def get(port: int, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def serve_once(settings: Settings) -> None:
    """A daemon's life with a model dropped."""
    daemon = assemble(settings)
    shutil.copy(ROOT / "examples" / "models" / "deploy.onnx", settings.place(settings.watch.drop_dir) / "m.onnx")
    daemon.serve(daemon.stop)
    assert daemon.close()


def test_daemon_is_assembled_served_drained_and_closed(tmp_path: Path) -> None:
    daemon = assemble(settings_in(tmp_path))
    shutil.copy(ROOT / "examples" / "models" / "deploy.onnx", tmp_path / "model_drop" / "m.onnx")
    ready, served = threading.Event(), list[bool]()
    thread = threading.Thread(target=lambda: served.append(daemon.serve(ready.set)))
    thread.start()
    assert ready.wait(WAIT_SECONDS)
    port = int(daemon.addresses[0].rpartition(":")[2])
    assert get(port, "/readyz")[0] == 200
    assert b'"state":"live"' in get(port, "/models/default")[1]
    daemon.stop()
    thread.join(WAIT_SECONDS)
    assert served == [True]
    assert daemon.close()


def test_restoring_does_not_wait_for_what_answers_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    serve_once(settings)
    restored = threading.Event()
    waited = list[bool]()

    def build_later(**parts: Any) -> Any:
        waited.append(restored.wait(WAIT_SECONDS))
        return build_app(**parts)

    monkeypatch.setattr(reception, "build_app", build_later)
    monkeypatch.setattr(assembly, "log_event", lambda event: restored.set() if event.event == "restored" else None)
    daemon = assemble(settings)
    assert waited == [True]
    assert daemon.close()


def test_daemon_that_never_served_closes_too(tmp_path: Path) -> None:
    daemon = assemble(settings_in(tmp_path))
    assert daemon.addresses[0].startswith("http://127.0.0.1:")
    assert daemon.close()


def test_second_daemon_may_have_the_folders_once_the_first_is_closed(tmp_path: Path) -> None:
    for _ in range(2):
        assert assemble(settings_in(tmp_path)).close()


def test_folders_are_made_beside_the_config_file(tmp_path: Path) -> None:
    assemble(settings_in(tmp_path)).close()
    assert (tmp_path / "model_drop").is_dir()
    assert (tmp_path / "state" / "store").is_dir()


def taken_port(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"server: {{port: {server.getsockname()[1]}}}"


def drop_dir_is_a_file(folder: Path) -> Iterator[str]:
    (folder / "file").touch()
    yield "watch: {drop_dir: file}\nserver: {port: 0}"


def drop_dir_is_below_a_file(folder: Path) -> Iterator[str]:
    (folder / "file").touch()
    yield "watch: {drop_dir: file/drop}\nserver: {port: 0}"


def state_dir_is_a_file(folder: Path) -> Iterator[str]:
    (folder / "file").touch()
    yield "state_dir: file\nserver: {port: 0}"


def state_dir_is_anothers(folder: Path) -> Iterator[str]:
    with StateLock(folder / "state"):
        yield "server: {port: 0}"


def store_is_a_file(folder: Path) -> Iterator[str]:
    (folder / "state").mkdir()
    (folder / "state" / "store").touch()
    yield "server: {port: 0}"


def journal_is_damaged(folder: Path) -> Iterator[str]:
    (folder / "state").mkdir()
    (folder / "state" / "journal.sqlite3").write_bytes(b"no database at all " * 100)
    yield "server: {port: 0}"


def journal_is_anothers(folder: Path) -> Iterator[str]:
    (folder / "state").mkdir()
    with closing(sqlite3.connect(folder / "state" / "journal.sqlite3")) as other:
        other.execute("CREATE TABLE things (name TEXT)")
    yield "server: {port: 0}"


def address_is_not_ours(folder: Path) -> Iterator[str]:
    yield "server: {host: 203.0.113.1, port: 0}"


@pytest.mark.parametrize(
    ("obstacle", "said"),
    [
        (taken_port, "127.0.0.1"),
        (address_is_not_ours, "203.0.113.1"),
        (drop_dir_is_a_file, "watch.drop_dir"),
        (drop_dir_is_below_a_file, "watch.drop_dir"),
        (state_dir_is_a_file, "state_dir"),
        (state_dir_is_anothers, "in use by another daemon"),
        (store_is_a_file, "state_dir"),
        (journal_is_damaged, "journal"),
        (journal_is_anothers, "another program's database"),
    ],
)
def test_obstacle_is_told_in_one_line_and_nothing_is_left_behind(
    tmp_path: Path, obstacle: Callable[[Path], Iterator[str]], said: str
) -> None:
    standing = obstacle(tmp_path)
    settings = settings_in(tmp_path, next(standing))
    before = descriptors()
    with pytest.raises(StartupError) as caught:
        assemble(settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert descriptors() == before
    standing.close()  # type: ignore[attr-defined]
    if said != "in use by another daemon":
        with StateLock(tmp_path / "other" if obstacle is state_dir_is_a_file else tmp_path / "state"):
            pass


@pytest.mark.parametrize(
    "part",
    ["Journal", "ModelHolder", "spine.Store", "spine.Trial", "lookout.Scanner", "reception.Readiness",
     "reception.build_app", "front.Server"],
)  # fmt: skip
def test_part_that_cannot_be_made_takes_all_the_others_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("cannot be made")

    settings = settings_in(tmp_path, f"server: {{listen: ['127.0.0.1:0', 'unix:{tmp_path}/http.sock']}}")
    with monkeypatch.context() as patch:
        *room, name = part.split(".")
        rooms = {"spine": spine, "lookout": lookout, "reception": reception, "front": front}
        patch.setattr(rooms[room[0]] if room else assembly, name, fail)
        with pytest.raises(RuntimeError):
            assemble(settings)
    assert not (tmp_path / "http.sock").exists()
    assert assemble(settings).close()


def test_start_that_fails_while_a_model_is_loaded_waits_for_that_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Deployer.stop
    said: list[bool] = []

    def slowly(deployer: Deployer) -> bool:
        said.append(len(said) == 2)
        return stop(deployer) and said[-1]

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("cannot be made")

    monkeypatch.setattr(Deployer, "stop", slowly)
    monkeypatch.setattr(assembly, "build_front", fail)
    with pytest.raises(RuntimeError):
        assemble(settings_in(tmp_path, "server: {port: 0}"))
    assert said[:3] == [False, False, True]


def test_unix_socket_is_gone_when_the_daemon_is_closed(tmp_path: Path) -> None:
    daemon = assemble(settings_in(tmp_path, f"server: {{listen: ['unix:{tmp_path}/http.sock']}}"))
    assert (tmp_path / "http.sock").exists()
    daemon.close()
    assert not (tmp_path / "http.sock").exists()


def test_check_takes_the_shipped_settings() -> None:
    check(load(ROOT / "config.yaml"))


def test_check_refuses_a_provider_that_is_not_there(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, "runtime: {providers: [NoSuchProvider]}")
    with pytest.raises(ConfigError, match="NoSuchProvider"):
        check(settings)


@pytest.mark.parametrize(
    ("drop_dir", "state_dir"), [("state", "state"), ("state/store", "state"), ("drop", "drop/state"), ("x/../a", "a/b")]
)
def test_drop_directory_and_state_may_not_lie_in_each_other(tmp_path: Path, drop_dir: str, state_dir: str) -> None:
    settings = settings_in(tmp_path, f"watch: {{drop_dir: {drop_dir}}}\nstate_dir: {state_dir}\n")
    with pytest.raises(ConfigError, match="apart from each other"):
        check(settings)
