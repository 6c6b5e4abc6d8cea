"""ONNX's own test cases over a socket: a real daemon is given each model and asked in JSON and in binary."""

import http.client
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from tests.e2e.rig import Answer, Rig
from tests.onnx_cases import OnnxCase, is_met_in_process, onnx_cases, write_case, written_cases
from tests.onnx_wire import NO_JSON, WAYS, asked, is_finite, is_met, kind_of
from tests.v2_wire import outputs_of

SETTINGS = {
    "server": {"max_body_mb": 1024},
    "gate": {"trial": {"measure_ms": 0}, "signature": "off", "replay": {"requests": 0}},
    "probation": {"seconds": 0},
    "log": {"level": "warning"},
}
"""What lets one model after the other, of any form, take the same name quickly."""


class Wire:
    """One model after the other behind one connection; ``tally`` counts the cases by kind and fate."""

    def __init__(self, rig: Rig, cases: Path) -> None:
        self._cases = cases
        self._connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=60)
        self.tally: Counter[tuple[str, str]] = Counter()
        self.lost: list[str] = []

    def close(self) -> None:
        self._connection.close()

    def prove(self, cases: Sequence[OnnxCase]) -> None:
        """Deploy every case that is met in process, and ask for it both ways."""
        for case in cases:
            if is_met_in_process(case):
                self._prove(case)

    def _prove(self, case: OnnxCase) -> None:
        kind = kind_of(case)
        self.tally[kind, "in process"] += 1
        path = write_case(self._cases / case.name, case) / "model.onnx"
        told = self._ask("POST", "/update_model", orjson.dumps({"model_path": str(path), "model": "case"}))
        if told.status != 200:
            self.tally[kind, "refused when deployed"] += 1
            if kind == "tensors" or told.status != 422:
                self.lost.append(f"{case.name}: {told.status} {told.body[:300]!r}")
            return
        inputs = self._ask("GET", "/v2/models/case").json["inputs"]
        for way in WAYS:
            self._prove_way(case, {each["name"]: each["datatype"] for each in inputs}, kind, way)

    def _prove_way(self, case: OnnxCase, datatypes: dict[str, str], kind: str, way: str) -> None:
        body, headers = asked(case, datatypes, way)
        answer = self._ask("POST", "/v2/models/case/infer", body, headers)
        if way == "JSON" and not all(map(is_finite, case.inputs)):
            self.tally[kind, NO_JSON] += 1
            if (answer.status, answer.json["code"]) != (400, "invalid_input"):
                self.lost.append(f"{case.name}: {answer.body!r}")
        elif answer.status == 200 and is_met(case, outputs_of(answer.body, dict(answer.headers.items())), way):
            self.tally[kind, way] += 1
        elif kind == "tensors" or answer.status not in (200, 400):
            self.lost.append(f"{case.name}, {way}: {answer.status} {answer.body[:300]!r}")
        else:
            self.tally[kind, f"no form in {way}"] += 1

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    cases = tmp_path_factory.mktemp("cases")
    rig = Rig(tmp_path_factory.mktemp("onnx"), {**SETTINGS, "deploy": {"allowed_dirs": [str(cases)]}}).start()
    wire = Wire(rig, cases)
    yield wire
    wire.close()
    assert rig.stop() == 0


def meets(wire: Wire, cases: Sequence[OnnxCase], capsys: pytest.CaptureFixture[str]) -> int:
    """How many cases about tensors are met in process: as many are over the wire, both ways."""
    wire.tally.clear()
    wire.lost.clear()
    wire.prove(cases)
    with capsys.disabled():
        told = [f"{count} {fate} ({kind})" for (kind, fate), count in sorted(wire.tally.items())]
        print(f"[ONNX's cases over a socket: {', '.join(told)}]", end=" ")
    assert wire.lost == []
    in_process = wire.tally["tensors", "in process"]
    assert wire.tally["tensors", "binary"] == in_process
    assert wire.tally["tensors", "JSON"] + wire.tally["tensors", NO_JSON] == in_process
    return in_process


def test_some_of_onnxs_own_cases_are_met_over_a_socket_as_they_are_in_process(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meets(wire, onnx_cases(seed=5, modules=130, each=1), capsys) >= 100


@pytest.mark.slow
def test_all_of_onnxs_own_cases_are_met_over_a_socket_as_they_are_in_process(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meets(wire, [*written_cases(), *onnx_cases(seed=0)], capsys) > 1500
    assert wire.tally["others", "binary"] > 0
