"""The cgroup folders of this process: both versions, every parent, and what a container hides."""

from pathlib import Path

import pytest

from daemon.runtime.cgroups import folders, read


def listed(tmp_path: Path, groups: str | None, controller: str = "memory") -> list[tuple[str, int]]:
    """Folders below the root of the cgroups, and their versions."""
    if groups is not None:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    root = tmp_path / "cgroup"
    found = folders(controller, proc=tmp_path / "proc", cgroups=root)
    return [(str(folder.path.relative_to(root)), folder.version) for folder in found]


def test_v2_group_comes_before_its_parents_and_the_root_last(tmp_path: Path) -> None:
    found = listed(tmp_path, "0::/pod/app\n")
    assert found[:3] == [("pod/app", 2), ("pod", 2), (".", 2)]


def test_v2_is_looked_for_beside_version_1_too(tmp_path: Path) -> None:
    assert listed(tmp_path, "0::/app\n")[2:] == [("unified/app", 2), ("unified", 2)]


def test_v1_group_is_that_of_the_controller(tmp_path: Path) -> None:
    groups = "5:cpu,cpuacct:/one\n4:memory:/two/three\n3:name=systemd:/four\n"
    assert listed(tmp_path, groups)[:3] == [("memory/two/three", 1), ("memory/two", 1), ("memory", 1)]


def test_v1_group_is_looked_for_under_all_names_of_its_mount(tmp_path: Path) -> None:
    found = listed(tmp_path, "5:cpu,cpuacct:/one\n", "cpu")
    assert found == [("cpu,cpuacct/one", 1), ("cpu,cpuacct", 1), ("cpu/one", 1), ("cpu", 1)]


@pytest.mark.parametrize("controllers", ["cpuset", "cpuacct", "cpuset,cpuacct"])
def test_v1_group_of_a_controller_with_a_similar_name_is_left_out(tmp_path: Path, controllers: str) -> None:
    assert listed(tmp_path, f"5:{controllers}:/one\n", "cpu") == []


def test_both_versions_are_given_where_both_are_there(tmp_path: Path) -> None:
    found = listed(tmp_path, "4:memory:/one\n0::/two\n")
    assert {version for _, version in found} == {1, 2}


def test_group_with_a_colon_in_its_name_is_kept_whole(tmp_path: Path) -> None:
    assert listed(tmp_path, "0::/a:b\n")[0] == ("a:b", 2)


@pytest.mark.parametrize("group", ["/../..", "/../other/app"])
def test_group_outside_the_namespace_is_the_root(tmp_path: Path, group: str) -> None:
    assert listed(tmp_path, f"0::{group}\n") == [(".", 2), ("unified", 2)]


def test_root_group_is_given_once(tmp_path: Path) -> None:
    assert listed(tmp_path, "0::/\n") == [(".", 2), ("unified", 2)]


@pytest.mark.parametrize("groups", [None, "", "nonsense\n"])
def test_there_are_no_folders_where_the_system_does_not_say(tmp_path: Path, groups: str | None) -> None:
    assert [folder for folder in listed(tmp_path, groups) if folder[1] == 1] == []


def test_no_cgroups_at_all_are_no_folders(tmp_path: Path) -> None:
    assert listed(tmp_path, None) == []


def test_read_gives_the_text_of_a_file_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert read(tmp_path / "memory.max") == "max"


def test_read_gives_nothing_for_what_is_not_there(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == ""
    assert read(tmp_path) == ""
