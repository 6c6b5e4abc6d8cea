"""Stored files are hashed ahead: found by how they look, waited for, and read again by whoever asks where in doubt."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.errors import StoreDamaged
from daemon.gate import Proof, Proofs
from daemon.intake import ahead as ahead_module
from daemon.intake.ahead import Ahead, Hashed
from daemon.intake.copying import Fill, Part, filling_from
from daemon.intake.entry import stored_parts
from daemon.intake.members import fingerprint
from daemon.intake.store import Store
from tests.fakes import SIGNATURE, WAIT_SECONDS


@pytest.fixture
def ahead() -> Iterator[Ahead]:
    with Ahead() as ahead:
        yield ahead


def stored(folder: Path, content: bytes = b"a model", *, data: bytes | None = None) -> Path:
    """The model file of a new entry of the store in ``folder``, perhaps with external data."""
    model = folder / "on_its_way.onnx"
    model.write_bytes(content)
    parts: list[Part] = [("", model, fingerprint(model))]
    if data is not None:
        beside = folder / "w.bin"
        beside.write_bytes(data)
        parts.append(("w.bin", beside, fingerprint(beside)))
    return Store(folder / "store").ingest(parts, ".onnx").path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_entry_is_known_by_what_it_hashes_to(tmp_path: Path, ahead: Ahead) -> None:
    path = stored(tmp_path, b"graph", data=b"weights")
    ahead.begin([path])
    assert ahead.known(stored_parts(path)) == Hashed(digest(b"graph"), digest(b"graphweights"), 12)


def test_large_file_is_hashed_in_steps(tmp_path: Path, ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "STEP_BYTES", 4096)
    content = bytes(range(256)) * 50
    path = stored(tmp_path, content)
    ahead.begin([path])
    found = ahead.known(stored_parts(path))
    assert found is not None
    assert found.sha256 == digest(content)


def test_what_nobody_read_is_not_known(tmp_path: Path, ahead: Ahead) -> None:
    path = stored(tmp_path)
    ahead.begin([tmp_path / "store" / "missing" / "__model__.onnx"])
    assert ahead.known(stored_parts(path)) is None


def test_file_that_looks_otherwise_by_now_is_not_known(tmp_path: Path, ahead: Ahead) -> None:
    path = stored(tmp_path)
    ahead.begin([path])
    path.chmod(0o644)
    path.write_bytes(b"another")
    assert ahead.known(stored_parts(path)) is None


def test_file_whose_next_change_might_not_show_is_not_known(tmp_path: Path, ahead: Ahead) -> None:
    path = stored(tmp_path)
    path.touch()
    ahead.begin([path])
    assert ahead.known(stored_parts(path)) is None


def test_file_that_changes_before_its_turn_is_not_known(tmp_path: Path) -> None:
    may_hash = threading.Event()
    path = stored(tmp_path)
    parts = stored_parts(path)
    with Ahead(threads=1) as ahead:
        ahead._pool.submit(may_hash.wait, WAIT_SECONDS)
        ahead.begin([path])
        path.unlink()
        may_hash.set()
        assert ahead.known(parts) is None


def test_whoever_asks_waits_for_what_is_being_read(tmp_path: Path) -> None:
    may_hash = threading.Event()
    path = stored(tmp_path)
    with Ahead(threads=1) as ahead, ThreadPoolExecutor(1) as pool:
        ahead._pool.submit(may_hash.wait, WAIT_SECONDS)
        ahead.begin([path])
        asked = pool.submit(ahead.known, stored_parts(path))
        assert not asked.done()
        may_hash.set()
        found = asked.result(WAIT_SECONDS)
    assert found is not None
    assert found.sha256 == digest(b"a model")


def test_end_does_not_wait_for_what_nobody_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_go_on = threading.Event(), threading.Event()
    path, reads = stored(tmp_path, bytes(10)), 0

    def held(fd: int, limit_bytes: int) -> Fill:
        fill = filling_from(fd, limit_bytes)

        def held_fill(buffer: memoryview, /) -> int:
            nonlocal reads
            reads += 1
            began.set()
            assert may_go_on.wait(WAIT_SECONDS)
            return fill(buffer)

        return held_fill

    monkeypatch.setattr(ahead_module, "filling_from", held)
    monkeypatch.setattr(ahead_module, "STEP_BYTES", 1)
    parts = stored_parts(path)
    with Ahead(threads=1) as ahead:
        ahead.begin([path])
        assert began.wait(WAIT_SECONDS)
        ahead._is_over.set()
        may_go_on.set()
    assert reads == 1
    assert ahead.known(parts) is None


def test_file_that_is_cut_while_it_is_hashed_is_not_known(
    tmp_path: Path, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, bytes(16 << 12))
    path.chmod(0o644)

    def cutting(fd: int, limit_bytes: int) -> Fill:
        fill = filling_from(fd, limit_bytes)

        def cut_and_fill(buffer: memoryview, /) -> int:
            count = fill(buffer)
            os.truncate(path, 1 << 12)
            return count

        return cut_and_fill

    monkeypatch.setattr(ahead_module, "filling_from", cutting)
    monkeypatch.setattr(ahead_module, "STEP_BYTES", 1 << 12)
    parts = stored_parts(path)
    ahead.begin([path])
    assert ahead.known(parts) is None


def test_store_does_not_read_again_what_was_hashed_ahead(
    tmp_path: Path, ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path)
    ahead.begin([path])
    store = Store(tmp_path / "store", known=ahead.known)
    monkeypatch.setattr("daemon.intake.store.hash_entry", None)
    found = store.verify(digest(b"a model"))
    assert (found.sha256, found.file_sha256, found.path, found.size_bytes) == (
        path.parent.name,
        path.parent.name,
        path,
        7,
    )


def test_damage_is_found_ahead_as_well(tmp_path: Path, ahead: Ahead) -> None:
    path = stored(tmp_path)
    home = path.parent.rename(path.parent.with_name(digest(b"other")))
    ahead.begin([home / path.name])
    with pytest.raises(StoreDamaged, match="is damaged"):
        Store(tmp_path / "store", known=ahead.known).verify(digest(b"other"))


def formed(path: Path) -> Path:
    """The weights of a compiled form that was proved and sealed for the model file."""
    proofs = Proofs("key")
    with proofs.making(path) as form:
        for name in ("model.onnx", "model.data"):
            (form / name).write_bytes(name.encode())
        proofs.keep(path, Proof(SIGNATURE, {}, {}), form)
    proofs.seal()
    return path.parent / "__made__" / "key" / "model.data"


def test_form_is_hashed_ahead(tmp_path: Path, ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path)
    formed(path)
    ahead.begin([path])
    monkeypatch.setattr("daemon.gate.proofs.hash_members", None)
    assert Proofs("key", known=ahead.known).form_of(path) is not None


def test_damaged_form_is_found_ahead_as_well(tmp_path: Path, ahead: Ahead, caplog: pytest.LogCaptureFixture) -> None:
    path = stored(tmp_path)
    weights = formed(path)
    look = weights.stat()
    weights.chmod(0o644)
    weights.write_bytes(b"model_data")
    os.utime(weights, ns=(look.st_atime_ns, look.st_mtime_ns))
    ahead.begin([path])
    assert Proofs("key", known=ahead.known).form_of(path) is None
    assert "model.data is not what was sealed" in caplog.text
