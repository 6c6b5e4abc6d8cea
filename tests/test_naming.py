"""Which model a dropped file belongs to, and how odd names are shown."""

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.naming import Found, Ignored, Placed, is_model_name, place, shown, walk


def found_in(drop_dir: Path, *, allowed: tuple[Path, ...] = ()) -> dict[str, Placed | Ignored]:
    return {str(found.relative): found.place for found in walk(drop_dir, "default", allowed=allowed)}


def candidates_in(drop_dir: Path, *, allowed: tuple[Path, ...] = ()) -> dict[str, str]:
    found = found_in(drop_dir, allowed=allowed)
    return {name: where.model for name, where in found.items() if isinstance(where, Placed)}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("default", True),
        ("A", True),
        ("9.x_y-z", True),
        ("a" * 100, True),
        ("a" * 101, False),
        ("", False),
        (".hidden", False),
        ("-x", False),
        ("a b", False),
        ("a/b", False),
        ("a\n", False),
        ("模型", False),
    ],
)
def test_is_model_name_follows_the_contract(name: str, legal: bool) -> None:
    assert is_model_name(name) is legal


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model_drop/deploy.onnx", "model_drop/deploy.onnx"),
        ("a b'\"\\.onnx", "a b'\"\\.onnx"),
        ("模型é.onnx", "模型é.onnx"),
        ("a\nb\r\t\x1b[31m\x00.onnx", r"a\nb\r\t\x1b[31m\x00.onnx"),
        ("a\u2028b\x85", r"a\u2028b\x85"),
        (b"caf\xe9.onnx", r"caf\xe9.onnx"),
        (os.fsdecode(b"\xff\xfe.onnx"), r"\xff\xfe.onnx"),
        ("\ud800", r"\ud800"),
        ("right\u202eleft", r"right\u202eleft"),
    ],
)
def test_shown_escapes_what_does_not_print(name: str | bytes, expected: str) -> None:
    assert shown(name) == expected


@given(st.binary(max_size=60))
def test_shown_is_one_line_of_utf8_and_stable_for_any_bytes(name: bytes) -> None:
    text = shown(name)
    assert len(text.splitlines()) <= 1
    assert text.encode("utf-8").decode("utf-8") == text
    assert shown(text) == text
    assert shown(os.fsdecode(name)) == text


@pytest.mark.parametrize(
    ("relative", "model"),
    [
        ("x.onnx", "default"),
        ("X.ONNX", "default"),
        ("x.Ort", "default"),
        ("odd name\n.onnx", "default"),
        ("digits/x.onnx", "digits"),
        ("digits/3/model.onnx", "digits"),
        ("digits/0042/model.ort", "digits"),
        ("3/x.onnx", "3"),
    ],
)
def test_place_gives_a_model_for_the_layouts_of_the_contract(relative: str, model: str) -> None:
    assert place(PurePosixPath(relative), default_model="default") == Placed(model)


@pytest.mark.parametrize(
    ("relative", "reason"),
    [
        (".x.onnx", "hidden file"),
        ("x.onnx.tmp", ".tmp or .part"),
        ("x.PART", ".tmp or .part"),
        ("x.txt", "not a model file"),
        ("onnx", "not a model file"),
        (".git/x.onnx", "hidden folder"),
        ("digits/.3/x.onnx", "hidden folder"),
        ("digits.part/x.onnx", "a folder on its way"),
        ("a b/x.onnx", "not a model name"),
        ("digits/v3/x.onnx", "not a version"),
        ("digits/٣/x.onnx", "not a version"),
        ("digits/3/deep/x.onnx", "too deep"),
    ],
)
def test_place_ignores_with_a_reason_what_the_contract_leaves_alone(relative: str, reason: str) -> None:
    where = place(PurePosixPath(relative), default_model="default")
    assert isinstance(where, Ignored)
    assert reason in where.reason


@pytest.mark.parametrize(("name", "quiet"), [("m.onnx.data", True), ("m.onnx.sha256", True), ("notes.txt", False)])
def test_place_is_quiet_only_about_files_that_go_with_a_model(name: str, quiet: bool) -> None:
    where = place(PurePosixPath(name), default_model="default")
    assert isinstance(where, Ignored)
    assert where.quiet is quiet


def test_walk_finds_every_layout_and_names_what_it_leaves_alone(tmp_path: Path) -> None:
    for name in ("x.onnx", "digits/y.ort", "digits/3/z.onnx", "bad name/x.onnx", "digits/v1/x.onnx", ".h/x.onnx"):
        touch(tmp_path / name)
    found = found_in(tmp_path)
    assert {name: where.model for name, where in found.items() if isinstance(where, Placed)} == {
        "x.onnx": "default",
        "digits/y.ort": "digits",
        "digits/3/z.onnx": "digits",
    }
    assert {name for name, where in found.items() if isinstance(where, Ignored)} == {"bad name", "digits/v1", ".h"}


def test_walk_gives_paths_below_the_drop_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.onnx", "a.onnx"):
        touch(tmp_path / name)
    assert list(walk(tmp_path, "default")) == [
        Found(PurePosixPath(name), tmp_path / name, Placed("default")) for name in ("a.onnx", "b.onnx")
    ]


def test_walk_passes_over_kubernetes_internals_and_sees_its_links(tmp_path: Path) -> None:
    touch(tmp_path / "..2024_11_22" / "m.onnx")
    (tmp_path / "..data").symlink_to("..2024_11_22")
    (tmp_path / "m.onnx").symlink_to("..data/m.onnx")
    assert found_in(tmp_path) == {"m.onnx": Placed("default")}


def test_walk_follows_a_folder_link_only_into_allowed_folders(tmp_path: Path) -> None:
    drop, allowed, other = tmp_path / "drop", tmp_path / "allowed", tmp_path / "other"
    touch(drop / "x.onnx")
    for folder in (allowed, other):
        touch(folder / "v" / "y.onnx")
    (drop / "inside").symlink_to(allowed / "v")
    (drop / "outside").symlink_to(other / "v")
    found = found_in(drop, allowed=(allowed,))
    assert found["inside/y.onnx"] == Placed("inside")
    outside = found["outside"]
    assert isinstance(outside, Ignored)
    assert "outside" in outside.reason
    assert str(tmp_path) not in outside.reason


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_walk_ends_when_links_loop(tmp_path: Path, target: str) -> None:
    drop = tmp_path / "drop"
    touch(drop / "a" / "1" / "x.onnx")
    (drop / "a" / "2").symlink_to(target, target_is_directory=True)
    (drop / "self").symlink_to("self")
    assert candidates_in(drop, allowed=(tmp_path,)) == {"a/1/x.onnx": "a"}


def test_walk_gives_no_file_a_second_model_through_a_link_back(tmp_path: Path) -> None:
    touch(tmp_path / "x.onnx")
    touch(tmp_path / "a" / "y.onnx")
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "a" / "1").symlink_to(".")
    assert candidates_in(tmp_path) == {"x.onnx": "default", "a/y.onnx": "a"}


def test_walk_yields_special_files_and_dangling_links_without_opening_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.onnx")
    (tmp_path / "nowhere.onnx").symlink_to("gone")
    assert candidates_in(tmp_path) == {"fifo.onnx": "default", "nowhere.onnx": "default"}


def test_walk_goes_on_when_a_folder_vanishes_meanwhile(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "y.onnx")
    touch(tmp_path / "a.onnx")
    walking = walk(tmp_path, "default")
    assert next(walking).relative.name == "a.onnx"
    (tmp_path / "b" / "y.onnx").unlink()
    (tmp_path / "b").rmdir()
    assert list(walking) == []


def test_walk_raises_when_the_drop_folder_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(walk(tmp_path / "gone", "default"))


def test_walk_carries_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.onnx")).touch()
    (found,) = walk(tmp_path, "default")
    assert found.path.exists()
    assert shown(str(found.relative)) == r"caf\xe9.onnx"
