"""The systemd unit: what systemd itself says of it, and the lines that the daemon's promises rest on."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.server import Limits

UNIT = Path(__file__).parent.parent / "deploy" / "modeldrop.service"
PYTHON = "/opt/modeldrop/.venv/bin/python"


def _service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)  # systemd lets keys come twice
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return unit["Service"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("User", "modeldrop"),
        ("StateDirectory", "modeldrop"),
        ("LogsDirectory", "modeldrop"),
        ("WorkingDirectory", "/opt/modeldrop"),
        ("ExecStart", f"{PYTHON} /opt/modeldrop/run_daemon.py --config /etc/modeldrop/config.yaml"),
        ("KillSignal", "SIGTERM"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "2"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("PrivateTmp", "yes"),
        ("SystemCallFilter", "@system-service"),
        ("CapabilityBoundingSet", "CAP_LEASE"),
    ],
)
def test_unit_has_the_line(key: str, value: str) -> None:
    assert _service()[key] == value


def test_stop_waits_longer_than_the_drain() -> None:
    assert float(_service()["TimeoutStopSec"]) > Limits().drain_seconds


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(PYTHON, sys.executable))  # it must exist to pass
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])
