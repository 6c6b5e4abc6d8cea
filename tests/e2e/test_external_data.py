"""A model whose weights lie in files beside it: waited for, watched, and never looked for outside its folder."""

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.arrivals import Spot, made, outwait_patience, pass_scans, rename_in, unopened
from tests.e2e.rig import Rig
from tests.onnx_models import external

REFERENCES = {
    "climbing": "../secret.data",
    "climbing-in-the-middle": "weights/../../secret.data",
    "absolute": "/etc/hostname",
    "device": "/dev/zero",
    "backslash": "..\\secret.data",
}


def test_data_before_the_model_is_deployed_at_once(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    rename_in(data, spot.folder / data.name)
    pass_scans(spot.rig)
    assert spot.names() == []
    rename_in(model, spot.folder / model.name)
    spot.wait("live")
    assert spot.answered() == 5.0
    assert spot.names() == ["seen", "live"]


def test_data_after_the_model_is_waited_for(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    rename_in(model, spot.folder / model.name)
    assert spot.wait("waiting")["waiting_for"] == ["x.onnx.data"]
    rename_in(data, spot.folder / data.name)
    spot.wait("live")
    assert spot.answered() == 5.0


def test_identity_is_the_sha256_of_the_model_then_of_its_data(spot: Spot) -> None:
    from hashlib import sha256

    model, data = _external(spot, 5.0)
    identity = sha256(model.read_bytes() + data.read_bytes()).hexdigest()
    _bring(spot, model, data)
    assert spot.wait("live")["sha256"] == identity


def test_data_that_never_comes_is_rejected_then_deployed_when_it_does(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    rename_in(model, spot.folder / model.name)
    assert "x.onnx.data" in spot.wait("rejected")["reason"]
    rename_in(data, spot.folder / data.name)
    spot.wait("live")
    assert spot.answered() == 5.0


def test_short_data_is_waited_for_and_deployed_when_filled(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    content = data.read_bytes()
    (spot.folder / data.name).write_bytes(content[:100])
    rename_in(model, spot.folder / model.name)
    assert f"100 of {len(content)} bytes" in spot.wait("waiting")["reason"]
    with (spot.folder / data.name).open("ab") as file:
        file.write(content[100:])
    spot.wait("live")
    assert spot.answered() == 5.0


def test_short_data_is_rejected_once_and_deployed_when_filled(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    content = data.read_bytes()
    (spot.folder / data.name).write_bytes(content[:100])
    rename_in(model, spot.folder / model.name)
    assert "incomplete" in spot.wait("rejected")["reason"]
    pass_scans(spot.rig)  # what was refused is read once, so that it is known again
    with unopened(spot.folder / data.name):  # and not a second time before it changes
        outwait_patience(spot.rig)
    assert spot.names() == ["seen", "waiting", "rejected"]
    with (spot.folder / data.name).open("ab") as file:
        file.write(content[100:])
    spot.wait("live")
    assert spot.answered() == 5.0


def test_data_held_open_is_waited_for_beyond_all_patience(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    content = data.read_bytes()
    with (spot.folder / data.name).open("wb", buffering=0) as file:
        file.write(content[:100])
        rename_in(model, spot.folder / model.name)
        outwait_patience(spot.rig)
        file.write(content[100:])
        outwait_patience(spot.rig)
        assert spot.names() == ["seen", "waiting"]
    spot.wait("live")
    assert spot.answered() == 5.0


@pytest.mark.parametrize("in_place", [True, False], ids=["in-place", "renamed"])
def test_changed_data_of_a_served_model_is_a_new_release(spot: Spot, in_place: bool) -> None:
    _bring(spot, *_external(spot, 5.0))
    spot.wait("live", version=1)
    _, data = _external(spot, 6.0)
    if in_place:
        (spot.folder / data.name).write_bytes(data.read_bytes())
    else:
        rename_in(data, spot.folder / data.name)
    live = spot.wait("live", version=2)
    assert live["model_path"] == f"model_drop/{spot.model}/x.onnx"
    assert spot.answered() == 6.0


def test_served_model_survives_truncation_and_deletion_of_its_data(spot: Spot) -> None:
    _bring(spot, *_external(spot, 5.0, rows=5_000))
    spot.wait("live")
    os.truncate(spot.folder / "x.onnx.data", 10)
    assert _answer_of(spot, rows=5_000) == 5.0
    (spot.folder / "x.onnx.data").unlink()
    spot.wait("rejected")
    assert _answer_of(spot, rows=5_000) == 5.0


def test_data_that_comes_back_the_same_makes_no_new_release(spot: Spot) -> None:
    _bring(spot, *_external(spot, 5.0))
    spot.wait("live")
    data = spot.folder / "x.onnx.data"
    content = data.read_bytes()
    data.unlink()
    spot.wait("rejected")
    data.write_bytes(content)
    pass_scans(spot.rig)
    assert spot.names().count("live") == 1


def test_touched_data_makes_no_event(spot: Spot) -> None:
    _bring(spot, *_external(spot, 5.0))
    live = spot.wait("live")
    os.utime(spot.folder / "x.onnx.data", (1, 1))
    (spot.folder / "x.onnx.data").chmod(0o600)
    pass_scans(spot.rig)
    assert spot.names(live["id"]) == []


def test_changed_data_that_two_models_share_is_an_arrival_of_both(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    shutil.copy(model, spot.folder / "a.onnx")
    shutil.copy(model, spot.folder / "b.onnx")
    rename_in(data, spot.folder / data.name)
    spot.wait("live")
    pass_scans(spot.rig)
    before = spot.rig.last_id()
    _, data = _external(spot, 6.0)
    rename_in(data, spot.folder / data.name)
    pass_scans(spot.rig)
    seen = {event["model_path"] for event in spot.events(before) if event["event"] == "seen"}
    assert seen == {f"model_drop/{spot.model}/a.onnx", f"model_drop/{spot.model}/b.onnx"}
    assert spot.answered() == 6.0


def test_data_in_a_folder_below_the_model_is_deployed(spot: Spot) -> None:
    model = external(spot.outside / "x.onnx", location="weights/part 1.bin", value_of=5.0)
    shutil.copytree(spot.outside / "weights", spot.folder / "weights")
    rename_in(model, spot.folder / "x.onnx")
    spot.wait("live")
    assert spot.answered() == 5.0


def test_whole_folder_renamed_in_is_deployed(spot: Spot) -> None:
    spot.folder.rmdir()
    _external(spot, 5.0)
    rename_in(spot.outside, spot.folder)
    spot.wait("live")
    assert spot.answered() == 5.0


@pytest.mark.parametrize("kind", REFERENCES)
def test_reference_outside_the_model_s_folder_is_rejected_at_once(spot: Spot, kind: str) -> None:
    spot.live(1.0)
    secret = made(spot.rig.drop) / "secret.data"
    secret.write_bytes(b"\0" * 1000)
    with unopened(secret):
        rename_in(external(spot.outside / "bad.onnx", location=REFERENCES[kind]), spot.folder / "bad.onnx")
        rejected = spot.wait("rejected")
    assert "external data location" in rejected["reason"]
    assert "waiting" not in spot.names()[2:]
    assert spot.answered() == 1.0


def test_reference_through_a_link_is_rejected_before_it_is_opened(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    (spot.folder / data.name).symlink_to(data)
    with unopened(data):
        rename_in(model, spot.folder / model.name)
        rejected = spot.wait("rejected")
        outwait_patience(spot.rig)
    assert "link" in rejected["reason"]
    assert str(spot.rig.folder) not in rejected["reason"]


def test_link_in_the_place_of_data_is_deployed_when_replaced_by_a_file(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    (spot.folder / data.name).symlink_to(data)
    rename_in(model, spot.folder / model.name)
    spot.wait("rejected")
    rename_in(data, spot.folder / data.name)
    spot.wait("live")
    assert spot.answered() == 5.0


def test_reference_through_a_link_to_a_folder_is_rejected_before_it_is_opened(spot: Spot) -> None:
    model = external(spot.outside / "x.onnx", location="weights/x.bin", value_of=5.0)
    (spot.folder / "weights").symlink_to(spot.outside / "weights")
    with unopened(spot.outside / "weights" / "x.bin"):
        rename_in(model, spot.folder / "x.onnx")
        rejected = spot.wait("rejected")
        outwait_patience(spot.rig)
    assert "link" in rejected["reason"]


def test_fifo_in_the_place_of_data_is_rejected_without_blocking(spot: Spot) -> None:
    model, data = _external(spot, 5.0)
    os.mkfifo(spot.folder / data.name)
    rename_in(model, spot.folder / model.name)
    assert "FIFO" in spot.wait("rejected")["reason"]
    pass_scans(spot.rig)


def test_reference_to_the_model_itself_is_rejected(spot: Spot) -> None:
    _, data = _external(spot, 5.0)
    data.unlink()
    model = external(spot.outside / "y.onnx", location="x.onnx")
    assert b"x.onnx" in model.read_bytes()
    rename_in(model, spot.folder / "x.onnx")
    assert "the model file itself" in spot.wait("rejected")["reason"]


def test_rejected_reference_mended_by_a_new_file_is_deployed(spot: Spot) -> None:
    rename_in(external(spot.outside / "bad.onnx", location="/dev/zero"), spot.folder / "x.onnx")
    spot.wait("rejected")
    _bring(spot, *_external(spot, 5.0))
    spot.wait("live")
    assert spot.answered() == 5.0


def test_location_that_is_no_utf8_is_shown_escaped(spot: Spot) -> None:
    model = external(spot.outside / "x.onnx", location="w\n-QQ.bin")
    model.write_bytes(model.read_bytes().replace(b"QQ", b"\xff\xfe"))
    rename_in(model, spot.folder / "x.onnx")
    waiting = spot.wait("waiting")
    assert waiting["waiting_for"] == ["w\\n-\\xff\\xfe.bin"]
    assert "w\\n-\\xff\\xfe.bin" in spot.wait("rejected")["reason"]
    assert spot.rig.get(f"/models/{spot.model}/releases").status == 200


def test_data_beside_the_default_model_is_deployed(new_rig: "object") -> None:
    assert callable(new_rig)
    rig: Rig = new_rig().start()
    model = external(rig.folder / "x.onnx", value_of=5.0)
    rename_in(model, rig.drop / "x.onnx")
    rename_in(rig.folder / "x.onnx.data", rig.drop / "x.onnx.data")
    rig.wait_for_event(event="live")
    assert rig.predict().json["output"][0][0] == 5.0


def _external(spot: Spot, value: float, rows: int = 10) -> tuple[Path, Path]:
    """A complete ``x.onnx`` and its ``x.onnx.data``, outside; all such models differ in their data alone."""
    model = external(spot.outside / "x.onnx", value_of=value, rows=rows)
    return model, model.with_name("x.onnx.data")


def _bring(spot: Spot, model: Path, data: Path) -> None:
    rename_in(data, spot.folder / data.name)
    rename_in(model, spot.folder / model.name)


def _answer_of(spot: Spot, rows: int) -> float:
    answer = spot.rig.predict([[1.0] * rows], spot.model)
    assert answer.status == 200, answer.body
    return float(answer.json["output"][0][0])
