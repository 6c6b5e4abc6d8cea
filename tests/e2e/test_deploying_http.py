"""``/update_model``, rollback and the release history from outside: what they take, what they refuse, what they say."""

import shutil
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.conftest import NewRig
from tests.e2e.rig import Answer, Rig
from tests.onnx_models import constant_model

pytestmark = pytest.mark.both_fronts

_numbers = count(1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon for all tests of this module, with two allowed folders; each test deploys a model of its own name."""
    rig = Rig(tmp_path_factory.mktemp("deploying"), {"deploy": {"allowed_dirs": ["first", "second"]}}, front=front)
    for name in ("first", "second", "outside"):
        (rig.folder / name).mkdir()
    rig.start()
    yield rig
    rig.kill()


@pytest.fixture
def model() -> str:
    """A model's name that no other test has."""
    return f"model-{next(_numbers)}"


def _make(path: Path) -> str:
    """A model unlike every other at ``path``; its hash."""
    constant_model(path, float(next(_numbers)))
    return sha256(path.read_bytes()).hexdigest()


def _update(rig: Rig, model_path: str, model: str) -> Answer:
    return rig.post("/update_model", {"model_path": model_path, "model": model})


def _expect_refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["error"]
    assert answer.headers["Content-Type"] == "application/json"
    assert b"Traceback" not in answer.body


def test_update_answers_with_the_release_that_serves(shared: Rig, model: str) -> None:
    identity = _make(shared.folder / "first" / "whole.onnx")
    answer = _update(shared, "whole.onnx", model)
    assert answer.status == 200
    assert answer.json == {
        "message": "模型已更新成功",
        "outcome": "live",
        "model": model,
        "version": 1,
        "sha256": identity,
        "model_path": "whole.onnx",
    }
    predicted = shared.predict(model=model)
    assert predicted.json["model_path"] == "whole.onnx"
    assert predicted.headers["X-Model-SHA256"] == identity


def test_update_with_what_serves_is_unchanged(shared: Rig, model: str) -> None:
    _make(shared.folder / "first" / "same.onnx")
    shutil.copy(shared.folder / "first" / "same.onnx", shared.folder / "first" / "copy.onnx")
    assert _update(shared, "same.onnx", model).json["outcome"] == "live"
    again = _update(shared, "copy.onnx", model)
    assert (again.status, again.json["outcome"], again.json["version"]) == (200, "unchanged", 1)


@pytest.mark.parametrize(
    "named",
    [
        "first/named.onnx",
        "named.onnx",
        "./first/named.onnx",
        "first/../first/named.onnx",
        "only-second.onnx",
        "deeper/down.onnx",
    ],
)
def test_relative_path_is_found_where_the_contract_says(shared: Rig, model: str, named: str) -> None:
    _make(shared.folder / "first" / "named.onnx")
    _make(shared.folder / "second" / "only-second.onnx")
    _make(shared.folder / "first" / "deeper" / "down.onnx")
    answer = _update(shared, named, model)
    assert answer.status == 200
    assert answer.json["model_path"] == named


def test_absolute_path_in_an_allowed_folder_is_taken(shared: Rig, model: str) -> None:
    path = shared.folder / "second" / "absolute.onnx"
    identity = _make(path)
    answer = _update(shared, str(path), model)
    assert (answer.status, answer.json["sha256"], answer.json["model_path"]) == (200, identity, str(path))


def test_drop_directory_comes_before_the_allowed_folders(shared: Rig, model: str) -> None:
    dropped = _make(shared.drop / model / "twice.onnx")
    shared.wait_for_event(event="live", model=model)
    _make(shared.folder / "first" / model / "twice.onnx")
    answer = _update(shared, f"{model}/twice.onnx", model)
    assert (answer.json["outcome"], answer.json["sha256"]) == ("unchanged", dropped)


def test_config_folder_comes_before_the_drop_directory(shared: Rig, model: str) -> None:
    here = _make(shared.folder / "first" / "order.onnx")
    _make(shared.drop / "first" / "order.onnx")
    assert _update(shared, "first/order.onnx", model).json["sha256"] == here


@pytest.mark.parametrize(
    "named",
    [
        "outside/secret.onnx",
        "{folder}/outside/secret.onnx",
        "first/../outside/secret.onnx",
        "../outside/secret.onnx",
        "../../../../../../../../etc/passwd",
        "/etc/passwd",
        "/nonexistent/model.onnx",
        "../nonexistent.onnx",
        "first/link.onnx",
        "first/linked-folder/secret.onnx",
        "config.yaml",
        "state/journal.sqlite3",
        "first/nul\0.onnx",
    ],
)
def test_path_outside_the_allowed_folders_is_403(shared: Rig, model: str, named: str) -> None:
    _make(shared.folder / "outside" / "secret.onnx")
    _link(shared.folder / "first" / "link.onnx", shared.folder / "outside" / "secret.onnx")
    _link(shared.folder / "first" / "linked-folder", shared.folder / "outside")
    answer = _update(shared, named.format(folder=shared.folder), model)
    _expect_refused(answer, 403, "forbidden")
    _expect_refused(shared.predict(model=model), 404, "unknown_model")


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(target)


def test_refusal_tells_no_folder_that_the_user_did_not_name(shared: Rig, model: str) -> None:
    for named in ("outside/secret.onnx", "nowhere.onnx"):
        assert str(shared.folder).encode() not in _update(shared, named, model).body


@pytest.mark.parametrize("named", ["missing.onnx", "first/missing.onnx", "{folder}/second/missing.onnx"])
def test_missing_file_is_404(shared: Rig, model: str, named: str) -> None:
    _expect_refused(_update(shared, named.format(folder=shared.folder), model), 404, "not_found")


@pytest.mark.parametrize("named", ["first", "first/notes.txt"])
def test_what_is_no_model_file_is_refused_and_the_daemon_lives(shared: Rig, model: str, named: str) -> None:
    (shared.folder / "first" / "notes.txt").write_text("not a model\n" * 50)
    answer = _update(shared, named, model)
    assert answer.status in (404, 422)
    assert answer.json["error"]
    assert shared.get("/healthz").status == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'"a.onnx"', "invalid_json"),
        (b'\xff{"model_path": "a.onnx"}', "invalid_json"),
        (b"{}", "bad_request"),
        (b'{"model_path": 3}', "bad_request"),
        (b'{"model_path": ""}', "bad_request"),
        (b'{"model_path": null}', "bad_request"),
        (b'{"model_path": "a.onnx", "model": "../x"}', "bad_request"),
        (b'{"model_path": "a.onnx", "model": ""}', "bad_request"),
        (b'{"model_path": "a.onnx", "model": 7}', "bad_request"),
    ],
)
def test_malformed_update_is_400(shared: Rig, body: bytes, code: str) -> None:
    _expect_refused(shared.post("/update_model", body), 400, code)


ADMIN = [
    ("POST", "/update_model"),
    ("PUT", "/models/any/upload"),
    ("POST", "/models/any/rollback"),
    ("POST", "/v2/repository/models/any/load"),
    ("POST", "/v2/repository/models/any/unload"),
]
admin = pytest.mark.parametrize(("method", "path"), ADMIN)


@admin
@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain;charset=UTF-8"]
)
def test_body_that_a_form_could_send_is_415(shared: Rig, method: str, path: str, media_type: str) -> None:
    answer = shared.request(method, path, b"{}", {"Content-Type": media_type})
    _expect_refused(answer, 415, "unsupported_media_type")


@admin
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_origin_of_another_site_is_403(shared: Rig, method: str, path: str, origin: str) -> None:
    _expect_refused(shared.request(method, path, b"{}", {"Origin": origin}), 403, "forbidden")


@admin
@pytest.mark.parametrize("host", ["evil.example", "evil.example:5000", "10.0.0.1", "127.0.0.1.evil.example", ""])
def test_host_that_is_not_this_machine_is_403(shared: Rig, method: str, path: str, host: str) -> None:
    _expect_refused(shared.request(method, path, b"{}", {"Host": host}), 403, "forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:{port}", "[::1]:{port}"])
def test_host_of_this_machine_is_taken(shared: Rig, host: str) -> None:
    headers = {"Host": host.format(port=shared.port)}
    _expect_refused(shared.request("POST", "/update_model", b"{", headers), 400, "invalid_json")


def test_own_origin_and_no_content_type_are_taken(shared: Rig) -> None:
    headers = {"Origin": f"http://127.0.0.1:{shared.port}"}
    _expect_refused(shared.request("POST", "/update_model", b"{", headers), 400, "invalid_json")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, front: str) -> Iterator[Rig]:
    """A daemon with both tokens set, and a model that serves."""
    rig = Rig(
        tmp_path_factory.mktemp("guarded"), {"auth": {"admin_token": "boss", "predict_token": "guest"}}, front=front
    )
    constant_model(rig.drop / "a.onnx", 1.0)
    rig.start()
    yield rig
    rig.kill()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.mark.parametrize("token", ["", "guest", "Boss", "boss2", "ключ"])
@admin
def test_admin_route_without_the_admin_token_is_401(guarded: Rig, method: str, path: str, token: str) -> None:
    headers = {name: value.encode().decode("latin-1") for name, value in _bearer(token).items()}
    answer = guarded.request(method, path, b"{}", headers)
    _expect_refused(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_admin_token_opens_everything(guarded: Rig) -> None:
    boss = _bearer("boss")
    answer = guarded.post("/update_model", {"model_path": "a.onnx"}, headers=boss)
    assert (answer.status, answer.json["outcome"]) == (200, "unchanged")
    assert (
        guarded.post("/update_model", {"model_path": "a.onnx"}, headers={**boss, "Host": "modeldrop.lan"}).status == 200
    )
    assert guarded.post("/predict", {"inputs": [[1.0] * 10]}, headers=boss).status == 200
    assert guarded.get("/events", headers=boss).status == 200


@pytest.mark.parametrize(
    ("path", "without", "with_guest"),
    [
        ("/", 200, 200),
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
        ("/models", 401, 200),
        ("/models/default", 401, 200),
        ("/models/default/releases", 401, 200),
        ("/events", 401, 200),
    ],
)
def test_reading_needs_any_token_where_one_is_set(guarded: Rig, path: str, without: int, with_guest: int) -> None:
    assert guarded.get(path).status == without
    assert guarded.get(path, headers=_bearer("guest")).status == with_guest


def test_prediction_needs_the_predict_token(guarded: Rig) -> None:
    body = {"inputs": [[1.0] * 10]}
    for path in ("/predict", "/models/default/predict"):
        _expect_refused(guarded.post(path, body), 401, "unauthorized")
        _expect_refused(guarded.post(path, body, headers=_bearer("other")), 401, "unauthorized")
        assert guarded.post(path, body, headers=_bearer("guest")).status == 200


def test_rollback_goes_to_the_newest_other_content_under_a_new_version(shared: Rig, model: str) -> None:
    identities = [_make(shared.folder / "first" / f"{number}.onnx") for number in range(2)]
    for number in range(2):
        _update(shared, f"{number}.onnx", model)
    answer = shared.post(f"/models/{model}/rollback")
    assert answer.status == 200
    assert answer.json["message"] == "模型已更新成功"
    assert (answer.json["version"], answer.json["sha256"], answer.json["outcome"]) == (3, identities[0], "live")
    assert shared.predict(model=model).headers["X-Model-SHA256"] == identities[0]
    events = [event for event in shared.events() if event.get("model") == model and event.get("version") == 3]
    assert [event["event"] for event in events] == ["rolled_back", "live"]
    assert (events[0]["from_version"], events[0]["to_version"]) == (2, 1)
    assert events[1]["cause"] == "rolled_back"


def test_rollback_to_a_version_serves_its_content(shared: Rig, model: str) -> None:
    identities = [_make(shared.folder / "first" / f"{number}.onnx") for number in range(3)]
    for number in range(3):
        _update(shared, f"{number}.onnx", model)
    answer = shared.post(f"/models/{model}/rollback", {"version": 1})
    assert (answer.json["version"], answer.json["sha256"]) == (4, identities[0])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"version": 9}', 404, "not_found"),
        (b'{"version": 0}', 404, "not_found"),
        (b"{}", 404, "not_found"),
        (b'{"version": "1"}', 400, "bad_request"),
        (b'{"version": true}', 400, "bad_request"),
        (b'{"version": 1.5}', 400, "bad_request"),
        (b'{"version": 1', 400, "invalid_json"),
        (b"[1]", 400, "invalid_json"),
    ],
)
def test_rollback_that_cannot_be_leaves_what_serves(
    shared: Rig, model: str, body: bytes, status: int, code: str
) -> None:
    _make(shared.folder / "first" / "only.onnx")
    _update(shared, "only.onnx", model)
    _expect_refused(shared.post(f"/models/{model}/rollback", body), status, code)
    assert shared.predict(model=model).json["version"] == 1


def test_rollback_of_an_unknown_model_is_404(shared: Rig, model: str) -> None:
    _expect_refused(shared.post(f"/models/{model}/rollback"), 404, "unknown_model")


def test_rollback_to_pruned_bytes_is_404(new_rig: NewRig) -> None:
    rig = new_rig(history={"keep": 2}, deploy={"allowed_dirs": ["first"]}, probation={"seconds": 0}).start()
    for number in range(4):
        _make(rig.folder / "first" / f"{number}.onnx")
        assert _update(rig, f"{number}.onnx", "default").status == 200
    _expect_refused(rig.post("/models/default/rollback", {"version": 1}), 404, "not_found")
    assert rig.post("/models/default/rollback", {"version": 3}).json["version"] == 5
    assert len([entry for entry in (rig.state / "store").iterdir() if len(entry.name) == 64]) == 2


def test_history_is_newest_first_with_reasons_of_refusals(shared: Rig, model: str) -> None:
    identity = _make(shared.folder / "first" / "good.onnx")
    (shared.folder / "first" / "bad.onnx").write_text("no model\n" * 100)
    _update(shared, "good.onnx", model)
    assert _update(shared, "bad.onnx", model).status == 422
    shared.post(f"/models/{model}/rollback", {"version": 1})
    newest, *rest = shared.get(f"/models/{model}/releases").json["releases"]
    assert (newest["outcome"], newest["version"], newest["model_path"]) == ("rejected", None, "bad.onnx")
    assert newest["reason"]
    assert newest["check"]
    assert [(row["outcome"], row["version"], row["sha256"]) for row in rest] == [("live", 1, identity)]
    assert rest[0]["time"].endswith("Z")
    assert len(shared.get(f"/models/{model}/releases?limit=1").json["releases"]) == 1
    assert shared.get(f"/models/{model}/releases?limit=x").status == 400


def test_history_of_an_unknown_model_is_404(shared: Rig, model: str) -> None:
    _expect_refused(shared.get(f"/models/{model}/releases"), 404, "unknown_model")
    _expect_refused(shared.get(f"/models/{model}"), 404, "unknown_model")


def test_catalogue_says_what_serves(shared: Rig, model: str) -> None:
    identity = _make(shared.folder / "first" / "shown.onnx")
    _update(shared, "shown.onnx", model)
    found = shared.get(f"/models/{model}").json
    assert (found["model"], found["state"], found["version"], found["sha256"]) == (model, "live", 1, identity)
    assert (found["model_path"], found["candidate"]) == ("shown.onnx", None)
    assert found["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", 10]}]
    assert found["outputs"] == [{"name": "output", "dtype": "float32", "shape": ["batch", 5]}]
    assert found["since"].endswith("Z")
    assert found in shared.get("/models").json["models"]
    default = next(each for each in shared.get("/models").json["models"] if each["model"] == "default")
    assert (default["state"], default["version"], default["candidate"]) == ("none", None, None)
