"""Real models in ONNX Runtime: every dtype there and back, what is refused, deadlines, closing, the log."""

import ctypes
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import psutil
import pytest
from onnx import helper

from daemon.errors import ConfigError, InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.release import TensorSpec
from daemon.runtime import EngineOptions, check_providers, memory
from daemon.runtime.deadlines import Deadlines
from daemon.runtime.dtypes import DTYPES, Array
from daemon.runtime.engine import OnnxEngine, load_engine
from daemon.runtime.sentences import LONGEST, clean
from daemon.runtime.synthesis import first_run
from daemon.runtime.tensors import decode, encode
from tests import onnx_models

TIMEOUT_SECONDS = 20.0

Load = Callable[[Path], OnnxEngine]


@pytest.fixture
def load() -> Iterator[Load]:
    deadlines = Deadlines()
    yield lambda path: load_engine(path, EngineOptions(threads=1), deadlines)
    deadlines.stop()


def run(engine: OnnxEngine, **inputs: Array) -> list[Any]:
    return engine.run(inputs, timeout_seconds=TIMEOUT_SECONDS)


SAMPLES = {
    "float16": [1.5, -65504.0],
    "float32": [0.1, -3.4e38],
    "float64": [0.1, 1.7e308],
    "bfloat16": [1.5, -3.375],
    "int8": [-128, 127],
    "int16": [-(2**15), 2**15 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "uint8": [0, 255],
    "uint16": [0, 2**16 - 1],
    "uint32": [0, 2**32 - 1],
    "uint64": [0, 2**64 - 1],
    "bool": [True, False],
    "string": ["é日本\U0001f600", ""],
}


def test_samples_are_there_for_every_dtype() -> None:
    assert set(SAMPLES) == set(DTYPES)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_come_back_whole_in_every_shape(tmp_path: Path, load: Load, dtype: str) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx", dtype))
    pair = np.array(SAMPLES[dtype], DTYPES[dtype].numpy)
    for array in (pair, pair[:1].reshape(()), pair.reshape(1, 2, 1), pair[:0], np.zeros((2, 0, 3), pair.dtype)):
        [back] = run(engine, x=array)
        assert back.shape == array.shape
        assert back.dtype == array.dtype
        assert back.tolist() == array.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_json_comes_back_whole(tmp_path: Path, load: Load, dtype: str) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx", dtype, ["n"]))
    assert engine.signature.inputs == (TensorSpec("x", dtype, ("n",)),)
    assert engine.signature.outputs == (TensorSpec("y", dtype, ("n",)),)
    [back] = encode(run(engine, **decode(SAMPLES[dtype], engine.signature)), engine.signature)
    numbers = list(back) if isinstance(back, list) else np.asarray(back).tolist()
    assert numbers == pytest.approx(SAMPLES[dtype], rel=1e-6) if dtype != "string" else numbers == SAMPLES[dtype]


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint64", "float64", "bfloat16"])
def test_any_layout_and_byte_order_is_read_rightly(tmp_path: Path, load: Load, dtype: str) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx", dtype))
    array = np.arange(12, dtype=DTYPES[dtype].numpy).reshape(3, 4)
    swapped = array.astype(array.dtype.newbyteorder())
    read_only = np.frombuffer(array.tobytes(), array.dtype)
    for given in (array.T, array[:, ::-2], swapped, swapped.T, np.broadcast_to(array[0], (5, 4)), read_only):
        assert np.array_equal(run(engine, x=given)[0], given)


def test_bfloat16_is_rounded_to_nearest_even_on_its_way_in(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.cast(tmp_path / "m.onnx", "bfloat16", "float32"))
    given = np.array([1.00390625, 1.01171875, np.nan, np.inf], np.float32)
    [back] = run(engine, x=given)
    assert np.array_equal(back, np.array([1.0, 1.015625, np.nan, np.inf], np.float32), equal_nan=True)


def test_bfloat16_is_widened_on_its_way_out(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.cast(tmp_path / "m.onnx", "float32", "bfloat16", ["n"]))
    assert run(engine, x=np.array([0.1], np.float32))[0].tolist() == [0.10009765625]


def test_bfloat16_of_another_type_is_blamed_on_the_input(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx", "bfloat16"))
    with pytest.raises(InvalidInput, match="input 'x': expected bfloat16 given as float32, got uint16"):
        run(engine, x=np.zeros(1, np.uint16))


@pytest.mark.parametrize(
    "given",
    [
        np.array([["é", "b\0c"], ["", "日本"]], object),
        np.array([["é", "b"], ["", "日本"]]),
        np.array([["é".encode(), b"b"], ["", b""]], object),
        np.array([[b"a", b"bcd"]]),
        np.array([["a", "b"], ["c", "d"]], object).T,
    ],
)
def test_strings_arrive_as_text_however_numpy_holds_them(tmp_path: Path, load: Load, given: Array) -> None:
    [back] = run(load(onnx_models.strings(tmp_path / "m.onnx")), x=given)
    expected = [[one.decode() if isinstance(one, bytes) else one for one in row] for row in given.tolist()]
    assert back.tolist() == expected


@pytest.mark.parametrize("element", ["\ud800", b"\xff", 1, None])
def test_strings_that_are_none_are_blamed_on_the_input(tmp_path: Path, load: Load, element: object) -> None:
    engine = load(onnx_models.strings(tmp_path / "m.onnx"))
    with pytest.raises(InvalidInput, match="input 'x': expected strings"):
        run(engine, x=np.array([element], object))


def test_optional_input_has_its_default_when_left_out(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.optional_input(tmp_path / "m.onnx"))
    assert [(one.name, one.optional) for one in engine.signature.inputs] == [("x", False), ("offset", True)]
    x = np.zeros(2, np.float32)
    assert run(engine, x=x)[0].tolist() == [5.0, 5.0]
    assert run(engine, x=x, offset=np.array([1], np.float32))[0].tolist() == [1.0, 1.0]


def test_outputs_come_in_the_order_of_the_signature(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.two_inputs(tmp_path / "m.onnx"))
    outputs = run(engine, b=np.array([3], np.float32), a=np.array([2], np.float32))
    assert [spec.name for spec in engine.signature.outputs] == ["sum", "product"]
    assert [output.tolist() for output in outputs] == [[5.0], [6.0]]


@pytest.mark.parametrize(("keys", "names"), [("int64", ("3", "7")), ("string", ("nein", "já"))])
def test_sequence_of_maps_becomes_a_list_of_objects(
    tmp_path: Path, load: Load, keys: str, names: tuple[str, str]
) -> None:
    engine = load(onnx_models.zipmap_like(tmp_path / "m.onnx", keys=keys))
    assert engine.signature.outputs[1].dtype == f"seq(map({keys},tensor(float)))"
    outputs = run(engine, x=np.array([[0.25, 0.75], [1.0, 0.0]], np.float32))
    _, maps = encode(outputs, engine.signature)
    assert json.loads(json.dumps(maps)) == [dict(zip(names, row, strict=True)) for row in ([0.25, 0.75], [1.0, 0.0])]


def test_sequence_of_tensors_comes_as_a_list(tmp_path: Path, load: Load) -> None:
    [parts] = run(load(onnx_models.sequence_output(tmp_path / "m.onnx")), x=np.array([1], np.float32))
    assert [part.tolist() for part in parts] == [[1.0], [2.0]]


def test_empty_optional_output_comes_as_none(tmp_path: Path, load: Load) -> None:
    [y, maybe] = run(load(onnx_models.optional_output(tmp_path / "m.onnx")), x=np.array([1], np.float32))
    assert y.tolist() == [1.0]
    assert maybe is None


def test_model_without_inputs_runs(tmp_path: Path, load: Load) -> None:
    assert run(load(onnx_models.no_input(tmp_path / "m.onnx")))[0].tolist() == [1.0, 2.0]


def test_external_weights_and_ort_format_load(tmp_path: Path, load: Load) -> None:
    x = np.ones((1, 10), np.float32)
    assert run(load(onnx_models.external(tmp_path / "e.onnx", value_of=3)), input=x)[0][0, 0] == 3.0
    assert run(load(onnx_models.ort_format(tmp_path / "m.ort", 4)), input=x)[0][0, 0] == 4.0


def test_metadata_is_what_the_model_says_of_itself(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.described(tmp_path / "m.onnx", author="é", long="x" * 40_000))
    assert json.loads(json.dumps(engine.metadata)) == {
        "producer_name": "tests",
        "domain": "org.example",
        "description": "a model that says who it is",
        "graph_name": "graph",
        "graph_description": "a graph that does, too",
        "version": 7,
        "custom": {"author": "é", "long": "x" * 32_768},
        "providers": ["CPUExecutionProvider"],
    }


def test_version_is_none_when_the_model_has_none(tmp_path: Path, load: Load) -> None:
    assert load(onnx_models.identity(tmp_path / "m.onnx")).metadata["version"] is None


def rejection(load: Load, path: Path) -> str:
    with pytest.raises(Rejected) as caught:
        load(path)
    assert caught.value.check == "load"
    assert "/" not in caught.value.reason.replace("inputs/outputs", "")
    assert "ONNXRuntimeError" not in caught.value.reason
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "No graph was found in the protobuf."), (b"hello world" * 9, "Protobuf parsing failed.")],
)
def test_bytes_that_are_no_model_are_rejected(tmp_path: Path, load: Load, content: bytes, reason: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert rejection(load, path) == reason


def test_missing_file_is_rejected_without_its_folder(tmp_path: Path, load: Load) -> None:
    assert "File doesn't exist" in rejection(load, tmp_path / "gone.onnx")


def test_missing_external_data_is_rejected_by_its_name(tmp_path: Path, load: Load) -> None:
    path = onnx_models.external(tmp_path / "m.onnx", location="w.data")
    (tmp_path / "w.data").unlink()
    assert 'External data path does not exist: "w.data"' in rejection(load, path)


def test_unknown_operator_is_rejected_by_name(tmp_path: Path, load: Load) -> None:
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("Frobnicate", ["x"], ["y"])],
        [onnx_models.value("x")],
        [onnx_models.value("y")],
    )
    assert "No Op registered for Frobnicate" in rejection(load, path)


def test_input_that_nobody_can_feed_is_rejected(tmp_path: Path, load: Load) -> None:
    assert "input 'parts' is seq(tensor(float))" in rejection(load, onnx_models.sequence_input(tmp_path / "s.onnx"))
    eighth = onnx_models.identity(tmp_path / "f.onnx", "float8")
    assert "input 'x' is tensor(float8e4m3fn)" in rejection(load, eighth)


def test_output_that_nobody_can_read_is_rejected(tmp_path: Path, load: Load) -> None:
    path = onnx_models.cast(tmp_path / "m.onnx", "float32", "float8")
    assert "output 'y' is tensor(float8e4m3fn)" in rejection(load, path)


def test_model_without_outputs_is_rejected(tmp_path: Path, load: Load) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    path = onnx_models.save(tmp_path / "m.onnx", [node], [onnx_models.value("x")], [])
    assert rejection(load, path) == "the model has no outputs, expected at least one"


def test_doubled_output_name_is_rejected(tmp_path: Path, load: Load) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    y = onnx_models.value("y")
    path = onnx_models.save(tmp_path / "m.onnx", [node], [onnx_models.value("x")], [y, y])
    assert rejection(load, path) == "output names must differ, but 'y' is given more than once"


def test_bfloat16_output_beside_what_cannot_come_with_it_is_rejected(tmp_path: Path, load: Load) -> None:
    x, y = onnx_models.value("x", "bfloat16"), onnx_models.value("y", "bfloat16")
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("SequenceConstruct", ["z"], ["s"])]
    sequence = helper.make_tensor_sequence_value_info("s", onnx.TensorProto.FLOAT, None)
    path = onnx_models.save(tmp_path / "s.onnx", nodes, [x, onnx_models.value("z")], [y, sequence])
    assert "output 's', seq(tensor(float)), beside a bfloat16 output" in rejection(load, path)
    nodes[1] = helper.make_node("Identity", ["t"], ["u"])
    t, u = onnx_models.value("t", "string"), onnx_models.value("u", "string")
    path = onnx_models.save(tmp_path / "t.onnx", nodes, [x, t], [y, u])
    assert "string input 't' beside a bfloat16 output" in rejection(load, path)


def test_bfloat16_goes_beside_other_tensors(tmp_path: Path, load: Load) -> None:
    nodes = [helper.make_node("Identity", [name], [name.upper()]) for name in ("x", "i")]
    ins = [onnx_models.value("x", "bfloat16"), onnx_models.value("i", "int64")]
    outs = [onnx_models.value("X", "bfloat16"), onnx_models.value("I", "int64")]
    engine = load(onnx_models.save(tmp_path / "m.onnx", nodes, ins, outs))
    x, i = run(engine, x=np.array([1.5], np.float32), i=np.array([[7]]))
    assert (x.tolist(), i.tolist()) == ([1.5], [[7]])


def test_name_that_is_not_utf8_is_rejected(tmp_path: Path, load: Load) -> None:
    node = helper.make_node("Identity", ["input"], ["qqqq"])
    path = onnx_models.save(tmp_path / "m.onnx", [node], [onnx_models.value("input")], [onnx_models.value("qqqq")])
    path.write_bytes(path.read_bytes().replace(b"qqqq", b"\xff\xfe\xfd\xfc"))
    assert "UTF-8" in rejection(load, path)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"input": np.zeros((1, 9), np.float32)}, "index: 1 Got: 9 Expected: 10"),
        ({"input": np.zeros((1, 10), np.float64)}, "Unexpected input data type"),
        ({"input": np.zeros(10, np.float32)}, "Invalid rank for input: input Got: 1 Expected: 2"),
        ({}, "missing from input feed"),
        ({"input": np.zeros((1, 10), np.float32), "z": np.zeros(1)}, "Invalid input name: z"),
        ({"input": None}, "input"),
    ],
)
def test_feeds_that_do_not_fit_are_blamed_on_the_input(
    tmp_path: Path, load: Load, inputs: dict[str, Array], sentence: str
) -> None:
    engine = load(onnx_models.constant_model(tmp_path / "m.onnx", 1))
    with pytest.raises(InvalidInput, match=sentence) as caught:
        engine.run(inputs, timeout_seconds=TIMEOUT_SECONDS)
    assert "ONNXRuntimeError" not in str(caught.value)


def test_value_that_the_model_refuses_is_blamed_on_the_input(
    tmp_path: Path, load: Load, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = load(onnx_models.gather(tmp_path / "m.onnx"))
    with pytest.raises(InvalidInput, match=r"^Gather node: indices element out of data bounds, idx=100 must be within"):
        run(engine, x=np.array([100]))
    assert capfd.readouterr().err == ""


def test_run_that_fails_by_itself_is_not_blamed_on_the_input(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.failing(tmp_path / "m.onnx"))
    with pytest.raises(InferenceFailed, match=r"^Reshape node: .*The input tensor cannot be reshaped") as caught:
        run(engine, input=np.zeros((1, 10), np.float32))
    assert "onnxruntime_src" not in str(caught.value)


def test_failing_model_is_rejected_by_the_trial(tmp_path: Path, load: Load) -> None:
    with pytest.raises(Rejected, match="trial: no run on synthesised inputs succeeded: Reshape node"):
        first_run(load(onnx_models.failing(tmp_path / "m.onnx")), timeout_seconds=TIMEOUT_SECONDS)


@pytest.mark.parametrize(("timeout_seconds", "told"), [(0.0, "0 µs"), (0.1, "100 ms")])
def test_endless_run_is_stopped_at_its_deadline(tmp_path: Path, load: Load, timeout_seconds: float, told: str) -> None:
    engine = load(onnx_models.endless_loop(tmp_path / "m.onnx"))
    with pytest.raises(RunTimeout, match=f"deadline of {told}"):
        engine.run({"x": np.ones(1, np.float32)}, timeout_seconds=timeout_seconds)


def test_stopped_run_leaves_other_runs_alone(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.counted_loop(tmp_path / "m.onnx"))
    x = np.zeros(1, np.float32)
    with pytest.raises(RunTimeout):
        engine.run({"rounds": np.array(2**40), "x": x}, timeout_seconds=0.05)
    assert run(engine, rounds=np.array(3), x=x)[0].tolist() == [3.0]


def test_run_is_refused_after_close(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx"))
    engine.close()
    engine.close()
    with pytest.raises(InferenceFailed, match="the engine is closed"):
        run(engine, x=np.zeros(1, np.float32))


def test_run_in_flight_ends_well_when_the_engine_is_closed(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.counted_loop(tmp_path / "m.onnx"))
    rounds = 200_000
    outputs: list[Array] = []

    def work() -> None:
        outputs.append(run(engine, rounds=np.array(rounds), x=np.zeros(1, np.float32))[0])

    in_flight = _announce_runs(engine)
    thread = threading.Thread(target=work)
    thread.start()
    assert in_flight.wait(TIMEOUT_SECONDS)
    engine.close()
    thread.join(TIMEOUT_SECONDS)
    assert [output.tolist() for output in outputs] == [[float(rounds)]]


def _announce_runs(engine: OnnxEngine) -> threading.Event:
    """An event that is set when a run has its session and is about to enter it."""
    entered = threading.Event()
    call = engine._call

    def announced(*given: Any) -> list[Any]:
        entered.set()
        return call(*given)

    engine._call = announced  # type: ignore[method-assign, assignment]
    return entered


def test_outputs_outlive_their_engine(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx"))
    given = np.random.default_rng(0).random(100_000, np.float32)
    [back] = run(engine, x=given)
    engine.close()
    memory.trim()
    assert np.array_equal(back, given)


def test_memory_comes_back_when_an_engine_is_closed(tmp_path: Path, load: Load) -> None:
    path = onnx_models.big(tmp_path / "m.onnx", 64)
    load(onnx_models.identity(tmp_path / "small.onnx")).close()  # what is loaded once and for all
    memory.trim()
    before = psutil.Process().memory_info().rss
    engine = load(path)
    assert psutil.Process().memory_info().rss - before > 40 * 2**20
    engine.close()
    memory.trim()
    assert psutil.Process().memory_info().rss - before < 20 * 2**20


def test_freed_memory_goes_back_to_the_system_when_trimmed() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    blocks = [libc.malloc(8192) for _ in range(5000)]
    for block in blocks:
        ctypes.memset(block, 1, 8192)
    full = psutil.Process().memory_info().rss
    for block in blocks[:-1]:  # the last one keeps the heap from shrinking by itself
        libc.free(block)
    kept = psutil.Process().memory_info().rss
    memory.trim()
    trimmed = psutil.Process().memory_info().rss
    libc.free(blocks[-1])
    assert full - kept < 10 * 2**20
    assert full - trimmed > 30 * 2**20


def test_many_threads_run_one_engine_rightly(tmp_path: Path, load: Load) -> None:
    engine = load(onnx_models.identity(tmp_path / "m.onnx"))
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            if run(engine, x=np.full(3, number, np.float32))[0].tolist() != [number] * 3:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_providers_that_are_there_pass() -> None:
    check_providers(["auto"])
    check_providers(["CPUExecutionProvider"])


@pytest.mark.parametrize("names", [["NoSuchProvider"], ["auto", "CPUExecutionProvider"], []])
def test_other_providers_are_a_wrong_setting(names: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.providers: .*CPUExecutionProvider"):
        check_providers(names)


def test_auto_falls_back_to_the_cpu_when_cuda_fails(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A wheel with CUDA on a machine without a device."""
    make = onnxruntime.InferenceSession

    def without_device(*given: Any, providers: list[str], **named: Any) -> Any:
        if "CUDAExecutionProvider" in providers:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return make(*given, providers=providers, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_device)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with caplog.at_level(logging.WARNING):
        assert load(onnx_models.identity(tmp_path / "m.onnx")).metadata["providers"] == ["CPUExecutionProvider"]
    assert "no CUDA-capable device" in caplog.text


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("[ONNXRuntimeError] : 1 : FAIL : Load model from /s/m.onnx failed:bad", "bad"),
        (
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Add node. Name:'a/b' "
            "Status Message: /onnxruntime_src/onnxruntime/core/x.h:91 ns::F::F(const T&, V<(a)>&) const "
            "[with T = X] size == 1 was false. no\n",
            "Add node 'a/b': size == 1 was false. no",
        ),
        ('tensorprotoutils.cc:619 ValidateDir path does not exist: "/s/w.data"', 'path does not exist: "w.data"'),
        ("in /s is no file (x) or /s/y", "in the model's folder is no file (x) or y"),
        ("a\tb\x1b[31m\u2028c", "a b [31m c"),
    ],
)
def test_sentences_lose_what_is_not_for_users(message: str, cleaned: str) -> None:
    assert clean(message, path=Path("/s/m.onnx")) == cleaned


def test_sentences_are_cut_when_long() -> None:
    assert len(clean("word " * 500)) == LONGEST
