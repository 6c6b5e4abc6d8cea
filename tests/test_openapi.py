"""The OpenAPI document: valid, of every route and no other, and as the tokens are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from daemon.web.access import Tokens
from daemon.web.describing import described
from daemon.web.openapi import document as documents
from daemon.web.openapi.document import document
from daemon.web.openapi.schemas import TAGS
from daemon.web.routes import class_of
from tests.web_rig import WebRig

METHODS = {"GET", "POST", "PUT", "DELETE", "PATCH"}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path) as rig:
        yield rig


def operations(told: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation with its path and method."""
    return [(path, method, operation) for path, item in told["paths"].items() for method, operation in item.items()]


def test_document_is_valid(rig: WebRig) -> None:
    told = rig.get("/openapi.json").get_json()
    assert told["openapi"].startswith("3.1")
    assert [str(error) for error in OpenAPIV31SpecValidator(told).iter_errors()] == []


def test_every_route_is_described_and_nothing_else(rig: WebRig) -> None:
    told = rig.get("/openapi.json").get_json()
    described_ones = {(path, method.upper()) for path, method, _ in operations(told)}
    rules = {
        (path_of(rule.rule), method)
        for rule in rig.app.url_map.iter_rules()
        for method in (rule.methods or set()) & METHODS
    }
    assert described_ones == rules


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_known_tag(rig: WebRig) -> None:
    told = rig.get("/openapi.json").get_json()
    found = [operation for _, _, operation in operations(told)]
    assert len({operation["operationId"] for operation in found}) == len(found)
    assert [operation for operation in found if not operation.get("summary")] == []
    assert [operation["operationId"] for operation in found if len(operation.get("tags", [])) != 1] == []
    used = {tag for operation in found for tag in operation["tags"]}
    assert used == {tag["name"] for tag in told["tags"]}
    assert used <= TAGS.keys()


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (Tokens("", ""), set()),
        (Tokens("", "pre"), {"predict", "read"}),
        (Tokens("adm", ""), {"read", "admin"}),
        (Tokens("adm", "pre"), {"predict", "read", "admin"}),
    ],
)
def test_document_says_which_operations_want_a_token_here(tmp_path: Path, tokens: Tokens, wanted: set[str]) -> None:
    with WebRig(tmp_path, tokens=tokens) as rig:
        told = rig.get(
            "/openapi.json", headers={"Authorization": f"Bearer {tokens.admin or tokens.predict}"}
        ).get_json()
    for path, method, operation in operations(told):
        guarded = class_of(path.replace("{", "").replace("}", "")).value in wanted
        assert operation["security"] == ([{"bearer": []}] if guarded else []), f"{method} {path}"
        assert ("401" in operation["responses"]) == guarded, f"{method} {path}"


def test_document_is_made_when_it_is_asked_for_and_once(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def make(*parts: object) -> dict[str, object]:
        made.append(parts)
        return {"openapi": "3.1.0"}

    monkeypatch.setattr(documents, "document", make)
    assert made == []
    assert rig.get("/openapi.json").get_json() == rig.get("/openapi.json").get_json() == {"openapi": "3.1.0"}
    assert len(made) == 1


def test_view_that_says_nothing_is_left_out_and_others_are_not() -> None:
    app = Flask("bare")
    app.add_url_rule("/silent", "silent", lambda: "")
    app.add_url_rule("/models/<model>", "told", described({"summary": "told"})(lambda model: ""))
    assert list(cast(dict[str, object], document(app, Tokens("", ""))["paths"])) == ["/models/{model}"]


def path_of(rule: str) -> str:
    """The rule as OpenAPI writes it: ``/models/<int:version>`` is ``/models/{version}``."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)
