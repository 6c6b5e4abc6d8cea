"""A body is read so that its first tensor goes to the model from where it was read to."""

import gzip
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pytest

from daemon.errors import TooLarge
from daemon.web.asking import Asked
from daemon.web.open_inference.body import ALIGNED_BYTES, HEADER, LEAST_ALIGNED_BYTES, body_of
from tests import onnx_models
from tests.fakes import asked
from tests.v2_wire import outputs_of, request
from tests.web_rig import WebRig

BODY = bytes(range(256)) * (2 * LEAST_ALIGNED_BYTES // 256)


def with_header(body: bytes, header: str, **more: Any) -> Asked:
    fields: dict[str, Any] = {HEADER: header, **more}
    return asked(body, None, **fields)


def place_of(body: Any, begin: int) -> int:
    return int(np.frombuffer(body, np.uint8)[begin:].ctypes.data)


@pytest.mark.parametrize("begin", [1, 2, 3, 63, 64, 65, 199])
def test_what_follows_the_json_lies_where_it_should(begin: int) -> None:
    body = body_of(with_header(BODY, str(begin)), len(BODY))
    assert place_of(body, begin) % ALIGNED_BYTES == 0
    assert bytes(body) == BODY
    assert memoryview(body).readonly


def test_body_that_was_spooled_is_read_so_too() -> None:
    with TemporaryFile() as file:
        file.write(BODY)
        file.seek(0)
        body = body_of(with_header(BODY, "33", **{"wsgi.input": file}), len(BODY))
    assert bytes(body) == BODY
    assert place_of(body, 33) % ALIGNED_BYTES == 0


@pytest.mark.parametrize("header", ["", "0", "x", "-1", "1" * 30, "²"])
def test_header_that_says_nothing_of_it_leaves_the_body_as_it_is(header: str) -> None:
    assert body_of(with_header(BODY, header), len(BODY)) == BODY


def test_header_beyond_the_body_is_left_to_who_reads_it() -> None:
    assert bytes(body_of(with_header(BODY, "999999999"), len(BODY))) == BODY


def test_small_ones_and_packed_ones_are_bytes() -> None:
    assert body_of(with_header(BODY[:100], "3"), 100) == BODY[:100]
    packed = with_header(gzip.compress(BODY), "3", **{"HTTP_CONTENT_ENCODING": "gzip"})
    assert body_of(packed, len(BODY)) == BODY


def test_body_of_unknown_length_is_read() -> None:
    chunked = with_header(BODY, "3")
    chunked.fields = {"wsgi.input": BytesIO(BODY), HEADER: "3"}
    assert body_of(chunked, len(BODY)) == BODY


def test_body_that_is_too_large_is_refused() -> None:
    with pytest.raises(TooLarge):
        body_of(with_header(BODY, "3"), len(BODY) - 1)


def test_tensor_goes_to_the_model_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebRig(tmp_path) as rig:
        rig.post("/update_model", {"model_path": onnx_models.identity(rig.drop / "x.onnx", "float64").name})
        rig.predictor._max_body_bytes = 1 << 20
        given: list[Any] = []
        with rig.holder.lease("default") as serving:
            run = serving.engine.run

            def seen(inputs: Any, **more: Any) -> Any:
                given.append(inputs["x"])
                return run(inputs, **more)

            monkeypatch.setattr(serving.engine, "run", seen)
        array = np.random.default_rng(0).random(20_000)
        for padding in range(9):
            body, headers = request({"x": (array, "FP64")}, binary=True, id="x" * padding)
            answer = rig.post("/v2/models/default/infer", body, headers=headers)
            assert np.array_equal(outputs_of(answer.get_data(), dict(answer.headers))["y"], array)
    assert len(given) == 9
    assert all(each.flags.aligned and not each.flags.owndata and not each.flags.writeable for each in given)
