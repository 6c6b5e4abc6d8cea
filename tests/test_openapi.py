"""The OpenAPI document: valid, of every route and no other, and as the tokens are."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

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


def path_of(rule: str) -> str:
    """The rule as OpenAPI writes it: ``/models/<int:version>`` is ``/models/{version}``."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)
