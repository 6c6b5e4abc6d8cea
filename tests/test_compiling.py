"""Which candidates are worth a compiled form."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.gate.compiling import DISK_FACTOR, WORTH_IT_BYTES, Compile, why_not_compiled
from daemon.release import Candidate
from daemon.runtime import EngineOptions

CPU = EngineOptions(providers=("CPUExecutionProvider",))
LARGE = WORTH_IT_BYTES


class Usage(NamedTuple):
    """What ``shutil.disk_usage`` gives."""

    total: int
    used: int
    free: int


def candidate_of(folder: Path, size_bytes: int, *, suffix: str = ".onnx") -> Candidate:
    return Candidate("ab" * 32, folder / f"__model__{suffix}", "ab" * 32, size_bytes)


def free(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> list[Path]:
    """Has every disk ``free_bytes`` left; gives the folders that were asked about."""
    asked: list[Path] = []

    def disk_usage(folder: Path) -> Usage:
        asked.append(folder)
        return Usage(1 << 50, 0, free_bytes)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    return asked


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_large_model_is_compiled_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: Compile
) -> None:
    free(monkeypatch, DISK_FACTOR * LARGE)
    assert why_not_compiled(candidate_of(tmp_path, LARGE), choice, CPU) is None


def test_nothing_is_compiled_when_it_is_off(tmp_path: Path) -> None:
    assert why_not_compiled(candidate_of(tmp_path, LARGE), "off", CPU) == "off: gate.trial.compile"


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_ort_file_is_not_compiled_again(tmp_path: Path, choice: Compile) -> None:
    candidate = candidate_of(tmp_path, LARGE, suffix=".ort")
    assert why_not_compiled(candidate, choice, CPU) == "off: an .ort file is compiled already"


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_sessions_of_another_provider_are_not_compiled(tmp_path: Path, choice: Compile) -> None:
    options = EngineOptions(providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    why = why_not_compiled(candidate_of(tmp_path, LARGE), choice, options)
    assert why == "off: only the CPU's sessions have a compiled form"


def test_small_model_is_compiled_only_when_it_is_asked_for(tmp_path: Path) -> None:
    candidate = candidate_of(tmp_path, LARGE - 1)
    assert why_not_compiled(candidate, "auto", CPU) == "off: a small model loads as quickly as it came"
    assert why_not_compiled(candidate, "on", CPU) is None


def test_model_is_compiled_on_a_full_disk_only_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = free(monkeypatch, DISK_FACTOR * LARGE - 1)
    candidate = candidate_of(tmp_path, LARGE)
    megabytes = round((DISK_FACTOR * LARGE - 1) / (1 << 20))
    assert why_not_compiled(candidate, "auto", CPU) == f"off: only {megabytes} MB are free on the disk"
    assert why_not_compiled(candidate, "on", CPU) is None
    assert asked == [tmp_path]
