"""ONNX's own test cases over the wire: what ONNX Runtime meets in process is met in JSON and in binary alike."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.errors import ModeldropError
from daemon.runtime import Deadlines, Engine, EngineOptions, load_engine
from daemon.web.open_inference.datatypes import DATATYPES
from tests.fakes import release_of
from tests.onnx_cases import OnnxCase, alike, is_met_in_process, onnx_cases, written_cases
from tests.v2_wire import outputs_of, request
from tests.web_rig import WebRig

WAYS = ("JSON", "binary")
NO_JSON = "with inputs that JSON has no numbers for"


class Wire:
    """One model after the other behind a real application; ``tally`` counts the cases by kind and fate."""

    def __init__(self, folder: Path, rig: WebRig) -> None:
        self._folder = folder
        self._rig = rig
        self._deadlines = Deadlines()
        self._version = 0
        self.tally: Counter[tuple[str, str]] = Counter()
        self.lost: list[str] = []
        rig.predictor._max_body_bytes = 1 << 30

    def close(self) -> None:
        self._deadlines.stop()

    def prove(self, cases: Sequence[OnnxCase]) -> None:
        """Ask for every case that is met in process, both ways."""
        for case in cases:
            if is_met_in_process(case):
                self._prove(case)

    def _prove(self, case: OnnxCase) -> None:
        kind = kind_of(case)
        self.tally[kind, "in process"] += 1
        path = self._folder / "model.onnx"
        path.write_bytes(case.model.SerializeToString())
        try:
            engine = load_engine(path, EngineOptions(threads=1), self._deadlines)
        except ModeldropError:
            self.tally[kind, "refused when deployed"] += 1
            if kind == "tensors":
                self.lost.append(f"{case.name}: refused")
            return
        try:
            for way in WAYS:
                self._ask(case, engine, kind, way)
        finally:
            engine.close()

    def _ask(self, case: OnnxCase, engine: Engine, kind: str, way: str) -> None:
        self._version += 1
        self._rig.holder.swap(replace(release_of(self._version), signature=engine.signature), engine)
        answer = self._answer(case, engine, way)
        if way == "JSON" and not all(map(is_finite, case.inputs)):
            self.tally[kind, NO_JSON] += 1
            if (answer.status_code, answer.get_json()["code"]) != (400, "invalid_input"):
                self.lost.append(f"{case.name}: {answer.get_data()!r}")
        elif answer.status_code == 200 and is_met(case, outputs_of(answer.get_data(), answer.headers), way):
            self.tally[kind, way] += 1
        elif kind == "tensors" or answer.status_code not in (200, 400):
            self.lost.append(f"{case.name}, {way}: {answer.status_code} {answer.get_data()[:300]!r}")
        else:
            self.tally[kind, f"no form in {way}"] += 1

    def _answer(self, case: OnnxCase, engine: Engine, way: str) -> Any:
        specs = {spec.name: spec for spec in engine.signature.inputs}
        named = zip(case.model.graph.input, case.inputs, strict=False)
        tensors = {
            info.name: (native(value), DATATYPES[specs[info.name].dtype]) for info, value in named if value is not None
        }
        is_binary = way == "binary"
        body, headers = request(tensors, binary=is_binary, parameters={"binary_data_output": is_binary})
        return self._rig.post("/v2/models/default/infer", body, headers=headers)


def is_finite(value: Any) -> bool:
    """Whether JSON can carry it."""
    return value is None or native(value).dtype.kind != "f" or bool(np.isfinite(native(value)).all())


def native(value: Any) -> Any:
    """Types that numpy borrows as those that it has."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def kind_of(case: OnnxCase) -> str:
    """Whether the case is about tensors alone."""
    infos = (*case.model.graph.input, *case.model.graph.output)
    return "tensors" if all(info.type.WhichOneof("value") == "tensor_type" for info in infos) else "others"


def is_met(case: OnnxCase, found: dict[str, Any], way: str) -> bool:
    """Whether all outputs are there, at the case's own tolerance; JSON has null for what is no number."""
    outputs: list[Any] = [found.get(info.name) for info in case.model.graph.output]
    if kind_of(case) != "tensors":  # a sequence comes as one tensor
        pairs = zip(case.outputs, outputs, strict=True)
        outputs = [list(ours) if isinstance(wanted, list) else ours for wanted, ours in pairs]
    expected = [nulled(value) if way == "JSON" else value for value in case.outputs]
    return alike(replace(case, outputs=expected), outputs)


def nulled(value: Any) -> Any:
    if isinstance(value, list):
        return [nulled(each) for each in value]
    if value is None or np.asarray(value).dtype.kind != "f":
        return value
    return np.where(np.isfinite(value), value, np.asarray(value).dtype.type("nan"))


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with WebRig(tmp_path) as rig:
        rig.update(1)
        wire = Wire(tmp_path, rig)
        yield wire
        wire.close()


def test_onnxs_own_cases_are_met_over_the_wire_as_they_are_in_process(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    wire.prove([*written_cases(), *onnx_cases(seed=0)])
    with capsys.disabled():
        told = [f"{count} {fate} ({kind})" for (kind, fate), count in sorted(wire.tally.items())]
        print(f"[ONNX's cases: {', '.join(told)}]", end=" ")
    assert wire.lost == []
    in_process = wire.tally["tensors", "in process"]
    assert in_process > 1500
    assert wire.tally["tensors", "binary"] == in_process
    assert wire.tally["tensors", "JSON"] + wire.tally["tensors", NO_JSON] == in_process
    assert wire.tally["tensors", NO_JSON] < 40
    assert wire.tally["others", "binary"] > 0
