"""Every example in the OpenAPI document works: it has the form that it is an example of, and the answer has its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from daemon.api import HTTP_CODES, STATUS
from tests.web_rig import WebRig

MODELS = Path(__file__).parents[1] / "examples" / "models"
LAST = ("/upload", "/update_model", "/rollback", "/unload", "/load")
"""What changes what serves is asked last, in this order."""
Operation = dict[str, Any]
Asked = tuple[str, str, Operation]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    """The classroom's model serves, and the one that it is updated to lies where it may be named."""
    with WebRig(tmp_path_factory.mktemp("examples")) as rig:
        shutil.copy(MODELS / "deploy.onnx", rig.drop)
        shutil.copy(MODELS / "deploy_new.onnx", rig.allowed)
        assert rig.post("/update_model", {"model_path": "deploy.onnx"}).status_code == 200
        rig.settle()
        yield rig


@pytest.fixture(scope="module")
def told(rig: WebRig) -> dict[str, Any]:
    document: dict[str, Any] = rig.get("/openapi.json").get_json()
    return document


def operations(told: dict[str, Any]) -> list[Asked]:
    found = [(path, method, operation) for path, item in told["paths"].items() for method, operation in item.items()]
    return sorted(found, key=lambda asked: next((n for n, end in enumerate(LAST) if asked[0].endswith(end)), -1))


def faults(told: dict[str, Any], form: Any, value: object) -> list[str]:
    """What of ``value`` is not as ``form`` says."""
    whole = {"allOf": [form], "components": told["components"]}
    found = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).iter_errors(value)
    return [f"{error.json_path}: {error.message:.200}" for error in found]


def examples_of(media: dict[str, Any]) -> list[Any]:
    one = [media["example"]] if "example" in media else []
    return one + [example["value"] for example in media.get("examples", {}).values()]


def bodies_of(operation: Operation) -> list[tuple[str, bytes | object]]:
    """Every example of a body, with its media type; one of nothing where there is to be none."""
    content = operation.get("requestBody", {}).get("content", {})
    return [(kind, example) for kind, media in content.items() for example in examples_of(media)] or [("", None)]


def place_of(path: str, operation: Operation) -> str:
    """The path with its examples, and all examples of the query."""
    query = {}
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", str(parameter["example"]))
        elif parameter["in"] == "query" and "example" in parameter:
            query[parameter["name"]] = str(parameter["example"]).lower()
    return f"{path}?{urlencode(query)}"


def ask(rig: WebRig, path: str, method: str, operation: Operation, kind: str, body: object) -> TestResponse:
    sent = body.encode() if isinstance(body, str) and not kind.endswith("json") else body
    if path.endswith("/upload"):
        sent = (MODELS / "deploy_new.onnx").read_bytes()
    answer = rig.ask(method.upper(), place_of(path, operation), sent, content_type=kind or None)
    rig.settle()
    return answer


def judge(told: dict[str, Any], operation: Operation, answer: TestResponse) -> list[str]:
    """What is wrong with an answer that is to be a 200, where there is one."""
    if "200" not in operation["responses"]:
        return [] if str(answer.status_code) in operation["responses"] else [f"{answer.status_code}"]
    if answer.status_code != 200:
        return [f"{answer.status_code}: {answer.text:.300}"]
    described = operation["responses"]["200"]
    media = described["content"].get(answer.mimetype)
    if media is None:
        return [f"{answer.mimetype} is not among {list(described['content'])}"]
    missing = [
        f"no header {name}"
        for name, header in described.get("headers", {}).items()
        if is_required(told, header) and name not in answer.headers
    ]
    is_json = answer.mimetype == "application/json"
    return missing + (faults(told, media["schema"], answer.get_json()) if is_json else [])


def is_required(told: dict[str, Any], header: dict[str, Any]) -> bool:
    name = header.get("$ref", "").rpartition("/")[2]
    return bool((told["components"]["headers"][name] if name else header).get("required"))


def test_every_example_of_a_request_is_answered_as_described(rig: WebRig, told: dict[str, Any]) -> None:
    found, asked = [], 0
    for path, method, operation in operations(told):
        for kind, body in bodies_of(operation):
            answer = ask(rig, path, method, operation, kind, body)
            asked += 1
            found += [f"{method} {path} {kind} {fault}" for fault in judge(told, operation, answer)]
    assert found == []
    assert asked > 20


def test_every_example_of_a_body_has_its_form(told: dict[str, Any]) -> None:
    found = []
    for path, method, operation in operations(told):
        media = list(operation.get("requestBody", {}).get("content", {}).values())
        for response in operation["responses"].values():
            media += response.get("content", {}).values()
        examples = [(item["schema"], example) for item in media for example in examples_of(item)]
        for parameter in operation["parameters"]:
            examples += [(parameter["schema"], example) for example in examples_of(parameter)]
        found += [f"{method} {path} {fault}" for form, example in examples for fault in faults(told, form, example)]
    assert found == []


def test_every_operation_shows_a_body_for_each_media_type_that_is_text(told: dict[str, Any]) -> None:
    shown = ("application/json", "text/csv", "text/plain")
    found = []
    for path, method, operation in operations(told):
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for kind, media in [pair for content in contents for pair in content.get("content", {}).items()]:
            found += [f"{method} {path} {kind}"] if kind in shown and not examples_of(media) else []
    assert found == []


def test_refusals_have_the_codes_of_their_status_and_no_others(told: dict[str, Any]) -> None:
    table = {*STATUS.values(), *HTTP_CODES.items()}
    for status, response in told["components"]["responses"].items():
        media = response["content"]["application/json"]
        examples = examples_of(media)
        assert {(int(status), example["code"]) for example in examples} <= table
        assert [fault for example in examples for fault in faults(told, media["schema"], example)] == []
