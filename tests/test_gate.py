"""The gate: checks in order around the trial, what stands of their refusals, and those that read the bytes alone."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from daemon.errors import BreakingSignature, Rejected
from daemon.gate import Gate, Integrity, Relapse, Report, Structure, Subject, Tried, Verdict
from daemon.release import Candidate
from daemon.runtime import RuntimeVersions
from daemon.trial import Interrupted
from tests.fakes import FakeTried
from tests.onnx_bytes import external_bytes, graph_of, model_of, plain_bytes, plain_tensor

DIGEST = "c" * 64
VERSIONS = RuntimeVersions(
    library="onnxruntime 9.9", ir=50, opsets={"": 21, "ai.onnx.ml": 5}, domains=frozenset({"", "ai.onnx.ml"})
)
MB = 1 << 20


def subject_of(path: Path = Path("m.onnx"), *, size_bytes: int = 1, **more: Any) -> Subject:
    return Subject(Candidate("a" * 64, path, DIGEST, size_bytes), "default", **more)


class Noted:
    """A check that notes its turn, and then gives or raises what it is told to."""

    def __init__(self, name: str, turns: list[str], *, raises: Exception | None = None, **found: object) -> None:
        self.name = name
        self._turns = turns
        self._raises = raises
        self._found = found

    def examine(self, subject: Subject) -> Mapping[str, object]:
        self._turns.append(self.name)
        if self._raises is not None:
            raise self._raises
        return self._found


class NotedAfter(Noted):
    """The same, for after the trial."""

    def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:  # type: ignore[override]
        return super().examine(subject)


class NotedTrial:
    """A trial that notes when it begins and when its process is let go."""

    name = "trial"

    def __init__(self, turns: list[str], *, raises: Exception | None = None) -> None:
        self.tried = FakeTried()
        self._turns = turns
        self._raises = raises

    @contextmanager
    def of(self, subject: Subject) -> Iterator[FakeTried]:
        self._turns.append("trial")
        if self._raises is not None:
            raise self._raises
        try:
            yield self.tried
        finally:
            self._turns.append("let go")


def refused(name: str) -> Rejected:
    return Rejected(name, f"{name} says no")


def names(report: Report) -> list[tuple[str, bool]]:
    """Every check that was made, and whether it let the candidate pass."""
    return [(verdict.check, verdict.refusal is None) for verdict in report.verdicts]


def test_checks_are_made_in_order_around_the_trial_which_lasts_until_the_last() -> None:
    turns: list[str] = []
    gate = Gate(
        [Noted("a", turns), Noted("b", turns)], NotedTrial(turns), [NotedAfter("c", turns), NotedAfter("d", turns)]
    )
    report = gate.examine(subject_of())
    assert turns == ["a", "b", "trial", "c", "d", "let go"]
    assert names(report) == [("a", True), ("b", True), ("trial", True), ("c", True), ("d", True)]


def test_candidate_that_comes_through_has_the_trials_proof() -> None:
    trial = NotedTrial([])
    report = Gate([], trial, []).examine(subject_of())
    assert report.proof is trial.tried.proof
    assert report.refusal(forced=False) is None


def test_refusal_before_the_trial_ends_it() -> None:
    turns: list[str] = []
    checks = [Noted("a", turns), Noted("b", turns, raises=refused("b")), Noted("c", turns)]
    report = Gate(checks, NotedTrial(turns), [NotedAfter("d", turns)]).examine(subject_of())
    assert turns == ["a", "b"]
    assert names(report) == [("a", True), ("b", False)]
    assert report.proof is None


def test_refusal_by_the_trial_ends_it() -> None:
    turns: list[str] = []
    trial = NotedTrial(turns, raises=refused("trial"))
    report = Gate([Noted("a", turns)], trial, [NotedAfter("b", turns)]).examine(subject_of())
    assert turns == ["a", "trial"]
    assert names(report) == [("a", True), ("trial", False)]
    assert report.proof is None


def test_every_check_after_the_trial_is_made_though_one_refuses() -> None:
    turns: list[str] = []
    after = [NotedAfter(name, turns, raises=refused(name) if name != "b" else None) for name in ("a", "b", "c")]
    report = Gate([], NotedTrial(turns), after).examine(subject_of())
    assert names(report) == [("trial", True), ("a", False), ("b", True), ("c", False)]
    assert [str(refusal) for refusal in report.refusals()] == ["a: a says no", "c: c says no"]


def test_crash_in_a_later_check_is_the_trials_refusal_and_the_last_word() -> None:
    turns: list[str] = []
    after = [
        NotedAfter("signature", turns, raises=refused("signature")),
        NotedAfter("golden", turns, raises=Rejected("trial", "killed by SIGSEGV")),
        NotedAfter("replay", turns),
    ]
    report = Gate([], NotedTrial(turns), after).examine(subject_of())
    assert names(report) == [("trial", True), ("signature", False), ("golden", False)]
    standing = report.refusal(forced=True)
    assert standing is not None
    assert (standing.check, standing.reason) == ("trial", "killed by SIGSEGV")


@pytest.mark.parametrize("error", [Interrupted(), ZeroDivisionError()])
def test_whatever_is_no_refusal_comes_through_and_the_trial_is_let_go(error: Exception) -> None:
    turns: list[str] = []
    gate = Gate([], NotedTrial(turns), [NotedAfter("a", turns, raises=error)])
    with pytest.raises(type(error)):
        gate.examine(subject_of())
    assert turns == ["trial", "a", "let go"]


def test_every_check_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    class Slow:
        def __init__(self, name: str, seconds: float) -> None:
            self.name = name
            self.seconds = seconds

        def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:
            clock.now += self.seconds
            if self.seconds > 1:
                raise refused(self.name)
            return {}

    clock = Clock()
    monkeypatch.setattr("daemon.gate.gate.time", clock)
    report = Gate([], NotedTrial([]), [Slow("a", 0.5), Slow("b", 2.0), Slow("c", 0.25)]).examine(subject_of())
    times = [(verdict.check, verdict.seconds) for verdict in report.verdicts]
    assert times == [("trial", 0), ("a", 0.5), ("b", 2), ("c", 0.25)]


def test_findings_are_by_check_and_a_refusals_detail_is_one() -> None:
    after = [
        NotedAfter("a", [], figure=1),
        NotedAfter("b", []),
        NotedAfter("c", [], raises=Rejected("c", "no", {"largest": 2})),
    ]
    report = Gate([], NotedTrial([]), after).examine(subject_of())
    assert report.findings() == {"trial": {"runs": []}, "a": {"figure": 1}, "c": {"largest": 2}}


@pytest.mark.parametrize(
    ("refusing", "standing", "forced"),
    [
        ([], None, None),
        (["signature"], "signature", None),
        (["golden", "replay"], "golden", None),
        (["integrity"], "integrity", "integrity"),
        (["trial"], "trial", "trial"),
        (["signature", "trial"], "signature", "trial"),
    ],
)
def test_forced_deploy_passes_only_what_is_passable(
    refusing: list[str], standing: str | None, forced: str | None
) -> None:
    verdicts = [Verdict(name, 0.0, refused(name)) for name in refusing]
    report = Report([Verdict("structure", 0.0), *verdicts], None, frozenset({"signature", "golden", "replay"}))
    found = [report.refusal(forced=force) for force in (False, True)]
    assert [each.check if each else None for each in found] == [standing, forced]


def test_passable_is_what_comes_after_the_trial() -> None:
    gate = Gate([Noted("a", [])], NotedTrial([]), [NotedAfter("b", []), NotedAfter("c", [])])
    assert gate.examine(subject_of()).passable == {"b", "c"}


def test_gate_proves_by_its_trial_alone() -> None:
    turns: list[str] = []
    Gate([Noted("a", turns)], NotedTrial(turns), [NotedAfter("b", turns)]).prove(subject_of())
    assert turns == ["trial", "let go"]


def test_gate_passes_on_what_its_trial_says_when_it_proves() -> None:
    with pytest.raises(Rejected, match="trial says no"):
        Gate([], NotedTrial([], raises=refused("trial")), []).prove(subject_of())


@pytest.mark.parametrize("digests", [(), (DIGEST,), (DIGEST, DIGEST)])
def test_integrity_takes_what_was_not_vouched_for_or_rightly(digests: tuple[str, ...]) -> None:
    assert Integrity().examine(subject_of(digests=digests)) == {}


@pytest.mark.parametrize("digests", [("0" * 64,), (DIGEST, "0" * 64)])
def test_integrity_refuses_another_digest_and_tells_both(digests: tuple[str, ...]) -> None:
    check, reason = refusal(Integrity(), subject_of(digests=digests))
    assert (check, reason) == ("integrity", f"expected sha256 {'0' * 64}, found {DIGEST}")


def test_integrity_that_is_required_refuses_what_nobody_vouched_for_and_says_how_to() -> None:
    check, reason = refusal(Integrity(required=True), subject_of())
    assert check == "integrity"
    for way in (".sha256 file beside it", "X-Content-SHA256", "Content-Digest", "gate.integrity.required"):
        assert way in reason


def test_integrity_that_is_required_takes_what_was_rightly_vouched_for() -> None:
    assert Integrity(required=True).examine(subject_of(digests=(DIGEST,))) == {}


def test_integrity_that_is_required_needs_no_digest_of_bytes_that_served_before() -> None:
    assert Integrity(required=True).examine(subject_of(is_known=True)) == {}


def test_known_bytes_with_another_digest_are_refused_all_the_same() -> None:
    assert refusal(Integrity(), subject_of(is_known=True, digests=("0" * 64,)))[0] == "integrity"


def test_relapse_takes_bytes_that_never_failed() -> None:
    assert Relapse().examine(subject_of(), FakeTried()) == {}


def test_relapse_refuses_bytes_that_failed_and_names_the_way_on() -> None:
    with pytest.raises(Rejected) as caught:
        Relapse().examine(subject_of(relapse="these bytes failed their probation as version 4"), FakeTried())
    assert caught.value.check == "probation"
    assert (
        caught.value.reason == "these bytes failed their probation as version 4; deploy it with force to try it again"
    )


def refusal(check: Integrity | Structure, subject: Subject) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        check.examine(subject)
    assert not isinstance(caught.value, BreakingSignature)
    return caught.value.check, caught.value.reason


def structure(versions: RuntimeVersions = VERSIONS, *, max_bytes: int = MB) -> Structure:
    return Structure(max_bytes=max_bytes, versions=lambda: versions)


Put = Callable[[bytes | ModelProto], Subject]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Makes a subject of a model's bytes in a folder of its own."""

    def put(content: bytes | ModelProto) -> Subject:
        path = tmp_path / "__model__.onnx"
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        return subject_of(path)

    return put


def model(*, ir: int = 50, opsets: Mapping[str, int] | None = None, graph: GraphProto | None = None) -> ModelProto:
    made = model_of(graph or graph_of([plain_tensor()]))
    made.ir_version = ir
    del made.opset_import[:]
    wanted = {"": 21} if opsets is None else opsets
    made.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in wanted.items())
    return made


def graph_with(*nodes: NodeProto) -> GraphProto:
    graph = graph_of()
    graph.node.extend(nodes)
    return graph


FOREIGN = helper.make_node("Frobnicate", ["x"], ["z"], domain="org.example")


def test_structure_takes_a_whole_model(put: Put) -> None:
    assert structure().examine(put(plain_bytes())) == {}


def test_structure_takes_a_model_whose_external_data_came_with_it(put: Put, tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(b"\0" * 16)
    assert structure().examine(put(external_bytes("w.data"))) == {}


@pytest.mark.parametrize("content", [b"", b"<html>not a model</html>", plain_bytes()[:-1], plain_bytes()[:20]])
def test_structure_refuses_what_is_no_whole_model(put: Put, content: bytes) -> None:
    check, reason = refusal(structure(), put(content))
    assert check == "structure"
    assert reason


def test_structure_tells_a_cut_model_from_what_is_none(put: Put) -> None:
    assert refusal(structure(), put(plain_bytes()[:-1]))[1].startswith("truncated: ")
    assert "truncated" not in refusal(structure(), put(b"<html>"))[1]


def test_structure_leaves_no_file_open(put: Put) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names are enough)
    for content in (plain_bytes(), plain_bytes()[:-1], b"<html>"):
        with suppress(Rejected):
            structure().examine(put(content))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04" + b"x" * 60, "a zip archive"),
        (b"\x80\x04\x95" + b"x" * 60, "a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
    ],
)
def test_structure_says_what_a_file_that_is_no_model_seems_to_be(put: Put, content: bytes, said: str) -> None:
    assert said in refusal(structure(), put(content))[1]


def test_structure_refuses_a_model_that_left_its_weights_behind(put: Put) -> None:
    check, reason = refusal(structure(), put(external_bytes("w.data")))
    assert check == "structure"
    assert "'w.data' did not come with it" in reason


@pytest.mark.parametrize("location", ["/etc/passwd", "../other/w.data", "/dev/zero"])
def test_structure_refuses_weights_outside_its_folder_though_they_are_there(tmp_path: Path, location: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "w.data").write_bytes(b"\0" * 16)
    (tmp_path / "entry").mkdir()
    path = tmp_path / "entry" / "__model__.onnx"
    path.write_bytes(external_bytes(location))
    check, reason = refusal(structure(), subject_of(path))
    assert check == "structure"
    assert "external data location" in reason


def test_structure_takes_a_model_that_is_as_large_as_one_may_be(put: Put) -> None:
    subject = put(plain_bytes())
    whole = subject_of(subject.candidate.path, size_bytes=3 * MB)
    assert structure(max_bytes=3 * MB).examine(whole) == {}


def test_structure_refuses_a_larger_one_with_both_sizes_and_the_setting(put: Put) -> None:
    subject = put(plain_bytes())
    check, reason = refusal(
        structure(max_bytes=3 * MB), subject_of(subject.candidate.path, size_bytes=3 * MB + MB // 2)
    )
    assert check == "structure"
    assert reason == "the model has 3.5 MB, expected at most 3 (gate.structure.max_model_mb)"


def test_structure_can_be_asked_for_a_size_before_anything_is_copied() -> None:
    structure(max_bytes=MB).expect_size(MB)
    with pytest.raises(Rejected, match=r"at most 1 \("):
        structure(max_bytes=MB).expect_size(MB + 1)


@pytest.mark.parametrize(
    ("made", "wanted", "most"),
    [
        (model(ir=51), "IR version 51", "IR version 50"),
        (model(ir=1000), "IR version 1000", "IR version 50"),
        (model(opsets={"": 22}), "opset 22 of ai.onnx", "opset 21"),
        (model(opsets={"ai.onnx": 23}), "opset 23 of ai.onnx", "opset 21"),
        (model(opsets={"": 21, "ai.onnx.ml": 6}), "opset 6 of ai.onnx.ml", "opset 5"),
    ],
)
def test_structure_refuses_what_is_too_new_and_says_what_would_do(
    put: Put, made: ModelProto, wanted: str, most: str
) -> None:
    check, reason = refusal(structure(), put(made))
    assert check == "structure"
    assert reason == (
        f"the model has {wanted}, onnxruntime 9.9 loads up to {most}: "
        "export it for an earlier version, or upgrade onnxruntime"
    )


@pytest.mark.parametrize(
    "made",
    [model(ir=3, opsets={"": 1}), model(opsets={"": 21, "ai.onnx.ml": 5}), model(opsets={"ai.onnx": 21}), model(ir=-1)],
)
def test_structure_takes_every_version_up_to_the_newest_that_is_loaded(put: Put, made: ModelProto) -> None:
    assert structure().examine(put(made)) == {}


def test_structure_concludes_nothing_where_the_runtime_does_not_say_what_it_loads(put: Put) -> None:
    silent = RuntimeVersions(library="onnxruntime 9.9", ir=None, opsets={}, domains=None)
    made = model(ir=99, opsets={"": 99, "org.example": 1}, graph=graph_with(FOREIGN))
    assert structure(silent).examine(put(made)) == {}


def test_structure_refuses_an_operator_that_nobody_has_and_names_it(put: Put) -> None:
    check, reason = refusal(structure(), put(model(opsets={"": 21, "org.example": 1}, graph=graph_with(FOREIGN))))
    assert check == "structure"
    assert reason == (
        "operator 'Frobnicate' of the domain 'org.example' is none of onnxruntime 9.9, and a model cannot bring a "
        "library of operators with it: export it with standard operators"
    )


def test_structure_finds_an_unknown_operator_in_an_inner_graph(put: Put) -> None:
    inner = helper.make_graph([FOREIGN], "inner", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    made = model(opsets={"": 21, "org.example": 1}, graph=graph_with(branch))
    assert "'Frobnicate'" in refusal(structure(), put(made))[1]


def test_structure_takes_an_unknown_domain_that_is_imported_and_not_used(put: Put) -> None:
    assert structure().examine(put(model(opsets={"": 21, "org.example": 1}))) == {}


def local_function(*nodes: NodeProto) -> ModelProto:
    """A model that defines ``Frobnicate`` itself, of these nodes, and uses it."""
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("org.example", 1)]
    made = model(opsets={"": 21, "org.example": 1}, graph=graph_with(FOREIGN))
    made.functions.append(helper.make_function("org.example", "Frobnicate", ["x"], ["z"], list(nodes), opsets))
    return made


def test_structure_takes_an_operator_that_the_model_defines_itself(put: Put) -> None:
    made = local_function(helper.make_node("Abs", ["x"], ["z"]))
    assert structure().examine(put(made)) == {}


def test_structure_refuses_an_unknown_operator_in_the_body_of_the_models_own_function(put: Put) -> None:
    made = local_function(helper.make_node("Other", ["x"], ["z"], domain="org.example"))
    assert "operator 'Other' of the domain 'org.example'" in refusal(structure(), put(made))[1]


def test_structure_lets_an_ort_file_be_whatever_its_versions(tmp_path: Path) -> None:
    def asked() -> RuntimeVersions:
        pytest.fail("an .ort file has no versions to compare")

    path = tmp_path / "__model__.ort"
    path.write_bytes(b"\x10\0\0\0ORTM" + b"\0" * 56)
    assert Structure(max_bytes=MB, versions=asked).examine(subject_of(path)) == {}


def test_structure_refuses_an_ort_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "__model__.ort"
    path.write_bytes(plain_bytes())
    assert refusal(structure(), subject_of(path))[0] == "structure"
