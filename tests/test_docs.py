"""The documents agree with the code and with each other: links, settings and defaults, error codes, event names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from pydantic import BaseModel

from daemon import api
from daemon.config import Settings
from daemon.web.routes import class_of
from tests.web_rig import WebRig

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("README*.md"), *DOCS.glob("*.md")])
CHAPTERS = (
    "drop-directory.md",
    "gate.md",
    "how-it-works.md",
    "http.md",
    "metrics.md",
    "mlflow-sagemaker.md",
    "numpy.md",
    "openapi.md",
    "operations.md",
    "settings.md",
    "tensorflow-serving.md",
)
FREE_IN_THE_FILE = {"deploy.allowed_dirs"}
"""What config.yaml may set to something else than the default."""

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| `([^`|]+)` \| ([^|]*) \|", re.MULTILINE)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def links_of(page: Path) -> list[str]:
    """Return the targets of a page's links that lead into the project."""
    return [link for link in _LINK.findall(_FENCE.sub("", read(page))) if "://" not in link]


def anchors_of(page: Path) -> set[str]:
    """Return what can follow ``#`` in a link to a page: GitHub's form of its headings."""
    headings = _HEADING.findall(_FENCE.sub("", read(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def outputs_of(page: Path) -> list[str]:
    """Return the blocks of a page that show a terminal."""
    return [block for block in _FENCE.findall(read(page)) if block.startswith("```console\n")]


def rows_of(page: Path, section: str = "") -> dict[str, str]:
    """Return the first two cells of each table row that begins with a code word, below the heading ``section``."""
    text = read(page).partition(f"\n## {section}\n")[2].partition("\n## ")[0] if section else read(page)
    return dict(_ROW.findall(text))


def defaults() -> dict[str, Any]:
    """Return the default of every setting, by its key in the form ``section.key``."""
    return dict(_flat(Settings.model_fields))


def _flat(fields: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            yield from _flat(type(default).model_fields, f"{prefix}{name}.")
        else:
            yield prefix + name, list(default) if isinstance(default, tuple) else default


def settings_in(file: Path) -> dict[str, Any]:
    """Return what a settings file sets, by keys in the form ``section.key``."""
    return dict(_flat_values(yaml.safe_load(read(file))))


def _flat_values(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat_values(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def calls_in(place: Path) -> Iterator[tuple[str, ast.Call]]:
    """Give every call below ``place``, with the last part of the name that it calls."""
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                yield node.func.id if isinstance(node.func, ast.Name) else node.func.attr, node


def texts(nodes: list[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def events_in_the_code() -> set[str]:
    """Return the name of every event that the daemon makes."""
    found: set[str] = set()
    for name, call in calls_in(ROOT / "daemon"):
        if name == "Event":
            found.update(texts([keyword.value for keyword in call.keywords if keyword.arg == "event"]))
        elif name == "_of":  # announcements: the release, then the event's name
            found.update(texts(call.args[1:2]))
        elif name == "_report":  # arming: the event's name, then the reason
            found.update(texts(call.args[:1]))
    return found


def codes_in_the_code() -> set[str]:
    """Return every word that an answer may have as its ``code``."""
    codes = {code for _, code in api.STATUS.values()} | set(api.HTTP_CODES.values())
    for name, call in calls_in(ROOT / "daemon" / "http" / "values.py"):
        if name == "HttpError":
            codes.update(texts(call.args[2:3]))
    return codes


def test_pages_that_the_readme_links_are_there() -> None:
    assert {page.name for page in DOCS.glob("*.md")} >= set(CHAPTERS)
    for readme in ROOT.glob("README*.md"):
        assert {f"docs/{name}" for name in CHAPTERS} <= set(links_of(readme)), readme.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links_of(page):
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_readmes_show_the_same_outputs() -> None:
    english, chinese = (outputs_of(ROOT / name) for name in ("README.md", "README.zh-CN.md"))
    assert english
    assert [block for block in english if block not in chinese] == []


def test_settings_page_has_every_setting_with_its_default() -> None:
    rows = {key: cell for key, cell in rows_of(DOCS / "settings.md").items() if "." in key or key in defaults()}
    assert {key: yaml.safe_load(cell.strip("`")) for key, cell in rows.items()} == defaults()


def test_shipped_settings_are_the_defaults() -> None:
    wanted, found = defaults(), settings_in(ROOT / "config.yaml")
    assert set(found) == set(wanted)
    assert {key for key in wanted if found[key] != wanted[key]} <= FREE_IN_THE_FILE


def test_settings_of_the_service_are_known() -> None:
    assert set(settings_in(ROOT / "deploy" / "config.yaml")) <= set(defaults())


def test_http_page_has_every_error_code_and_no_other() -> None:
    table = read(DOCS / "http.md").partition("\n## Errors\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| \d{3} \| `(\w+)` \|", table, re.MULTILINE)) == codes_in_the_code()


def test_http_page_has_every_error_with_its_status() -> None:
    table = read(DOCS / "http.md").partition("\n## Errors\n")[2].partition("\n## ")[0]
    rows = {(int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", table, re.MULTILINE)}
    assert rows >= {*api.STATUS.values(), *api.HTTP_CODES.items()}


def test_operations_page_has_every_event_and_no_other() -> None:
    names = events_in_the_code()
    assert len(names) > 10
    assert set(rows_of(DOCS / "operations.md", "Events")) == names


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("README.md", "iris/iris.onnx"),
        ("README.zh-CN.md", "iris/iris.onnx"),
        ("docs/mlflow-sagemaker.md", "churn/churn.onnx"),
    ],
)
def test_program_that_makes_a_model_runs_as_it_stands(
    page: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [block for block in _FENCE.findall(read(ROOT / page)) if "to_onnx" in block]
    (tmp_path / "model_drop").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(compile(block.removeprefix("```python\n").removesuffix("```"), page, "exec"), {})
    assert onnx.load(tmp_path / "model_drop" / model).graph.node


def routes_in_the_table() -> dict[str, set[str]]:
    """Return the paths of each class in the table of who may call what; brackets are what may be left out."""
    table = read(DOCS / "http.md").partition("\n## Who may call what\n")[2].partition("\n```")[0]
    found = {}
    for name, paths in re.findall(r"^\| (open|predict|read|admin) \| ([^|]*) \|", table, re.MULTILINE):
        written = re.findall(r"`(/[^`]*)`", paths)
        found[name] = {re.sub(r"\[[^]]*\]", "", path) for path in written} | {
            re.sub(r"[][]", "", path) for path in written
        }
    return found


def test_http_page_has_every_route_in_its_class_and_no_other(tmp_path: Path) -> None:
    places = {"model": "NAME", "version": "N", "label": "LABEL", "verb": "VERB", "name": "FILE"}
    routes: dict[str, set[str]] = {}
    with WebRig(tmp_path) as rig:
        for rule in rig.app.url_map.iter_rules():
            path = re.sub(r"<(?:[^>]*:)?(\w+)>", lambda place: places[place[1]], rule.rule)
            routes.setdefault(class_of(path).value, set()).add(path)
    assert routes_in_the_table() == routes
