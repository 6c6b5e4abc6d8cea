"""Starting from outside: ``--check``, ``--version``, wrong settings, and what keeps a daemon from starting."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.rig import ROOT, Rig


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where a config file goes that nobody has written yet; nothing else is in its folder."""
    return tmp_path / "settings.yaml"


def _run(*arguments: str, cwd: Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "run_daemon.py"), *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _expect_refused(ran: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr that has every word."""
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    for word in words:
        assert word in line
    assert "Traceback" not in ran.stderr


def test_check_says_ok_and_makes_nothing(config: Path) -> None:
    config.write_text("server:\n  port: 0\n")
    ran = _run("--config", str(config), "--check")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "config ok\n", "")
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "server:\nwatch:\n"])
def test_empty_file_is_a_valid_configuration(config: Path, text: str) -> None:
    config.write_text(text)
    assert _run("--config", str(config), "--check").returncode == 0


def test_shipped_file_is_valid_and_the_default_from_anywhere(tmp_path: Path) -> None:
    ran = _run("--check", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "config ok\n")


def test_version_is_one_line() -> None:
    ran = _run("--version")
    assert ran.returncode == 0
    assert ran.stdout.startswith("modeldrop ")
    assert len(ran.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server:\n  port: 70000\n", ["server.port", "70000", "65535"]),
        ("server:\n  threads: many\n", ["server.threads", "'many'", "integer"]),
        ("watch:\n  rescan_seconds: 0\n", ["watch.rescan_seconds", "0", "greater than 0"]),
        ("log:\n  level: loud\n", ["log.level", "'loud'", "'debug'"]),
        ("default_model: ../x\n", ["default_model", "'../x'"]),
        ("server: 5000\n", ["server", "5000"]),
        ("runtime:\n  providers: [Abacus]\n", ["runtime.providers", "Abacus", "CPUExecutionProvider"]),
    ],
)
def test_wrong_setting_names_file_key_found_and_allowed(config: Path, text: str, words: list[str]) -> None:
    config.write_text(text)
    named = [] if "providers" in text else [str(config)]
    _expect_refused(_run("--config", str(config), "--check"), *named, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server:\n  prot: 1\n", ["server.prot", "did you mean server.port?"]),
        ("wacth:\n  drop_dir: x\n", ["wacth", "did you mean watch?"]),
        ("port: 5000\n", ["port", "did you mean server.port?"]),
    ],
)
def test_unknown_key_comes_with_the_nearest_known_one(config: Path, text: str, words: list[str]) -> None:
    config.write_text(text)
    _expect_refused(_run("--config", str(config)), str(config), *words)


@pytest.mark.parametrize("content", [b"server: [", b"- a\n- b\n", b"\xff\xfe\x00", b"a: 1\na\n"])
def test_file_that_is_no_mapping_is_refused_in_one_line(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    _expect_refused(_run("--config", str(config)), str(config))


def test_missing_file_is_refused_in_one_line(config: Path) -> None:
    _expect_refused(_run("--config", str(config)), str(config), "no such file")


def test_wrong_variable_is_named(config: Path) -> None:
    config.write_text("")
    ran = _run("--config", str(config), "--check", MODELDROP_SERVER__PORT="high")
    _expect_refused(ran, "MODELDROP_SERVER__PORT", "'high'")
    _expect_refused(_run("--config", str(config), MODELDROP_SERVER__PROT="1"), "MODELDROP_SERVER__PROT", "server.port")


def test_wrong_token_is_not_shown(config: Path) -> None:
    config.write_text("auth:\n  admin_token: [hush-hush]\n")
    ran = _run("--config", str(config), "--check")
    _expect_refused(ran, "auth.admin_token")
    assert "hush-hush" not in ran.stderr


def test_environment_overrides_the_file(new_rig: NewRig) -> None:
    environment = {
        "MODELDROP_SERVER__WELCOME": "from outside",
        "MODELDROP_DEFAULT_MODEL": "main",
        "MODELDROP_WATCH__DROP_DIR": "elsewhere",
    }
    rig = new_rig(server={"welcome": "from the file"}, environment=environment).start()
    assert rig.get("/").body == b"from outside"
    assert [each["model"] for each in rig.get("/models").json["models"]] == ["main"]
    assert (rig.folder / "elsewhere").is_dir()


def test_ready_line_names_the_address(new_rig: NewRig) -> None:
    rig = new_rig()
    line = rig.wait_for_line(rig.spawn())
    word, address, *_ = line.split()
    assert word == "ready"
    host, _, port = address.removeprefix("http://").rpartition(":")
    assert host == "127.0.0.1"
    socket.create_connection((host, int(port)), timeout=5).close()


def test_unix_socket_is_listened_on_beside_a_port(new_rig: NewRig) -> None:
    rig = new_rig(server={"listen": ["127.0.0.1:0", "unix:http.sock"]}).start()
    assert rig.get("/healthz").status == 200
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(rig.folder / "http.sock"))
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200")
    assert rig.stop() == 0
    assert not (rig.folder / "http.sock").exists()


def test_relative_paths_are_relative_to_the_files_folder(new_rig: NewRig) -> None:
    rig = new_rig(watch={"drop_dir": "in"}, state_dir="of/state", log={"file": "to/log"}).start()
    assert rig.request("PUT", "/models/a/upload", b"no model").status == 422  # which is logged
    assert all((rig.folder / name).exists() for name in ("in", "of/state/journal.sqlite3", "to/log"))
    assert list(rig.working_directory.iterdir()) == []


def _start_refused(rig: Rig, *words: str) -> None:
    """The daemon ends by itself with 2, after one line beside its log that has every word."""
    process = rig.spawn()
    assert rig.wait_for_line(process) == ""
    assert rig.wait() == 2
    (line,) = [line for line in rig.stderr.splitlines() if line.startswith("modeldrop: ")]
    for word in words:
        assert word in line
    assert "Traceback" not in rig.stderr


def test_taken_port_is_refused(new_rig: NewRig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _start_refused(new_rig(server={"port": port}), f"127.0.0.1:{port}", "in use")


def test_state_of_another_daemon_is_refused_and_left_alone(rig: Rig) -> None:
    second = Rig(rig.folder, rig.settings)
    _start_refused(second, "state")
    assert rig.predict().status == 503
    rig.kill()
    assert rig.start().get("/healthz").status == 200


@pytest.mark.parametrize("key", ["drop_dir", "state_dir"])
def test_folder_that_cannot_be_made_is_refused(new_rig: NewRig, key: str) -> None:
    rig = new_rig(**({"watch": {"drop_dir": "file/drop"}} if key == "drop_dir" else {"state_dir": "file/state"}))
    (rig.folder / "file").write_text("in the way")
    _start_refused(rig, key.replace("drop_dir", "watch.drop_dir"))


def test_damaged_journal_is_refused(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.state.mkdir()
    (rig.state / "journal.sqlite3").write_bytes(b"not a database" * 1000)
    _start_refused(rig, "journal")
