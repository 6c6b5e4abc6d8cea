"""The gate: checks in order, the trial last, and what each of them refuses."""

from pathlib import Path

import pytest

from daemon.errors import InferenceFailed, Rejected
from daemon.gate import Gate, Integrity, Structure, Subject, Trial
from daemon.release import Candidate
from daemon.runtime import EngineShelf
from tests.fakes import SIGNATURE, FakeEngine
from tests.onnx_bytes import external_bytes, plain_bytes

DIGEST = "c" * 64


def subject_of(path: Path, *, digests: tuple[str, ...] = ()) -> Subject:
    return Subject(Candidate("a" * 64, path, DIGEST, 1), "default", digests)


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(check: Integrity | Structure, subject: Subject) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        check.examine(subject)
    return caught.value.check, caught.value.reason


class Engines:
    """Loads ``FakeEngine``, or whatever it is told to."""

    def __init__(self, engine: FakeEngine | None = None) -> None:
        self.engine = engine or FakeEngine(1.0)
        self.paths: list[Path] = []

    def __call__(self, path: Path) -> FakeEngine:
        self.paths.append(path)
        return self.engine


class Failing(FakeEngine):
    """Every run fails."""

    def run(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
        raise InferenceFailed("an operator gave up")


class Noted:
    """A check that notes its turn, and refuses when it is told to."""

    def __init__(self, name: str, turns: list[str], *, refuses: bool = False) -> None:
        self.name = name
        self.turns = turns
        self.refuses = refuses

    def examine(self, subject: Subject) -> None:
        self.turns.append(self.name)
        if self.refuses:
            raise Rejected(self.name, "no")


def test_checks_run_in_order_and_the_trial_after_them(tmp_path: Path) -> None:
    turns: list[str] = []
    engines = Engines()
    gate = Gate([Noted("a", turns), Noted("b", turns)], Trial(engines, EngineShelf(), timeout_seconds=5))
    proof = gate.admit(subject_of(tmp_path / "m.onnx"))
    assert turns == ["a", "b"]
    assert engines.paths == [tmp_path / "m.onnx"]
    assert (proof.signature, proof.metadata) == (SIGNATURE, {"producer": "tests"})


def test_first_refusal_ends_it_before_anything_is_loaded(tmp_path: Path) -> None:
    turns: list[str] = []
    engines = Engines()
    checks = [Noted("a", turns), Noted("b", turns, refuses=True), Noted("c", turns)]
    with pytest.raises(Rejected) as caught:
        Gate(checks, Trial(engines, EngineShelf(), timeout_seconds=5)).admit(subject_of(tmp_path / "m.onnx"))
    assert (caught.value.check, turns, engines.paths) == ("b", ["a", "b"], [])


def test_trial_runs_the_engine_once_and_leaves_it_on_the_shelf(tmp_path: Path) -> None:
    engines, shelf = Engines(), EngineShelf()
    Trial(engines, shelf, timeout_seconds=5).prove(subject_of(tmp_path / "m.onnx"))
    assert engines.engine.runs == 1
    assert shelf.take("a" * 64) is engines.engine


def test_trial_that_fails_closes_the_engine_and_leaves_the_shelf_empty(tmp_path: Path) -> None:
    engines, shelf = Engines(Failing()), EngineShelf()
    with pytest.raises(Rejected, match="an operator gave up") as caught:
        Trial(engines, shelf, timeout_seconds=5).prove(subject_of(tmp_path / "m.onnx"))
    assert caught.value.check == "trial"
    assert engines.engine.closed.is_set()
    assert shelf.take("a" * 64) is None


@pytest.mark.parametrize("digests", [(), (DIGEST,), (DIGEST, DIGEST)])
def test_integrity_takes_what_was_not_vouched_for_or_rightly(digests: tuple[str, ...]) -> None:
    Integrity().examine(subject_of(Path("m.onnx"), digests=digests))


@pytest.mark.parametrize("digests", [("0" * 64,), (DIGEST, "0" * 64)])
def test_integrity_refuses_another_digest_and_tells_both(digests: tuple[str, ...]) -> None:
    check, reason = refusal(Integrity(), subject_of(Path("m.onnx"), digests=digests))
    assert check == "integrity"
    assert reason == f"expected sha256 {'0' * 64}, found {DIGEST}"


def test_structure_takes_a_whole_model(tmp_path: Path) -> None:
    Structure().examine(subject_of(put(tmp_path / "__model__.onnx", plain_bytes())))


def test_structure_takes_a_model_whose_external_data_came_with_it(tmp_path: Path) -> None:
    put(tmp_path / "w.data", b"\0" * 16)
    Structure().examine(subject_of(put(tmp_path / "__model__.onnx", external_bytes("w.data"))))


@pytest.mark.parametrize("content", [b"", b"<html>not a model</html>", plain_bytes()[:-1], plain_bytes()[:20]])
def test_structure_refuses_what_is_no_whole_model(tmp_path: Path, content: bytes) -> None:
    check, reason = refusal(Structure(), subject_of(put(tmp_path / "__model__.onnx", content)))
    assert check == "structure"
    assert reason


def test_structure_tells_a_cut_model_from_what_is_none(tmp_path: Path) -> None:
    cut, alien = put(tmp_path / "cut.onnx", plain_bytes()[:-1]), put(tmp_path / "alien.onnx", b"<html>")
    assert refusal(Structure(), subject_of(cut))[1].startswith("truncated: ")
    assert "truncated" not in refusal(Structure(), subject_of(alien))[1]


def test_structure_refuses_a_model_that_left_its_weights_behind(tmp_path: Path) -> None:
    check, reason = refusal(Structure(), subject_of(put(tmp_path / "__model__.onnx", external_bytes("w.data"))))
    assert check == "structure"
    assert "'w.data' did not come with it" in reason


@pytest.mark.parametrize("location", ["/etc/passwd", "../other/w.data", "/dev/zero"])
def test_structure_refuses_weights_outside_its_folder_though_they_are_there(tmp_path: Path, location: str) -> None:
    (tmp_path / "other").mkdir()
    put(tmp_path / "other" / "w.data", b"\0" * 16)
    (tmp_path / "entry").mkdir()
    model = put(tmp_path / "entry" / "__model__.onnx", external_bytes(location))
    check, reason = refusal(Structure(), subject_of(model))
    assert check == "structure"
    assert "external data location" in reason
