"""Files that came with a model: only external data that it names may."""

from pathlib import Path

import pytest

from daemon.errors import Rejected
from daemon.intake.strangers import refuse_strangers
from tests.onnx_models import constant_model, external, ort_format


@pytest.mark.parametrize("location", ["m.onnx.data", "./m.onnx.data"])
def test_data_that_the_model_names_may_come(tmp_path: Path, location: str) -> None:
    refuse_strangers(external(tmp_path / "m.onnx", location=location), ["m.onnx.data"])


def test_nothing_need_come(tmp_path: Path) -> None:
    refuse_strangers(external(tmp_path / "m.onnx"), [])
    refuse_strangers(ort_format(tmp_path / "m.ort", 1.0), [])


def test_first_file_that_the_model_does_not_name_is_told(tmp_path: Path) -> None:
    path = external(tmp_path / "m.onnx")
    with pytest.raises(Rejected, match=r"'a\\nb' came with it") as refused:
        refuse_strangers(path, ["m.onnx.data", "z", "a\nb"])
    assert refused.value.check == "structure"


def test_model_without_external_data_names_none(tmp_path: Path) -> None:
    for path in (constant_model(tmp_path / "m.onnx", 1.0), ort_format(tmp_path / "m.ort", 1.0)):
        with pytest.raises(Rejected, match="'data'"):
            refuse_strangers(path, ["data"])


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08"])
def test_of_what_is_no_whole_model_nothing_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    refuse_strangers(path, ["data"])
