"""The house has floors: a module imports only from floors below its own, and each library has one door."""

import ast
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS: dict[str, int] = {
    "run_daemon": 8,
    "daemon.assembly": 7,
    "daemon.spine": 7,
    "daemon.front": 7,
    "daemon.lookout": 7,
    "daemon.reception": 7,
    "daemon.lifecycle": 7,
    "daemon.running": 7,
    "daemon.early": 7,
    "daemon.server": 7,
    "daemon.http": 7,
    "daemon.native": 7,
    "daemon.notify": 7,
    "daemon.watcher": 6,
    "daemon.watching": 6,
    "daemon.api": 6,
    "daemon.web": 6,
    "daemon.deployer": 5,
    "daemon.lane": 5,
    "daemon.holder": 4,
    "daemon.history": 4,
    "daemon.gate": 3,
    "daemon.trial": 3,
    "daemon.runtime": 2,
    "daemon.intake": 1,
    "daemon.config": 1,
    "daemon.configfile": 1,
    "daemon.sections": 1,
    "daemon.log": 1,
    "daemon.errors": 0,
    "daemon.release": 0,
    "daemon.starting": 0,
    "daemon": 0,
}
"""The floor of every room; a folder's modules are in the folder's room."""

LEANS_ON = {
    ("daemon.config", "daemon.configfile"),
    ("daemon.config", "daemon.sections"),
    ("daemon.running", "daemon.assembly"),
    ("daemon.running", "daemon.lifecycle"),
    ("daemon.assembly", "daemon.lifecycle"),
    ("daemon.assembly", "daemon.front"),
    ("daemon.assembly", "daemon.lookout"),
    ("daemon.assembly", "daemon.reception"),
    ("daemon.assembly", "daemon.http"),
    ("daemon.reception", "daemon.lookout"),
    ("daemon.reception", "daemon.spine"),
    ("daemon.reception", "daemon.http"),
    ("daemon.assembly", "daemon.spine"),
    ("daemon.assembly", "daemon.notify"),
    ("daemon.front", "daemon.http"),
    ("daemon.front", "daemon.lifecycle"),
    ("daemon.front", "daemon.native"),
    ("daemon.front", "daemon.server"),
    ("daemon.lifecycle", "daemon.http"),
    ("daemon.lifecycle", "daemon.notify"),
    ("daemon.server", "daemon.http"),
    ("daemon.native", "daemon.http"),
    ("daemon.watcher", "daemon.watching"),
    ("daemon.api", "daemon.web"),
    ("daemon.deployer", "daemon.lane"),
    ("daemon.gate", "daemon.trial"),
}
"""Rooms of one floor of which the first may import from the second."""

DOORS: dict[str, set[str]] = {
    "watchdog": {"daemon.watcher", "daemon.watching"},
    "flask": {"daemon.api", "daemon.web"},
    "werkzeug": {"daemon.api", "daemon.web"},
    "waitress": {"daemon.server", "daemon.http"},
    "granian": {"daemon.native"},
    "onnxruntime": {"daemon.runtime.sessions"},
    "onnx": {"daemon.trial.testdata"},
    "sqlite3": {"daemon.history"},
    "prometheus_client": {"daemon.web.metrics"},
}
"""The rooms or modules that alone may import a library."""

DIALECT_ROOMS: dict[str, str] = {
    "daemon.web.open_inference": "open_inference",
    "daemon.web.tensorflow": "tensorflow",
    "daemon.web.invoking": "invocations",
}
"""The rooms of dialects, beside the module that each has. What two have in common is the web's, which knows none."""

KNOW_DIALECTS = {"daemon.web.dialects", "daemon.web.openapi.open_inference"}
"""The list of them, and what names the protocol's datatypes where it is described."""

Imports = Mapping[str, set[str]]


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name of the module at ``path``; a folder's ``__init__.py`` has the folder's name."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, root: Path) -> set[str]:
    """Return every dotted name that the file imports anywhere, under ``TYPE_CHECKING`` and in functions too.

    ``from a import b`` gives ``a.b``: whether ``b`` is a module or a name in ``a`` is for the reader to settle.
    """
    name = module_name(path, root)
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def read_house(root: Path) -> dict[str, set[str]]:
    """Return what each module below ``root`` imports: house modules by their own name, others as they are written."""
    paths = [*sorted((root / "daemon").rglob("*.py")), *root.glob("run_daemon.py")]
    names = {module_name(path, root) for path in paths}
    return {module_name(path, root): {settle(name, names) for name in imports_of(path, root)} for path in paths}


def settle(name: str, modules: Iterable[str]) -> str:
    """Return the module of ``modules`` that an import of ``name`` reaches, or ``name`` where it reaches none."""
    known, reached = set(modules), name
    while reached and reached not in known:
        reached = reached.rpartition(".")[0]
    return reached or name


def room_of(module: str) -> str | None:
    """Return the room a module of the house is in, or None for one that no floor knows."""
    room = ".".join(module.split(".")[:2])
    return room if room in FLOORS else None


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def breaches(house: Imports) -> list[str]:
    """Return one sentence for everything in ``house`` that the floors forbid."""
    unplaced = [f"{module} is on no floor" for module in house if room_of(module) is None]
    return unplaced + floor_breaches(house) + door_breaches(house) + dialect_breaches(house) + cycles(house)


def floor_breaches(house: Imports) -> list[str]:
    """Return the imports that reach for the same floor, from another room, or a higher one."""
    found = []
    for module, imported in house.items():
        for target in sorted(imported & house.keys()):
            room, other = room_of(module), room_of(target)
            if room is None or other is None or room == other or (room, other) in LEANS_ON:
                continue
            if FLOORS[other] >= FLOORS[room]:
                found.append(f"{module} (floor {FLOORS[room]}) imports {target} (floor {FLOORS[other]})")
    return found


def door_breaches(house: Imports) -> list[str]:
    """Return the imports of a library by a module that is not its door."""
    return [
        f"{module} imports {target}, which only {', '.join(sorted(DOORS[library]))} may"
        for module, imported in house.items()
        for target in sorted(imported - house.keys())
        if (library := target.partition(".")[0]) in DOORS and not any(within(module, door) for door in DOORS[library])
    ]


def dialect_of(module: str) -> str | None:
    """Return the dialect a module of the web belongs to, or None for one of all."""
    if module.startswith("daemon.web.dialects."):
        return module.split(".")[3]
    return next((dialect for room, dialect in DIALECT_ROOMS.items() if within(module, room)), None)


def dialect_breaches(house: Imports) -> list[str]:
    """Return the imports within the web that reach into another dialect, or from what all share into one."""
    return [
        f"{module} ({dialect_of(module) or 'of all dialects'}) imports {target} ({dialect_of(target)})"
        for module, imported in house.items()
        if within(module, "daemon.web") and module not in KNOW_DIALECTS
        for target in sorted(imported & house.keys())
        if dialect_of(target) not in (None, dialect_of(module))
    ]


def cycles(house: Imports) -> list[str]:
    """Return the first circle of imports, if there is one."""
    graph = {module: imported & house.keys() - {module} for module, imported in house.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["imports in a circle: " + " <- ".join(error.args[1])]
    return []


def test_house_keeps_its_floors() -> None:
    house = read_house(ROOT)
    assert "daemon.release" in house
    assert breaches(house) == []


def test_house_is_found_whole() -> None:
    files = [path for path in (ROOT / "daemon").rglob("*.py") if "__pycache__" not in path.parts]
    assert len([module for module in read_house(ROOT) if within(module, "daemon")]) == len(files)


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("daemon/gate/trial.py", "from daemon.holder import X", "daemon.gate.trial (floor 3) imports daemon.holder"),
        ("daemon/gate/trial.py", "from daemon import holder", "(floor 4)"),
        ("daemon/gate/trial.py", "from .. import holder", "(floor 4)"),
        ("daemon/gate/trial.py", "from ..holder import X", "(floor 4)"),
        ("daemon/gate/trial.py", "import daemon.holder as h", "(floor 4)"),
        ("daemon/gate/trial.py", "def f():\n    import daemon.holder", "(floor 4)"),
        ("daemon/config.py", "from daemon.intake import Store", "daemon.config (floor 1) imports daemon.intake"),
        ("daemon/web/pages.py", "from daemon.api import X", "daemon.web.pages (floor 6) imports daemon.api"),
        ("daemon/holder.py", "import sqlite3", "daemon.holder imports sqlite3, which only daemon.history may"),
        ("daemon/runtime/feeds.py", "import onnxruntime as ort", "which only daemon.runtime.sessions may"),
        ("daemon/deployer.py", "from flask import request", "daemon.deployer imports flask.request"),
        ("daemon/shelf.py", "", "daemon.shelf is on no floor"),
        (
            "daemon/web/dialects/tensorflow.py",
            "from daemon.web.dialects.plain import X",
            "daemon.web.dialects.tensorflow (tensorflow) imports daemon.web.dialects.plain (plain)",
        ),
        (
            "daemon/web/invoking/raw.py",
            "from daemon.web.open_inference.raw import X",
            "daemon.web.invoking.raw (invocations) imports daemon.web.open_inference.raw (open_inference)",
        ),
        (
            "daemon/web/faces.py",
            "from .dialects.plain import X",
            "daemon.web.faces (of all dialects) imports daemon.web.dialects.plain (plain)",
        ),
        ("daemon/gate/checks.py", "import daemon.gate.trial", "imports in a circle: "),
    ],
)
def test_breach_is_told(tmp_path: Path, path: str, source: str, said: str) -> None:
    house = {
        "daemon/__init__.py": "",
        "daemon/api.py": "from flask import Flask",
        "daemon/holder.py": "from daemon.gate.trial import Trial",
        "daemon/intake/__init__.py": "",
        "daemon/gate/__init__.py": "",
        "daemon/gate/trial.py": "from daemon.gate import checks",
        "daemon/web/dialects/plain.py": "",
        "daemon/web/open_inference/raw.py": "",
        path: source,
    }
    for name, text in house.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = breaches(read_house(tmp_path))
    assert any(said in sentence for sentence in found), found


def test_lawful_house_has_no_breach(tmp_path: Path) -> None:
    house = {
        "run_daemon.py": "from daemon.assembly import build\nimport daemon",
        "daemon/__init__.py": "VERSION = 1",
        "daemon/assembly.py": "import daemon.front, daemon.notify, daemon.api",
        "daemon/server.py": "from daemon.http import spool\nimport waitress",
        "daemon/notify.py": "",
        "daemon/http/__init__.py": "",
        "daemon/http/spool.py": "from waitress import task",
        "daemon/api.py": "from flask import Flask\nfrom daemon.web import routes",
        "daemon/web/__init__.py": "",
        "daemon/web/routes.py": "from . import pages\nfrom daemon import VERSION",
        "daemon/web/pages.py": "from ..errors import Rejected",
        "daemon/web/dialects/__init__.py": "from daemon.web.dialects import plain",
        "daemon/web/dialects/plain.py": "from daemon.web import pages",
        "daemon/web/dialects/tensorflow.py": "from daemon.web.tensorflow.rows import X",
        "daemon/web/tensorflow/rows.py": "",
        "daemon/errors.py": "import os.path",
    }
    for name, text in house.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert breaches(read_house(tmp_path)) == []
