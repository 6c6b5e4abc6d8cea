"""Things in the drop directory that are no models, and names that nobody expects: nothing blocks, every line is one."""

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.e2e.arrivals import Spot, pass_scans, rename_in, unopened, wait_until
from tests.e2e.conftest import NewRig
from tests.e2e.rig import Rig
from tests.onnx_models import constant_model

ODD_NAMES = {
    "spaces": b"my model (1) .onnx",
    "quotes": b'it\'s "quoted" \\ 100% {} $HOME.onnx',
    "line-breaks": b"two\nlines\r\n2026-01-01 00:00:00.000 INFO  live model=forged.onnx",
    "no-utf8": b"caf\xe9 \xff\xfe.onnx",
    "escapes": b"\x1b[31mred\x07\t.onnx",
    "right-to-left": "abc\u202exnno.onnx".encode(),
    "chinese": "模型 🎉.onnx".encode(),
    "url": b"a%2e%2e&b=c?d#e+f;g.onnx",
    "dashes": b"--config=x.onnx",
    "suffix-alone-is-hidden-but-this-is-not": b"a.onnx.onnx",
    "longest": b"n" * 250 + b".onnx",
}
SHOWN = {
    "spaces": "my model (1) .onnx",
    "line-breaks": "two\\nlines\\r\\n2026-01-01 00:00:00.000 INFO  live model=forged.onnx",
    "no-utf8": "caf\\xe9 \\xff\\xfe.onnx",
    "escapes": "\\x1b[31mred\\x07\\t.onnx",
    "right-to-left": "abc\\u202exnno.onnx",
    "chinese": "模型 🎉.onnx",
}


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:  # its path may be longer than an address may be
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "y.onnx").write_text("deep within")


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # what /dev/zero is
    except PermissionError:
        pytest.skip("only root may make a device")


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [_fifo, _socket, _folder, _device, _dangling_link], ids=lambda each: each.__name__[1:])
def test_odd_thing_named_like_a_model_blocks_nobody(spot: Spot, make: Callable[[Path], None]) -> None:
    make(spot.folder / "a.onnx")
    pass_scans(spot.rig)
    spot.live(1.0, "b.onnx")
    assert spot.answered() == 1.0
    spot.live(2.0, "b.onnx")
    assert spot.answered() == 2.0


@pytest.mark.parametrize("make", [_fifo, _socket, _device], ids=lambda each: each.__name__[1:])
def test_special_file_is_rejected_with_what_it_is(spot: Spot, make: Callable[[Path], None]) -> None:
    make(spot.folder / "a.onnx")
    assert "expected a regular file" in spot.wait("rejected")["reason"]
    assert spot.names() == ["seen", "rejected"]


@pytest.mark.parametrize("make", [_fifo, _socket, _device, _dangling_link], ids=lambda each: each.__name__[1:])
def test_model_in_the_place_of_an_odd_thing_is_deployed(spot: Spot, make: Callable[[Path], None]) -> None:
    make(spot.folder / "x.onnx")
    spot.wait("seen")
    rename_in(spot.source(1.0), spot.folder / "x.onnx")
    spot.wait("live")
    assert spot.answered() == 1.0


def test_folder_named_like_a_file_in_the_drop_directory_is_a_model(spot: Spot) -> None:
    name = f"{spot.model}.onnx"
    (spot.rig.drop / name).mkdir()
    rename_in(spot.source(1.0), spot.rig.drop / name / "x.onnx")
    spot.rig.wait_for_event(event="live", model=name)


@pytest.mark.parametrize("name", [".x.onnx", "x.onnx.tmp", "x.onnx.part", "x.onnx.TMP", "x.part", "notes.txt", "x.pt"])
def test_file_on_its_way_or_of_another_kind_is_left_alone_with_one_line(spot: Spot, name: str) -> None:
    path = spot.source(1.0)
    rename_in(path, spot.folder / name)
    with unopened(spot.folder / name):
        for _ in range(2):
            os.utime(spot.folder / name)
            pass_scans(spot.rig)
    assert spot.names() == []
    assert _lines(spot, f"path=model_drop/{spot.model}/{name} ") == 1


def test_file_renamed_from_its_unfinished_name_is_deployed(spot: Spot) -> None:
    rename_in(spot.source(1.0), spot.folder / "x.onnx.part")
    pass_scans(spot.rig)
    rename_in(spot.folder / "x.onnx.part", spot.folder / "x.onnx")
    spot.wait("live")


@pytest.mark.parametrize("name", ["x.onnx.sha256", "x.onnx.data", "x.onnx_data"])
def test_companion_of_a_model_is_left_alone_without_a_line(spot: Spot, name: str) -> None:
    (spot.folder / name).write_bytes(b"0" * 64)
    pass_scans(spot.rig)
    assert spot.names() == []
    assert _lines(spot, f"path=model_drop/{spot.model}/{name} ") == 0


@pytest.mark.parametrize(
    "name", [b".hidden", b"-dash", b"_under", b"with space", "中文".encode(), b"n" * 101, b"x.tmp", b"\xff", b"a\nb"]
)
def test_folder_of_an_illegal_name_is_left_alone_with_one_line(shared_rig: Rig, name: bytes) -> None:
    before, lines = shared_rig.last_id(), shared_rig.log.count(" ignored ")
    folder = _named(shared_rig.drop, name)
    constant_model(folder / "x.onnx", 1.0)
    for _ in range(2):
        pass_scans(shared_rig)
    assert [event for event in shared_rig.events(before) if event["model"] != "fence"] == []
    assert shared_rig.log.count(" ignored ") == lines + 1
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ODD_NAMES)
def test_odd_name_is_deployed_and_shown_escaped_everywhere(spot: Spot, kind: str) -> None:
    rename_in(spot.source(1.0), _named(spot.folder, ODD_NAMES[kind]))
    live = spot.wait("live")
    shown = f"model_drop/{spot.model}/{SHOWN.get(kind, ODD_NAMES[kind].decode(errors='replace'))}"
    assert live["model_path"] == shown
    assert spot.rig.predict(model=spot.model).json["model_path"] == shown
    assert spot.rig.get(f"/models/{spot.model}").json["model_path"] == shown
    assert spot.rig.get(f"/models/{spot.model}/releases").json["releases"][0]["model_path"] == shown
    wait_until(lambda: _lines(spot, f"live model={spot.model} ") == 1)
    assert "model=forged" not in [line[30:] for line in spot.rig.log.splitlines()]
    assert all(line.isprintable() for line in spot.rig.log.splitlines())


@pytest.mark.parametrize("kind", ODD_NAMES)
def test_odd_name_is_rejected_removed_and_shown_escaped_everywhere(spot: Spot, kind: str) -> None:
    path = _named(spot.folder, ODD_NAMES[kind])
    path.write_bytes(b"<html>")
    rejected = spot.wait("rejected")
    path.unlink()
    assert spot.wait("removed")["model_path"] == rejected["model_path"]
    assert rejected["model_path"].isprintable()
    assert all(line.isprintable() for line in spot.rig.log.splitlines())


@pytest.mark.parametrize("name", [b"a\nb.txt", b"\xff\xfe.txt", b"\x1b[31m.txt", b" .txt"])
def test_odd_name_that_is_left_alone_is_one_printable_line(spot: Spot, name: bytes) -> None:
    _named(spot.folder, name).write_bytes(b"notes")
    wait_until(lambda: _lines(spot, f"model_drop/{spot.model}/") == 1)
    assert all(line.isprintable() for line in spot.rig.log.splitlines())


def test_odd_name_is_known_again_after_a_restart(new_rig: NewRig) -> None:
    rig = new_rig().start()
    for number, name in enumerate(ODD_NAMES.values()):
        source = constant_model(rig.folder / "source.onnx", float(number))
        rename_in(source, _named(rig.drop, name))
        rig.wait_for_event(event="live", version=number + 1)
    pass_scans(rig)
    rig.stop()
    rig.start()
    last = max(event["id"] for event in rig.events() if event["event"] == "restored")
    pass_scans(rig)
    assert [event for event in rig.events(last) if event["model"] == "default"] == []


def test_log_as_json_is_one_object_a_line_whatever_the_names(new_rig: NewRig) -> None:
    rig = new_rig(log={"format": "json"}).start()
    for number, name in enumerate(ODD_NAMES.values()):
        source = constant_model(rig.folder / "source.onnx", float(number))
        rename_in(source, _named(rig.drop, name))
        rig.wait_for_event(event="live", version=number + 1)
    wait_until(lambda: rig.log.count('"event":"live"') == len(ODD_NAMES))
    lines = [orjson.loads(line) for line in rig.log.splitlines()]
    assert sum(line.get("event") == "live" for line in lines) == len(ODD_NAMES)


def test_thousands_of_entries_that_are_no_models_block_nobody(spot: Spot) -> None:
    for number in range(3_000):
        (spot.folder / f"{number}.onnx.data").touch()
    spot.live(1.0)
    assert spot.answered() == 1.0


def test_tree_that_is_too_deep_is_left_alone(spot: Spot) -> None:
    deep = spot.folder / "1" / "2" / "3"
    deep.mkdir(parents=True)
    rename_in(spot.source(1.0), deep / "x.onnx")
    pass_scans(spot.rig)
    assert spot.names() == []


def _named(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


def _lines(spot: Spot, text: str) -> int:
    return sum(text in line for line in spot.rig.log.splitlines())
