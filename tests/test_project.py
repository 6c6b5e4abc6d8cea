"""The project's own files agree: locks and imports with pyproject.toml, and .gitignore with what is the user's."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
DEV = [Requirement(line) for line in PYPROJECT["project"]["optional-dependencies"]["dev"]]
FAST = [Requirement(line) for line in PYPROJECT["project"]["optional-dependencies"]["fast"]]
LOCKS = ("requirements.lock", "requirements-run.lock", "requirements-fast.lock")
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[0-9][0-9a-z.]*) \\")
DISTRIBUTIONS = {"simdjson": "pysimdjson", "pydantic_core": "pydantic", "sklearn": "scikit-learn", "yaml": "pyyaml"}
"""The distribution that brings each import that is not named like it; pydantic pins its core exactly."""


def lines_of(lock: str) -> list[str]:
    """Return the lines of a lock file that are no comments."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def pins_of(lock: str) -> dict[str, str]:
    """Return the version that a lock file pins for each distribution."""
    found = [PIN.match(line) for line in lines_of(lock)]
    return {match["name"]: match["version"] for match in found if match}


def imported_by(paths: list[Path]) -> set[str]:
    """Return the top-level names that the files import from outside the standard library and the project."""
    found: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"bench", "daemon", "examples", "run_daemon", "tests"}


def distribution_of(module: str) -> str:
    return DISTRIBUTIONS.get(module, canonicalize_name(module))


def is_ignored(path: str) -> bool:
    """Tell whether git would leave an untracked file at ``path`` out."""
    command = ["git", "check-ignore", "--quiet", "--no-index", path]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_place_to_fetch_from(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(
        r"://|^\s*-|@ |find-links|index-url|trusted-host", text.replace("    --hash=", ""), re.MULTILINE
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_exactly_and_by_hash(lock: str) -> None:
    lines = lines_of(lock)
    odd = [line for line in lines if not PIN.fullmatch(line) and not re.match(r"    --hash=sha256:[0-9a-f]{64}", line)]
    assert odd == []
    for before, line in pairwise(lines):
        assert not (PIN.fullmatch(before) and PIN.fullmatch(line)), f"{before} has no hash"


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", RUNTIME + FAST + DEV),
        ("requirements-run.lock", RUNTIME),
        ("requirements-fast.lock", RUNTIME + FAST),
    ],
)
def test_lock_holds_every_requirement_within_its_bounds(lock: str, wanted: list[Requirement]) -> None:
    pins = pins_of(lock)
    for requirement in wanted:
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in {lock}"
        assert version in requirement.specifier, f"{lock} has {requirement.name} {version}"


def test_run_lock_is_a_part_of_the_fast_lock_and_this_of_the_dev_lock() -> None:
    run, fast, dev = (
        pins_of(lock).items() for lock in ("requirements-run.lock", "requirements-fast.lock", "requirements.lock")
    )
    assert run < fast < dev


def test_every_requirement_has_a_lower_bound_and_only_granian_an_upper_one() -> None:
    for requirement in RUNTIME + FAST + DEV:
        operators = sorted(bound.operator for bound in requirement.specifier)
        assert operators == (["<", ">="] if requirement.name == "granian" else [">="]), str(requirement)


def test_daemon_imports_only_what_running_it_installs() -> None:
    native = set((ROOT / "daemon" / "native").rglob("*.py"))  # which nothing imports unless it is asked for
    files = [*(set((ROOT / "daemon").rglob("*.py")) - native), *ROOT.glob("run_daemon.py")]
    allowed = {canonicalize_name(requirement.name) for requirement in RUNTIME}
    assert {name for name in imported_by(files) if distribution_of(name) not in allowed} == set()


def test_tests_and_examples_import_only_what_is_locked() -> None:
    files = [path for folder in ("tests", "examples", "bench") for path in (ROOT / folder).rglob("*.py")]
    pins = pins_of("requirements.lock")
    assert {name for name in imported_by(files) if distribution_of(name) not in pins} == set()


@pytest.mark.parametrize(
    "path",
    [
        "model_drop/mine.onnx",
        "model_drop/name/3/model.onnx",
        "model_drop/deploy.onnx.sha256",
        "state/journal.sqlite3",
        "logs/daemon.log",
        ".venv/bin/python",
        "daemon/__pycache__/config.pyc",
    ],
)
def test_git_leaves_out_what_is_the_users(path: str) -> None:
    assert is_ignored(path)


@pytest.mark.parametrize(
    "path",
    [
        "model_drop/deploy.onnx",
        "examples/models/digits_v1.onnx",
        "requirements.lock",
        "tests/state/x",
        "daemon/log/x.py",
    ],
)
def test_git_keeps_what_is_the_projects(path: str) -> None:
    assert not is_ignored(path)


def test_ci_script_may_be_run() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_license_is_the_one_that_the_project_names() -> None:
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text(encoding="utf-8")
