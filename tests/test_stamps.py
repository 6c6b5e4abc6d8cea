"""What is remembered of a path, and which changes of it count."""

import os
from pathlib import Path

import pytest

from daemon.history import Sighting
from daemon.intake.members import fingerprint
from daemon.watching.stamps import (
    SIDECAR,
    Stamped,
    is_as_it_was,
    lie_as_seen,
    may_be_same_file,
    same_sizes,
    stamp_at,
    stamped,
)


def known(path: Path, members: Stamped) -> Sighting:
    return Sighting(str(path), "default", members, "a" * 64)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    (tmp_path / "w.data").write_bytes(b"weights")
    return path


@pytest.fixture
def seen(model: Path) -> Sighting:
    """The model with external data, as it was seen."""
    data = model.with_name("w.data")
    return known(model, stamped([("", model, fingerprint(model)), ("w.data", data, fingerprint(data))]))


def test_stamp_is_device_inode_size_and_both_times(model: Path) -> None:
    of = model.stat()
    assert stamp_at(model) == (of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns)


def test_stamp_of_nothing_is_empty(tmp_path: Path) -> None:
    assert stamp_at(tmp_path / "nothing.onnx") == ()


def test_stamp_of_a_link_is_that_of_what_it_resolves_to(model: Path) -> None:
    link = model.with_name("link.onnx")
    link.symlink_to(model)
    assert stamp_at(link) == stamp_at(model)


def test_stamp_of_a_dangling_link_is_its_own(tmp_path: Path) -> None:
    link = tmp_path / "link.onnx"
    link.symlink_to("nothing")
    assert stamp_at(link)[1] == link.lstat().st_ino


def test_untouched_model_is_as_it_was(model: Path, seen: Sighting) -> None:
    assert is_as_it_was(model, seen)


@pytest.mark.parametrize("name", ["m.onnx", "w.data"])
def test_changed_member_is_not_as_it_was(model: Path, seen: Sighting, name: str) -> None:
    (model.parent / name).write_bytes(b"other")
    assert not is_as_it_was(model, seen)


@pytest.mark.parametrize("name", ["m.onnx", "w.data"])
def test_removed_member_is_not_as_it_was(model: Path, seen: Sighting, name: str) -> None:
    (model.parent / name).unlink()
    assert not is_as_it_was(model, seen)


def test_same_bytes_in_another_file_are_looked_at(model: Path, seen: Sighting) -> None:
    fresh = model.with_name("fresh")
    fresh.write_bytes(b"model")
    os.utime(fresh, ns=(model.stat().st_atime_ns, model.stat().st_mtime_ns))
    fresh.replace(model)
    assert not is_as_it_was(model, seen)


def test_missing_member_that_arrives_is_noticed(model: Path) -> None:
    waiting = known(model, stamped([("", model, fingerprint(model))], missing=["late.data"]))
    assert is_as_it_was(model, waiting)
    model.with_name("late.data").write_bytes(b"x")
    assert not is_as_it_was(model, waiting)


def test_sidecar_that_decided_is_watched(model: Path) -> None:
    sidecar = model.with_name("m.onnx.sha256")
    refused = known(model, (("", stamp_at(model)), (SIDECAR, stamp_at(sidecar))))
    assert is_as_it_was(model, refused)
    sidecar.write_text("a" * 64)
    assert not is_as_it_was(model, refused)


def test_external_data_is_looked_for_beside_what_the_link_leads_to(model: Path, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    link = tmp_path / "drop" / "m.onnx"
    link.symlink_to(model)
    data = model.with_name("w.data")
    seen = known(link, stamped([("", model, fingerprint(model)), ("w.data", data, fingerprint(data))]))
    assert is_as_it_was(link, seen)
    data.write_bytes(b"other")
    assert not is_as_it_was(link, seen)


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ((("", (1, 2, 5, 0, 0)),), (("", (9, 9, 5, 9, 9)),), True),
        ((("", (1, 2, 5, 0, 0)),), (("", (1, 2, 6, 0, 0)),), False),
        ((("", (1, 2, 5, 0, 0)),), (("", (1, 2, 5, 0, 0)), ("w", (1, 3, 7, 0, 0))), False),
        ((("", (1, 2, 5, 0, 0)), ("w", ())), (("", (1, 2, 5, 0, 0)), ("w", (1, 3, 7, 0, 0))), False),
        ((("", (1, 2, 5, 0, 0)), (SIDECAR, (1, 3, 7, 0, 0))), (("", (1, 2, 5, 0, 0)),), True),
    ],
)
def test_only_sizes_of_members_tell_whether_content_may_be_the_same(before: Stamped, now: Stamped, same: bool) -> None:
    assert same_sizes(known(Path("m.onnx"), before), now) is same


def test_files_lie_as_seen_until_one_changes_or_a_link_leads_elsewhere(model: Path) -> None:
    data = model.with_name("w.data")
    parts = [("", model, fingerprint(model)), ("w.data", data, fingerprint(data))]
    assert lie_as_seen(model, parts)
    data.write_bytes(b"other weights")
    assert not lie_as_seen(model, parts)
    assert lie_as_seen(model, parts[:1])
    model.rename(model.with_name("real.onnx"))
    model.symlink_to("other.onnx")
    assert not lie_as_seen(model, parts[:1])


def test_file_of_another_size_cannot_be_the_same_whatever_lies_beside_it(model: Path, seen: Sighting) -> None:
    model.with_name("w.data").unlink()
    assert may_be_same_file(seen, known(model, (("", stamp_at(model)),)))
    model.write_bytes(b"longer model")
    assert not may_be_same_file(seen, known(model, (("", stamp_at(model)),)))
