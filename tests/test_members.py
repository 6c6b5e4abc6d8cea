"""The files that make one model, and what is refused before it is opened."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.errors import Rejected
from daemon.intake.members import Member, fingerprint, locate, location_fault, open_regular, resolve
from daemon.intake.outline import Reference


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a socket": bind_socket,
    "a folder": Path.mkdir,
    "a link": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_open_regular_refuses_special_files_without_blocking(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.onnx"
    SPECIAL[kind](path)
    with pytest.raises(Rejected, match=rf"x\.onnx is {kind}, expected a regular file") as caught:
        open_regular(path)
    assert caught.value.check == "structure"


def test_open_regular_refuses_a_device() -> None:
    with pytest.raises(Rejected, match="a character device"):
        open_regular(Path("/dev/zero"))


def test_open_regular_does_not_block_on_a_fifo_that_took_the_files_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, regular = tmp_path / "x.onnx", tmp_path / "regular"
    os.mkfifo(path)
    regular.touch()
    was = regular.lstat()
    monkeypatch.setattr(os, "lstat", lambda _: was)
    with pytest.raises(Rejected, match="a FIFO"):
        open_regular(path)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_open_regular_leaks_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"x")
    before = open_descriptors()
    os.close(open_regular(path))
    with pytest.raises(Rejected):
        open_regular(tmp_path)
    assert open_descriptors() == before


def test_fingerprint_is_the_same_of_path_and_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"abc")
    fd = open_regular(path)
    try:
        assert fingerprint(fd) == fingerprint(path)
        assert fingerprint(fd).size == 3
    finally:
        os.close(fd)


def test_fingerprint_changes_when_another_file_takes_the_place(tmp_path: Path) -> None:
    path, other = tmp_path / "x.onnx", tmp_path / "other"
    for one in (path, other):
        one.write_bytes(b"abc")
        os.utime(one, ns=(1, 1))
    before = fingerprint(path)
    other.rename(path)
    assert fingerprint(path) != before


def test_resolve_follows_links_inside_the_allowed_folders(tmp_path: Path) -> None:
    (tmp_path / "..2024").mkdir()
    (tmp_path / "..2024" / "m.onnx").touch()
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "m.onnx").symlink_to("..data/m.onnx")
    assert resolve(tmp_path / "m.onnx", [tmp_path]) == tmp_path / "..2024" / "m.onnx"


def test_resolve_allows_an_allowed_folder_that_is_itself_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "m.onnx").touch()
    (tmp_path / "drop").symlink_to("real")
    assert resolve(tmp_path / "drop" / "m.onnx", [tmp_path / "drop"]) == tmp_path / "real" / "m.onnx"


def test_resolve_refuses_a_link_that_leads_outside_and_names_no_outside_path(tmp_path: Path) -> None:
    drop, secret = tmp_path / "drop", tmp_path / "secret.onnx"
    drop.mkdir()
    secret.touch()
    (drop / "m.onnx").symlink_to(secret)
    with pytest.raises(Rejected, match="leads outside") as caught:
        resolve(drop / "m.onnx", [drop])
    assert "secret" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_resolve_does_not_take_a_name_prefix_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "drop-other").mkdir()
    (tmp_path / "drop-other" / "m.onnx").touch()
    with pytest.raises(Rejected):
        resolve(tmp_path / "drop-other" / "m.onnx", [tmp_path / "drop"])


def test_resolve_raises_file_not_found_for_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").symlink_to("gone")
    with pytest.raises(FileNotFoundError):
        resolve(tmp_path / "m.onnx", [tmp_path])


def test_resolve_raises_file_not_found_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        resolve(tmp_path / "file" / "m.onnx", [tmp_path])


def test_resolve_refuses_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").symlink_to("b.onnx")
    (tmp_path / "b.onnx").symlink_to("a.onnx")
    with pytest.raises(Rejected, match="leads nowhere"):
        resolve(tmp_path / "a.onnx", [tmp_path])


@pytest.mark.parametrize(
    "location", ["w.data", "sub/w.data", "./w.data", "w..data", "a b.data", "重.data", "...", "__w"]
)
def test_location_fault_is_none_for_places_in_the_folder(location: str) -> None:
    assert location_fault(location) is None


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        ("", "empty"),
        (".", "empty"),
        ("/dev/zero", "absolute"),
        ("//x", "absolute"),
        ("C:/x", "absolute"),
        ("../x", "out of the model's folder"),
        ("a/../x", "out of the model's folder"),
        ("a/..", "out of the model's folder"),
        ("..\\x", "backslash"),
        ("a\0b", "NUL"),
        ("*/_ORT_MEM_ADDR_/*", "address in memory"),
        ("__model__.onnx", "reserved"),
        ("./__model__.ort", "reserved"),
        ("__made__/x", "reserved"),
    ],
)
def test_location_fault_names_what_is_wrong(location: str, fault: str) -> None:
    assert fault in (location_fault(location) or "")


def model_in(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    model = folder / "m.onnx"
    model.touch()
    return model


def test_locate_sorts_by_location_and_needs_the_furthest_end(tmp_path: Path) -> None:
    references = [
        Reference("z.data", 0, 8),
        Reference("./a/w.data", 64, 16),
        Reference("a/w.data", 0, 16),
        Reference("b.data", 5, None),
    ]
    assert locate(model_in(tmp_path), references) == [
        Member("a/w.data", tmp_path / "a" / "w.data", 80),
        Member("b.data", tmp_path / "b.data", 5),
        Member("z.data", tmp_path / "z.data", 8),
    ]


@pytest.mark.parametrize("location", ["/dev/zero", "../secret", "", "m.onnx", "./m.onnx"])
def test_locate_refuses_what_is_not_external_data_of_the_model(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").touch()
    with pytest.raises(Rejected) as caught:
        locate(model_in(tmp_path / "drop"), [Reference(location, 0, 1)])
    assert caught.value.check == "structure"


@pytest.mark.parametrize("kind", SPECIAL)
def test_locate_refuses_special_files_before_anything_opens_them(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_in(tmp_path)
    SPECIAL[kind](tmp_path / "w.data")
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments))
    with pytest.raises(Rejected, match=f"passes through {kind}"):
        locate(model, [Reference("w.data", 0, 1)])
    assert opened == []


@pytest.mark.parametrize("location", ["link/w.data", "link/missing.data"])
def test_locate_refuses_a_folder_that_is_a_link(tmp_path: Path, location: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "w.data").touch()
    model = model_in(tmp_path / "drop")
    (tmp_path / "drop" / "link").symlink_to(tmp_path / "other")
    with pytest.raises(Rejected, match="passes through a link"):
        locate(model, [Reference(location, 0, 1)])


def test_locate_refuses_a_hard_link_to_the_model_itself(tmp_path: Path) -> None:
    model = model_in(tmp_path)
    (tmp_path / "w.data").hardlink_to(model)
    with pytest.raises(Rejected, match="the model file itself"):
        locate(model, [Reference("w.data", 0, 1)])


def test_locate_refuses_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot be looked up"):
        locate(model_in(tmp_path), [Reference("w" * 300, 0, 1)])


def test_locate_is_bounded_in_files(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="more than 10000"):
        locate(model_in(tmp_path), [Reference(f"w{at}", 0, 1) for at in range(10_001)])


def test_locate_shows_odd_locations_escaped(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        locate(model_in(tmp_path), [Reference("../a\nb\udcff", 0, 1)])
    assert "\n" not in caught.value.reason
    caught.value.reason.encode()
