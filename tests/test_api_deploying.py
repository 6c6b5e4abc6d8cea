"""Deploying over HTTP: update, upload, rollback, load and unload, and every refusal leaves what serves alone."""

import base64
import gzip
import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from werkzeug.test import TestResponse

from daemon.errors import SourceChanged
from daemon.gate import Relapse, SignatureCheck
from daemon.intake.store import Store
from daemon.release import Event
from tests.onnx_models import constant_model, external, failing, single_row_of_ten
from tests.web_rig import LIMIT_BYTES, WebRig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    with WebRig(tmp_path) as rig:
        yield rig


def refused(answer: TestResponse) -> tuple[int, str]:
    value = answer.get_json()
    assert value["error"]
    return answer.status_code, value["code"]


def rejected(answer: TestResponse) -> tuple[str, str]:
    """Check and reason of a 422."""
    assert refused(answer) == (422, "rejected")
    value = answer.get_json()
    assert value["reason"] in value["error"]
    return value["check"], value["reason"]


def bytes_of(rig: WebRig, value: float) -> bytes:
    return constant_model(rig.folder / "sent" / "model.onnx", value).read_bytes()


def serving(rig: WebRig, model: str = "default") -> tuple[int, float]:
    """Version and output of what answers now."""
    value = rig.predict(f"/models/{model}/predict").get_json()
    return value["version"], value["output"][0][0]


def names(rig: WebRig) -> list[str]:
    return [event.event for event in rig.journal.events(limit=1000)]


def test_update_serves_when_it_answers(rig: WebRig) -> None:
    path = rig.model_file(1)
    answer = rig.post("/update_model", {"model_path": "1.onnx"})
    assert answer.status_code == 200
    assert answer.get_json() == {
        "message": "模型已更新成功",
        "outcome": "live",
        "model": "default",
        "version": 1,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "model_path": "1.onnx",
    }
    assert serving(rig) == (1, 1)
    assert rig.journal.events()[0].cause == "updated"


def test_update_to_what_serves_is_unchanged_under_the_path_as_typed(rig: WebRig) -> None:
    rig.update(1)
    rig.model_file(1, "copy.onnx")
    value = rig.post("/update_model", {"model_path": "drop/copy.onnx"}).get_json()
    assert (value["outcome"], value["version"], value["model_path"]) == ("unchanged", 1, "drop/copy.onnx")


def test_update_of_a_named_model_makes_it(rig: WebRig) -> None:
    rig.model_file(2)
    assert rig.post("/update_model", {"model_path": "2.onnx", "model": "other"}).get_json()["model"] == "other"
    assert serving(rig, "other") == (1, 2)


def test_update_takes_a_model_with_external_data(rig: WebRig) -> None:
    external(rig.allowed / "m.onnx", value_of=3)
    assert rig.post("/update_model", {"model_path": "allowed/m.onnx"}).status_code == 200
    assert serving(rig) == (1, 3)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"{}", "bad_request"),
        (b'{"model_path": ""}', "bad_request"),
        (b'{"model_path": 5}', "bad_request"),
        (b'{"model_path": ["a"]}', "bad_request"),
        (b'{"model_path": "1.onnx", "model": ""}', "bad_request"),
        (b'{"model_path": "1.onnx", "model": "a b"}', "bad_request"),
        (b'{"model_path": "1.onnx", "model": "../x"}', "bad_request"),
        (b'{"model_path": "1.onnx", "model": null}', "bad_request"),
    ],
)
def test_malformed_update_is_400(rig: WebRig, body: bytes, code: str) -> None:
    rig.model_file(1)
    assert refused(rig.post("/update_model", body)) == (400, code)
    assert names(rig) == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.onnx", "drop/../../outside.onnx"])
def test_update_outside_the_allowed_folders_is_403(rig: WebRig, path: str) -> None:
    assert refused(rig.post("/update_model", {"model_path": path})) == (403, "forbidden")


@pytest.mark.parametrize("path", ["nothing.onnx", "drop/nothing.onnx", "x" * 300 + ".onnx"])
def test_update_to_a_file_that_is_not_there_is_404(rig: WebRig, path: str) -> None:
    answer = rig.post("/update_model", {"model_path": path})
    assert refused(answer) == (404, "not_found")
    assert str(rig.folder) not in answer.text


@pytest.mark.parametrize(
    ("name", "content", "check"),
    [
        ("empty.onnx", b"", "structure"),
        ("text.onnx", b"<html>not a model</html>", "structure"),
        ("notes.txt", b"just text", "structure"),
    ],
)
def test_update_to_what_is_no_model_is_422_and_written_down(rig: WebRig, name: str, content: bytes, check: str) -> None:
    rig.update(1)
    (rig.drop / name).write_bytes(content)
    found, reason = rejected(rig.post("/update_model", {"model_path": name}))
    assert found == check
    assert serving(rig) == (1, 1)
    event = rig.journal.events(limit=100)[-1]
    assert (event.event, event.cause, event.model_path, event.reason) == ("rejected", "updated", name, reason)
    row = rig.get("/models/default/releases").get_json()["releases"][0]
    assert (row["outcome"], row["check"], row["reason"]) == ("rejected", check, reason)


def test_update_to_half_a_file_is_422(rig: WebRig) -> None:
    path = rig.model_file(1)
    path.write_bytes(path.read_bytes()[:-7])
    check, reason = rejected(rig.post("/update_model", {"model_path": path.name}))
    assert check == "structure"
    assert reason.startswith("truncated")


def test_update_to_a_file_that_changes_while_it_is_copied_tries_again(
    rig: WebRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.model_file(1)
    left, ingest = [1, 1], Store.ingest

    def moving(*arguments: object) -> object:
        if left:
            left.pop()
            raise SourceChanged("it changed")
        return ingest(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "ingest", moving)
    assert rig.post("/update_model", {"model_path": "1.onnx"}).status_code == 200


def test_update_to_a_file_that_never_stops_changing_is_422(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def moving(*_: object) -> None:
        raise SourceChanged("it changed")

    rig.model_file(1)
    monkeypatch.setattr(Store, "ingest", moving)
    check, reason = rejected(rig.post("/update_model", {"model_path": "1.onnx"}))
    assert check == "store"
    assert "changed" in reason


def test_odd_name_is_escaped_in_the_answer(rig: WebRig) -> None:
    rig.model_file(1, "a\nb.onnx")
    assert rig.post("/update_model", {"model_path": "a\nb.onnx"}).get_json()["model_path"] == "a\\nb.onnx"


def test_upload_serves_when_it_answers(rig: WebRig) -> None:
    content = bytes_of(rig, 4)
    answer = rig.put("/models/default/upload?filename=sent.onnx", content)
    assert answer.status_code == 200
    value = answer.get_json()
    assert (value["message"], value["outcome"], value["model_path"]) == ("模型已更新成功", "live", "sent.onnx")
    assert value["sha256"] == hashlib.sha256(content).hexdigest()
    assert serving(rig) == (1, 4)
    assert rig.journal.events()[0].cause == "uploaded"


def test_upload_without_a_name_has_the_models(rig: WebRig) -> None:
    assert rig.put("/models/other/upload", bytes_of(rig, 4)).get_json()["model_path"] == "other.onnx"


@pytest.mark.parametrize("how", ["hex", "upper", "digest", "digests", "both"])
def test_upload_with_its_digest_is_taken(rig: WebRig, how: str) -> None:
    content = bytes_of(rig, 4)
    digest = hashlib.sha256(content)
    encoded = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    headers = {
        "hex": {"X-Content-SHA256": digest.hexdigest()},
        "upper": {"X-Content-SHA256": digest.hexdigest().upper()},
        "digest": {"Content-Digest": encoded},
        "digests": {"Content-Digest": f"sha-512=:YWJj:, {encoded}"},
        "both": {"X-Content-SHA256": digest.hexdigest(), "Content-Digest": encoded},
    }[how]
    assert rig.put("/models/default/upload", content, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Content-SHA256": "0" * 64},
        {"Content-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"},
    ],
)
def test_upload_with_another_digest_is_rejected(rig: WebRig, headers: dict[str, str]) -> None:
    rig.update(1)
    check, _ = rejected(rig.put("/models/default/upload", bytes_of(rig, 4), headers=headers))
    assert check == "integrity"
    assert serving(rig) == (1, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Content-SHA256": "xyz"},
        {"X-Content-SHA256": "0" * 63},
        {"Content-Digest": "sha-256=:AAAA:"},
        {"Content-Digest": "sha-512=:AAAA:"},
        {"Content-Digest": "sha-256=:A:"},
    ],
)
def test_upload_with_a_malformed_digest_is_400(rig: WebRig, headers: dict[str, str]) -> None:
    assert refused(rig.put("/models/default/upload", bytes_of(rig, 4), headers=headers)) == (400, "bad_request")


@pytest.mark.parametrize(
    "path",
    [
        "/models/default/upload?filename=x.txt",
        "/models/default/upload?filename=a/b.onnx",
        "/models/default/upload?filename=..%5Cb.onnx",
        "/models/default/upload?filename=",
        "/models/a%20b/upload",
        "/models/-x/upload",
        "/models/" + "x" * 101 + "/upload",
    ],
)
def test_upload_under_a_wrong_name_is_400(rig: WebRig, path: str) -> None:
    assert refused(rig.put(path, bytes_of(rig, 4))) == (400, "bad_request")
    assert names(rig) == []


@pytest.mark.parametrize("query", ["dryrun=true", "dry_run=true&Force=true", "name=x.onnx"])
def test_upload_with_a_misspelt_key_is_400_and_changes_nothing(rig: WebRig, query: str) -> None:
    assert refused(rig.put(f"/models/default/upload?{query}", bytes_of(rig, 4))) == (400, "bad_request")
    assert names(rig) == []


def test_upload_over_its_own_limit_is_413_and_leaves_nothing(rig: WebRig) -> None:
    answer = rig.put("/models/default/upload", b"x" * (16 * LIMIT_BYTES + 1))
    assert refused(answer) == (413, "too_large")
    assert rig.lower.store.entries() == set()


def test_413_names_the_setting(rig: WebRig) -> None:
    upload = rig.put("/models/default/upload", b"x" * (16 * LIMIT_BYTES + 1))
    assert "(server.max_upload_mb)" in upload.get_json()["error"]
    assert "(server.max_body_mb)" in rig.post("/predict", b" " * (LIMIT_BYTES + 1)).get_json()["error"]
    packed = rig.post("/predict", gzip.compress(b" " * (LIMIT_BYTES + 1)), headers={"Content-Encoding": "gzip"})
    assert "(server.max_body_mb)" in packed.get_json()["error"]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("GZIP", gzip.compress)],
)
def test_body_of_a_request_that_changes_what_serves_may_be_packed(
    rig: WebRig, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": encoding}
    for value in (1, 2):
        path = rig.model_file(value)
        update = rig.post("/update_model", pack(orjson.dumps({"model_path": path.name})), headers=headers)
        assert update.status_code == 200, update.text
    assert rig.post("/models/default/rollback", pack(b'{"version": 1}'), headers=headers).status_code == 200
    assert rig.post("/v2/repository/index", pack(b'{"ready": true}'), headers=headers).status_code == 200
    assert rig.post("/v2/repository/models/default/unload", pack(b"{}"), headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/update_model", "/models/default/rollback", "/v2/repository/models/default/unload"])
def test_body_that_is_not_packed_as_it_says_is_400_and_changes_nothing(rig: WebRig, path: str) -> None:
    rig.update(1)
    answer = rig.post(path, b'{"model_path": "1.0.onnx"}', headers={"Content-Encoding": "gzip"})
    assert refused(answer) == (400, "bad_request")
    assert "is not gzip, as its content encoding says" in answer.get_json()["error"]
    assert refused(rig.post(path, b"{}", headers={"Content-Encoding": "br"})) == (415, "unsupported_media_type")
    assert serving(rig) == (1, 1)


def test_packed_body_is_unpacked_up_to_its_bound(rig: WebRig) -> None:
    body = gzip.compress(b'{"model_path": "' + b" " * (1 << 20) + b'"}')
    assert len(body) < LIMIT_BYTES
    answer = rig.post("/update_model", body, headers={"Content-Encoding": "gzip"})
    assert refused(answer) == (413, "too_large")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_model_that_comes_packed_is_415_and_changes_nothing(rig: WebRig, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    for answer in (
        rig.put("/models/default/upload", gzip.compress(bytes_of(rig, 4)), headers=headers),
        rig.put("/models/default/upload", bytes_of(rig, 4), headers=headers),
        rig.post("/v2/repository/models/default/load", gzip.compress(b"{}"), headers=headers),
        rig.post("/v2/repository/models/default/load", b"{}", headers=headers),
    ):
        assert refused(answer) == (415, "unsupported_media_type")
        assert f"found content encoding '{encoding}', expected none: send it unpacked" in answer.get_json()["error"]
    assert names(rig) == []


def test_upload_may_be_larger_than_other_bodies(rig: WebRig) -> None:
    check, _ = rejected(rig.put("/models/default/upload", b"x" * (LIMIT_BYTES + 1)))
    assert check == "structure"


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08"])
def test_upload_of_what_is_no_model_is_422(rig: WebRig, content: bytes) -> None:
    rig.update(1)
    rejected(rig.put("/models/default/upload", content))
    assert serving(rig) == (1, 1)


def test_upload_that_left_its_weights_behind_is_422(rig: WebRig) -> None:
    path = external(rig.folder / "sent" / "m.onnx")
    check, reason = rejected(rig.put("/models/default/upload", path.read_bytes()))
    assert check == "structure"
    assert "m.onnx.data" in reason


def test_rollback_answers_like_an_update(rig: WebRig) -> None:
    rig.update(1)
    rig.update(2)
    answer = rig.post("/models/default/rollback")
    value = answer.get_json()
    assert (answer.status_code, value["outcome"], value["version"], value["model_path"]) == (200, "live", 3, "1.onnx")
    assert value["message"] == "模型已更新成功"
    assert serving(rig) == (3, 1)


def test_rollback_to_a_version(rig: WebRig) -> None:
    for number in (1, 2, 3):
        rig.update(number)
    assert rig.post("/models/default/rollback", {"version": 1}).status_code == 200
    assert serving(rig) == (4, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[]", 400, "invalid_json"),
        (b'{"version": "1"}', 400, "bad_request"),
        (b'{"version": 1.0}', 400, "bad_request"),
        (b'{"version": true}', 400, "bad_request"),
        (b'{"version": 9}', 404, "not_found"),
        (b'{"version": 0}', 404, "not_found"),
        (b'{"version": -1}', 404, "not_found"),
        (b"", 404, "not_found"),
    ],
)
def test_rollback_to_nothing_is_refused_and_leaves_what_serves(
    rig: WebRig, body: bytes, status: int, code: str
) -> None:
    rig.update(1)
    assert refused(rig.post("/models/default/rollback", body)) == (status, code)
    assert serving(rig) == (1, 1)


def test_rollback_load_and_unload_of_a_model_that_never_was_are_404_and_leave_no_trace(rig: WebRig) -> None:
    for path in ("/models/no/rollback", "/v2/repository/models/no/load", "/v2/repository/models/no/unload"):
        assert refused(rig.post(path)) == (404, "unknown_model")
    assert refused(rig.predict("/models/no/predict")) == (404, "unknown_model")


def test_unload_and_load_answer_200_as_tritonclient_needs(rig: WebRig) -> None:
    rig.update(1)
    assert rig.post("/v2/repository/models/default/unload", headers={}).status_code == 200
    assert rig.predict().status_code == 503
    assert rig.post("/v2/repository/models/default/load", {}).status_code == 200
    assert serving(rig) == (1, 1)


def test_second_unload_answers_200_too(rig: WebRig) -> None:
    rig.update(1)
    for _ in range(2):
        answer = rig.post("/v2/repository/models/default/unload", headers={})
        assert (answer.status_code, answer.get_json()["version"]) == (200, 1)


@pytest.mark.parametrize("path", ["/models/default/rollback", "/v2/repository/models/default/load"])
def test_known_model_without_a_release_is_not_called_unknown(rig: WebRig, path: str) -> None:
    rig.journal.append(Event(event="rejected", model="default", check="structure", reason="empty"))
    assert refused(rig.post(path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/update_model", {"model_path": "1.onnx", "mdoel": "other"}),
        ("/models/default/rollback", {"verison": 1}),
    ],
)
def test_misspelt_key_is_400_and_changes_nothing(rig: WebRig, path: str, body: dict[str, object]) -> None:
    rig.model_file(1)
    rig.update(2)
    rig.update(3)
    before = serving(rig)
    answer = rig.post(path, body)
    assert refused(answer) == (400, "bad_request")
    assert "unknown key" in answer.get_json()["error"]
    assert serving(rig) == before


def test_deploy_while_stopping_is_503(rig: WebRig) -> None:
    rig.model_file(1)
    rig.deployer.stop()
    answer = rig.post("/update_model", {"model_path": "1.onnx"})
    assert refused(answer) == (503, "overloaded")
    assert answer.headers["Retry-After"]


def test_every_request_after_an_update_is_answered_by_it_or_a_newer_one(rig: WebRig) -> None:
    rig.update(0)
    stop, faults = threading.Event(), list[str]()
    answered = [1]  # the newest version whose update has answered

    def predict() -> None:
        while not stop.wait(0.001):  # threads of Python that never pause would keep the deploys from their turn
            promised = answered[-1]
            value = rig.predict().get_json()
            if value["version"] < promised or value["output"][0][0] != value["version"] - 1:
                faults.append(f"{value} after version {promised} was answered")

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 15):
        answered.append(rig.update(number).get_json()["version"])
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert answered[-1] == 15


COMPATIBLE = (Relapse(), SignatureCheck("compatible"))
"""The checks after the trial, of those who have clients to lose."""


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[WebRig]:
    """Version 1 of a model of ten inputs serves, and one of eleven lies beside it: ``wide.onnx``."""
    with WebRig(tmp_path, tried_checks=COMPATIBLE) as rig:
        rig.update(1)
        constant_model(rig.drop / "wide.onnx", 2, inputs=11)
        yield rig


def wide_bytes(rig: WebRig) -> bytes:
    return (rig.drop / "wide.onnx").read_bytes()


NARROWER = (
    "against version 1: input 'input' has the shape [batch, 11], had [batch, 10]; give it a folder of its own if it is "
    "another model, or deploy it with force (gate.signature is compatible)"
)


def test_breaking_update_is_409_with_check_and_reason_and_leaves_what_serves(strict: WebRig) -> None:
    answer = strict.post("/update_model", {"model_path": "wide.onnx"})
    assert refused(answer) == (409, "breaking_signature")
    value = answer.get_json()
    assert (value["check"], value["reason"]) == ("signature", NARROWER)
    assert value["error"] == f"the candidate was rejected: {NARROWER}"
    assert serving(strict) == (1, 1)
    event = strict.journal.events(limit=100)[-1]
    assert (event.event, event.check, event.reason) == ("rejected", "signature", NARROWER)


def test_breaking_upload_is_409(strict: WebRig) -> None:
    answer = strict.put("/models/default/upload", wide_bytes(strict))
    assert refused(answer) == (409, "breaking_signature")
    assert answer.get_json()["reason"] == NARROWER
    assert serving(strict) == (1, 1)


def test_breaking_rollback_is_409_unless_it_is_forced(strict: WebRig) -> None:
    strict.post("/update_model", {"model_path": "wide.onnx", "force": True})
    answer = strict.post("/models/default/rollback")
    assert refused(answer) == (409, "breaking_signature")
    assert answer.get_json()["check"] == "signature"
    forced = strict.post("/models/default/rollback", {"force": True})
    assert (forced.status_code, forced.get_json()["version"]) == (200, 3)
    assert serving(strict) == (3, 1)


def test_forced_update_deploys_and_the_event_says_what_it_would_have_failed(strict: WebRig) -> None:
    answer = strict.post("/update_model", {"model_path": "wide.onnx", "force": True})
    assert (answer.status_code, answer.get_json()["outcome"]) == (200, "live")
    live = strict.journal.events(limit=100)[-2]
    assert (live.event, live.version) == ("live", 2)
    assert live.detail["forced"] == [f"signature: {NARROWER}"]


@pytest.mark.parametrize("word", ["true", "1", "True"])
def test_forced_upload_deploys(strict: WebRig, word: str) -> None:
    answer = strict.put(f"/models/default/upload?force={word}", wide_bytes(strict))
    assert (answer.status_code, answer.get_json()["version"]) == (200, 2)


@pytest.mark.parametrize("word", ["false", "0", "FALSE"])
def test_upload_that_says_that_it_is_not_forced_is_not(strict: WebRig, word: str) -> None:
    answer = strict.put(f"/models/default/upload?force={word}&dry_run={word}", wide_bytes(strict))
    assert refused(answer) == (409, "breaking_signature")


def test_force_does_not_pass_what_is_no_model(strict: WebRig) -> None:
    (strict.drop / "bad.onnx").write_bytes(b"<html>")
    check, _ = rejected(strict.post("/update_model", {"model_path": "bad.onnx", "force": True}))
    assert check == "structure"
    assert serving(strict) == (1, 1)


def test_force_that_was_not_needed_is_told_as_such(rig: WebRig) -> None:
    rig.model_file(1)
    rig.post("/update_model", {"model_path": "1.onnx", "force": True})
    assert rig.journal.events()[0].detail == {"forced": []}


@pytest.mark.parametrize("name", ["force", "dry_run"])
@pytest.mark.parametrize("value", ["true", 1, 0, None, [], {}])
def test_switch_that_is_not_true_or_false_is_400(rig: WebRig, name: str, value: object) -> None:
    rig.update(1)
    rig.update(2)
    before = names(rig)
    for path, body in (("/update_model", {"model_path": "1.onnx"}), ("/models/default/rollback", {})):
        answer = rig.post(path, {**body, name: value})
        assert refused(answer) == (400, "bad_request")
        assert answer.get_json()["error"].startswith(f"{name}: expected true or false, found ")
    assert names(rig) == before


@pytest.mark.parametrize("name", ["force", "dry_run"])
@pytest.mark.parametrize("word", ["", "yes", "2", "true,true"])
def test_switch_in_a_query_that_is_not_true_or_false_is_400(rig: WebRig, name: str, word: str) -> None:
    answer = rig.put(f"/models/default/upload?{name}={word}", bytes_of(rig, 1))
    assert refused(answer) == (400, "bad_request")
    assert answer.get_json()["error"] == f"{name}: expected true or false, found {word!r}"
    assert names(rig) == []


def checks(value: dict[str, Any]) -> list[tuple[str, bool]]:
    """Every check of a report, and whether it was passed; each has its seconds."""
    assert all(isinstance(row["seconds"], float) and row["seconds"] >= 0 for row in value["checks"])
    return [(row["check"], row["passed"]) for row in value["checks"]]


PASSED = [(name, True) for name in ("integrity", "structure", "trial", "probation", "signature")]


def expect_nothing_changed(rig: WebRig, before: list[str]) -> None:
    """No event, no release, and no bytes beyond those that serve."""
    rig.settle()
    release = rig.holder.release_of("default")
    assert names(rig) == before
    assert rig.lower.store.entries() == ({release.sha256} if release else set())
    assert [each.version for each in rig.journal.releases("default")] == ([release.version] if release else [])


def test_dry_run_of_an_update_reports_every_check_and_changes_nothing(rig: WebRig) -> None:
    path = rig.model_file(1)
    answer = rig.post("/update_model", {"model_path": "1.onnx", "dry_run": True})
    value = answer.get_json()
    assert answer.status_code == 200
    assert checks(value) == PASSED
    assert {name: value[name] for name in value if name != "checks"} == {
        "dry_run": True,
        "outcome": "live",
        "model": "default",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "model_path": "1.onnx",
    }
    expect_nothing_changed(rig, [])
    assert rig.predict().status_code == 503


def test_dry_run_of_an_upload_reports_and_changes_nothing(rig: WebRig) -> None:
    rig.update(1)
    value = rig.put("/models/default/upload?filename=x.onnx&dry_run=true", bytes_of(rig, 2)).get_json()
    assert (value["outcome"], value["model_path"], checks(value)) == ("live", "x.onnx", PASSED)
    expect_nothing_changed(rig, ["live"])
    assert serving(rig) == (1, 1)


def test_dry_run_of_a_rollback_reports_and_changes_nothing(rig: WebRig) -> None:
    rig.update(1)
    sha256 = rig.journal.releases("default")[0].sha256
    rig.update(2)
    before = names(rig)
    value = rig.post("/models/default/rollback", {"dry_run": True}).get_json()
    assert (value["outcome"], value["sha256"], checks(value)) == ("live", sha256, PASSED)
    assert names(rig) == before
    assert serving(rig) == (2, 2)


def test_dry_run_of_a_rollback_to_nothing_is_refused_as_a_rollback_is(rig: WebRig) -> None:
    rig.update(1)
    assert refused(rig.post("/models/default/rollback", {"dry_run": True})) == (404, "not_found")
    assert refused(rig.post("/models/no/rollback", {"dry_run": True})) == (404, "unknown_model")


def test_dry_run_of_what_serves_says_that_nothing_would_change(rig: WebRig) -> None:
    rig.update(1)
    value = rig.post("/update_model", {"model_path": "1.onnx", "dry_run": True}).get_json()
    assert (value["outcome"], checks(value)) == ("unchanged", PASSED)
    expect_nothing_changed(rig, ["live"])


def test_dry_run_of_what_would_be_refused_says_by_which_check_and_why(strict: WebRig) -> None:
    value = strict.post("/update_model", {"model_path": "wide.onnx", "dry_run": True}).get_json()
    assert (value["outcome"], value["check"], value["reason"]) == ("rejected", "signature", NARROWER)
    assert checks(value) == [*PASSED[:-1], ("signature", False)]
    assert value["checks"][-1]["reason"] == NARROWER
    assert value["checks"][-1]["findings"]["changed"].startswith("against version 1: ")
    expect_nothing_changed(strict, ["live"])


def test_dry_run_by_force_says_what_would_come_of_it_and_what_it_would_have_failed(strict: WebRig) -> None:
    body = {"model_path": "wide.onnx", "dry_run": True, "force": True}
    value = strict.post("/update_model", body).get_json()
    assert (value["outcome"], "reason" in value) == ("live", False)
    assert checks(value) == [*PASSED[:-1], ("signature", False)]
    expect_nothing_changed(strict, ["live"])


def test_dry_run_of_a_rollback_is_by_force_where_it_says_so(strict: WebRig) -> None:
    strict.post("/update_model", {"model_path": "wide.onnx", "force": True})
    outcomes = [
        strict.post("/models/default/rollback", {"dry_run": True, "force": force}).get_json()["outcome"]
        for force in (False, True)
    ]
    assert outcomes == ["rejected", "live"]
    assert [release.version for release in strict.journal.releases("default")] == [2, 1]


def test_dry_run_of_an_upload_that_is_no_model_reports_up_to_the_check_that_refuses(rig: WebRig) -> None:
    value = rig.put("/models/default/upload?dry_run=1", b"<html>").get_json()
    assert (value["outcome"], value["check"]) == ("rejected", "structure")
    assert checks(value) == [("integrity", True), ("structure", False)]
    expect_nothing_changed(rig, [])


def test_dry_run_of_a_file_that_never_comes_to_the_gate_reports_what_kept_it(rig: WebRig) -> None:
    path = rig.model_file(1)
    path.write_bytes(path.read_bytes()[:-7])
    value = rig.post("/update_model", {"model_path": path.name, "dry_run": True}).get_json()
    assert (value["outcome"], value["check"], value["sha256"]) == ("rejected", "structure", None)
    assert value["reason"].startswith("truncated")
    assert checks(value) == [("structure", False)]
    expect_nothing_changed(rig, [])


def test_dry_run_of_a_model_that_fails_its_trial_reports_that(rig: WebRig) -> None:
    failing(rig.drop / "failing.onnx")
    value = rig.post("/update_model", {"model_path": "failing.onnx", "dry_run": True}).get_json()
    assert (value["outcome"], value["check"]) == ("rejected", "trial")
    assert checks(value) == [("integrity", True), ("structure", True), ("trial", False)]


def test_dry_run_of_an_upload_over_its_limit_is_413(rig: WebRig) -> None:
    answer = rig.put("/models/default/upload?dry_run=true", b"x" * (16 * LIMIT_BYTES + 1))
    assert refused(answer) == (413, "too_large")
    expect_nothing_changed(rig, [])


def test_dry_run_that_names_no_file_is_refused_as_an_update_is(rig: WebRig) -> None:
    for path, status in (("nothing.onnx", 404), ("/etc/passwd", 403)):
        assert rig.post("/update_model", {"model_path": path, "dry_run": True}).status_code == status


def test_model_that_fails_some_requests_is_given_up_and_then_they_are_answered(rig: WebRig) -> None:
    rig.update(1)
    single_row_of_ten(rig.drop / "picky.onnx")
    rig.post("/update_model", {"model_path": "picky.onnx"})
    pairs = {"inputs": [[1] * 10] * 2}
    answers = [rig.predict().status_code for _ in range(5)]
    answers += [rig.post("/predict", pairs).status_code for _ in range(15)]
    assert answers == [200] * 5 + [500] * 15
    rig.settle()
    answer = rig.post("/predict", pairs)
    assert (answer.status_code, answer.get_json()["version"]) == (200, 3)
    events = [(event.event, event.version) for event in rig.journal.events(limit=100)]
    assert events[-3:] == [("rolled_back", 3), ("live", 3), ("retired", 2)]


def test_what_a_client_does_wrong_is_no_failure_of_the_model(rig: WebRig) -> None:
    rig.update(1)
    rig.update(2)
    for body in (b"", b"[]", {"inputs": [[1]]}, {"inputs": [["a"] * 10]}):
        for _ in range(10):
            assert rig.post("/predict", body).status_code == 400
    assert rig.lower.probation.tally("default").requests == 0
    assert serving(rig) == (2, 2)


def test_recent_requests_are_kept_with_what_was_answered(rig: WebRig) -> None:
    rig.update(1)
    rig.predict()
    (sample,) = rig.lower.ring.samples("default")
    assert sample.inputs["input"].tolist() == [[1] * 10]
    assert np.asarray(sample.outputs[0]).tolist() == [[1] * 5]
    assert sample.sha256 == rig.journal.releases("default")[0].sha256


def test_requests_that_fail_are_not_kept(rig: WebRig) -> None:
    single_row_of_ten(rig.drop / "picky.onnx")
    rig.post("/update_model", {"model_path": "picky.onnx"})
    assert rig.post("/predict", {"inputs": [[1] * 10] * 2}).status_code == 500
    assert rig.lower.ring.samples("default") == []
