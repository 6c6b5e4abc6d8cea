"""What systemd hears."""

import socket
from pathlib import Path

import pytest

from daemon.notify import notify


def _listen(name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.settimeout(5)
    listener.bind(name)
    return listener


def test_state_arrives_at_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    with _listen(place) as listener:
        notify("READY=1")
        notify("STOPPING=1")
        assert [listener.recv(100), listener.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_state_arrives_at_an_abstract_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"@modeldrop-test{tmp_path}")
    with _listen(f"\0modeldrop-test{tmp_path}") as listener:
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("place", [None, "", "nonsense", "/nobody/listens/here"])
def test_nothing_happens_where_nobody_listens(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if place is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", place)
    notify("READY=1")
