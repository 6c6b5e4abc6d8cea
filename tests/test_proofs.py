"""What was proved of a candidate, kept beside it: for how long, and how far it is trusted."""

import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.gate import Proof, Proofs
from daemon.intake.members import MADE_FOLDER
from daemon.release import Signature, TensorSpec
from daemon.runtime.sessions import SAVED_MODEL, SAVED_WEIGHTS
from tests.fakes import SIGNATURE

PROOF = Proof(SIGNATURE, {"producer": "tests"}, {"load_seconds": 0.25, "runs": [{"batch": 1, "seconds": 0.5}]})
OTHER = Proof(Signature((TensorSpec("x", "int64", None),), SIGNATURE.outputs), {}, {})


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "store" / ("ab" * 32) / "__model__.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"model")
    return path


@pytest.fixture
def proofs() -> Proofs:
    return Proofs("key")


def home(model_file: Path, key: str = "key") -> Path:
    return model_file.parent / MADE_FOLDER / key


def made(model_file: Path) -> list[str]:
    """Everything that lies beside a candidate."""
    folder = model_file.parent / MADE_FOLDER
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


@contextmanager
def form_in(proofs: Proofs, model_file: Path, *, weights: bytes = b"weights") -> Iterator[Path]:
    with proofs.making(model_file) as folder:
        (folder / SAVED_MODEL).write_bytes(b"graph")
        if weights:
            (folder / SAVED_WEIGHTS).write_bytes(weights)
        yield folder


def keep(proofs: Proofs, model_file: Path, proof: Proof = PROOF, *, sealed: bool = True) -> None:
    """Keeps a proof with a form."""
    with form_in(proofs, model_file) as form:
        proofs.keep(model_file, proof, form)
    if sealed:
        proofs.seal()


def reopened(model_file: Path, key: str = "key") -> Proof | None:
    """What another daemon knows."""
    return Proofs(key).known(model_file)


# In one life.


def test_nothing_is_known_of_a_new_candidate(proofs: Proofs, model_file: Path) -> None:
    assert proofs.known(model_file) is None
    assert proofs.form_of(model_file) is None
    assert made(model_file) == []


def test_kept_proof_is_known_with_its_form(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file, sealed=False)
    assert proofs.known(model_file) is PROOF
    assert proofs.form_of(model_file) == home(model_file) / SAVED_MODEL
    assert made(model_file) == ["key", f"key/{SAVED_WEIGHTS}", f"key/{SAVED_MODEL}"]


def test_kept_proof_is_known_without_a_form(proofs: Proofs, model_file: Path) -> None:
    proofs.keep(model_file, PROOF, None)
    assert proofs.known(model_file) is PROOF
    assert proofs.form_of(model_file) is None


def test_form_without_weights_of_its_own_is_kept(proofs: Proofs, model_file: Path) -> None:
    with form_in(proofs, model_file, weights=b"") as form:
        proofs.keep(model_file, PROOF, form)
    assert proofs.form_of(model_file) == home(model_file) / SAVED_MODEL


def test_proof_is_of_one_candidate_alone(proofs: Proofs, model_file: Path, tmp_path: Path) -> None:
    keep(proofs, model_file)
    other = tmp_path / "store" / ("cd" * 32) / "__model__.onnx"
    other.parent.mkdir()
    assert proofs.known(other) is None


def test_proof_takes_the_place_of_the_one_before(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    proofs.keep(model_file, OTHER, None)
    assert proofs.known(model_file) is OTHER
    assert proofs.form_of(model_file) is None
    proofs.seal()
    assert reopened(model_file) == OTHER


def test_folders_for_forms_are_new_each_time_and_private(proofs: Proofs, model_file: Path) -> None:
    with proofs.making(model_file) as one, proofs.making(model_file) as other:
        assert one != other
        for folder in (one, other):
            assert folder.parent == model_file.parent / MADE_FOLDER
            assert {stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)} == {0o700}


def test_form_that_nothing_came_of_is_removed(proofs: Proofs, model_file: Path) -> None:
    with pytest.raises(RuntimeError), form_in(proofs, model_file):
        raise RuntimeError
    assert made(model_file) == []


def test_what_other_trials_left_is_removed_when_a_proof_is_kept(proofs: Proofs, model_file: Path) -> None:
    with form_in(proofs, model_file):
        keep(proofs, model_file)
    assert made(model_file) == ["key", f"key/{SAVED_WEIGHTS}", f"key/{SAVED_MODEL}", "key/proof.json"]


def test_strange_files_in_a_form_are_removed(proofs: Proofs, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"not to be served")
    with form_in(proofs, model_file, weights=b"") as folder:
        (folder / SAVED_WEIGHTS).symlink_to(tmp_path / "elsewhere")
        (folder / "proof.json").write_text("{}")
        (folder / ".hidden").write_text("")
        proofs.keep(model_file, PROOF, folder)
    assert made(model_file) == ["key", f"key/{SAVED_MODEL}"]
    assert (tmp_path / "elsewhere").stat().st_mode & 0o222, "the link was followed"


def test_files_of_a_form_are_never_written_again(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    modes = {stat.S_IMODE((home(model_file) / name).stat().st_mode) for name in (SAVED_MODEL, SAVED_WEIGHTS)}
    assert modes == {0o444}


def test_proof_is_forgotten_with_its_candidate(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file, sealed=False)
    shutil.rmtree(model_file.parent)
    assert proofs.known(model_file) is None
    proofs.seal()
    assert made(model_file) == []


def test_form_that_vanished_is_none(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    (home(model_file) / SAVED_MODEL).unlink()
    assert proofs.form_of(model_file) is None


def test_proofs_of_candidates_that_are_gone_are_let_go_of(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    shutil.rmtree(model_file.parent)
    proofs.seal()
    assert proofs._held == {}


def test_distrusted_form_is_removed_with_its_proof(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    proofs.distrust(model_file)
    assert proofs.known(model_file) is None
    assert proofs.form_of(model_file) is None
    assert made(model_file) == []


def test_distrusted_proof_is_not_sealed(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file, sealed=False)
    proofs.distrust(model_file)
    proofs.seal()
    assert reopened(model_file) is None


# Over a restart.


@pytest.mark.parametrize("with_form", [True, False])
def test_sealed_proof_is_known_after_a_restart(proofs: Proofs, model_file: Path, with_form: bool) -> None:
    with form_in(proofs, model_file) as form:
        proofs.keep(model_file, PROOF, form if with_form else None)
    proofs.seal()
    again = Proofs("key")
    assert again.known(model_file) == PROOF
    assert again.form_of(model_file) == (home(model_file) / SAVED_MODEL if with_form else None)


def test_proof_is_sealed_once(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    before = (home(model_file) / "proof.json").stat().st_ino
    proofs.seal()
    assert (home(model_file) / "proof.json").stat().st_ino == before


def test_unsealed_proof_is_not_known_after_a_restart(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file, sealed=False)
    again = Proofs("key")
    assert again.known(model_file) is None
    assert again.form_of(model_file) is None


def test_unsealed_proof_can_be_kept_again_after_a_restart(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file, sealed=False)
    keep(Proofs("key"), model_file, OTHER)
    assert reopened(model_file) == OTHER


def test_proof_that_was_half_written_is_not_known_after_a_restart(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    (home(model_file) / "proof.json").rename(home(model_file) / "proof.json.part")
    assert reopened(model_file) is None


def test_proof_of_another_library_or_processor_is_not_known(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    assert reopened(model_file, "other") is None
    assert reopened(model_file) == PROOF  # whoever only looks leaves it there


def test_proof_of_another_library_or_processor_is_removed_when_one_is_kept(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    keep(Proofs("other"), model_file, OTHER)
    assert reopened(model_file, "other") == OTHER
    assert reopened(model_file) is None
    assert not home(model_file).exists()


def test_digests_are_checked_once_while_the_form_looks_as_it_did(
    proofs: Proofs, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(proofs, model_file)
    again = Proofs("key")
    assert again.known(model_file) == PROOF
    monkeypatch.setattr("daemon.gate.proofs._digest", lambda _: pytest.fail("it was read again"))
    assert again.known(model_file) == PROOF
    assert proofs.known(model_file) is PROOF


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("name", [SAVED_MODEL, SAVED_WEIGHTS])
def test_form_that_was_damaged_since_is_removed_with_its_proof(
    proofs: Proofs, model_file: Path, caplog: pytest.LogCaptureFixture, name: str, sealed: bool
) -> None:
    keep(proofs, model_file, sealed=sealed)
    path = home(model_file) / name
    path.chmod(0o600)
    path.write_bytes(bytes(path.stat().st_size))
    assert proofs.form_of(model_file) is None
    assert proofs.known(model_file) is None
    assert not home(model_file).exists()
    assert f"what was proved of {'ab' * 32} " in caplog.text


def test_form_that_only_looks_otherwise_is_known_by_its_digests(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    os.utime(home(model_file) / SAVED_WEIGHTS)
    assert proofs.known(model_file) == PROOF
    assert proofs.form_of(model_file) == home(model_file) / SAVED_MODEL


def test_form_that_was_damaged_before_it_was_sealed_is_not_sealed(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file, sealed=False)
    rewrite(home(model_file) / SAVED_WEIGHTS, b"WEIGHTS")
    proofs.seal()
    assert reopened(model_file) is None


def test_shapes_come_back_as_they_were(proofs: Proofs, model_file: Path) -> None:
    specs = (TensorSpec("a", "float32", ("n", 3, None)), TensorSpec("b", "string", None, optional=True))
    proof = Proof(Signature(specs, specs), {"custom": {"é": "日本"}}, {"compiled": "off: é"})
    keep(proofs, model_file, proof)
    assert reopened(model_file) == proof


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def record(folder: Path, **changes: Any) -> None:
    path = folder / "proof.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in values.items() if value != "gone"}))


def put_in_place_of(path: Path, *, link: bool) -> None:
    """A link to the very same bytes, or a folder."""
    path.rename(path.with_name("elsewhere"))
    if link:
        path.symlink_to("elsewhere")
    else:
        path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "graph changed": lambda folder: rewrite(folder / SAVED_MODEL, b"Graph"),
    "weights changed": lambda folder: rewrite(folder / SAVED_WEIGHTS, b"Weights"),
    "weights cut": lambda folder: rewrite(folder / SAVED_WEIGHTS, b"weight"),
    "weights gone": lambda folder: (folder / SAVED_WEIGHTS).unlink(),
    "weights a folder": lambda folder: put_in_place_of(folder / SAVED_WEIGHTS, link=False),
    "weights a link": lambda folder: put_in_place_of(folder / SAVED_WEIGHTS, link=True),
    "record empty": lambda folder: rewrite(folder / "proof.json", b""),
    "record cut": lambda folder: rewrite(folder / "proof.json", (folder / "proof.json").read_bytes()[:-9]),
    "record no UTF-8": lambda folder: rewrite(folder / "proof.json", b"\xff"),
    "record a list": lambda folder: rewrite(folder / "proof.json", b"[]"),
    "files gone": lambda folder: record(folder, files="gone"),
    "files a list": lambda folder: record(folder, files=[]),
    "signature gone": lambda folder: record(folder, signature="gone"),
    "signature odd": lambda folder: record(folder, signature={"inputs": [{}], "outputs": []}),
    "one key more": lambda folder: record(folder, later="what a later version writes"),
    "one key less": lambda folder: record(folder, metadata="gone"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_proof_is_forgotten_with_a_warning(
    proofs: Proofs, model_file: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    keep(proofs, model_file)
    DAMAGES[damage](home(model_file))
    with caplog.at_level(logging.WARNING):
        assert reopened(model_file) is None
    assert not home(model_file).exists()
    (message,) = caplog.messages
    assert message.startswith(f"what was proved of {model_file.parent.name} is damaged and is proved again: ")


def test_damaged_proof_can_be_kept_again(proofs: Proofs, model_file: Path) -> None:
    keep(proofs, model_file)
    DAMAGES["weights cut"](home(model_file))
    again = Proofs("key")
    assert again.known(model_file) is None
    keep(again, model_file)
    assert reopened(model_file) == PROOF


def test_seal_brings_everything_to_the_disk_before_it_counts(
    proofs: Proofs, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        if synced[-1] == "proof.json.part":
            assert not (home(model_file) / "proof.json").exists()
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    keep(proofs, model_file)
    assert synced == [SAVED_WEIGHTS, SAVED_MODEL, "proof.json.part", "key", MADE_FOLDER]
