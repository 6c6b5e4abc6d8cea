"""The drop directory itself may vanish, come back, be something else, or send no events at all."""

import shutil
import time
from pathlib import Path

import pytest

from tests.e2e.arrivals import pass_scans, rename_in, wait_until
from tests.e2e.conftest import NewRig
from tests.e2e.rig import ROOT, Rig
from tests.onnx_models import constant_model

NO_INOTIFY = """
import ctypes, errno, os
import watchdog.observers.inotify_c as inotify
import daemon.watching.arming as arming

arming.RETRY_SECONDS = 0.2
original = inotify.{call}

def exhausted(*arguments):
    if {condition}:
        return original(*arguments)
    ctypes.set_errno(errno.{error})
    return -1

inotify.{call} = exhausted
"""
LIMITS = [("inotify_init", "EMFILE"), ("inotify_add_watch", "ENOSPC")]


def test_deleted_directory_is_told_once_and_serving_goes_on(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    shutil.rmtree(rig.drop)
    assert "gone" in rig.wait_for_event(event="watch_lost")["reason"]
    rig.wait_for_event(event="removed")
    assert _default(rig) == 1.0
    assert rig.get("/readyz").status == 200


def test_directory_made_again_is_watched_again(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    shutil.rmtree(rig.drop)
    rig.wait_for_event(event="watch_lost")
    rig.drop.mkdir()
    rig.wait_for_event(event="watch_restored")
    rename_in(constant_model(rig.folder / "x.onnx", 2.0), rig.drop / "x.onnx")
    rig.wait_for_event(event="live", version=2)
    assert _default(rig) == 2.0
    assert [_names(rig).count(name) for name in ("watch_lost", "watch_restored")] == [1, 1]


def test_directory_made_again_wakes_the_scanner_again(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig, rescan_seconds=5)
    shutil.rmtree(rig.drop)
    rig.wait_for_event(event="watch_lost")
    rig.drop.mkdir()
    rig.wait_for_event(event="watch_restored")
    started = time.monotonic()
    rename_in(constant_model(rig.folder / "x.onnx", 2.0), rig.drop / "x.onnx")
    rig.wait_for_event(event="live", version=2)
    assert time.monotonic() - started < 3.5, "the rescan found it, no event did"


def test_event_wakes_the_scanner_long_before_the_rescan(new_rig: NewRig) -> None:
    rig = new_rig(watch={"rescan_seconds": 600}).start()
    for number in range(3):
        rename_in(constant_model(rig.folder / "x.onnx", float(number)), rig.drop / "x.onnx")
        rig.wait_for_event(event="live", version=number + 1)


def test_event_in_a_folder_made_later_wakes_the_scanner(new_rig: NewRig) -> None:
    rig = new_rig(watch={"rescan_seconds": 600}).start()
    (rig.drop / "m" / "1").mkdir(parents=True)
    rename_in(constant_model(rig.folder / "x.onnx", 1.0), rig.drop / "m" / "1" / "x.onnx")
    rig.wait_for_event(event="live", model="m")


def test_config_map_swap_wakes_the_scanner(new_rig: NewRig) -> None:
    rig = new_rig(watch={"rescan_seconds": 600})
    for number in (1, 2):
        constant_model(rig.drop / f"..{number}" / "x.onnx", float(number))
    (rig.drop / "..data").symlink_to("..1")
    (rig.drop / "x.onnx").symlink_to("..data/x.onnx")
    rig.start()
    assert _default(rig) == 1.0
    (rig.drop / "..data_tmp").symlink_to("..2")
    rename_in(rig.drop / "..data_tmp", rig.drop / "..data")
    rig.wait_for_event(event="live", version=2)
    assert _default(rig) == 2.0


def test_directory_deleted_and_made_in_one_go_is_watched(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    for _ in range(20):
        shutil.rmtree(rig.drop)
        rig.drop.mkdir()
    rename_in(constant_model(rig.folder / "x.onnx", 2.0), rig.drop / "x.onnx")
    rig.wait_for_event(event="live", version=2)
    assert _default(rig) == 2.0


def test_directory_renamed_away_and_replaced_is_the_new_one(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    rename_in(rig.drop, rig.folder / "old")
    rig.drop.mkdir()
    constant_model(rig.folder / "old" / "old.onnx", 3.0)
    rename_in(constant_model(rig.folder / "x.onnx", 2.0), rig.drop / "x.onnx")
    rig.wait_for_event(event="live", version=2)
    assert _default(rig) == 2.0
    constant_model(rig.folder / "old" / "older.onnx", 4.0)
    pass_scans(rig)
    assert _default(rig) == 2.0


def test_directory_renamed_away_and_back_makes_no_new_release(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    rename_in(rig.drop, rig.folder / "away")
    rig.wait_for_event(event="watch_lost")
    rename_in(rig.folder / "away", rig.drop)
    rig.wait_for_event(event="watch_restored")
    pass_scans(rig)
    assert [event["version"] for event in rig.events() if (event["event"], event["model"]) == ("live", "default")] == [
        1
    ]


def test_directory_replaced_by_a_file_and_back_is_watched(new_rig: NewRig) -> None:
    rig = _with_live_default(new_rig)
    shutil.rmtree(rig.drop)
    rig.drop.write_text("a file")
    rig.wait_for_event(event="watch_lost")
    assert _default(rig) == 1.0
    rig.drop.unlink()
    rig.drop.mkdir()
    rig.wait_for_event(event="watch_restored")
    constant_model(rig.drop / "x.onnx", 2.0)
    rig.wait_for_event(event="live", version=2)


def test_directory_that_is_a_link_swapped_to_another_is_the_new_one(new_rig: NewRig, tmp_path: Path) -> None:
    rig = new_rig()
    rig.drop.rmdir()
    for number in (1, 2):
        constant_model(tmp_path / f"drop{number}" / "x.onnx", float(number))
    rig.drop.symlink_to(tmp_path / "drop1")
    rig.start()
    assert _default(rig) == 1.0
    (rig.folder / "swap").symlink_to(tmp_path / "drop2")
    rename_in(rig.folder / "swap", rig.drop)
    rig.wait_for_event(event="live", version=2)
    constant_model(tmp_path / "drop2" / "x.onnx", 3.0)
    rig.wait_for_event(event="live", version=3)
    assert _default(rig) == 3.0


def test_missing_directory_is_made_at_the_start(new_rig: NewRig) -> None:
    rig = new_rig()
    rig.drop.rmdir()
    rig.start()
    assert rig.drop.is_dir()


@pytest.mark.parametrize(("call", "error"), LIMITS)
def test_without_inotify_it_is_told_once_and_drops_are_deployed(new_rig: NewRig, call: str, error: str) -> None:
    rig = _without_inotify(new_rig, call=call, error=error, condition="False")
    for number in (1, 2, 3):
        rename_in(constant_model(rig.folder / "x.onnx", float(number)), rig.drop / "x.onnx")
        rig.wait_for_event(event="live", version=number)
    assert _default(rig) == 3.0
    assert rig.get("/readyz").status == 200
    assert [name for name in _names(rig) if name.startswith("watch")] == ["watch_lost"]
    assert "rescan" in rig.wait_for_event(event="watch_lost")["reason"]
    assert rig.log.count(" watch_lost ") == 1
    assert "Traceback" not in rig.stderr


def test_inotify_that_comes_back_is_told(new_rig: NewRig) -> None:
    rig = _without_inotify(
        new_rig, call="inotify_init", error="EMFILE", condition="os.path.exists(os.environ['INOTIFY_IS_BACK'])"
    )
    rig.wait_for_event(event="watch_lost")
    Path(rig.environment["INOTIFY_IS_BACK"]).touch()
    rig.wait_for_event(event="watch_restored")
    constant_model(rig.drop / "x.onnx", 1.0)
    rig.wait_for_event(event="live")


def test_folder_for_which_no_watch_is_left_is_found_by_the_rescan(new_rig: NewRig) -> None:
    rig = _without_inotify(
        new_rig, call="inotify_add_watch", error="ENOSPC", condition="not arguments[1].endswith(b'/late')"
    )
    constant_model(rig.drop / "late" / "x.onnx", 1.0)
    rig.wait_for_event(event="live", model="late")
    constant_model(rig.drop / "late" / "x.onnx", 2.0)
    rig.wait_for_event(event="live", model="late", version=2)
    constant_model(rig.drop / "x.onnx", 3.0)
    rig.wait_for_event(event="live", model="default")


def _without_inotify(new_rig: NewRig, **how: str) -> Rig:
    """A daemon for whose inotify ``call`` fails with ``error`` unless ``condition`` holds, as at a limit."""
    rig: Rig = new_rig()
    interference = rig.folder / "interference"
    interference.mkdir()
    (interference / "sitecustomize.py").write_text(NO_INOTIFY.format(**how))
    rig.environment |= {"PYTHONPATH": f"{interference}:{ROOT}", "INOTIFY_IS_BACK": str(rig.folder / "is-back")}
    return rig.start()


def _with_live_default(new_rig: NewRig, rescan_seconds: float = 0.5) -> Rig:
    """A daemon whose ``x.onnx`` answers 1."""
    rig: Rig = new_rig(watch={"rescan_seconds": rescan_seconds})
    constant_model(rig.drop / "x.onnx", 1.0)
    rig.start()
    wait_until(lambda: "live" in _names(rig))
    return rig


def _default(rig: Rig) -> float:
    answer = rig.predict()
    assert answer.status == 200, answer.body
    return float(answer.json["output"][0][0])


def _names(rig: Rig) -> list[str]:
    return [event["event"] for event in rig.events()]
