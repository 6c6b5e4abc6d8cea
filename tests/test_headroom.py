"""How much memory is to be had: the least that the machine and every cgroup leave."""

from pathlib import Path

import psutil
import pytest

from daemon.runtime import Headroom, headroom

MB = 1 << 20
MEMINFO = "MemTotal:  1024000 kB\nMemFree:  1 kB\nMemAvailable:  512000 kB\nHugePages_Total:  0\n"
MACHINE = Headroom(512000 << 10, 1024000 << 10, "this machine")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def found(tmp_path: Path, groups: str, files: dict[str, str], *, meminfo: str = MEMINFO) -> Headroom | None:
    proc = write(tmp_path / "proc", {"self/cgroup": groups, "meminfo": meminfo})
    return headroom(proc=proc, cgroups=write(tmp_path / "cgroup", files))


def v2(limit: object, usage: object, *, folder: str = "app", idle: int | None = None) -> dict[str, str]:
    files = {f"{folder}/memory.max": str(limit), f"{folder}/memory.current": str(usage)}
    if idle is not None:
        files[f"{folder}/memory.stat"] = f"anon 7\nfile 9\ninactive_file {idle}\nactive_file 5\ntotal_inactive_file 3"
    return files


def v1(limit: object, usage: object, *, idle: int | None = None) -> dict[str, str]:
    files = {"memory/app/memory.limit_in_bytes": str(limit), "memory/app/memory.usage_in_bytes": str(usage)}
    if idle is not None:
        files["memory/app/memory.stat"] = f"inactive_file 3\ntotal_inactive_file {idle}"
    return files


def test_machine_alone_counts_without_cgroups(tmp_path: Path) -> None:
    assert found(tmp_path, "", {}) == MACHINE


def test_v2_limit_less_what_is_used_counts(tmp_path: Path) -> None:
    assert found(tmp_path, "0::/app", v2(100 * MB, 40 * MB)) == Headroom(60 * MB, 100 * MB, "its cgroup")


def test_v2_files_that_nobody_used_of_late_count_as_available(tmp_path: Path) -> None:
    room = found(tmp_path, "0::/app", v2(100 * MB, 40 * MB, idle=15 * MB))
    assert room == Headroom(75 * MB, 100 * MB, "its cgroup")


def test_idle_files_count_for_no_more_than_what_is_used(tmp_path: Path) -> None:
    room = found(tmp_path, "0::/app", v2(100 * MB, 40 * MB, idle=90 * MB))
    assert room == Headroom(100 * MB, 100 * MB, "its cgroup")


def test_cgroup_beyond_its_limit_leaves_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, "0::/app", v2(100 * MB, 101 * MB)) == Headroom(0, 100 * MB, "its cgroup")


def test_v2_without_a_limit_leaves_it_to_the_machine(tmp_path: Path) -> None:
    assert found(tmp_path, "0::/app", v2("max", 40 * MB)) == MACHINE


def test_v2_least_of_all_parents_counts(tmp_path: Path) -> None:
    files = {**v2("max", 10 * MB, folder="pod/app"), **v2(90 * MB, 50 * MB, folder="pod")}
    assert found(tmp_path, "0::/pod/app", files) == Headroom(40 * MB, 90 * MB, "its cgroup")


def test_parent_with_a_higher_limit_counts_when_it_is_fuller(tmp_path: Path) -> None:
    files = {**v2(50 * MB, 10 * MB, folder="pod/app"), **v2(90 * MB, 80 * MB, folder="pod")}
    assert found(tmp_path, "0::/pod/app", files) == Headroom(10 * MB, 90 * MB, "its cgroup")


def test_v2_root_counts_when_the_path_is_the_hosts(tmp_path: Path) -> None:
    assert found(tmp_path, "0::/host/only", v2(100 * MB, 40 * MB, folder=".")) == Headroom(
        60 * MB, 100 * MB, "its cgroup"
    )


def test_v1_limit_less_what_is_used_counts(tmp_path: Path) -> None:
    room = found(tmp_path, "4:memory:/app\n0::/", v1(100 * MB, 40 * MB))
    assert room == Headroom(60 * MB, 100 * MB, "its cgroup")


def test_v1_idle_files_are_those_of_all_groups_below(tmp_path: Path) -> None:
    room = found(tmp_path, "4:memory:/app", v1(100 * MB, 40 * MB, idle=15 * MB))
    assert room == Headroom(75 * MB, 100 * MB, "its cgroup")


@pytest.mark.parametrize("limit", [9223372036854771712, 9223372036854775807, 1 << 60])
def test_v1_limit_that_means_none_leaves_it_to_the_machine(tmp_path: Path, limit: int) -> None:
    assert found(tmp_path, "4:memory:/app", v1(limit, limit - 1)) == MACHINE


@pytest.mark.parametrize("missing", ["memory.max", "memory.current"])
def test_cgroup_that_does_not_say_leaves_it_to_the_machine(tmp_path: Path, missing: str) -> None:
    files = v2(100 * MB, 40 * MB)
    del files[f"app/{missing}"]
    assert found(tmp_path, "0::/app", files) == MACHINE


def test_cgroup_of_another_controller_does_not_count(tmp_path: Path) -> None:
    assert found(tmp_path, "4:cpu:/app", v1(100 * MB, 40 * MB)) == MACHINE


def test_machine_counts_when_it_has_less_than_the_cgroup_leaves(tmp_path: Path) -> None:
    assert found(tmp_path, "0::/app", v2(2000 * MB, 10 * MB)) == MACHINE


@pytest.mark.parametrize(
    "meminfo", ["", "MemTotal: 1024000 kB", "MemAvailable: 512000 kB", "MemTotal: x\nMemAvailable:"]
)
def test_cgroup_counts_alone_where_the_machine_does_not_say(tmp_path: Path, meminfo: str) -> None:
    room = found(tmp_path, "0::/app", v2(100 * MB, 40 * MB), meminfo=meminfo)
    assert room == Headroom(60 * MB, 100 * MB, "its cgroup")


def test_nothing_is_known_where_nothing_says(tmp_path: Path) -> None:
    assert headroom(proc=tmp_path / "none", cgroups=tmp_path) is None


def test_real_system_leaves_something_within_its_limit() -> None:
    room = headroom()
    assert room is not None
    assert 0 < room.available_bytes <= room.limit_bytes <= psutil.virtual_memory().total
