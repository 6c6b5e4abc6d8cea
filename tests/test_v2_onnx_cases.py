"""ONNX's own test cases through the application: what ONNX Runtime meets by itself is met in JSON and in binary alike.

Over a socket, some are asked in every run and all in the slow one: ``tests/e2e/test_onnx_cases_http.py``.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import ModeldropError
from daemon.runtime import Deadlines, Engine, EngineOptions, load_engine
from daemon.web.open_inference.datatypes import DATATYPES
from tests.fakes import release_of
from tests.onnx_cases import OnnxCase, is_met_in_process, onnx_cases, written_cases
from tests.onnx_wire import NO_JSON, WAYS, asked, is_finite, is_met, kind_of
from tests.v2_wire import outputs_of
from tests.web_rig import WebRig


class Application:
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
        datatypes = {spec.name: DATATYPES[spec.dtype] for spec in engine.signature.inputs if spec.dtype in DATATYPES}
        body, headers = asked(case, datatypes, way)
        return self._rig.post("/v2/models/default/infer", body, headers=headers)


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    with WebRig(tmp_path) as rig:
        rig.update(1)
        application = Application(tmp_path, rig)
        yield application
        application.close()


def test_onnxs_own_cases_are_met_by_the_application_as_by_onnx_runtime(
    application: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    application.prove([*written_cases(), *onnx_cases(seed=0)])
    with capsys.disabled():
        told = [f"{count} {fate} ({kind})" for (kind, fate), count in sorted(application.tally.items())]
        print(f"[ONNX's cases in the application: {', '.join(told)}]", end=" ")
    assert application.lost == []
    in_process = application.tally["tensors", "in process"]
    assert in_process > 1500
    assert application.tally["tensors", "binary"] == in_process
    assert application.tally["tensors", "JSON"] + application.tally["tensors", NO_JSON] == in_process
    assert application.tally["tensors", NO_JSON] < 40
    assert application.tally["others", "binary"] > 0
