"""A link counts as what it resolves to, which must lie in the drop directory or in an allowed one."""

from pathlib import Path

import pytest

from tests.e2e.arrivals import Spot, outwait_patience, pass_scans, rename_in, unopened
from tests.onnx_models import constant_model


def test_link_to_an_allowed_folder_is_deployed_under_its_own_name(spot: Spot) -> None:
    target = constant_model(spot.allowed / "target.onnx", 1.0)
    (spot.folder / "x.onnx").symlink_to(target)
    assert spot.wait_live(target)["model_path"] == f"model_drop/{spot.model}/x.onnx"
    assert spot.answered() == 1.0


def test_link_within_the_drop_directory_is_deployed(spot: Spot) -> None:
    rename_in(spot.source(1.0), spot.folder / "weights.bin")
    (spot.folder / "x.onnx").symlink_to("weights.bin")
    spot.wait("live")
    assert spot.answered() == 1.0


def test_link_to_the_outside_is_rejected_unopened_and_its_target_unnamed(spot: Spot) -> None:
    target = spot.source(1.0, "secret-name.onnx")
    with unopened(target):
        (spot.folder / "x.onnx").symlink_to(target)
        rejected = spot.wait("rejected")
        outwait_patience(spot.rig)
    for text in (str(rejected), str(spot.events()), spot.rig.log):
        assert "secret-name" not in text
        assert str(target.parent) not in text
    assert "outside" in rejected["reason"]
    assert spot.names() == ["seen", "rejected"]


def test_link_to_a_device_is_rejected_without_reading_it(spot: Spot) -> None:
    (spot.folder / "x.onnx").symlink_to("/dev/zero")
    spot.wait("rejected")
    pass_scans(spot.rig)


def test_link_out_and_back_in_counts_as_where_it_ends(spot: Spot) -> None:
    target = constant_model(spot.allowed / "target.onnx", 1.0)
    (spot.outside / "middle.onnx").symlink_to(target)
    (spot.folder / "x.onnx").symlink_to(spot.outside / "middle.onnx")
    spot.wait_live(target)


def test_link_from_an_allowed_folder_to_the_outside_is_rejected(spot: Spot) -> None:
    (spot.allowed / "middle.onnx").symlink_to(spot.source(1.0))
    (spot.folder / "x.onnx").symlink_to(spot.allowed / "middle.onnx")
    assert "outside" in spot.wait("rejected")["reason"]


def test_link_to_a_folder_whose_name_only_begins_like_an_allowed_one_is_rejected(spot: Spot) -> None:
    lookalike = constant_model(spot.rig.folder / "allowed-not" / f"{spot.model}.onnx", 1.0)
    (spot.folder / "x.onnx").symlink_to(lookalike)
    assert "outside" in spot.wait("rejected")["reason"]


def test_dangling_link_filled_later_is_deployed(spot: Spot) -> None:
    (spot.folder / "x.onnx").symlink_to(spot.allowed / "later.onnx")
    assert "link" in spot.wait("waiting")["reason"]
    outwait_patience(spot.rig)
    assert "rejected" not in spot.names()
    target = constant_model(spot.allowed / "later.onnx", 1.0)
    spot.wait_live(target)
    assert spot.answered() == 1.0


def test_dangling_link_to_the_outside_is_rejected_when_filled(spot: Spot) -> None:
    (spot.folder / "x.onnx").symlink_to(spot.outside / "later.onnx")
    spot.wait("waiting")
    spot.source(1.0, "later.onnx")
    assert "outside" in spot.wait("rejected")["reason"]


def test_rejected_link_turned_to_an_allowed_folder_is_deployed(spot: Spot) -> None:
    (spot.folder / "x.onnx").symlink_to(spot.source(1.0))
    spot.wait("rejected")
    target = constant_model(spot.allowed / "target.onnx", 2.0)
    (spot.folder / ".x").symlink_to(target)
    rename_in(spot.folder / ".x", spot.folder / "x.onnx")
    spot.wait_live(target)


def test_link_to_itself_is_rejected_and_blocks_nobody(spot: Spot) -> None:
    (spot.folder / "x.onnx").symlink_to("x.onnx")
    spot.wait("rejected")
    pass_scans(spot.rig)


@pytest.mark.parametrize("in_place", [True, False], ids=["in-place", "renamed"])
def test_write_to_a_target_that_sends_no_events_is_found_by_the_rescan(spot: Spot, in_place: bool) -> None:
    target = constant_model(spot.allowed / "target.onnx", 1.0)
    (spot.folder / "x.onnx").symlink_to(target)
    spot.wait_live(target)
    newer = spot.source(2.0)
    if in_place:
        target.write_bytes(newer.read_bytes())
    else:
        rename_in(newer, target)
    spot.wait("live", version=2)
    assert spot.answered() == 2.0


def test_link_whose_target_was_deleted_leaves_the_model_serving(spot: Spot) -> None:
    target = constant_model(spot.allowed / "target.onnx", 1.0)
    (spot.folder / "x.onnx").symlink_to(target)
    spot.wait_live(target)
    target.unlink()
    pass_scans(spot.rig)
    assert spot.answered() == 1.0
    constant_model(spot.allowed / "target.onnx", 2.0)
    spot.wait("live", version=2)
    assert spot.answered() == 2.0


def test_link_to_an_allowed_folder_of_models_is_a_model(spot: Spot) -> None:
    spot.folder.rmdir()
    target = constant_model(spot.allowed / "x.onnx", 1.0)
    spot.folder.symlink_to(spot.allowed)
    assert spot.wait_live(target)["model_path"] == f"model_drop/{spot.model}/x.onnx"
    assert spot.answered() == 1.0


def test_link_to_a_folder_outside_is_left_alone_unopened(spot: Spot) -> None:
    spot.folder.rmdir()
    target = spot.source(1.0)
    with unopened(target):
        spot.folder.symlink_to(spot.outside)
        outwait_patience(spot.rig)
    assert spot.names() == []
    assert _mentions(spot.rig.log, f"model_drop/{spot.model} ") == 1
    assert str(spot.outside) not in spot.rig.log


def test_link_to_a_folder_that_holds_it_is_left_alone(spot: Spot) -> None:
    spot.live(1.0)
    (spot.folder / "1").symlink_to(spot.folder)
    (spot.folder / "2").symlink_to(spot.rig.drop)
    pass_scans(spot.rig)
    assert spot.names() == ["seen", "live"]


def test_links_of_two_models_to_one_file_deploy_both(spot: Spot) -> None:
    other = Spot(spot.rig, f"{spot.model}-too", spot.since)
    other.folder.mkdir()
    target = constant_model(spot.allowed / "target.onnx", 1.0)
    for each in (spot, other):
        (each.folder / "x.onnx").symlink_to(target)
        each.wait_live(target)
    rename_in(spot.source(2.0), target)
    spot.wait("live", version=2)
    other.wait("live", version=2)


def test_model_of_a_link_whose_data_lies_beside_its_target_is_deployed(spot: Spot) -> None:
    from tests.onnx_models import external

    external(spot.allowed / "target.onnx", value_of=5.0)
    (spot.folder / "x.onnx").symlink_to(spot.allowed / "target.onnx")
    spot.wait("live")
    assert spot.answered() == 5.0


def _mentions(log: str, path: str) -> int:
    return sum(f"path={path}" in line for line in log.splitlines())


def test_drop_directory_may_be_a_link(new_rig: object, tmp_path: Path) -> None:
    assert callable(new_rig)
    rig = new_rig()
    rig.drop.rmdir()
    real = tmp_path / "real"
    real.mkdir()
    rig.drop.symlink_to(real)
    rig.start()
    constant_model(real / "x.onnx", 1.0)
    assert rig.wait_for_event(event="live")["model_path"] == "model_drop/x.onnx"
