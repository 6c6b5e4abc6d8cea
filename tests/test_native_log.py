"""Native output: what libraries write to file descriptor 2 comes through the log, and nothing hangs on it."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Condition, Event

import pytest

from daemon.log import native
from daemon.log.native import NativeLog
from daemon.log.native_lines import LONGEST_LINE, LONGEST_MESSAGE, LineSplitter, NativeLine, NativeParser

ROOT = Path(__file__).parent.parent
WARNING_HEAD = "\x1b[0;93m2026-11-22 22:38:11.399154816 [W:onnxruntime:logid, graph.cc:128 MergeShapeInfo] "
ERROR_HEAD = "\x1b[1;31m2026-11-22 22:38:11.399154816 [E:onnxruntime:, sequential_executor.cc:677 ExecuteKernel] "


class Heard(logging.Handler):
    """Keeps every record and lets a test wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._changed = Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def messages(self, count: int) -> list[tuple[str, int, str]]:
        """Wait for so many records and give what they say."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.records) >= count, timeout=10), self.records
            return [(record.name, record.levelno, record.getMessage()) for record in self.records]


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    loggers = [logging.getLogger("native"), logging.getLogger("onnxruntime")]
    for logger in loggers:
        logger.addHandler(heard)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    yield heard
    for logger in loggers:
        logger.removeHandler(heard)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def write(text: str) -> None:
    os.write(2, text.encode())


def test_line_of_a_library_is_logged_while_the_log_is_open(heard: Heard) -> None:
    with NativeLog():
        write("malloc(): corrupted\nand half a line")
        assert heard.messages(1) == [("native", logging.WARNING, "malloc(): corrupted")]
    assert heard.messages(2)[1:] == [("native", logging.WARNING, "and half a line")]


def test_everything_written_before_close_is_logged(heard: Heard) -> None:
    with NativeLog():
        for number in range(100):
            write(f"line {number}\n")
    assert [message for _, _, message in heard.messages(100)] == [f"line {number}" for number in range(100)]


def test_close_gives_descriptor_2_back(heard: Heard) -> None:
    before = os.fstat(2)
    log = NativeLog()
    assert not os.path.samestat(os.fstat(2), before)
    assert os.path.samestat(os.fstat(log.stderr.fileno()), before)
    log.close()
    log.close()
    assert os.path.samestat(os.fstat(2), before)
    assert log.stderr.closed


def test_no_descriptor_is_left_open(heard: Heard) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    NativeLog().close()
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_stderr_stream_goes_past_the_log(heard: Heard, capfd: pytest.CaptureFixture[str]) -> None:
    with NativeLog() as log:
        print("for a person", file=log.stderr)
        assert capfd.readouterr().err == "for a person\n"
    assert heard.records == []


def test_close_does_not_wait_for_a_child_that_lives_on(heard: Heard) -> None:
    log = NativeLog()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        log.close()
        assert child.poll() is None
        assert child.stdin is not None
        child.stdin.write(b"\n")


def test_stderr_of_a_child_is_logged(heard: Heard) -> None:
    with NativeLog():
        subprocess.run(["/bin/sh", "-c", "echo from the child >&2"], check=True)
        assert heard.messages(1) == [("native", logging.WARNING, "from the child")]


def test_descriptor_2_taken_over_by_others_does_not_spin_the_reader(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    spins = Event()
    chunks = NativeLog._chunks

    def counted(log: NativeLog, most: int) -> Iterator[bytes]:
        looks.append(most)
        if len(looks) > 3:  # the line, the pipe's end, and one to spare
            spins.set()
        return chunks(log, most)

    monkeypatch.setattr(NativeLog, "_chunks", counted)
    with NativeLog() as log:
        write("before\n")
        os.dup2(log.stderr.fileno(), 2)
        heard.messages(1)
        assert not spins.wait(0.2)


def test_flood_is_counted_and_does_not_block_who_writes(heard: Heard) -> None:
    with NativeLog():
        for _ in range(40):
            write("noise\n" * 1_000)  # 240 kB in all, more than the smallest pipe holds
    said = [message for _, _, message in heard.messages(native.LINES_A_SECOND)]
    logged = said.count("noise")
    assert native.LINES_A_SECOND <= logged < 40_000
    counts = [
        int(message.split()[0]) for message in said if message.endswith("more lines came at once and are left out")
    ]
    assert logged + sum(counts) == 40_000


def test_reader_goes_on_after_the_log_failed(heard: Heard) -> None:
    def fail(record: logging.LogRecord) -> bool:
        if record.getMessage() == "poison":
            raise RuntimeError("a filter's own failure")
        return True

    logging.getLogger("native").addFilter(fail)
    try:
        with NativeLog():
            write("poison\nfine\n")
            assert heard.messages(1) == [("native", logging.WARNING, "fine")]
    finally:
        logging.getLogger("native").removeFilter(fail)


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_stderr_becomes_the_null_device(tmp_path: Path, closed: str) -> None:
    script = (
        "import logging, os, sys\n"
        "from daemon.log import NativeLog\n"
        "log = NativeLog()\n"
        f"logging.basicConfig(filename={str(tmp_path / 'x.log')!r})\n"
        "os.write(2, b'from a library\\n')\n"
        "print('nowhere', file=log.stderr)\n"
        "log.close()\n"
        "os.write(2, b'nowhere\\n')\n"
    )
    subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script], check=True, cwd=ROOT, timeout=30
    )
    assert (tmp_path / "x.log").read_text().splitlines() == ["WARNING:native:from a library"]


FAILING_RUN = """
import logging, os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
from daemon.log import NativeLog
log = NativeLog()
logging.basicConfig(stream=sys.stdout, level="DEBUG", format="%(name)s %(levelname)s %(message)s")
import numpy, onnxruntime
from onnx import TensorProto, helper
node = helper.make_node("Reshape", ["x", "shape"], ["y"])
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
held = [helper.make_tensor(name, TensorProto.INT64, [1], [7]) for name in ("shape", "unused")]
model = helper.make_model(helper.make_graph([node], "g", [x], [y], held), opset_imports=[helper.make_opsetid("", 17)])
model.ir_version = 8
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
try:
    session.run(None, {"x": numpy.zeros(3, numpy.float32)})
except Exception:
    pass
log.close()
"""


def test_onnxruntimes_own_lines_are_read_as_it_writes_them() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FAILING_RUN], check=True, cwd=ROOT, timeout=50, capture_output=True, text=True
    )
    warning, error = (line for line in run.stdout.splitlines() if line.startswith("onnxruntime"))
    assert warning.startswith("onnxruntime WARNING Removing initializer 'unused'.")
    assert error.startswith("onnxruntime DEBUG Non-zero status code returned while running Reshape node.")
    assert "native " not in run.stdout
    assert "\x1b" not in run.stdout
    assert run.stderr == ""


@pytest.mark.parametrize(
    ("severity", "level"), [("V", "DEBUG"), ("I", "INFO"), ("W", "WARNING"), ("E", "ERROR"), ("F", "CRITICAL")]
)
def test_severity_of_onnxruntime_becomes_the_level(severity: str, level: str) -> None:
    line = f"2026-11-22 22:38:11.399154816 [{severity}:onnxruntime:Default, env.cc:12 operator()] said: [a] b"
    expected = NativeLine("onnxruntime", logging.getLevelNamesMapping()[level], "said: [a] b", "env.cc:12 operator()")
    assert NativeParser().parse(line) == expected


def test_colour_is_taken_off() -> None:
    assert NativeParser().parse(WARNING_HEAD + "odd shape\x1b[m").message == "odd shape"


def test_failed_run_is_a_detail_because_the_answer_says_it() -> None:
    assert NativeParser().parse(ERROR_HEAD + "Non-zero status code\x1b[m").level == logging.DEBUG


def test_later_lines_of_a_message_are_of_its_kind_till_its_end() -> None:
    parser = NativeParser()
    lines = [parser.parse(line) for line in (WARNING_HEAD + "one", "two", "three\x1b[m", "four")]
    assert [(line.logger, line.message) for line in lines] == [
        ("onnxruntime", "one"),
        ("onnxruntime", "two"),
        ("onnxruntime", "three"),
        ("native", "four"),
    ]


def test_message_whose_end_never_comes_does_not_take_every_later_line() -> None:
    parser = NativeParser()
    parser.parse(WARNING_HEAD + "one")
    loggers = [parser.parse("more").logger for _ in range(LONGEST_MESSAGE + 5)]
    assert loggers.count("onnxruntime") == LONGEST_MESSAGE - 1
    assert loggers[-1] == "native"


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_lines_are_cut_where_they_end_however_they_come(step: int) -> None:
    stream = "one\r\n\nzwölf\n".encode() + b"\xff\n" + b"x" * (LONGEST_LINE + 9) + b"\nafter\nrest"
    splitter = LineSplitter()
    lines = [line for start in range(0, len(stream), step) for line in splitter.feed(stream[start : start + step])]
    assert [*lines, *splitter.rest()] == ["one", "", "zwölf", "\\xff", "x" * LONGEST_LINE + "… (cut)", "after", "rest"]


def test_cut_message_has_ended() -> None:
    parser = NativeParser()
    parser.parse(next(iter(LineSplitter().feed((WARNING_HEAD + "x" * 9_000).encode()))))
    assert parser.parse("another library").logger == "native"
