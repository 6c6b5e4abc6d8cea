"""It does not matter how a file arrives: it is deployed when it is complete, never before, and the last one wins."""

import mmap
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.arrivals import (
    WAYS,
    Arrive,
    Spot,
    chunks,
    counted_opens,
    digest,
    fill_backwards,
    made,
    outwait_patience,
    pass_scans,
    rename_in,
    truncated,
    unopened,
    wait_until,
    write_in_place,
)
from tests.onnx_models import constant_model, gemm, ort_format

way = pytest.mark.parametrize("arrive", WAYS, ids=lambda each: each.__name__)

BURST = 200


@way
def test_file_is_deployed_once_by_any_way(spot: Spot, arrive: Arrive) -> None:
    source = spot.source(3.0)
    identity = digest(source)
    arrive(source, spot.folder / "x.onnx")
    live = spot.wait("live")
    assert (live["sha256"], live["version"], live["cause"]) == (identity, 1, "dropped")
    assert live["model_path"] == f"model_drop/{spot.model}/x.onnx"
    assert spot.answered() == 3.0
    assert [name for name in spot.names() if name != "waiting"] == ["seen", "live"]


@way
def test_file_in_the_place_of_another_is_deployed_by_any_way(spot: Spot, arrive: Arrive) -> None:
    path = spot.live(1.0)
    source = spot.source(2.0)
    identity = digest(source)
    arrive(source, path)
    assert spot.wait("live", version=2)["sha256"] == identity
    assert spot.answered() == 2.0
    pass_scans(spot.rig)
    assert "rejected" not in spot.names()
    assert spot.names().count("live") == 2


def test_file_held_open_is_waited_for_beyond_all_patience(spot: Spot) -> None:
    source = spot.source(1.0)
    first, *others = chunks(source)
    with (spot.folder / "x.onnx").open("wb", buffering=0) as file:
        file.write(first)
        outwait_patience(spot.rig)
        for chunk in others[:-1]:
            file.write(chunk)
        outwait_patience(spot.rig)
        assert spot.names() == ["seen", "waiting"]
        file.write(others[-1])
    spot.wait_live(source)
    assert spot.answered() == 1.0


def test_whole_looking_file_is_not_deployed_while_held_open(spot: Spot) -> None:
    source = spot.source(1.0)
    with (spot.folder / "x.onnx").open("wb", buffering=0) as file:
        file.write(source.read_bytes())
        outwait_patience(spot.rig)
        assert spot.names() == ["seen", "waiting"]
        file.write(b"r\x06\x0a\x01k\x12\x01v")  # metadata_props {k: v}: a field that may follow a whole model
        source.write_bytes(Path(file.name).read_bytes())
    spot.wait_live(source)


def test_alien_bytes_held_open_are_not_rejected_before_the_close(spot: Spot) -> None:
    source = spot.source(1.0)
    with (spot.folder / "x.onnx").open("wb", buffering=0) as file:
        file.write(b"\0" * source.stat().st_size)
        outwait_patience(spot.rig)
        assert "rejected" not in spot.names()
        os.pwrite(file.fileno(), source.read_bytes(), 0)
    spot.wait_live(source)


def test_candidate_on_its_way_is_shown_while_held_open(spot: Spot) -> None:
    spot.live(1.0)
    with (spot.folder / "new.onnx").open("wb", buffering=0) as file:
        file.write(chunks(spot.source(2.0))[0])
        spot.wait("waiting")
        wait_until(lambda: spot.rig.get(f"/models/{spot.model}").json["candidate"])
        shown = spot.rig.get(f"/models/{spot.model}").json
    assert shown["candidate"]["model_path"] == f"model_drop/{spot.model}/new.onnx"
    assert (shown["state"], shown["version"]) == ("live", 1)


def test_preallocated_file_filled_later_is_deployed(spot: Spot) -> None:
    source = spot.source(1.0)
    path = spot.folder / "x.onnx"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, source.stat().st_size)
    pass_scans(spot.rig)
    with path.open("r+b") as file:
        file.write(source.read_bytes())
    spot.wait_live(source)


def test_memory_mapped_write_is_deployed_after_its_end(spot: Spot) -> None:
    path = spot.live(1.0)
    old, new = np.float32(1.0).tobytes(), np.float32(2.0).tobytes()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        file.close()  # the mapping alone is a writer, too
        at = content.find(old * 5)
        for place in range(at, at + 20, 4):
            content[place : place + 4] = new
        content.flush()
        outwait_patience(spot.rig)
        assert spot.names().count("live") == 1
        assert "rejected" not in spot.names()
        assert spot.answered() == 1.0
    spot.wait("live", version=2)
    assert spot.answered() == 2.0


def test_config_map_is_deployed_at_its_first_mount_and_at_each_swap(spot: Spot) -> None:
    _project(spot.folder, "..2026_01", spot.source(1.0))
    (spot.folder / "x.onnx").symlink_to("..data/x.onnx")
    spot.wait("live", version=1)
    _project(spot.folder, "..2026_02", spot.source(2.0))
    shutil.rmtree(spot.folder / "..2026_01")
    live = spot.wait("live", version=2)
    assert live["model_path"] == f"model_drop/{spot.model}/x.onnx"
    assert spot.answered() == 2.0


def test_symbolic_link_swapped_to_another_file_is_deployed(spot: Spot) -> None:
    for name, value in (("a.onnx", 1.0), ("b.onnx", 2.0)):
        constant_model(spot.allowed / name, value)
    (spot.folder / "x.onnx").symlink_to(spot.allowed / "a.onnx")
    spot.wait("live", version=1)
    (spot.folder / ".swap").symlink_to(spot.allowed / "b.onnx")
    rename_in(spot.folder / ".swap", spot.folder / "x.onnx")
    spot.wait("live", version=2)
    assert spot.answered() == 2.0


@pytest.mark.parametrize("name", ["X.ONNX", "x.Onnx", "x.tar.onnx", "-.onnx"])
def test_name_in_any_case_is_deployed(spot: Spot, name: str) -> None:
    rename_in(spot.source(1.0), spot.folder / name)
    assert spot.wait("live")["model_path"] == f"model_drop/{spot.model}/{name}"


@pytest.mark.parametrize("name", ["x.ort", "X.ORT"])
def test_ort_file_is_deployed(spot: Spot, name: str) -> None:
    shutil.copy(ort_format(spot.outside / "source.ort", 4.0), spot.folder / name)
    spot.wait("live")
    assert spot.answered() == 4.0


def test_preallocated_ort_file_is_not_deployed_before_its_writer_closed_it(spot: Spot) -> None:
    source = ort_format(spot.outside / "source.ort", 4.0)
    content = source.read_bytes()
    with (spot.folder / "x.ort").open("wb", buffering=0) as file:
        file.truncate(len(content))
        file.write(content[:64])
        outwait_patience(spot.rig)
        assert spot.names() == ["seen", "waiting"]
        file.write(content[64:])
    spot.wait_live(source)


def test_burst_of_files_for_one_model_ends_with_the_last_in_bounded_time(spot: Spot) -> None:
    sources = [spot.source(float(number), f"{number:03}.onnx") for number in range(BURST)]
    for source in sources:
        rename_in(source, spot.folder / source.name)
    spot.wait("live", seconds=20, model_path=f"model_drop/{spot.model}/{BURST - 1:03}.onnx")
    pass_scans(spot.rig)
    assert spot.answered() == BURST - 1
    names = spot.names()
    assert names.count("seen") == BURST
    assert names.count("live") + names.count("superseded") == BURST
    assert names.count("superseded") > BURST // 2, "a file that was overtaken should cost no deploy"


def test_file_rewritten_all_the_time_ends_with_what_was_written_last(spot: Spot) -> None:
    sources = [spot.source(float(number), f"{number}.onnx") for number in range(50)]
    for source in sources:
        fill_backwards(source, spot.folder / "x.onnx")
    spot.wait_live(sources[-1])
    pass_scans(spot.rig)
    assert spot.answered() == 49.0
    assert "rejected" not in spot.names()


def test_large_file_rewritten_all_the_time_is_never_deployed_torn(spot: Spot) -> None:
    sources = [_filled(spot.outside / f"{number}.onnx", float(number)) for number in range(8)]
    for source in sources * 4:
        write_in_place(source, spot.folder / "x.onnx")
    spot.wait_live(sources[-1])
    pass_scans(spot.rig)
    written = {digest(source) for source in sources}
    assert {event["sha256"] for event in spot.events() if event["event"] == "live"} <= written
    assert "rejected" not in spot.names()


def test_two_models_dropped_at_once_both_serve(spot: Spot) -> None:
    other = Spot(spot.rig, f"{spot.model}-too", spot.since)
    made(other.folder)
    mine, theirs = spot.source(1.0), other.source(2.0)
    rename_in(mine, spot.folder / "x.onnx")
    rename_in(theirs, other.folder / "x.onnx")
    spot.wait("live")
    other.wait("live")
    assert (spot.answered(), other.answered()) == (1.0, 2.0)


def test_deleted_file_is_removed_and_serving_goes_on(spot: Spot) -> None:
    path = spot.live(1.0)
    path.unlink()
    removed = spot.wait("removed")
    assert removed["model_path"] == f"model_drop/{spot.model}/x.onnx"
    assert spot.answered() == 1.0


def test_deleted_folder_is_removed_and_serving_goes_on(spot: Spot) -> None:
    spot.live(1.0)
    shutil.rmtree(spot.folder)
    spot.wait("removed")
    assert spot.answered() == 1.0
    spot.folder.mkdir()
    spot.live(2.0)
    assert spot.answered() == 2.0


def test_file_deleted_while_it_is_waited_for_is_removed(spot: Spot) -> None:
    path = truncated(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("waiting")
    path.unlink()
    spot.wait("removed")
    outwait_patience(spot.rig)
    assert spot.names() == ["seen", "waiting", "removed"]


def test_file_moved_to_another_model_leaves_the_first_serving(spot: Spot) -> None:
    path = spot.live(1.0)
    other = Spot(spot.rig, f"{spot.model}-too", spot.since)
    rename_in(path, made(other.folder) / "x.onnx")
    assert other.wait("live")["version"] == 1
    spot.wait("removed")
    assert (spot.answered(), other.answered()) == (1.0, 1.0)


def test_truncated_or_overwritten_file_never_disturbs_what_serves(spot: Spot) -> None:
    path = spot.live(1.0)
    os.truncate(path, 10)
    spot.wait("waiting")
    assert spot.answered() == 1.0
    path.write_bytes(b"\xff" * 10_000)
    spot.wait("rejected")
    assert spot.answered() == 1.0
    pass_scans(spot.rig)
    assert spot.names()[2:] == ["seen", "waiting", "rejected"]


def test_live_line_of_the_log_has_the_promised_form(spot: Spot) -> None:
    spot.live(1.0)
    line = re.compile(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO  "
        rf"live model={spot.model} version=1 path=model_drop/{spot.model}/x\.onnx sha256=[0-9a-f]+… .*"
        r"total=[0-9.]+s settle=[0-9.]+ store=[0-9.]+ gate=[0-9.]+ load=[0-9.]+ swap=[0-9.]+",
    )
    wait_until(lambda: [each for each in spot.rig.log.splitlines() if line.fullmatch(each)])


def test_own_reads_of_a_waiting_file_wake_no_further_reads(spot: Spot) -> None:
    truncated(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("waiting")
    with counted_opens(spot.folder) as opens:
        outwait_patience(spot.rig)
    # A look opens it once: two rescans a second, and a few scans for what the clock drops.
    assert len(opens) < 40, "each read of the scanner wakes the scanner"


def test_known_file_is_not_opened_again_by_rescans(spot: Spot) -> None:
    path = spot.live(1.0)
    pass_scans(spot.rig)
    with unopened(path):
        outwait_patience(spot.rig)


def _filled(path: Path, value: float) -> Path:
    """A model of 8 MB in which every number is ``value``."""
    return gemm(path, np.full((10, 200_000), value, np.float32), np.full(200_000, value, np.float32))


def _project(folder: Path, version: str, source: Path) -> None:
    """What the kubelet does: the files into a new folder, then ``..data`` swapped to it in one step."""
    folder.joinpath(version).mkdir()
    rename_in(source, folder / version / "x.onnx")
    folder.joinpath("..data_tmp").symlink_to(version)
    rename_in(folder / "..data_tmp", folder / "..data")
