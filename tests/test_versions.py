"""Which models the installed library loads: what is said of it is what it does."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import helper

from daemon.errors import Rejected
from daemon.runtime import EngineOptions, RuntimeVersions, runtime_versions, sessions
from daemon.runtime.sessions import open_model
from tests import onnx_models

OPTIONS = EngineOptions(threads=1)


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """What is known is asked again in this test, and after it."""
    runtime_versions.cache_clear()
    yield
    runtime_versions.cache_clear()


def model(path: Path, *, ir: int = 10, **opsets: int) -> Path:
    """An ``identity`` that says it is of this IR version and these opsets; ``__`` stands for a dot, ``main`` for ""."""
    onnx_models.identity(path, "float32", ["n"])
    found = onnx.load(path)
    found.ir_version = ir
    del found.opset_import[:]
    wanted = {"main": 17, **opsets}
    found.opset_import.extend(
        helper.make_opsetid("" if name == "main" else name.replace("__", "."), number)
        for name, number in wanted.items()
    )
    onnx.save(found, path)
    return path


def loads(path: Path) -> bool:
    try:
        open_model(path, OPTIONS)
    except Rejected:
        return False
    return True


def test_model_of_the_highest_ir_version_loads_and_of_the_next_does_not(tmp_path: Path) -> None:
    highest = runtime_versions().ir
    assert highest is not None
    assert loads(model(tmp_path / "m.onnx", ir=highest))
    assert not loads(model(tmp_path / "m.onnx", ir=highest + 1))


@pytest.mark.parametrize("domain", ["", "ai.onnx.ml", "com.microsoft"])
def test_model_of_the_highest_opset_loads_and_of_the_next_does_not(tmp_path: Path, domain: str) -> None:
    highest = runtime_versions().opsets[domain]
    name = domain.replace(".", "__") or "main"
    assert loads(model(tmp_path / "m.onnx", **{name: highest}))
    assert not loads(model(tmp_path / "m.onnx", **{name: highest + 1}))


def test_operator_of_a_domain_that_the_library_has_loads_and_of_another_does_not(tmp_path: Path) -> None:
    domains = runtime_versions().domains
    assert domains is not None
    for domain, operator, is_there in (("com.microsoft", "Gelu", True), ("org.example", "Gelu", False)):
        path = onnx_models.save(
            tmp_path / "m.onnx",
            [helper.make_node(operator, ["x"], ["y"], domain=domain)],
            [onnx_models.value("x", "float32", ["n"])],
            [onnx_models.value("y", "float32", ["n"])],
        )
        found = onnx.load(path)
        found.opset_import.append(helper.make_opsetid(domain, 1))
        onnx.save(found, path)
        assert (domain in domains) is is_there
        assert loads(path) is is_there


def test_library_is_named_with_its_version() -> None:
    assert runtime_versions().library == f"onnxruntime {sessions.VERSION}"


@pytest.mark.usefixtures("asked_anew")
def test_asking_logs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    runtime_versions()
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("asked_anew")
def test_library_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def refusal_of_bytes(content: bytes) -> str:
        asked.append(content)
        return ""

    monkeypatch.setattr(sessions, "refusal_of_bytes", refusal_of_bytes)
    assert runtime_versions() is runtime_versions()
    assert len(asked) == len(set(asked)) == 4


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(
    "sentence",
    ["", "unsupported model", "max supported IR version: unknown", "official support for domain other is till opset 3"],
)
def test_versions_are_unknown_where_the_library_says_nothing(monkeypatch: pytest.MonkeyPatch, sentence: str) -> None:
    monkeypatch.setattr(sessions, "refusal_of_bytes", lambda _: sentence)
    monkeypatch.setattr(sessions, "operator_domains", lambda: None)
    found = runtime_versions()
    assert found == RuntimeVersions(library=f"onnxruntime {sessions.VERSION}", ir=None, opsets={}, domains=None)


@pytest.mark.usefixtures("asked_anew")
def test_models_that_are_held_up_to_the_library_are_models(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, str, int]] = []

    def refusal_of_bytes(content: bytes) -> str:
        found = onnx.ModelProto.FromString(content)
        assert found.graph.name
        (opset,) = found.opset_import
        seen.append((found.ir_version, opset.domain, opset.version))
        return ""

    monkeypatch.setattr(sessions, "refusal_of_bytes", refusal_of_bytes)
    runtime_versions()
    never = 1_000_000
    assert seen == [(never, "", 1), (3, "", never), (3, "ai.onnx.ml", never), (3, "com.microsoft", never)]
