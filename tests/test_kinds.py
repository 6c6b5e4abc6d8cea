"""What a file that is no model seems to be, and that whoever dropped it is told."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daemon.intake.kinds import KINDS, LOOKED_AT_BYTES, seems_to_be
from daemon.intake.outline import OutlineState, read_outline
from tests import onnx_models
from tests.onnx_bytes import plain_bytes


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 100)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return buffer.getvalue()


def saved(array: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"

FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "git lfs": (lambda: LFS, "a Git LFS pointer, not the file itself"),
    "zip": (lambda: zipped("archive/data.pkl"), "a zip archive, as PyTorch (.pt)"),
    "empty zip": (zipped, "an empty zip archive"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras writes"),
    "tflite": (lambda: b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow Lite model"),
    "gguf": (lambda: b"GGUF\x03\0\0\0" + bytes(100), "a GGUF file"),
    "npy": (lambda: saved(np.zeros(3, np.float32)), "a NumPy array"),
    "gzip": (lambda: gzip.compress(b"model" * 100), "a gzip file: unpack it first"),
    "bzip2": (lambda: bz2.compress(random.Random(0).randbytes(5000)), "a bzip2 file: unpack it first"),
    "xz": (lambda: lzma.compress(b"model" * 100), "an xz file: unpack it first"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd\x04\x58" + bytes(100), "a Zstandard file: unpack it first"),
    "tar": (tarred, "a tar archive: unpack it first"),
    "program": (lambda: Path(sys.executable).read_bytes()[:4096], "a program or a library"),
    "png": (lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(50), "a PNG picture"),
    "jpeg": (lambda: b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(50), "a JPEG picture"),
    "pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "safetensors": (safetensors, "a safetensors file: it holds weights without a graph"),
    "html": (lambda: b"\n <!DOCTYPE html><html><body>404</body></html>", "an HTML page, such as a server's answer"),
    "bare html": (lambda: b"<HTML><head></head></HTML>", "an HTML page"),
    "json": (lambda: b'{"error": "not found"}', "JSON"),
    "json list": (lambda: b"[1, 2, 3]", "JSON"),
    "json with a mark": (lambda: b"\xef\xbb\xbf" + b'{"a": 1}', "JSON"),
    "text": (lambda: "Hier steht ein Modell, später.\n".encode(), "text"),
    **{
        f"pickle {protocol}": (
            lambda protocol=protocol: pickle.dumps({"weights": [1.0]}, protocol=protocol),  # type: ignore[misc]
            "a pickle: it is never loaded; export the model to ONNX",
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("kind", FILES)
def test_file_is_told_for_what_it_seems_to_be(kind: str) -> None:
    make, meaning = FILES[kind]
    seems = seems_to_be(make()[:LOOKED_AT_BYTES])
    assert seems is not None
    assert seems.startswith(meaning)


@pytest.mark.parametrize("kind", FILES)
def test_file_that_is_no_model_is_refused_with_what_it_seems_to_be(tmp_path: Path, kind: str) -> None:
    make, meaning = FILES[kind]
    (tmp_path / "m.onnx").write_bytes(make())
    outline = outline_at(tmp_path / "m.onnx")
    assert outline[0] is OutlineState.ALIEN
    assert f"; it seems to be {meaning}" in outline[1]


def outline_at(path: Path, suffix: str = ".onnx") -> tuple[OutlineState, str]:
    fd = os.open(path, os.O_RDONLY)
    try:
        outline = read_outline(fd, suffix)
    finally:
        os.close(fd)
    return outline.state, outline.reason


def test_ort_file_with_the_wrong_ending_is_told_so(tmp_path: Path) -> None:
    path = onnx_models.ort_format(tmp_path / "m.ort", 1.0)
    assert outline_at(path, ".onnx")[1].endswith("it seems to be an .ort file: give it that ending")


def test_zip_with_the_ending_of_an_ort_file_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "m.ort").write_bytes(zipped("x"))
    state, reason = outline_at(tmp_path / "m.ort", ".ort")
    assert state is OutlineState.ALIEN
    assert reason.startswith("not an .ort file: expected the identifier ORTM at byte 4; it seems to be a zip archive")


def test_file_that_seems_nothing_known_is_refused_without_a_guess(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x07\x01\x02\x03" * 100)
    state, reason = outline_at(tmp_path / "m.onnx")
    assert state is OutlineState.ALIEN
    assert "seems" not in reason


@pytest.mark.parametrize(
    "content",
    [
        plain_bytes(),
        b"",
        bytes(100),
        b"\x01\x02\x03",
        "text".encode("utf-16"),
        b"PK\x03",
        b"text \xff text and more",
        b"{\x00\x01",
    ],
    ids=["model", "empty", "zeros", "random", "UTF-16", "cut mark", "Latin-1", "brace"],
)
def test_nothing_is_guessed_of_what_has_no_mark(content: bytes) -> None:
    assert seems_to_be(content[:LOOKED_AT_BYTES]) is None


def test_text_is_text_even_where_the_look_cuts_a_character() -> None:
    text = "ä日\U0001f600".encode() * 100
    assert {seems_to_be(text[:length]) for length in range(LOOKED_AT_BYTES - 9, LOOKED_AT_BYTES)} == {"text"}


def test_every_mark_lies_within_what_is_looked_at() -> None:
    assert all(place + len(mark) <= LOOKED_AT_BYTES for place, mark, _ in KINDS)


def test_every_kind_is_tried_here() -> None:
    tried = {seems_to_be(make()[:LOOKED_AT_BYTES]) for make, _ in FILES.values()}
    ort = {meaning for _, mark, meaning in KINDS if mark == b"ORTM"}
    assert {meaning for _, _, meaning in KINDS} - ort <= tried
