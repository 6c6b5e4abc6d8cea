"""Cores that may be used: the least of affinity and every cgroup quota, at least one."""

import os
from pathlib import Path

import pytest

from daemon.runtime.cores import usable_cores


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def count(tmp_path: Path, groups: str, quotas: dict[str, str], *, affinity: int = 64) -> int:
    proc = write(tmp_path / "proc", {"self/cgroup": groups})
    cgroups = write(tmp_path / "cgroup", quotas)
    return usable_cores(proc=proc, cgroups=cgroups, affinity=affinity)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", 64), ("", 64), ("odd", 64)],
)
def test_v2_quota_is_rounded_up_when_given(tmp_path: Path, quota: str, cores: int) -> None:
    assert count(tmp_path, "0::/app", {"app/cpu.max": quota}) == cores


def test_v2_least_quota_wins_when_a_parent_has_one(tmp_path: Path) -> None:
    quotas = {"pod/cpu.max": "300000 100000", "pod/app/cpu.max": "max 100000"}
    assert count(tmp_path, "0::/pod/app", quotas) == 3


def test_v2_root_is_read_when_the_path_is_the_hosts(tmp_path: Path) -> None:
    assert count(tmp_path, "0::/host/only", {"cpu.max": "400000 100000"}) == 4


def test_v2_path_outside_the_namespace_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"cpu.max": "100000 100000"})
    assert count(tmp_path, "0::/../..", {"cpu.max": "500000 100000"}) == 5


@pytest.mark.parametrize(("quota", "cores"), [("250000", 3), ("-1", 64), ("0", 64)])
def test_v1_quota_counts_when_not_minus_one(tmp_path: Path, quota: str, cores: int) -> None:
    quotas = {"cpu,cpuacct/app/cpu.cfs_quota_us": quota, "cpu,cpuacct/app/cpu.cfs_period_us": "100000"}
    assert count(tmp_path, "5:memory:/x\n4:cpu,cpuacct:/app\n0::/", quotas) == cores


def test_v1_quota_counts_when_mounted_as_cpu_alone(tmp_path: Path) -> None:
    quotas = {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}
    assert count(tmp_path, "4:cpu,cpuacct:/docker/abc", quotas) == 2


def test_affinity_wins_when_less_than_the_quota(tmp_path: Path) -> None:
    assert count(tmp_path, "0::/", {"cpu.max": "800000 100000"}, affinity=3) == 3


def test_affinity_alone_counts_without_cgroups(tmp_path: Path) -> None:
    assert usable_cores(proc=tmp_path / "none", cgroups=tmp_path, affinity=7) == 7


def test_real_system_gives_no_more_than_its_affinity() -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
