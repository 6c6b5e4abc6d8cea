"""The compiled form that a trial leaves beside its candidate: mapped at deploy, rollback and restart, never trusted."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import helper

from tests.e2e.arrivals import digest, made
from tests.e2e.conftest import NewRig
from tests.e2e.rig import ROOT, Rig
from tests.e2e.waiting import eventually
from tests.onnx_models import constant, external, ort_format, save, value

ON = {"trial": {"compile": "on"}}
EXAMPLES = ROOT / "examples" / "models"
ROWS = np.random.default_rng(5).normal(size=(7, 64)).round(3).tolist()
"""What is asked: digits with enough decimals for two ways of adding up to differ."""


def network(path: Path, seed: int = 1) -> Path:
    """``pixels`` float32 [batch, 64] → ``output`` [batch, 10], by way of two dense layers of some 200 KB."""
    chance = np.random.default_rng(seed)
    return save(
        path,
        [
            helper.make_node("Gemm", ["pixels", "first", "bias"], ["sums"]),
            helper.make_node("Relu", ["sums"], ["wide"]),
            helper.make_node("MatMul", ["wide", "second"], ["narrow"]),
            helper.make_node("Softmax", ["narrow"], ["output"], axis=-1),
        ],
        [value("pixels", "float32", ["batch", 64])],
        [value("output", "float32", ["batch", 10])],
        [
            constant("first", chance.normal(size=(64, 700)).astype(np.float32)),
            constant("bias", chance.normal(size=700).astype(np.float32)),
            constant("second", chance.normal(size=(700, 10)).astype(np.float32)),
        ],
    )


@pytest.fixture
def on(new_rig: NewRig) -> Rig:
    """A daemon that compiles everything."""
    return new_rig(gate=ON).start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Another, for all tests that leave it running and have a model of their own."""
    rig = Rig(tmp_path_factory.mktemp("shared"), {"gate": ON}).start()
    yield rig
    rig.kill()


def _upload(rig: Rig, path: Path, model: str = "default") -> str:
    """The hash of what serves now."""
    answer = rig.request("PUT", f"/models/{model}/upload?filename={path.name}", path.read_bytes())
    assert (answer.status, answer.json["outcome"]) == (200, "live"), answer.body
    return str(answer.json["sha256"])


def _sealed(rig: Rig, sha256: str) -> Path:
    """The folder of a content's compiled form, once it is sealed."""
    made = rig.state / "store" / sha256 / "__made__"
    (proof,) = eventually(lambda: list(made.glob("*/proof.json")), "the form to be sealed")
    return proof.parent


def _maps(rig: Rig, file: Path) -> bool:
    """Whether the daemon has the file mapped."""
    return str(file) in Path(f"/proc/{rig.pid}/maps").read_text()


def _outputs(rig: Rig, model: str = "default") -> Any:
    answer = rig.predict(ROWS, model=model)
    assert answer.status == 200, answer.body
    return answer.json["output"]


def test_deploy_seals_a_form_beside_the_candidate_and_serves_it(shared: Rig) -> None:
    form = _sealed(shared, _upload(shared, network(shared.folder / "x.onnx", 11), "sealed"))
    assert {each.name for each in form.iterdir()} == {"model.onnx", "model.data", "proof.json"}
    assert [each.name for each in form.parent.iterdir()] == [form.name]
    for name in ("model.onnx", "model.data"):
        assert (form / name).stat().st_mode & 0o777 == 0o444
    assert _maps(shared, form / "model.data")
    assert shared.get("/models/sealed").json["trial"]["compiled"]["load_seconds"] > 0


def test_answers_are_bit_identical_with_and_without_a_form(new_rig: NewRig) -> None:
    answers = []
    for choice in ("on", "off"):
        rig = new_rig(choice, gate={"trial": {"compile": choice}}).start()
        paths = [network(rig.folder / "network.onnx"), *(EXAMPLES / f"digits_{name}.onnx" for name in ("v1", "v2"))]
        for path in paths:
            form = _sealed(rig, _upload(rig, path, path.stem))
            assert (form / "model.onnx").exists() == (choice == "on")
        answers.append([_outputs(rig, path.stem) for path in paths])
    assert answers[0] == answers[1]


def test_model_with_external_data_is_served_from_its_form(shared: Rig) -> None:
    external(shared.folder / "made" / "x.onnx", value_of=7.0, columns=500)
    (shared.folder / "made").rename(shared.drop / "external")
    form = _sealed(shared, shared.wait_for_event(event="live", model="external")["sha256"])
    assert shared.predict(model="external").json["output"] == [[7.0] * 500]
    assert _maps(shared, form / "model.data")


def test_small_model_has_no_form_by_default_and_says_why(new_rig: NewRig) -> None:
    rig = new_rig().start()
    form = _sealed(rig, _upload(rig, network(rig.folder / "x.onnx")))
    assert [each.name for each in form.iterdir()] == ["proof.json"]
    assert rig.get("/models/default").json["trial"]["compiled"] == "off: a small model loads as quickly as it came"
    assert len(_outputs(rig)) == len(ROWS)


def test_model_that_came_compiled_has_no_form(shared: Rig) -> None:
    made(shared.drop / "ort")
    ort_format(shared.folder / "x.ort", 3.0).rename(shared.drop / "ort" / "x.ort")
    shared.wait_for_event(event="live", model="ort")
    assert shared.get("/models/ort").json["trial"]["compiled"] == "off: an .ort file is compiled already"
    assert shared.predict(model="ort").json["output"] == [[3.0] * 5]


def test_rollback_serves_the_sealed_form(shared: Rig) -> None:
    first = _sealed(shared, _upload(shared, network(shared.folder / "1.onnx", 21), "back"))
    before = _outputs(shared, "back")
    second = _sealed(shared, _upload(shared, network(shared.folder / "2.onnx", 22), "back"))
    assert _outputs(shared, "back") != before
    sealed = (first / "proof.json").stat().st_mtime_ns
    assert shared.post("/models/back/rollback").json["version"] == 3
    assert _outputs(shared, "back") == before
    assert _maps(shared, first / "model.data")
    assert (first / "proof.json").stat().st_mtime_ns == sealed, "it was proved again"
    assert second.exists()


@pytest.mark.parametrize("keep_previous", [False, True])
def test_rollback_never_serves_a_form_that_was_damaged_meanwhile(new_rig: NewRig, keep_previous: bool) -> None:
    rig = new_rig(gate=ON, probation={"keep_previous": keep_previous}).start()
    form = _sealed(rig, _upload(rig, network(rig.folder / "1.onnx", 21)))
    before = _outputs(rig)
    _upload(rig, network(rig.folder / "2.onnx", 22))
    _flip_a_weight(form, form)  # in files of their own: what has the old ones mapped has not changed
    answer = rig.post("/models/default/rollback")
    assert (answer.status, answer.json["version"]) == (200, 3)
    assert _outputs(rig) == before


def test_same_content_for_another_model_shares_the_form(shared: Rig) -> None:
    path = network(shared.folder / "x.onnx", 31)
    form = _sealed(shared, _upload(shared, path, "one"))
    sealed = (form / "proof.json").stat().st_mtime_ns
    _upload(shared, path, "another")
    assert _outputs(shared, "another") == _outputs(shared, "one")
    assert (form / "proof.json").stat().st_mtime_ns == sealed, "it was proved again"


def test_candidate_that_is_refused_leaves_no_form(shared: Rig) -> None:
    path = network(shared.folder / "x.onnx", 41)
    golden = made(shared.folder / "golden" / "refused")
    (golden / "never.json").write_bytes(orjson.dumps({"inputs": ROWS[:1], "output": [[0.0] * 10]}))
    answer = shared.request("PUT", "/models/refused/upload", path.read_bytes())
    assert answer.json["check"] == "golden"
    entry = shared.state / "store" / digest(path)
    eventually(lambda: not entry.exists(), "the entry to be removed")


def test_restart_serves_the_sealed_form(on: Rig) -> None:
    form = _sealed(on, _upload(on, network(on.folder / "x.onnx")))
    sealed = (form / "proof.json").stat().st_mtime_ns
    before = _outputs(on)
    on.kill()
    on.start()
    assert _maps(on, form / "model.data")
    assert _outputs(on) == before
    assert (form / "proof.json").stat().st_mtime_ns == sealed, "it was proved again"


# Forms that are not what they were.


def _flip_a_weight(form: Path, other: Path) -> None:
    content = bytearray((form / "model.data").read_bytes())
    content[len(content) // 2] ^= 0x40
    _replace(form / "model.data", bytes(content))


def _cut_the_weights(form: Path, other: Path) -> None:
    _replace(form / "model.data", (form / "model.data").read_bytes()[:-4096])


def _lose_the_weights(form: Path, other: Path) -> None:
    (form / "model.data").unlink()


def _cut_the_graph(form: Path, other: Path) -> None:
    _replace(form / "model.onnx", (form / "model.onnx").read_bytes()[:-10])


def _take_another_form(form: Path, other: Path) -> None:
    for name in ("model.onnx", "model.data"):
        _replace(form / name, (other / name).read_bytes())


def _spoil_the_proof(form: Path, other: Path) -> None:
    _replace(form / "proof.json", b'{"signature": 5}')


def _cut_the_proof(form: Path, other: Path) -> None:
    _replace(form / "proof.json", (form / "proof.json").read_bytes()[:100])


def _replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _lose_the_proof(form: Path, other: Path) -> None:
    """As a crash before it was sealed."""
    (form / "proof.json").unlink()


def _belong_to_another_library(form: Path, other: Path) -> None:
    form.rename(form.with_name("0" * 16))


def _lose_it_all(form: Path, other: Path) -> None:
    shutil.rmtree(form.parent)


DAMAGES = (
    _flip_a_weight,
    _cut_the_weights,
    _lose_the_weights,
    _cut_the_graph,
    _take_another_form,
    _spoil_the_proof,
    _cut_the_proof,
)
LOSSES = (_lose_the_proof, _belong_to_another_library, _lose_it_all)


def _model_of(act: Callable[[Path, Path], None]) -> str:
    return act.__name__.strip("_").replace("_", "-")


@dataclass(frozen=True)
class Restarted:
    """A daemon that was started again after the forms of its models were spoiled; hashes and answers from before."""

    rig: Rig
    hashes: dict[str, str]
    answers: dict[str, Any]

    def expect_the_same(self, model: str) -> None:
        """The release, its answers, and a form that was made again."""
        rig = self.rig
        assert rig.predict(ROWS, model=model).json["version"] == 1
        assert _outputs(rig, model) == self.answers[model]
        form = _sealed(rig, self.hashes[model])
        assert [each.name for each in form.parent.iterdir()] == [form.name]
        assert _maps(rig, form / "model.data")


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    rig = Rig(tmp_path_factory.mktemp("restarted"), {"gate": ON}).start()
    hashes = {}
    for seed, act in enumerate((*DAMAGES, *LOSSES)):
        hashes[_model_of(act)] = _upload(rig, network(rig.folder / "x.onnx", seed), _model_of(act))
    other = _sealed(rig, _upload(rig, network(rig.folder / "x.onnx", 99), "other"))
    forms = {model: _sealed(rig, sha256) for model, sha256 in hashes.items()}
    answers = {model: _outputs(rig, model) for model in hashes}
    rig.kill()
    for act in (*DAMAGES, *LOSSES):
        act(forms[_model_of(act)], other)
    yield Restarted(rig.start(), hashes, answers)
    rig.kill()


@pytest.mark.parametrize("damage", DAMAGES, ids=_model_of)
def test_damaged_form_is_told_of_at_a_restart_and_made_again(
    restarted: Restarted, damage: Callable[[Path, Path], None]
) -> None:
    model = _model_of(damage)
    restarted.expect_the_same(model)
    sentence = f"what was proved of {restarted.hashes[model]} is damaged and is proved again"
    assert [" WARN " in line for line in restarted.rig.log.splitlines() if sentence in line] == [True]


@pytest.mark.parametrize("loss", LOSSES, ids=_model_of)
def test_form_that_is_not_there_at_a_restart_is_made_again(
    restarted: Restarted, loss: Callable[[Path, Path], None]
) -> None:
    restarted.expect_the_same(_model_of(loss))


def test_damaged_model_falls_back_though_its_form_is_intact(on: Rig) -> None:
    first = _upload(on, network(on.folder / "1.onnx", 1))
    before = _outputs(on)
    second = _upload(on, network(on.folder / "2.onnx", 2))
    form = _sealed(on, second)
    on.kill()
    model = form.parents[1] / "__model__.onnx"
    _replace(model, model.read_bytes()[:-1])
    on.start()
    assert on.predict(ROWS).headers["X-Model-SHA256"] == first
    assert _outputs(on) == before
    assert second in on.wait_for_event(event="restored")["reason"]


def test_lost_store_entry_falls_back_to_the_release_before(on: Rig) -> None:
    first = _upload(on, network(on.folder / "1.onnx", 1))
    before = _outputs(on)
    second = _upload(on, network(on.folder / "2.onnx", 2))
    _sealed(on, second)
    on.kill()
    shutil.rmtree(on.state / "store" / second)
    on.start()
    assert _outputs(on) == before
    restored = on.wait_for_event(event="restored")
    assert (restored["version"], restored["sha256"]) == (3, first)


def test_form_goes_with_its_store_entry(new_rig: NewRig) -> None:
    rig = new_rig(gate=ON, history={"keep": 1}, probation={"seconds": 0}).start()
    _upload(rig, network(rig.folder / "1.onnx", 1))
    last = _upload(rig, network(rig.folder / "2.onnx", 2))
    store = rig.state / "store"
    eventually(lambda: {each.name for each in store.iterdir()} == {last, "tmp"}, "the old entry to be removed")
    eventually(lambda: not list((store / "tmp").iterdir()), "its files to be removed")
