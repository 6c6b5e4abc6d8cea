"""Sessions: from a model as it came, and from the form that was saved of it; for whom that form holds."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from daemon.errors import ConfigError, Rejected
from daemon.runtime import EngineOptions, can_save, saved_key, sessions
from daemon.runtime.sessions import SAVED_MODEL, SAVED_WEIGHTS, open_model, open_saved, operator_domains
from tests import onnx_models

CPU = EngineOptions(providers=("CPUExecutionProvider",), threads=1)
AUTO = EngineOptions()
CUDA_FIRST = EngineOptions(providers=("CUDAExecutionProvider", "CPUExecutionProvider"))

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Processor
stepping\t: 8
cpu MHz\t\t: 2000.000
flags\t\t: fpu sse2 avx2 avx512f
bogomips\t: 4000.00

processor\t: 1
vendor_id\t: GenuineIntel
flags\t\t: fpu
"""


@pytest.fixture
def form(tmp_path: Path) -> Path:
    folder = tmp_path / "form"
    folder.mkdir()
    return folder


def network(path: Path) -> Path:
    """``input`` float32 [batch, 64] → ``output`` [batch, 256], with weights that are worth to be prepacked."""
    rng = np.random.default_rng(0)
    return onnx_models.gemm(path, rng.random((64, 256), np.float32) - 0.5, rng.random(256, np.float32))


def run(session: Any, rows: int = 3) -> np.ndarray[Any, Any]:
    inputs = np.random.default_rng(1).random((rows, 64), np.float32)
    (output,) = session.run(None, {"input": inputs})
    array: np.ndarray[Any, Any] = output
    return array


def mapped() -> str:
    return Path("/proc/self/maps").read_text()


# The saved form.


def test_saved_form_gives_the_same_bits(tmp_path: Path, form: Path) -> None:
    original = open_model(network(tmp_path / "m.onnx"), CPU, save_to=form)
    saved = open_saved(form / SAVED_MODEL, CPU)
    for rows in (1, 3, 32):
        assert run(saved, rows).tobytes() == run(original, rows).tobytes()


def test_saved_form_needs_nothing_of_the_original(tmp_path: Path, form: Path) -> None:
    path = onnx_models.mapped_weights(tmp_path / "m.onnx", 4096)
    open_model(path, CPU, save_to=form)
    path.unlink()
    (tmp_path / "m.onnx.data").unlink()
    (output,) = open_saved(form / SAVED_MODEL, CPU).run(None, {"x": np.zeros((1, 4096), np.float32)})
    assert output.tolist() == [[1.0] * 4096]


def test_saved_form_is_mapped(tmp_path: Path, form: Path) -> None:
    open_model(network(tmp_path / "m.onnx"), CPU, save_to=form)
    assert str(form / SAVED_WEIGHTS) not in mapped()
    session = open_saved(form / SAVED_MODEL, CPU)
    assert str(form / SAVED_WEIGHTS) in mapped()
    del session


def test_saved_form_has_its_weights_beside_the_graph(tmp_path: Path, form: Path) -> None:
    open_model(network(tmp_path / "m.onnx"), CPU, save_to=form)
    assert sorted(path.name for path in form.iterdir()) == [SAVED_WEIGHTS, SAVED_MODEL]
    assert (form / SAVED_WEIGHTS).stat().st_size >= 64 * 256 * 4
    graph = onnx.load(form / SAVED_MODEL, load_external_data=False).graph
    outside = {tensor.name for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL}
    assert "weights" in outside


def test_saved_form_holds_small_weights_itself(tmp_path: Path, form: Path) -> None:
    open_model(onnx_models.constant_model(tmp_path / "m.onnx", 3.0), CPU, save_to=form)
    (form / SAVED_WEIGHTS).unlink(missing_ok=True)
    (output,) = open_saved(form / SAVED_MODEL, CPU).run(None, {"input": np.zeros((1, 10), np.float32)})
    assert output.tolist() == [[3.0] * 5]


def test_saved_form_is_the_optimised_graph(tmp_path: Path, form: Path) -> None:
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [onnx.helper.make_node("Identity", ["x"], ["same"]), onnx.helper.make_node("Sin", ["same"], ["y"])],
        [onnx_models.value("x", "float32", ["n"])],
        [onnx_models.value("y", "float32", ["n"])],
    )
    open_model(path, CPU, save_to=form)
    assert [node.op_type for node in onnx.load(form / SAVED_MODEL).graph.node] == ["Sin"]


def test_saved_form_is_taken_as_it_is(tmp_path: Path, form: Path) -> None:
    """What was optimised once is not optimised again: that is what a load costs."""
    open_model(network(tmp_path / "m.onnx"), CPU, save_to=form)
    options = open_saved(form / SAVED_MODEL, CPU).get_session_options()
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def test_saving_is_not_warned_of(tmp_path: Path, form: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_model(network(tmp_path / "m.onnx"), CPU, save_to=form)
    open_saved(form / SAVED_MODEL, CPU)
    assert capfd.readouterr().err == ""


def test_model_is_not_saved_unless_it_is_asked_for(tmp_path: Path) -> None:
    open_model(network(tmp_path / "m.onnx"), CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("content", [None, b"", b"no model"], ids=["gone", "empty", "other bytes"])
def test_saved_form_that_does_not_load_is_refused(tmp_path: Path, form: Path, content: bytes | None) -> None:
    if content is not None:
        (form / SAVED_MODEL).write_bytes(content)
    with pytest.raises(Rejected) as refusal:
        open_saved(form / SAVED_MODEL, CPU)
    assert refusal.value.check == "load"
    assert str(tmp_path) not in refusal.value.reason


@pytest.mark.parametrize("content", [None, b"short"], ids=["gone", "short"])
def test_saved_form_whose_weights_are_damaged_is_refused(tmp_path: Path, form: Path, content: bytes | None) -> None:
    open_model(network(tmp_path / "m.onnx"), CPU, save_to=form)
    (form / SAVED_WEIGHTS).unlink()
    if content is not None:
        (form / SAVED_WEIGHTS).write_bytes(content)
    with pytest.raises(Rejected):
        open_saved(form / SAVED_MODEL, CPU)


def test_model_that_does_not_load_is_refused_without_its_folder(tmp_path: Path, form: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(Rejected) as refusal:
        open_model(tmp_path / "m.onnx", CPU, save_to=form)
    assert refusal.value.check == "load"
    assert str(tmp_path) not in refusal.value.reason
    assert list(form.iterdir()) == []


def test_provider_that_is_not_there_is_no_fault_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.providers: 'NoneExecutionProvider' is not available"):
        open_model(network(tmp_path / "m.onnx"), EngineOptions(providers=("NoneExecutionProvider",)))


# Preferences: with CUDA in the library, as on a machine of that kind.


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library has CUDA, but the machine no working device."""
    have = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    real = onnxruntime.InferenceSession

    def open_session(path: str, settings: Any, *, providers: list[str], **more: Any) -> Any:
        if "CUDAExecutionProvider" in providers:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return real(path, settings, providers=providers, **more)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: have)
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)


@pytest.mark.usefixtures("with_cuda")
def test_auto_takes_the_cpu_where_cuda_does_not_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert run(open_model(network(tmp_path / "m.onnx"), AUTO)).shape == (3, 256)
    (message,) = caplog.messages
    assert message.startswith("no session with CUDAExecutionProvider, trying CPUExecutionProvider: CUDA failure 100")


@pytest.mark.usefixtures("with_cuda")
def test_cuda_that_was_asked_for_by_name_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no CUDA-capable device"):
        open_model(network(tmp_path / "m.onnx"), CUDA_FIRST)


@pytest.mark.usefixtures("with_cuda")
def test_only_sessions_of_the_cpu_alone_can_be_saved_where_there_is_cuda() -> None:
    assert can_save(CPU)
    assert not can_save(AUTO)
    assert not can_save(CUDA_FIRST)


@pytest.mark.usefixtures("with_cuda")
def test_key_of_auto_is_another_where_there_is_cuda(cpuinfo: Path) -> None:
    assert saved_key(AUTO, cpuinfo=cpuinfo) != saved_key(CPU, cpuinfo=cpuinfo)


def test_auto_can_be_saved_where_there_is_only_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert can_save(AUTO)


# The key.


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    return path


def rekeyed(cpuinfo: Path, old: str, new: str) -> str:
    """The key on a machine that differs so."""
    assert old in CPUINFO
    cpuinfo.write_text(CPUINFO.replace(old, new))
    return saved_key(CPU, cpuinfo=cpuinfo)


def test_key_is_the_same_for_the_same(cpuinfo: Path) -> None:
    key = saved_key(CPU, cpuinfo=cpuinfo)
    assert key == saved_key(EngineOptions(providers=CPU.providers), cpuinfo=cpuinfo)
    assert len(key) == 16
    assert int(key, 16) >= 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("GenuineIntel", "AuthenticAMD"),
        ("family\t: 6", "family\t: 25"),
        ("model\t\t: 143", "model\t\t: 85"),
        ("Xeon(R) Processor", "Xeon(R) Gold"),
        (" avx512f", ""),
        ("flags", "Features"),
    ],
    ids=["vendor", "family", "model", "name", "an instruction less", "ARM's word"],
)
def test_key_changes_with_the_processor(cpuinfo: Path, old: str, new: str) -> None:
    assert rekeyed(cpuinfo, old, new) != saved_key(CPU, cpuinfo=Path("/none"))
    cpuinfo.write_text(CPUINFO)
    assert saved_key(CPU, cpuinfo=cpuinfo) != rekeyed(cpuinfo, old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sse2 avx2", "avx2 sse2"),
        ("2000.000", "3100.123"),
        ("4000.00", "4001.00"),
        ("stepping\t: 8", "stepping\t: 9"),
        ("flags\t\t: fpu\n", "flags\t\t: fpu later\n"),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 6", "cpu family\t: 6\nvendor_id\t: GenuineIntel"),
        ("model\t\t: 143", "model : 143"),
    ],
    ids=["order of flags", "clock", "bogomips", "stepping", "other processors", "order of lines", "spaces"],
)
def test_key_stays_with_what_says_nothing_of_the_processors_kind(cpuinfo: Path, old: str, new: str) -> None:
    before = saved_key(CPU, cpuinfo=cpuinfo)
    assert rekeyed(cpuinfo, old, new) == before


def test_key_is_there_where_the_system_does_not_say(tmp_path: Path) -> None:
    assert len(saved_key(CPU, cpuinfo=tmp_path / "none")) == 16


def test_key_changes_with_the_providers_and_their_order(cpuinfo: Path) -> None:
    names = ("CPUExecutionProvider", "CUDAExecutionProvider")
    choices = [names[:1], names, names[::-1]]
    assert len({saved_key(EngineOptions(providers=choice), cpuinfo=cpuinfo) for choice in choices}) == 3


def test_key_changes_with_the_library(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved_key(CPU, cpuinfo=cpuinfo)
    monkeypatch.setattr(sessions, "VERSION", "9.9.9")
    assert saved_key(CPU, cpuinfo=cpuinfo) != before


def test_key_changes_with_the_form(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved_key(CPU, cpuinfo=cpuinfo)
    monkeypatch.setattr(sessions, "_FORM", sessions._FORM + 1)
    assert saved_key(CPU, cpuinfo=cpuinfo) != before


def test_key_stays_with_the_number_of_threads(cpuinfo: Path) -> None:
    keys = {
        saved_key(EngineOptions(providers=CPU.providers, threads=threads), cpuinfo=cpuinfo) for threads in (0, 1, 9)
    }
    assert len(keys) == 1


def test_form_that_was_saved_by_one_thread_runs_on_more(tmp_path: Path, form: Path) -> None:
    original = open_model(network(tmp_path / "m.onnx"), CPU, save_to=form)
    saved = open_saved(form / SAVED_MODEL, EngineOptions(providers=CPU.providers, threads=2))
    assert np.allclose(run(saved, 32), run(original, 32))


# What is asked of the library.


def test_refusal_of_bytes_is_empty_for_a_model_that_is_taken(tmp_path: Path) -> None:
    assert sessions.refusal_of_bytes(network(tmp_path / "m.onnx").read_bytes()) == ""


def test_refusal_of_bytes_says_why() -> None:
    assert "protobuf parsing failed" in sessions.refusal_of_bytes(b"no model")


def test_refusal_of_bytes_logs_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(onnx_models.identity(tmp_path / "m.onnx"))
    model.graph.initializer.append(onnx_models.constant("unused", np.zeros(4, np.float32)))
    assert sessions.refusal_of_bytes(model.SerializeToString()) == ""
    assert capfd.readouterr().err == ""


def test_operator_domains_are_those_of_the_library() -> None:
    domains = operator_domains()
    assert domains is not None
    assert {"", "ai.onnx.ml", "com.microsoft"} <= domains
    assert "org.example" not in domains


def test_operator_domains_are_unknown_where_the_library_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(onnxruntime.capi.onnxruntime_pybind11_state, "get_all_operator_schema")
    assert operator_domains() is None
