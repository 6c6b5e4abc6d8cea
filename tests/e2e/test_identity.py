"""An arrival is a new path or changed content: not a time, not a mode, not a restart."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.arrivals import Spot, digest, outwait_patience, pass_scans, rename_in, truncated
from tests.e2e.conftest import NewRig
from tests.e2e.rig import Rig
from tests.onnx_models import constant_model, external, failing


def _live(spot: Spot) -> None:
    spot.live(1.0)


def _rejected_by_its_outline(spot: Spot) -> None:
    (spot.folder / "x.onnx").write_bytes(b"<html>not a model</html>")
    spot.wait("rejected")


def _rejected_by_the_trial(spot: Spot) -> None:
    rename_in(failing(spot.outside / "x.onnx"), spot.folder / "x.onnx")
    spot.wait("rejected")


def _rejected_as_truncated(spot: Spot) -> None:
    truncated(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("rejected")


def _rejected_as_empty(spot: Spot) -> None:
    (spot.folder / "x.onnx").touch()
    spot.wait("rejected")


def _rejected_for_its_sidecar(spot: Spot) -> None:
    (spot.folder / "x.onnx.sha256").write_text("0" * 64)
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("rejected")


def _rejected_for_want_of_data(spot: Spot) -> None:
    rename_in(external(spot.outside / "x.onnx"), spot.folder / "x.onnx")
    spot.wait("rejected")


def _rejected_for_its_reference(spot: Spot) -> None:
    rename_in(external(spot.outside / "x.onnx", location="/dev/zero"), spot.folder / "x.onnx")
    spot.wait("rejected")


def _rejected_as_a_link_to_the_outside(spot: Spot) -> None:
    (spot.folder / "x.onnx").symlink_to(spot.source(1.0))
    spot.wait("rejected")


def _superseded(spot: Spot) -> None:
    for number in range(60):
        rename_in(spot.source(float(number)), spot.folder / f"{number:02}.onnx")
    spot.wait("superseded")
    spot.wait("live", model_path=f"model_drop/{spot.model}/59.onnx")


def _unchanged(spot: Spot) -> None:
    path = spot.live(1.0)
    shutil.copyfile(path, spot.folder / "y.onnx")
    spot.wait("unchanged")


SETTLED = [
    _live,
    _rejected_by_its_outline,
    _rejected_by_the_trial,
    _rejected_as_truncated,
    _rejected_as_empty,
    _rejected_for_its_sidecar,
    _rejected_for_want_of_data,
    _rejected_for_its_reference,
    _rejected_as_a_link_to_the_outside,
    _superseded,
    _unchanged,
]


@pytest.mark.parametrize("settle", SETTLED, ids=lambda each: each.__name__.strip("_"))
def test_new_time_and_mode_of_a_settled_file_make_no_event(spot: Spot, settle: Callable[[Spot], None]) -> None:
    settle(spot)
    pass_scans(spot.rig)
    before = spot.rig.last_id()
    for path in spot.folder.iterdir():
        os.utime(path, (2_000_000_000, 2_000_000_000))
        path.chmod(0o600)
    outwait_patience(spot.rig)
    assert spot.names(before) == []


def test_known_bytes_written_again_make_no_event(spot: Spot) -> None:
    path = spot.live(1.0)
    shutil.copyfile(spot.source(1.0), path)
    rename_in(spot.source(1.0), path)
    pass_scans(spot.rig)
    assert [name for name in spot.names() if name != "waiting"] == ["seen", "live"]


def test_same_content_under_a_new_name_is_unchanged(spot: Spot) -> None:
    path = spot.live(1.0)
    shutil.copyfile(path, spot.folder / "y.onnx")
    unchanged = spot.wait("unchanged")
    assert unchanged["model_path"] == f"model_drop/{spot.model}/y.onnx"
    assert (unchanged["version"], unchanged["sha256"]) == (1, digest(path))


def test_renamed_file_is_removed_and_unchanged(spot: Spot) -> None:
    path = spot.live(1.0)
    rename_in(path, spot.folder / "y.onnx")
    spot.wait("unchanged")
    spot.wait("removed")
    assert spot.answered() == 1.0


def test_older_content_dropped_again_is_a_new_release(spot: Spot) -> None:
    spot.live(1.0)
    spot.live(2.0)
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    again = spot.wait("live", version=3)
    assert spot.answered() == 1.0
    assert again["sha256"] == spot.wait("live", version=1)["sha256"]


def test_deleted_and_dropped_again_is_unchanged(spot: Spot) -> None:
    spot.live(1.0).unlink()
    spot.wait("removed")
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("unchanged")


def test_rejected_content_under_a_new_name_is_rejected_again(spot: Spot) -> None:
    _rejected_by_the_trial(spot)
    shutil.copyfile(spot.folder / "x.onnx", spot.folder / "y.onnx")
    spot.wait("rejected", model_path=f"model_drop/{spot.model}/y.onnx")


def test_file_that_was_there_at_the_start_serves_when_ready_is_said(new_rig: NewRig) -> None:
    rig = new_rig()
    constant_model(rig.drop / "x.onnx", 4.0)
    rig.start()
    assert _default(rig) == 4.0


def test_of_files_from_before_the_start_the_newest_serves(new_rig: NewRig) -> None:
    rig = new_rig()
    _drop_in_order(rig, {"b.onnx": 1.0, "c.onnx": 2.0, "a.onnx": 3.0})
    rig.start()
    assert _default(rig) == 3.0
    assert _names(rig).count("superseded") == 2


def test_file_dropped_while_the_daemon_was_down_serves(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    rig.stop()
    constant_model(rig.drop / "y.onnx", 2.0)
    rig.start()
    assert _default(rig) == 2.0


def test_file_overwritten_while_the_daemon_was_down_serves(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    rig.stop()
    constant_model(rig.drop / "x.onnx", 2.0)
    rig.start()
    assert _default(rig) == 2.0


def test_file_deleted_while_the_daemon_was_down_is_removed_and_serves(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    rig.stop()
    (rig.drop / "x.onnx").unlink()
    last = _restart(rig)
    rig.wait_for_event(after=last, event="removed", model_path="model_drop/x.onnx")
    assert _default(rig) == 1.0


@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
def test_restart_makes_no_arrivals_of_old_files(new_rig: NewRig, touched: bool) -> None:
    rig = new_rig(watch={"incomplete_seconds": 0.5})
    _drop_in_order(rig, {"a.onnx": 1.0, "b.onnx": 2.0})
    rig.start()
    (rig.drop / "html.onnx").write_bytes(b"<html></html>")
    truncated(constant_model(rig.folder / "whole.onnx", 5.0), rig.drop / "cut.onnx")
    shutil.copyfile(rig.drop / "b.onnx", rig.drop / "same.onnx")
    for name in ("html", "cut"):
        rig.wait_for_event(event="rejected", model_path=f"model_drop/{name}.onnx")
    rig.wait_for_event(event="unchanged")
    rig.stop()
    for path in rig.drop.iterdir() if touched else ():
        os.utime(path, (2_000_000_000, 2_000_000_000))
        path.chmod(0o600)
    last = _restart(rig)
    outwait_patience(rig)
    events = [event for event in rig.events(last) if event["model"] == "default"]
    assert [event["event"] for event in events] == ["restored"]
    assert (_default(rig), events[0]["version"]) == (2.0, 1)


def test_restart_does_not_undo_a_rollback(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    constant_model(rig.drop / "y.onnx", 2.0)
    rig.wait_for_event(event="live", model="default", version=2)
    answer = rig.post("/models/default/rollback")
    assert (answer.status, answer.json.get("version")) == (200, 3), answer.body
    rig.stop()
    last = _restart(rig)
    pass_scans(rig)
    assert [event["event"] for event in rig.events(last) if event["model"] == "default"] == ["restored"]
    assert (_default(rig), rig.predict().json["version"]) == (1.0, 3)


def test_kill_9_makes_no_arrivals_of_old_files(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    pass_scans(rig)
    rig.kill()
    last = _restart(rig)
    pass_scans(rig)
    assert [event["event"] for event in rig.events(last) if event["model"] == "default"] == ["restored"]


def test_half_file_from_before_a_restart_is_deployed_when_completed(new_rig: NewRig) -> None:
    rig = new_rig().start()
    source = constant_model(rig.folder / "whole.onnx", 5.0)
    path = truncated(source, rig.drop / "x.onnx")
    rig.wait_for_event(event="waiting")
    rig.stop()
    rig.start()
    with path.open("ab") as file:
        file.write(source.read_bytes()[path.stat().st_size :])
    rig.wait_for_event(event="live")
    assert _default(rig) == 5.0


def _with_live_default(new_rig: NewRig) -> Rig:
    """A daemon whose ``x.onnx`` answers 1."""
    rig = new_rig().start()
    constant_model(rig.drop / "x.onnx", 1.0)
    rig.wait_for_event(event="live")
    pass_scans(rig)
    return rig


def _restart(rig: Rig) -> int:
    """Starts the stopped daemon again; gives the id of the last event that its start-up did not make."""
    rig.start()
    restored = [event["id"] for event in rig.events() if event["event"] == "restored"]
    return int(min(restored)) - 1


def _drop_in_order(rig: Rig, values: dict[str, float]) -> None:
    """Models whose change times are in the order of ``values``, beyond the coarsest clock of any file system."""
    previous: Path | None = None
    for name, value in values.items():
        path = constant_model(rig.drop / name, value)
        while previous is not None and path.stat().st_ctime_ns == previous.stat().st_ctime_ns:
            path.chmod(0o644)
        previous = path


def _default(rig: Rig) -> float:
    answer = rig.predict()
    assert answer.status == 200, answer.body
    return float(answer.json["output"][0][0])


def _names(rig: Rig) -> list[str]:
    return [event["event"] for event in rig.events()]
