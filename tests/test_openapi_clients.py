"""The OpenAPI document is such that programs make clients from it: they know less of JSON Schema than they should."""

from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any

import pytest

from daemon.web.describing import called, schema
from daemon.web.openapi.naming import named
from tests.web_rig import WebRig

VALUES = {"example", "examples", "default", "const", "enum"}
PREFIX = "#/components/schemas/"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with WebRig(tmp_path_factory.mktemp("clients")) as rig:
        yield rig.get("/openapi.json").get_json()


def objects(told: object, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document that is no example, with its place."""
    if isinstance(told, dict):
        yield place, told
        for key, value in told.items():
            if key not in VALUES:
                yield from objects(value, f"{place}/{key}")
    elif isinstance(told, list):
        for number, value in enumerate(told):
            yield from objects(value, f"{place}/{number}")


def types(form: dict[str, Any]) -> list[str]:
    stated = form.get("type", [])
    return stated if isinstance(stated, list) else [stated] if isinstance(stated, str) else []


def referred(told: object) -> set[str]:
    return {form["$ref"] for _, form in objects(told) if isinstance(form.get("$ref"), str)}


def test_every_array_says_what_is_in_it(told: dict[str, Any]) -> None:
    arrays = [(place, form) for place, form in objects(told) if "array" in types(form)]
    assert [place for place, form in arrays if "items" not in form] == []
    assert len(arrays) > 20


def test_no_schema_contains_itself(told: dict[str, Any]) -> None:
    forms = told["components"]["schemas"]
    graph = {PREFIX + name: referred(form) for name, form in forms.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(forms)


def test_no_boolean_or_number_is_a_const(told: dict[str, Any]) -> None:
    consts = [(place, form["const"]) for place, form in objects(told) if "const" in form]
    assert [place for place, const in consts if not isinstance(const, str)] == []
    assert consts


def test_every_schema_that_is_referred_to_is_there_and_every_other_is_not(told: dict[str, Any]) -> None:
    names = {PREFIX + name for name in told["components"]["schemas"]}
    assert {place for place in referred(told) if place.startswith(PREFIX)} == names


def test_nothing_is_filled_in_where_it_may_be_left_out(told: dict[str, Any]) -> None:
    """A page fills in examples, and sends them: a digest that is one of other bytes is a refusal."""
    found = [(place, form) for place, form in objects(told) if {"name", "in"} <= form.keys()]
    optional = [(place, form) for place, form in found if not form.get("required")]
    keys = {"example", "examples"}
    assert [place for place, form in optional if keys & (form.keys() | form["schema"].keys())] == []
    assert len(optional) > 8


@pytest.mark.parametrize("name", ["PredictRequest", "PredictAnswer", "InferRequest", "InferInput", "RowsRequest"])
def test_what_a_client_makes_and_reads_has_a_name(told: dict[str, Any], name: str) -> None:
    assert told["components"]["schemas"][name]["type"] == "object"


def test_schema_with_a_title_is_kept_once_and_referred_to() -> None:
    schemas: dict[str, Any] = {}
    inner = called("Inner", {"type": "string"})
    outer = called("Outer", {"properties": {"title": inner, "both": {"anyOf": [inner, {}]}}})
    assert named({"schema": outer, "example": {"title": "Inner"}}, schemas) == {
        "schema": schema("Outer"),
        "example": {"title": "Inner"},
    }
    assert schemas == {
        "Inner": {"type": "string"},
        "Outer": {"properties": {"title": schema("Inner"), "both": {"anyOf": [schema("Inner"), {}]}}},
    }


def test_two_schemas_of_one_title_are_refused() -> None:
    with pytest.raises(ValueError, match="'Same'"):
        named([called("Same", {"type": "string"}), called("Same", {"type": "number"})], {})
