"""A file is deployed when it is complete, never before; what stays half-written or is no model is rejected."""

import shutil
from pathlib import Path

import onnx
import pytest

from tests.e2e.arrivals import Spot, digest, outwait_patience, pass_scans, rename_in, truncated
from tests.onnx_models import failing, gemm, ort_format, sequence_input

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 8
HTML = b"<!DOCTYPE html>\n<html><body>404: no such model, please log in</body></html>\n"
ZIP = b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(range(256)) * 8
GARBAGE = {
    "text": b"this is a plain text, not a model\n" * 40,
    "html": HTML,
    "random": bytes((number * 7919 + number // 7) % 256 for number in range(5000)),
    "zip": ZIP,
    "png": PNG,
    "high-bytes": b"\xff" * 5000,
    "lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "json": b'{"inputs": [[1, 2, 3]]}',
    "empty-fields": b"\x08\x0a:\x00B\x02\x10\x15",
}


def test_truncated_file_is_rejected_as_truncated_after_its_time(spot: Spot) -> None:
    truncated(spot.source(1.0), spot.folder / "x.onnx")
    waiting = spot.wait("waiting")
    rejected = spot.wait("rejected")
    assert rejected["reason"].startswith("truncated: ")
    assert rejected["check"] == "structure"
    assert rejected["id"] > waiting["id"]
    assert spot.names() == ["seen", "waiting", "rejected"]


def test_rejected_truncated_file_is_deployed_when_completed(spot: Spot) -> None:
    source = spot.source(1.0)
    path = truncated(source, spot.folder / "x.onnx")
    spot.wait("rejected")
    with path.open("ab") as file:
        file.write(source.read_bytes()[path.stat().st_size :])
    spot.wait_live(source)
    assert spot.answered() == 1.0


def test_rejected_truncated_file_that_grew_is_waited_for_anew(spot: Spot) -> None:
    source = spot.source(1.0)
    path = truncated(source, spot.folder / "x.onnx")
    first = spot.wait("rejected")
    with path.open("ab") as file:
        file.write(source.read_bytes()[path.stat().st_size :][:10])
    again = spot.rig.wait_for_event(after=first["id"], model=spot.model, event="rejected")
    assert again["reason"].startswith("truncated: ")
    assert spot.names(first["id"]) == ["seen", "waiting", "rejected"]


def test_truncated_file_beside_one_that_serves_leaves_it_serving(spot: Spot) -> None:
    spot.live(1.0)
    truncated(spot.source(2.0), spot.folder / "y.onnx")
    spot.wait("rejected")
    assert spot.answered() == 1.0
    assert spot.rig.get(f"/models/{spot.model}").json["version"] == 1


def test_empty_file_is_waited_for_and_deployed_when_filled(spot: Spot) -> None:
    path = spot.folder / "x.onnx"
    path.touch()
    assert "empty" in spot.wait("waiting")["reason"]
    source = spot.source(1.0)
    path.write_bytes(source.read_bytes())
    spot.wait_live(source)


def test_empty_file_that_stays_so_is_rejected(spot: Spot) -> None:
    (spot.folder / "x.onnx").touch()
    assert "empty" in spot.wait("rejected")["reason"]


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_rejected_with_a_reason_and_what_served_serves(spot: Spot, kind: str) -> None:
    spot.live(1.0)
    (spot.folder / "bad.onnx").write_bytes(GARBAGE[kind])
    rejected = spot.wait("rejected")
    assert rejected["model_path"] == f"model_drop/{spot.model}/bad.onnx"
    assert len(rejected["reason"]) > 10
    assert rejected["check"] in {"structure", "trial"}
    assert spot.answered() == 1.0
    (row, _) = spot.rig.get(f"/models/{spot.model}/releases").json["releases"]
    assert (row["outcome"], row["version"], row["reason"]) == ("rejected", None, rejected["reason"])


def test_garbage_replaced_by_a_model_is_deployed(spot: Spot) -> None:
    path = spot.folder / "x.onnx"
    path.write_bytes(HTML)
    spot.wait("rejected")
    source = spot.source(1.0)
    shutil.copyfile(source, path)
    spot.wait_live(source)


@pytest.mark.parametrize(("is_ort", "name"), [(True, "x.onnx"), (False, "x.ort")])
def test_file_with_the_other_format_s_suffix_is_rejected(spot: Spot, is_ort: bool, name: str) -> None:
    source = ort_format(spot.outside / "source.ort", 1.0) if is_ort else spot.source(1.0)
    rename_in(source, spot.folder / name)
    assert spot.wait("rejected")["reason"]


@pytest.mark.parametrize("make", [failing, sequence_input])
def test_model_that_cannot_be_run_is_rejected(spot: Spot, make: object) -> None:
    spot.live(1.0)
    assert callable(make)
    rename_in(make(spot.outside / "bad.onnx"), spot.folder / "bad.onnx")
    assert spot.wait("rejected")["reason"]
    assert spot.answered() == 1.0


def test_model_with_an_operator_that_nobody_knows_is_rejected(spot: Spot) -> None:
    model = onnx.load(spot.source(1.0))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, spot.outside / "bad.onnx")
    rename_in(spot.outside / "bad.onnx", spot.folder / "bad.onnx")
    assert "NoSuchOperator" in spot.wait("rejected")["reason"]


def test_rejected_reason_names_no_path_outside_the_drop_directory(spot: Spot) -> None:
    rename_in(failing(spot.outside / "bad.onnx"), spot.folder / "bad.onnx")
    assert str(spot.rig.folder) not in str(spot.wait("rejected"))


def test_right_sidecar_is_deployed(spot: Spot) -> None:
    source = spot.source(1.0)
    (spot.folder / "x.onnx.sha256").write_text(f"{digest(source)}  x.onnx\n")
    rename_in(source, spot.folder / "x.onnx")
    spot.wait("live")
    assert spot.names() == ["seen", "live"]


def test_wrong_sidecar_is_waited_for_then_rejected(spot: Spot) -> None:
    (spot.folder / "x.onnx.sha256").write_text("0" * 64)
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    rejected = spot.wait("rejected")
    assert (rejected["check"], "sidecar" in rejected["reason"]) == ("integrity", True)
    assert spot.names() == ["seen", "waiting", "rejected"]


def test_wrong_sidecar_corrected_after_the_rejection_is_deployed(spot: Spot) -> None:
    source = spot.source(1.0)
    sidecar = spot.folder / "x.onnx.sha256"
    sidecar.write_text("0" * 64)
    shutil.copyfile(source, spot.folder / "x.onnx")
    spot.wait("rejected")
    sidecar.write_text(digest(source))
    spot.wait_live(source)


def test_wrong_sidecar_removed_after_the_rejection_is_deployed(spot: Spot) -> None:
    source = spot.source(1.0)
    sidecar = spot.folder / "x.onnx.sha256"
    sidecar.write_text("0" * 64)
    shutil.copyfile(source, spot.folder / "x.onnx")
    spot.wait("rejected")
    sidecar.unlink()
    spot.wait_live(source)


def test_late_sidecar_of_a_deployed_file_makes_no_event(spot: Spot) -> None:
    path = spot.live(1.0)
    before = spot.rig.last_id()
    path.with_name("x.onnx.sha256").write_text(digest(path))
    pass_scans(spot.rig)
    assert spot.names(before) == []


def test_sidecar_holds_back_a_file_that_only_looks_whole(spot: Spot) -> None:
    source = spot.source(1.0)
    short = source.read_bytes()
    with source.open("ab") as file:
        file.write(b"r\x06\x0a\x01k\x12\x01v")  # metadata_props: the file was whole without it, too
    (spot.folder / "x.onnx.sha256").write_text(digest(source))
    path = spot.folder / "x.onnx"
    path.write_bytes(short)
    spot.wait("waiting")
    pass_scans(spot.rig)
    assert "live" not in spot.names()
    with path.open("ab") as file:
        file.write(source.read_bytes()[len(short) :])
    spot.wait_live(source)


def test_right_sidecar_decides_alone_while_a_writer_has_the_file_open(spot: Spot) -> None:
    source = spot.source(1.0)
    (spot.folder / "x.onnx.sha256").write_text(digest(source))
    with (spot.folder / "x.onnx").open("wb", buffering=0) as file:
        file.write(source.read_bytes())
        spot.wait_live(source)


def test_large_file_still_being_written_delays_no_other_model(spot: Spot) -> None:
    other = Spot(spot.rig, f"{spot.model}-too", spot.since)
    other.folder.mkdir()
    with (spot.folder / "x.onnx").open("wb", buffering=0) as file:
        file.write(spot.source(1.0).read_bytes()[:50])
        other.live(2.0)
        assert other.answered() == 2.0


def test_model_with_metadata_is_deployed_with_all_of_it(spot: Spot) -> None:
    model = onnx.load(spot.source(1.0))
    onnx.helper.set_model_props(model, {"author": "someone"})
    onnx.save(model, spot.outside / "described.onnx")
    rename_in(spot.outside / "described.onnx", spot.folder / "x.onnx")
    spot.wait("live")
    assert "someone" in str(spot.rig.get(f"/models/{spot.model}").json["metadata"])


def test_file_that_stood_still_half_written_is_deployed_when_resumed_by_another_writer(spot: Spot) -> None:
    source = spot.source(1.0)
    path = truncated(source, spot.folder / "x.onnx")
    spot.wait("waiting")
    with path.open("ab") as file:  # somebody has it open from here on: the patience is not running
        outwait_patience(spot.rig)
        assert "rejected" not in spot.names()
        file.write(source.read_bytes()[path.stat().st_size :])
    spot.wait_live(source)


def test_wide_model_is_deployed_with_its_own_bytes(spot: Spot, tmp_path: Path) -> None:
    import numpy as np

    source = gemm(tmp_path / "wide.onnx", np.zeros((10, 300_000), np.float32), np.full(300_000, 7.0, np.float32))
    with (spot.folder / "x.onnx").open("wb", buffering=0) as file:
        content = source.read_bytes()
        for start in range(0, len(content), 1 << 20):
            file.write(content[start : start + (1 << 20)])
    spot.wait_live(source)
    assert (spot.folder / "x.onnx").stat().st_size > 10_000_000
