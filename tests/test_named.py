"""Files that a request names: where they may lie, and until when they are waited for."""

import os
import threading
from pathlib import Path

import pytest

from daemon.errors import NoSuchFile, Overloaded, PathForbidden, Rejected
from daemon.intake.completeness import LookState
from daemon.intake.named import NamedFiles
from tests.onnx_bytes import plain_bytes


class Tree:
    """A config file's folder with a drop directory and two allowed folders, one of them elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.drop = self.home / "model_drop"
        self.models = self.home / "models"
        self.far = folder / "far"
        for each in (self.drop, self.models, self.far):
            each.mkdir(parents=True)
        self.files = NamedFiles(self.home, (self.drop, self.models, self.far), 20, 0.3)

    def put(self, path: Path, content: bytes = b"") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content or plain_bytes())
        return path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("folder", ["drop", "models", "far"])
def test_bare_name_is_found_in_every_allowed_folder(tree: Tree, folder: str) -> None:
    path = tree.put(getattr(tree, folder) / "m.onnx")
    assert tree.files.find("m.onnx") == path


def test_name_is_tried_from_the_config_files_folder_first_then_drop_then_allowed(tree: Tree) -> None:
    far, models, drop = (tree.put(folder / "models" / "m.onnx") for folder in (tree.far, tree.models, tree.drop))
    first = tree.put(tree.home / "models" / "m.onnx")
    for path in (first, drop, models, far):
        assert tree.files.find("models/m.onnx") == path
        path.unlink()


def test_place_that_is_not_allowed_is_passed_over_for_one_that_is(tree: Tree) -> None:
    tree.put(tree.home / "m.onnx")
    path = tree.put(tree.far / "m.onnx")
    assert tree.files.find("m.onnx") == path


@pytest.mark.parametrize("name", ["model_drop/m.onnx", "model_drop/../model_drop/m.onnx", "./model_drop//m.onnx"])
def test_any_spelling_of_a_place_inside_is_taken(tree: Tree, name: str) -> None:
    path = tree.put(tree.drop / "m.onnx")
    assert tree.files.find(name).samefile(path)
    assert tree.files.find(str(path)) == path


def test_link_to_another_allowed_folder_is_taken(tree: Tree) -> None:
    tree.put(tree.far / "m.onnx")
    (tree.drop / "link.onnx").symlink_to(tree.far / "m.onnx")
    assert tree.files.find("link.onnx") == tree.drop / "link.onnx"


def test_allowed_folder_may_be_a_link_itself(tree: Tree) -> None:
    (tree.home / "linked").symlink_to(tree.far)
    tree.put(tree.far / "m.onnx")
    files = NamedFiles(tree.home, (tree.home / "linked",), 20, 1)
    assert files.find("linked/m.onnx") == tree.home / "linked" / "m.onnx"
    with pytest.raises(NoSuchFile):
        files.find("linked/nothing.onnx")


@pytest.mark.parametrize(
    "name", ["../outside.onnx", "model_drop/../../outside.onnx", "/etc/passwd", "secret.onnx", "drop-link.onnx", "a\0b"]
)
def test_what_lies_outside_is_forbidden(tree: Tree, name: str, tmp_path: Path) -> None:
    tree.put(tmp_path / "outside.onnx")
    tree.put(tree.home / "secret.onnx")
    (tree.drop / "drop-link.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(PathForbidden) as caught:
        tree.files.find(name)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/no-such-file", "/no/such/folder/m.onnx"])
def test_answer_does_not_tell_whether_what_lies_outside_is_there(tree: Tree, name: str) -> None:
    with pytest.raises(PathForbidden):
        tree.files.find(name)


def test_folder_whose_name_only_begins_like_an_allowed_one_is_outside(tree: Tree) -> None:
    tree.put(tree.home / "models-private" / "m.onnx")
    with pytest.raises(PathForbidden):
        tree.files.find("models-private/m.onnx")


@pytest.mark.parametrize("name", ["nothing.onnx", "model_drop/nothing.onnx", "a/b/c.onnx", "x" * 300])
def test_what_is_not_there_is_told_as_the_user_named_it(tree: Tree, name: str) -> None:
    with pytest.raises(NoSuchFile) as caught:
        tree.files.find(name)
    assert name in str(caught.value)
    assert str(tree.home) not in str(caught.value)


def test_line_breaks_in_a_name_do_not_reach_the_message(tree: Tree) -> None:
    with pytest.raises(NoSuchFile) as caught:
        tree.files.find("a\nb.onnx")
    assert "\n" not in str(caught.value)


def test_complete_file_needs_no_wait(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.intake.named.time.sleep", lambda _: pytest.fail("it waited"))
    path = tree.put(tree.drop / "m.onnx")
    look = tree.files.wait_until_complete(path)
    assert (look.state, look.members[0][1]) == (LookState.COMPLETE, path)


def test_file_that_is_being_written_is_waited_for(tree: Tree) -> None:
    content, path = plain_bytes(), tree.drop / "m.onnx"
    files = NamedFiles(tree.home, (tree.drop,), 20, 30)
    writer = path.open("wb", buffering=0)
    writer.write(content[:-5])

    def finish() -> None:
        writer.write(content[-5:])
        writer.close()

    threading.Timer(0.1, finish).start()
    assert files.wait_until_complete(path).members[0][2].size == len(content)


def test_file_that_nobody_finishes_is_rejected_after_a_moment(tree: Tree) -> None:
    with pytest.raises(Rejected) as caught:
        tree.files.wait_until_complete(tree.put(tree.drop / "m.onnx", plain_bytes()[:-5]))
    assert caught.value.check == "structure"
    assert caught.value.reason.startswith("truncated")


def test_file_that_a_writer_never_closes_is_not_judged_when_patience_ends(tree: Tree) -> None:
    path = tree.drop / "m.onnx"
    with path.open("wb", buffering=0) as writer:
        writer.write(plain_bytes())
        with pytest.raises(Overloaded, match="still being written: a writer has it open"):
            tree.files.wait_until_complete(path)


def test_what_is_no_model_is_rejected(tree: Tree) -> None:
    with pytest.raises(Rejected) as caught:
        tree.files.wait_until_complete(tree.put(tree.drop / "m.onnx", b"<html>"))
    assert caught.value.check == "structure"


@pytest.mark.parametrize("name", ["m.txt", "m", "m.onnx.data"])
def test_wrong_suffix_is_rejected_whatever_the_file_holds(tree: Tree, name: str) -> None:
    with pytest.raises(Rejected, match=r"expected a name ending in \.onnx or \.ort"):
        tree.files.wait_until_complete(tree.put(tree.drop / name))


def test_folder_and_fifo_are_rejected_and_block_nobody(tree: Tree) -> None:
    (tree.drop / "folder.onnx").mkdir()
    os.mkfifo(tree.drop / "fifo.onnx")
    for name in ("folder.onnx", "fifo.onnx"):
        with pytest.raises(Rejected, match="expected a regular file"):
            tree.files.wait_until_complete(tree.drop / name)


def test_file_that_vanishes_is_not_there(tree: Tree) -> None:
    with pytest.raises(NoSuchFile):
        tree.files.wait_until_complete(tree.drop / "gone.onnx")
