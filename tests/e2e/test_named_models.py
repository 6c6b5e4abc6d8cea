"""Files in folders: ``NAME/x.onnx`` and Triton's ``NAME/3/model.onnx`` belong to the model NAME."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.arrivals import Spot, made, pass_scans, rename_in
from tests.e2e.conftest import NewRig
from tests.onnx_models import constant_model, external


def test_file_in_the_drop_directory_itself_belongs_to_the_default_model(new_rig: NewRig) -> None:
    rig = new_rig(default_model="main").start()
    constant_model(rig.drop / "x.onnx", 1.0)
    assert rig.wait_for_event(event="live")["model"] == "main"
    assert rig.predict().json["model"] == "main"


def test_folder_of_the_default_model_s_name_is_the_default_model(new_rig: NewRig) -> None:
    rig = new_rig().start()
    constant_model(rig.drop / "default" / "x.onnx", 1.0)
    rig.wait_for_event(event="live", model="default")
    assert rig.predict().json["model_path"] == "model_drop/default/x.onnx"


def test_tree_like_triton_s_is_deployed_as_it_is(spot: Spot, tmp_path: Path) -> None:
    spot.folder.rmdir()
    constant_model(tmp_path / spot.model / "3" / "model.onnx", 3.0)
    (tmp_path / spot.model / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    shutil.copytree(tmp_path / spot.model, spot.folder)
    assert spot.wait("live")["model_path"] == f"model_drop/{spot.model}/3/model.onnx"
    assert spot.answered() == 3.0


def test_tree_with_external_data_is_deployed_as_it_is(spot: Spot, tmp_path: Path) -> None:
    spot.folder.rmdir()
    external(made(tmp_path / spot.model / "1") / "model.onnx", value_of=4.0)
    shutil.copytree(tmp_path / spot.model, spot.folder)
    spot.wait("live")
    assert spot.answered() == 4.0


def test_tree_of_several_models_is_deployed_as_it_is(new_rig: NewRig, tmp_path: Path) -> None:
    rig = new_rig().start()
    names = ["alpha", "Beta.2", "c_c-c", "9"]
    for number, name in enumerate(names):
        constant_model(tmp_path / "tree" / name / "1" / "model.onnx", float(number))
    shutil.copytree(tmp_path / "tree", rig.drop, dirs_exist_ok=True)
    for number, name in enumerate(names):
        rig.wait_for_event(event="live", model=name)
        assert rig.predict(model=name).json["output"][0][0] == number


def test_tree_renamed_in_is_deployed(spot: Spot) -> None:
    spot.folder.rmdir()
    constant_model(spot.outside / "1" / "model.onnx", 1.0)
    rename_in(spot.outside, spot.folder)
    spot.wait("live")
    assert spot.answered() == 1.0


def test_version_added_to_a_tree_is_a_new_release(spot: Spot) -> None:
    constant_model(spot.folder / "1" / "model.onnx", 1.0)
    spot.wait("live", version=1)
    constant_model(spot.folder / "2" / "model.onnx", 2.0)
    spot.wait("live", version=2)
    assert spot.answered() == 2.0


def test_version_deleted_from_a_tree_leaves_the_model_serving(spot: Spot) -> None:
    constant_model(spot.folder / "1" / "model.onnx", 1.0)
    spot.wait("live")
    shutil.rmtree(spot.folder / "1")
    spot.wait("removed")
    assert spot.answered() == 1.0


@pytest.mark.parametrize("version", ["0", "007", "20260131120000"])
def test_any_decimal_number_is_a_version(spot: Spot, version: str) -> None:
    constant_model(spot.folder / version / "model.onnx", 1.0)
    spot.wait("live")


@pytest.mark.parametrize("version", ["v1", "1.0", "-1", "١", "latest", "1 "])
def test_folder_that_is_no_version_is_left_alone_with_one_line(spot: Spot, version: str) -> None:
    constant_model(spot.folder / version / "model.onnx", 1.0)
    pass_scans(spot.rig)
    assert spot.names() == []
    lines = [line for line in spot.rig.log.splitlines() if "ignored" in line and f"model_drop/{spot.model}/" in line]
    assert len(lines) == 1


def test_two_models_keep_apart_what_answers(spot: Spot) -> None:
    other = Spot(spot.rig, f"{spot.model}-too", spot.since)
    made(other.folder)
    spot.live(1.0)
    other.live(2.0)
    spot.live(3.0)
    assert (spot.answered(), other.answered()) == (3.0, 2.0)
    assert spot.rig.predict(model=other.model).json["version"] == 1


def test_rejected_candidate_of_one_model_disturbs_no_other(spot: Spot) -> None:
    spot.live(1.0)
    other = Spot(spot.rig, f"{spot.model}-too", spot.since)
    (made(other.folder) / "x.onnx").write_bytes(b"<html>")
    other.wait("rejected")
    assert spot.answered() == 1.0
    assert spot.rig.predict(model=other.model).status == 503


def test_many_models_at_once_all_serve(new_rig: NewRig, tmp_path: Path) -> None:
    rig = new_rig().start()
    for number in range(30):
        constant_model(tmp_path / "tree" / f"m{number}" / "x.onnx", float(number))
    for folder in sorted((tmp_path / "tree").iterdir()):
        rename_in(folder, rig.drop / folder.name)
    for number in range(30):
        rig.wait_for_event(event="live", model=f"m{number}", seconds=20)
        assert rig.predict(model=f"m{number}").json["output"][0][0] == number


def test_burst_for_one_model_does_not_keep_another_waiting(spot: Spot) -> None:
    other = Spot(spot.rig, f"{spot.model}-too", spot.since)
    made(other.folder)
    theirs = other.source(7.0)
    for number in range(100):
        rename_in(spot.source(float(number)), spot.folder / f"{number:03}.onnx")
        if number == 50:
            rename_in(theirs, other.folder / "x.onnx")
    live = other.wait("live")
    spot.wait("live", model_path=f"model_drop/{spot.model}/099.onnx")
    seen = other.wait("seen")
    before = [each for each in spot.events(seen["id"]) if each["event"] == "live" and each["id"] < live["id"]]
    assert len(before) <= 2, "the models did not take turns"  # one that was under way, and one whose turn it was
