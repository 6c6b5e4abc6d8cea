"""The example models do what their README says: they read digits, and the classroom's pair gives its printed answer."""

import asyncio
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from aiohttp import web

from examples import classroom_load_test, make_models
from examples.classroom_load_test import ANSWERS, Answer, find_fault, load

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "examples" / "models"
DIGITS = ("digits_v1", "digits_v2", "digits_boosted")


def session_of(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODELS / f"{name}.onnx", options)


def accuracy_of(name: str) -> float:
    _, held_out, _, labels = make_models.split_digits()
    return float(np.mean(session_of(name).run(["label"], {"pixels": held_out})[0] == labels))


def label_of(name: str, body: str) -> int:
    pixels = np.asarray(json.loads((ROOT / "examples" / body).read_text())["inputs"], np.float32)
    assert pixels.shape == (1, 64)
    return int(session_of(name).run(["label"], {"pixels": pixels})[0][0])


@pytest.mark.parametrize("name", DIGITS)
def test_digits_model_reads_held_out_digits(name: str) -> None:
    assert accuracy_of(name) >= 0.9


@pytest.mark.parametrize("name", DIGITS)
def test_stated_accuracy_is_the_measured_one(name: str) -> None:
    stated = float(session_of(name).get_modelmeta().custom_metadata_map["accuracy"])
    assert accuracy_of(name) == pytest.approx(stated, abs=0.003)
    assert f"models/{name}.onnx" in (ROOT / "examples" / "README.md").read_text()
    assert f"| {stated:.4f} |" in (ROOT / "examples" / "README.md").read_text()


def test_second_digits_model_is_better_than_the_first() -> None:
    assert accuracy_of("digits_v2") > accuracy_of("digits_v1") + 0.02


@pytest.mark.parametrize("name", DIGITS)
def test_easy_digit_is_read_by_every_model(name: str) -> None:
    assert label_of(name, "digits.json") == 4


@pytest.mark.parametrize(("name", "label"), [("digits_v1", 3), ("digits_v2", 2), ("digits_boosted", 2)])
def test_hard_digit_is_read_by_the_better_models_only(name: str, label: int) -> None:
    assert label_of(name, "digits_hard.json") == label


def test_boosted_model_answers_probabilities_as_maps() -> None:
    pixels = np.zeros((2, 64), np.float32)
    rows = session_of("digits_boosted").run(["probabilities"], {"pixels": pixels})[0]
    assert [sorted(row) for row in rows] == [list(range(10))] * 2
    assert sum(rows[0].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["digits_v1", "digits_v2"])
def test_plain_digits_models_answer_probabilities_as_a_tensor(name: str) -> None:
    probabilities = session_of(name).run(["probabilities"], {"pixels": np.zeros((3, 64), np.float32)})[0]
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_classroom_model_gives_its_printed_answer_for_ten_ones() -> None:
    printed = [[-0.2857082, 0.1481001, 0.0694598, 0.0227364, -0.0683998]]
    output = session_of("deploy").run(["output"], {"input": np.ones((1, 10), np.float32)})[0]
    np.testing.assert_allclose(output, printed, rtol=0, atol=1e-6)


def test_classroom_load_test_expects_what_each_model_answers() -> None:
    for name, answer in ANSWERS.items():
        output = session_of(Path(name).stem).run(["output"], {"input": np.ones((1, 10), np.float32)})[0]
        np.testing.assert_allclose(output, [answer], rtol=0, atol=1e-6)


def test_classroom_models_differ_elsewhere_than_at_ten_ones() -> None:
    row = np.linspace(-1, 1, 10, dtype=np.float32)[np.newaxis]
    first, second = (session_of(name).run(["output"], {"input": row})[0] for name in ("deploy", "deploy_new"))
    assert np.abs(first - second).max() > 0.1


def test_shipped_drop_is_the_classroom_model() -> None:
    assert (ROOT / "model_drop" / "deploy.onnx").read_bytes() == (MODELS / "deploy.onnx").read_bytes()


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.onnx")), ids=lambda path: path.stem)
def test_model_is_small_and_readable_by_old_runtimes(path: Path) -> None:
    model = onnx.load(path)
    assert path.stat().st_size < 200_000
    assert model.ir_version == 8
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 17


@pytest.mark.slow
def test_made_again_models_predict_the_same() -> None:
    _, held_out, _, _ = make_models.split_digits()
    ones = np.ones((1, 10), np.float32)
    for name, model in make_models.make_all().items():
        made = onnxruntime.InferenceSession(model.SerializeToString())
        feeds = {"pixels": held_out} if name in DIGITS else {"input": ones}
        agreed = np.isclose(made.run(None, feeds)[0], session_of(name).run(None, feeds)[0], atol=1e-6)
        assert agreed.mean() >= 0.99, name  # another processor may round a borderline digit the other way


def test_fault_is_found_in_an_output_of_the_other_model() -> None:
    body = {"model_path": "deploy_new.onnx", "output": [list(ANSWERS["deploy.onnx"])]}
    assert "is not what deploy_new.onnx answers" in find_fault(200, body, expects_output=True)
    body["model_path"] = "model_drop/deploy.onnx"
    assert find_fault(200, body, expects_output=True) == ""


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, {"error": "no release serves"}, "expected 200, got 503: no release serves"),
        (200, {"model_path": "other.onnx", "output": [[1]]}, "not of the pair"),
        (200, {"model_path": "deploy.onnx", "output": [[1]]}, "expected one row of 5 numbers"),
        (200, {"model_path": "deploy.onnx"}, "got None"),
    ],
)
def test_fault_is_found_in_an_answer_that_is_off(status: int, body: dict[str, object], said: str) -> None:
    assert said in find_fault(status, body, expects_output=True)


class FakeDaemon:
    """Answers like the daemon does, with the model that the last update named; lives on one event loop."""

    def __init__(self) -> None:
        self.model_path = "deploy.onnx"
        self.updates: list[str] = []

    async def predict(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body == {"inputs": [[1.0] * 10]}
        return web.json_response({"output": [ANSWERS[self.model_path]], "model_path": self.model_path, "version": 1})

    async def update(self, request: web.Request) -> web.Response:
        self.model_path = (await request.json())["model_path"]
        self.updates.append(self.model_path)
        return web.json_response({"outcome": "live"})


async def load_fake(daemon: FakeDaemon) -> list[Answer]:
    app = web.Application()
    app.add_routes([web.post("/predict", daemon.predict), web.post("/update_model", daemon.update)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return await load(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def test_load_test_sends_thirty_predictions_and_two_updates() -> None:
    daemon = FakeDaemon()
    answers = asyncio.run(load_fake(daemon))
    assert [answer.fault for answer in answers] == [""] * 32
    assert [answers.index(answer) for answer in answers if "update_model" in answer.request] == [10, 21]
    assert sorted(daemon.updates) == ["deploy.onnx", "deploy_new.onnx"]


def test_load_test_reports_a_daemon_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    answers = asyncio.run(load("http://127.0.0.1:9"))  # the discard port: nobody listens
    classroom_load_test.show(answers)
    assert all(answer.fault for answer in answers)
    assert "0 of 32 answers are right" in capsys.readouterr().out
