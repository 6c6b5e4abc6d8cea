"""Expected answers: a candidate that misses one is refused. It runs on the deployer's thread.

They are read anew for every candidate, so a file that is put there counts from then on.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from daemon.errors import InvalidInput, Rejected
from daemon.gate.comparing import Miss, Tolerance, miss_of
from daemon.gate.subject import Subject
from daemon.gate.tried import Ran, Tried
from daemon.intake.naming import TEST_DATA_PREFIX, shown
from daemon.release import Signature
from daemon.runtime import Array, decode

WAYS_ON = "mend the model or what is expected of it, or deploy it with force"
MOST_FILES = 1000
MOST_BYTES = 64 << 20
_KEYS = frozenset({"inputs", "output", "outputs", "atol", "rtol"})
_KEYS_OF_AN_ANSWER = frozenset({"model", "model_path", "version"})
"""An answer may be pasted as it came; what it says of its release is not compared."""


@dataclass(frozen=True, slots=True)
class Example:
    """One expected answer: arrays by name, what is expected by output, and how near."""

    called: str
    inputs: Mapping[str, Array]
    expected: Mapping[str, object]
    tolerance: Tolerance


class Golden:
    """Runs what lies in ``folder/MODEL/*.json`` and ONNX's ``test_data_set_*`` beside the file that came.

    ``folder`` None is none. ``timeout_seconds`` is for each run.
    """

    name = "golden"

    def __init__(self, folder: Path | None, tolerance: Tolerance, *, timeout_seconds: float) -> None:
        self._folder = folder
        self._tolerance = tolerance
        self._timeout_seconds = timeout_seconds

    def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:
        signature = tried.proof.signature
        missed: list[tuple[Example, str, Miss]] = []
        checked = 0
        for example in self._examples(subject, tried, signature):
            checked += 1
            ran = tried.run(example.inputs, timeout_seconds=self._timeout_seconds)
            missed += _missed(example, ran, signature)
            if ran.failed == "RunTimeout":
                break  # each of a thousand more could take as long
        if missed:
            raise Rejected(self.name, _sentence(missed, checked), {"checked": checked})
        return {"checked": checked} if checked else {}

    def _examples(self, subject: Subject, tried: Tried, signature: Signature) -> Iterator[Example]:
        for path in golden_files(self._folder, subject.model):
            yield _from_json(path, f"golden/{subject.model}/{shown(path.name)}", signature, self._tolerance)
        for folder in test_data_sets(subject.beside):
            inputs, expected = tried.read_test_data(folder)
            if not expected:
                raise Rejected(self.name, f"{shown(folder.name)}: there is no output_0.pb")
            yield Example(shown(folder.name), inputs, expected, self._tolerance)


def _missed(example: Example, ran: Ran, signature: Signature) -> list[tuple[Example, str, Miss]]:
    if ran.failed:
        return [(example, "", Miss(float("inf"), f"the run failed: {ran.reason}"))]
    found = dict(zip((spec.name for spec in signature.outputs), ran.outputs, strict=True))
    misses = ((name, miss_of(value, found[name], example.tolerance)) for name, value in example.expected.items())
    return [(example, name, miss) for name, miss in misses if miss is not None]


def _sentence(missed: Sequence[tuple[Example, str, Miss]], checked: int) -> str:
    example, output, miss = max(missed, key=lambda each: each[2].size)
    what = f"output {output!r} " if output else ""
    files = len({each[0].called for each in missed})
    rest = f"; {files} of {checked} examples are missed" if checked > 1 else ""
    return f"{example.called}: {what}{miss.clause}{rest}; {WAYS_ON}"


def golden_files(root: Path | None, model: str) -> list[Path]:
    """The golden files of ``model`` below ``root``, by name; raises Rejected where they cannot be listed."""
    if root is None:
        return []
    folder, called = root / model, f"golden/{model}"
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Rejected("golden", f"{called} cannot be read: {error.strerror}") from None
    if len(found) > MOST_FILES:
        raise Rejected("golden", f"there are {len(found)} files in {called}, expected {MOST_FILES} at most")
    return found


def test_data_sets(beside: Path | None) -> list[Path]:
    """The folders of ONNX's test data in ``beside``, by name."""
    if beside is None:
        return []
    with suppress(OSError), os.scandir(beside) as entries:
        names = [each.name for each in entries if each.name.startswith(TEST_DATA_PREFIX) and each.is_dir()]
        return [beside / name for name in sorted(names)[:MOST_FILES]]
    return []


def _from_json(path: Path, called: str, signature: Signature, default: Tolerance) -> Example:
    """The example in a file; raises Rejected for one that cannot be read: what cannot be checked is not proved."""
    value = read_golden(path, called)
    if value.keys() >= {"error", "code"}:
        raise Rejected("golden", f"{called}: it holds the answer that a request was refused with, not a prediction")
    for key in value.keys() - _KEYS - _KEYS_OF_AN_ANSWER:
        raise Rejected("golden", f"{called}: unknown key {key!r:.100}, expected {', '.join(sorted(_KEYS))}")
    try:
        inputs = decode(value["inputs"], signature)
    except KeyError:
        raise Rejected("golden", f"{called}: there are no 'inputs'") from None
    except InvalidInput as error:
        raise Rejected("golden", f"{called}: the model does not take its inputs: {error}") from None
    return Example(called, inputs, _expected(value, called, signature), _tolerance(value, called, default))


def read_golden(path: Path, called: str) -> dict[str, Any]:
    """The object in a golden file; raises Rejected, with what it is ``called``, for anything else."""
    try:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):  # a FIFO would never end
            raise Rejected("golden", f"{called} is no file")
        if seen.st_size > MOST_BYTES:
            raise Rejected("golden", f"{called} is larger than {MOST_BYTES >> 20} MB")
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise Rejected("golden", f"{called} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(value, dict):
        raise Rejected("golden", f"{called}: expected an object with 'inputs' and 'output' or 'outputs'")
    return value


def _expected(value: Mapping[str, Any], called: str, signature: Signature) -> dict[str, object]:
    names = [spec.name for spec in signature.outputs]
    expected: dict[str, object] = {}
    if "output" in value:
        expected[names[0]] = value["output"]
    if "outputs" in value:
        if not isinstance(value["outputs"], dict):
            raise Rejected("golden", f"{called}: expected 'outputs' as an object by name")
        expected |= value["outputs"]
    if not expected:
        raise Rejected("golden", f"{called}: there is neither 'output' nor 'outputs'")
    for name in expected.keys() - set(names):
        raise Rejected("golden", f"{called}: the model has no output {name!r:.100}, only {', '.join(map(repr, names))}")
    return expected


def _tolerance(value: Mapping[str, Any], called: str, default: Tolerance) -> Tolerance:
    given = {key: value[key] for key in ("atol", "rtol") if key in value}
    for key, number in given.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
            raise Rejected("golden", f"{called}: {key} is {number!r:.50}, expected a number from 0 on")
    return Tolerance(given.get("atol", default.absolute), given.get("rtol", default.relative), is_given=bool(given))
