"""The short way of a prediction answers as Flask's view does, whatever is asked."""

import gzip
import math
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from werkzeug.test import Client, TestResponse

from daemon.errors import AT_ONCE, HandOver, UnknownModel, UnknownVersion
from daemon.lane.probation import ProbationTerms
from daemon.runtime import Array, CoreBudget
from daemon.runtime.gears import GearedEngine
from daemon.web.access import Tokens
from daemon.web.asking import LIVE, PREVIOUS, Target
from daemon.web.dialects import route_of
from daemon.web.dialects.plain import LONGEST_KEPT, PLAIN
from daemon.web.door import PredictDoor, expected_seconds
from daemon.web.faces import QUICK_SECONDS, TIMED_ONCE_IN, Face
from daemon.web.runs import AT_ONCE_BYTES
from tests import onnx_models
from tests.fakes import asked, release_of
from tests.web_rig import LIMIT_BYTES, WebRig

WAIT_SECONDS = 20.0
TEN: list[list[float]] = [[1.0] * 10]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[WebRig]:
    """A model of ten inputs and five outputs as ``default`` and as ``other``, one of two outputs as ``pair``."""
    with WebRig(tmp_path) as rig:
        for model in ("default", "other"):
            rig.update(1.5, model)
        onnx_models.two_inputs(rig.drop / "pair.onnx")
        rig.post("/update_model", {"model_path": "pair.onnx", "model": "pair"})
        rig.settle()
        yield rig


def both(rig: WebRig, path: str, **request: Any) -> tuple[TestResponse, TestResponse]:
    """The answers at the door and behind it."""
    door = rig.app.wsgi_app
    assert isinstance(door, PredictDoor)
    return Client(door).open(path, **request), Client(door._behind).open(path, **request)


def expect_the_same(answers: tuple[TestResponse, TestResponse]) -> TestResponse:
    at_the_door, behind = answers
    assert at_the_door.status_code == behind.status_code
    assert at_the_door.get_data() == behind.get_data()
    assert sorted(at_the_door.headers) == sorted(behind.headers)
    return at_the_door


NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(-9, 9))
ROWS = st.lists(st.lists(NUMBERS, min_size=10, max_size=10), min_size=0, max_size=4)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=2)),
    max_leaves=12,
)


def file_of(save: Any, *given: Any, **named: Any) -> bytes:
    """What ``save`` writes."""
    file = BytesIO()
    save(file, *given, **named)
    return file.getvalue()


ARRAYS: st.SearchStrategy[Array] = hnp.arrays(
    st.sampled_from([np.dtype(code) for code in ("<f4", "<i8", ">f8", "<U2")]),
    st.sampled_from([(2, 10), (0, 10), (1, 9), (2,)]),
)
BODIES = st.one_of(
    ARRAYS.map(lambda array: file_of(np.save, array)),
    ARRAYS.map(lambda array: file_of(np.savez, input=array)),
    st.tuples(ARRAYS, ARRAYS).map(lambda pair: file_of(np.savez_compressed, a=pair[0], b=pair[1])),
    ROWS.map(lambda rows: orjson.dumps({"inputs": rows})),
    ROWS.map(lambda rows: orjson.dumps({"inputs": {"input": rows}})),
    st.tuples(st.lists(NUMBERS, max_size=3), st.lists(NUMBERS, max_size=3)).map(
        lambda pair: orjson.dumps({"inputs": {"a": pair[0], "b": pair[1]}})
    ),
    ROWS.map(lambda rows: orjson.dumps({"instances": rows})),
    ROWS.map(lambda rows: orjson.dumps({"instances": [{"input": row} for row in rows]})),
    ANYTHING.map(lambda value: orjson.dumps({"inputs": value})),
    ANYTHING.map(lambda value: orjson.dumps({"instances": value})),
    ANYTHING.map(orjson.dumps),
    st.binary(max_size=30),
    st.just(b"x" * (LIMIT_BYTES + 1)),
)
TYPES = st.sampled_from(
    ["", "application/json", "Application/JSON; charset=utf-8", "text/csv", "multipart/form-data", "image/png",
     "nonsense", "application/x-npy", "application/x-npy", "application/x-npz", "application/x-npz", "application/zip"]
)  # fmt: skip
ACCEPTS = st.sampled_from(
    ["", "*/*", "application/json", "application/x-npy", "application/x-npz", "application/x-npy;q=0.1, */*;q=0.2",
     "application/zip, application/json;q=0.9", "text/html", ";,"]
)  # fmt: skip
PATHS = st.sampled_from(
    ["/predict", "/predict/", "//predict", "/models/default/predict", "/models/other/predict", "/models/pair/predict",
     "/models/nobody/predict", "/models//predict", "/models/a/b/predict", "/models/%C3%BC/predict", "/models/predict",
     "/models/a%20b/predict", "/predictions", "/", "/v1/models/default:predict", "/v1/models/pair:predict",
     "/v1/models/default/versions/1:predict", "/v1/models/default/versions/9:predict",
     "/v1/models/default/versions/x:predict", "/v1/models/default/versions/-1:predict",
     "/v1/models/default/labels/stable:predict", "/v1/models/default/labels/previous:predict",
     "/v1/models/other/labels/none:predict", "/v1/models/:predict", "/v1/models/a:b:predict", "/v1/models/default",
     "/v1/models/default:predict/", "/v1/models/default:classify", "/v1/models/default/versions/1:predict:predict",
     f"/v1/models/default/versions/{'1' * 18}:predict", f"/v1/models/default/versions/{'1' * 19}:predict"]
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=BODIES,
    kind=TYPES,
    accept=ACCEPTS,
    path=PATHS,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "HEAD"]),
)
def test_every_request_is_answered_the_same_at_the_door_and_behind_it(
    rig: WebRig, body: bytes, kind: str, accept: str, path: str, method: str
) -> None:
    headers = {"Accept": accept} if accept else {}
    expect_the_same(both(rig, path, method=method, data=body, content_type=kind or None, headers=headers))


def test_prediction_is_answered_at_the_door_alone(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    door = rig.app.wsgi_app
    monkeypatch.setattr(door, "_behind", None)
    answer = Client(door).post("/predict", data=orjson.dumps({"inputs": TEN}))
    assert (answer.status_code, answer.get_json()["output"]) == (200, [[1.5] * 5])
    assert answer.headers["X-Model-Version"] == "1"


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "Bearer p"}, 404)]
)
def test_token_is_asked_for_at_the_door_too(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    with WebRig(tmp_path, tokens=Tokens("a", "p")) as rig:
        body = orjson.dumps({"inputs": TEN})
        path = "/models/nobody/predict"
        assert expect_the_same(both(rig, path, method="POST", data=body, headers=headers)).status_code == status


def test_failure_that_nobody_expected_is_an_opaque_500_and_one_traceback(
    rig: WebRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise FileNotFoundError("/secret/place")

    monkeypatch.setattr(rig.predictor, "answer", fail)
    answer = expect_the_same(both(rig, "/predict", method="POST", data=b"{}"))
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert b"secret" not in answer.get_data()
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"] * 2


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/predict", None),
        ("/models/m.1/predict", "m.1"),
        ("/models/a b/predict", "a b"),
    ],
)
def test_model_is_read_from_the_path(path: str, model: str | None) -> None:
    route = route_of(path)
    assert route is not None
    assert (route.dialect, route.target) == (PLAIN, Target(model))


@pytest.mark.parametrize(
    "path",
    ["/models/predict", "/models//predict", "/models/a/b/predict", "/update_model", "/models/ü/predict",
     f"/models/{'m' * 300}/predict"],
)  # fmt: skip
def test_other_paths_are_no_predictions(path: str) -> None:
    assert route_of(path) is None


@pytest.mark.parametrize("version", ["1", "١", "１", "१", "²", "-1", "1٢", "+1", "1_0", " 1"])
@pytest.mark.parametrize("path", ["/v2/models/default/versions/{}/infer", "/v1/models/default/versions/{}:predict"])
def test_versions_are_written_in_asciis_digits(rig: WebRig, path: str, version: str) -> None:
    path = path.format(version)
    is_one = version == "1"
    assert (route_of(path) is not None) == is_one
    assert rig.app.url_map.bind("localhost").test(path, "POST") == is_one  # both ways agree
    body = {"inputs": [{"name": "input", "shape": [1, 10], "datatype": "FP32", "data": [1] * 10}]}
    answer = rig.post(path, body if "v2" in path else {"instances": [[1] * 10]})
    assert (answer.status_code, answer.get_json().get("code")) == ((200, None) if is_one else (404, "not_found"))


@pytest.mark.parametrize("digits", [19, 200, 250, 5000])
def test_version_that_is_far_too_large_is_not_there(rig: WebRig, digits: int) -> None:
    answer = rig.post(f"/v2/models/default/versions/{'9' * digits}/infer", {})
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/models/default/versions/{}", "/v1/models/default/versions/{}/metadata"])
def test_versions_that_are_told_of_are_written_so_too(rig: WebRig, path: str) -> None:
    assert [rig.get(path.format(version)).status_code for version in ("1", "١")] == [200, 404]


# What is quick.


def ask(rig: WebRig, times: int = TIMED_ONCE_IN) -> None:
    for _ in range(times):
        assert rig.predict().status_code == 200


def test_release_is_quick_once_it_was_seen_to_be(tmp_path: Path) -> None:
    with WebRig(tmp_path) as rig:
        rig.update(1)
        asked = (rig.predictor, "POST", "/predict")
        assert expected_seconds(*asked) == math.inf, "it was never asked"
        ask(rig, 20 * TIMED_ONCE_IN)
        assert expected_seconds(*asked) < QUICK_SECONDS
        assert expected_seconds(rig.predictor, "POST", "/update_model") == math.inf
        assert expected_seconds(rig.predictor, "POST", "/models/other/predict") == math.inf
        rig.update(2)
        assert expected_seconds(*asked) == math.inf, "what serves now was never asked"


def test_release_whose_runs_take_long_is_not_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebRig(tmp_path) as rig:
        rig.update(1)
        ask(rig, 20 * TIMED_ONCE_IN)
        with rig.holder.lease("default") as serving:
            run = serving.engine.run

            def slow(*given: Any, **more: Any) -> Any:
                np.linalg.inv(np.random.default_rng(0).random((150, 150)))
                return run(*given, **more)

            monkeypatch.setattr(serving.engine, "run", slow)
        ask(rig, 4 * TIMED_ONCE_IN)
        assert rig.predictor.expected_seconds("default") >= QUICK_SECONDS


def test_few_predictions_of_a_quick_release_are_timed() -> None:
    face = Face(release_of())
    assert [face.started() is not None for _ in range(2 * TIMED_ONCE_IN)].count(True) == 2 * TIMED_ONCE_IN
    for _ in range(5):
        face.took(10e-6)
    assert face.seconds < QUICK_SECONDS
    assert [face.started() is not None for _ in range(2 * TIMED_ONCE_IN)].count(True) == 2
    seconds = face.seconds
    face.ended(None)
    assert face.seconds == seconds


def test_run_that_takes_long_where_all_wait_for_it_is_handed_over(tmp_path: Path) -> None:
    with WebRig(tmp_path) as rig:
        onnx_models.counted_loop(rig.drop / "loop.onnx")
        assert rig.post("/update_model", {"model_path": "loop.onnx"}).status_code == 200
        short, long = ({"inputs": {"rounds": turns, "x": [1.0]}} for turns in (1, 10_000_000))
        for _ in range(20 * TIMED_ONCE_IN):
            assert rig.post("/predict", short).status_code == 200
        assert rig.predictor.expected_seconds("default") < QUICK_SECONDS
        assert at_once(rig, orjson.dumps(short)) == [200]
        assert at_once(rig, orjson.dumps(long)) == ["handed over"]
        assert rig.predictor.expected_seconds("default") >= QUICK_SECONDS


def test_outputs_that_take_long_to_write_are_handed_over(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.holder.lease("default") as serving:
        big = np.zeros((1, 1 + AT_ONCE_BYTES // 4), np.float32)
        monkeypatch.setattr(serving.engine, "run", lambda *_, **__: [big])
    assert at_once(rig, orjson.dumps({"inputs": TEN})) == ["handed over"]
    assert rig.predict().status_code == 200


def test_run_that_may_have_to_wait_for_a_core_is_handed_over(rig: WebRig, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Watched(CoreBudget):
        def claim(self, *widths: int, timeout_seconds: float) -> Any:
            waits.append(timeout_seconds)
            return super().claim(*widths, timeout_seconds=timeout_seconds)

    budget = Watched(1)
    with rig.holder.lease("default") as serving:
        monkeypatch.setattr(serving, "engine", GearedEngine([(1, serving.engine)], budget))
    body = orjson.dumps({"inputs": TEN})
    assert at_once(rig, body) == [200]
    with budget.claim(1, timeout_seconds=1):
        assert at_once(rig, body) == ["handed over"]
    assert waits == [0, 1, 0], "the loop waits for nothing"
    assert rig.predictor.expected_seconds("default") >= QUICK_SECONDS
    assert rig.predict().status_code == 200


def at_once(rig: WebRig, body: bytes) -> list[object]:
    """What becomes of a prediction that the loop itself asks for."""
    try:
        return [Client(rig.app.wsgi_app).post("/predict", data=body, environ_base={AT_ONCE: True}).status_code]
    except HandOver:
        return ["handed over"]


# Packed bodies, and versions.


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_packed_body_is_unpacked_at_both_doors(rig: WebRig, pack: Any) -> None:
    encoding = "gzip" if pack is gzip.compress else "deflate"
    body = pack(orjson.dumps({"inputs": TEN}))
    answers = both(rig, "/predict", method="POST", data=body, headers={"Content-Encoding": encoding})
    assert expect_the_same(answers).get_json()["output"] == [[1.5] * 5]


def test_packed_body_has_the_same_limit_as_a_plain_one(rig: WebRig) -> None:
    body = gzip.compress(b" " * (LIMIT_BYTES + 1))
    answers = both(rig, "/predict", method="POST", data=body, headers={"Content-Encoding": "gzip"})
    assert expect_the_same(answers).status_code == 413


def test_packed_body_is_not_unpacked_where_all_wait_for_it(rig: WebRig) -> None:
    body = gzip.compress(orjson.dumps({"inputs": TEN}))
    with pytest.raises(HandOver):
        Client(rig.app.wsgi_app).post(
            "/predict", data=body, headers={"Content-Encoding": "gzip"}, environ_base={AT_ONCE: True}
        )


def predicted(rig: WebRig, which: int | str, model: str | None = None) -> float:
    told = rig.predictor.answer(PLAIN, asked(orjson.dumps({"inputs": TEN}), Target(model, which)))
    return float(orjson.loads(b"".join(told.pieces))["output"][0][0])


def test_release_before_answers_for_its_version_as_long_as_it_stands_by(tmp_path: Path) -> None:
    terms = ProbationTerms(seconds=60, max_error_rate=0.1, min_requests=10, non_finite="warn", keep_previous=True)
    with WebRig(tmp_path, probation_terms=terms) as rig:
        rig.update(1)
        rig.update(2)
        assert [predicted(rig, which) for which in (LIVE, 2, 1, PREVIOUS)] == [2, 2, 1, 1]
        rig.update(3)
        assert [predicted(rig, which) for which in (LIVE, 3, 2, PREVIOUS)] == [3, 3, 2, 2]
        with pytest.raises(UnknownVersion, match="version 1 of model 'default' is not loaded"):
            predicted(rig, 1)


@pytest.mark.parametrize(
    ("which", "model", "error", "sentence"),
    [
        (7, None, UnknownVersion, "version 7 of model 'default' is not loaded: version 1 serves"),
        ("previous", None, UnknownVersion, "no release of model 'default' is loaded beside version 1"),
        ("newest", None, UnknownVersion, "model 'default' has no label 'newest': expected 'stable' or 'previous'"),
        (1, "nobody", UnknownModel, "there is no model 'nobody'"),
        ("previous", "nobody", UnknownModel, "there is no model 'nobody'"),
    ],
)
def test_version_that_cannot_be_asked_is_refused(
    rig: WebRig, which: int | str, model: str | None, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        predicted(rig, which, model)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("spaces", [0, 1, LONGEST_KEPT])
def test_headers_mean_the_same_however_long_they_are(rig: WebRig, spaces: int) -> None:
    headers = {"Accept": f"application/x-npy{' ' * spaces}"}
    for _ in range(2):
        answers = both(rig, "/predict", method="POST", data=orjson.dumps({"inputs": TEN}), headers=headers)
        assert expect_the_same(answers).content_type == "application/x-npy"
    headers["Content-Type"] = f"image/png;{'x' * spaces}"
    for _ in range(2):
        answers = both(rig, "/predict", method="POST", data=orjson.dumps({"inputs": TEN}), headers=headers)
        assert expect_the_same(answers).status_code == 415
