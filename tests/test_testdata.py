"""ONNX's own test data: what is read of it, for which input or output, and what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from daemon.errors import Rejected
from daemon.release import Signature, TensorSpec
from daemon.trial.testdata import read_test_data
from tests.onnx_bytes import external_tensor


def spec(name: str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, None)


SIGNATURE = Signature(inputs=(spec("a"), spec("b", "int64")), outputs=(spec("sum"), spec("product")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "test_data_set_3"
    folder.mkdir()
    return folder


def put(folder: Path, name: str, value: Any, called: str = "") -> None:
    message = numpy_helper.from_array(value, called) if isinstance(value, np.ndarray) else value
    (folder / name).write_bytes(message.SerializeToString())


def read(folder: Path, inputs: Sequence[TensorSpec] = (), outputs: Sequence[TensorSpec] = ()) -> dict[str, Any]:
    signature = Signature(tuple(inputs), tuple(outputs)) if inputs or outputs else SIGNATURE
    return read_test_data(folder, signature)


def refusal_of(folder: Path, *inputs: TensorSpec) -> str:
    with pytest.raises(Rejected) as refusal:
        read(folder, inputs or SIGNATURE.inputs, SIGNATURE.outputs)
    assert refusal.value.check == "golden"
    return refusal.value.reason


FLOATS = np.array([[0.5, -1.5]], np.float32)


def test_tensors_without_a_name_belong_where_their_number_says(folder: Path) -> None:
    put(folder, "input_0.pb", FLOATS)
    put(folder, "input_1.pb", np.array([7]))
    put(folder, "output_0.pb", FLOATS * 2)
    put(folder, "output_1.pb", FLOATS * 3)
    found = read(folder)
    assert {name: value.tolist() for name, value in found["inputs"].items()} == {"a": [[0.5, -1.5]], "b": [7]}
    assert {name: value.tolist() for name, value in found["outputs"].items()} == {
        "sum": [[1.0, -3.0]],
        "product": [[1.5, -4.5]],
    }


def test_tensor_with_the_name_of_an_input_is_that_ones(folder: Path) -> None:
    put(folder, "input_0.pb", np.array([7]), "b")
    put(folder, "input_1.pb", FLOATS, "a")
    inputs = read(folder)["inputs"]
    assert inputs["b"].tolist() == [7]
    assert inputs["a"].tolist() == FLOATS.tolist()


def test_tensor_with_a_name_that_the_model_has_not_belongs_where_its_number_says(folder: Path) -> None:
    put(folder, "output_0.pb", FLOATS, "a")
    assert list(read(folder)["outputs"]) == ["sum"]


def test_outputs_that_are_not_there_are_not_expected(folder: Path) -> None:
    put(folder, "input_0.pb", FLOATS)
    assert read(folder)["outputs"] == {}


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    put(folder, "input_0.pb", FLOATS)
    for name in ("input_x.pb", "input_7.pb", "notes.txt", "input_1.npz"):
        (folder / name).write_bytes(b"no tensor")
    (folder / "input_1.pb").mkdir()
    assert list(read(folder)["inputs"]) == ["a"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool"])
def test_numbers_of_every_type_are_read(folder: Path, dtype: str) -> None:
    put(folder, "input_0.pb", np.array([[0, 1]], dtype))
    value = read(folder, [spec("x", dtype)])["inputs"]["x"]
    assert value.dtype == np.dtype(dtype)
    assert value.tolist() == [[0, 1]]


def test_scalars_and_empty_tensors_are_read(folder: Path) -> None:
    put(folder, "input_0.pb", np.array(2.5, np.float32))
    put(folder, "input_1.pb", np.zeros((0, 3), np.int64))
    inputs = read(folder)["inputs"]
    assert (inputs["a"].shape, float(inputs["a"])) == ((), 2.5)
    assert inputs["b"].shape == (0, 3)


def test_strings_are_read_as_text(folder: Path) -> None:
    put(folder, "input_0.pb", np.array(["é日本", ""], object))
    value = read(folder, [spec("x", "string")])["inputs"]["x"]
    assert value.tolist() == ["é日本", ""]
    assert {type(text) for text in value.tolist()} == {str}


def test_bfloat16_is_read_as_float32(folder: Path) -> None:
    put(folder, "input_0.pb", helper.make_tensor("", TensorProto.BFLOAT16, [2], [1.5, -3.375]))
    value = read(folder, [spec("x", "bfloat16")])["inputs"]["x"]
    assert value.dtype == np.float32
    assert value.tolist() == [1.5, -3.375]


def test_sequence_is_read_as_a_list(folder: Path) -> None:
    put(folder, "output_0.pb", numpy_helper.from_list([FLOATS, FLOATS[:, :1]], "parts"))
    parts = read(folder, outputs=[spec("parts", "seq(tensor(float))")])["outputs"]["parts"]
    assert [part.tolist() for part in parts] == [[[0.5, -1.5]], [[0.5]]]


def test_optional_is_read_as_what_it_holds(folder: Path) -> None:
    put(folder, "output_0.pb", numpy_helper.from_optional(FLOATS, "maybe"))
    value = read(folder, outputs=[spec("maybe", "optional(tensor(float))")])["outputs"]["maybe"]
    assert value.tolist() == FLOATS.tolist()


def test_empty_optional_is_read_as_none(folder: Path) -> None:
    put(folder, "output_0.pb", onnx.OptionalProto(name="maybe", elem_type=onnx.OptionalProto.UNDEFINED))
    assert read(folder, outputs=[spec("maybe", "optional(tensor(float))")])["outputs"] == {"maybe": None}


def test_more_inputs_than_the_model_has_are_refused(folder: Path) -> None:
    for number in range(3):
        put(folder, f"input_{number}.pb", FLOATS)
    assert refusal_of(folder) == "test_data_set_3/input_2.pb: the model has 2 inputs"


@pytest.mark.parametrize("content", [b"no tensor", b"\x08"], ids=["other bytes", "cut"])
def test_file_that_is_no_tensor_is_refused(folder: Path, content: bytes) -> None:
    (folder / "input_0.pb").write_bytes(content)
    assert refusal_of(folder).startswith("test_data_set_3/input_0.pb cannot be read as float32: ")


def test_tensor_whose_values_do_not_fill_its_shape_is_refused(folder: Path) -> None:
    put(folder, "input_0.pb", TensorProto(data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=bytes(16)))
    assert refusal_of(folder).startswith("test_data_set_3/input_0.pb cannot be read as float32: ")


def test_tensor_that_no_array_of_the_house_holds_is_refused(folder: Path) -> None:
    put(folder, "input_0.pb", np.zeros(2, np.complex64))
    assert refusal_of(folder) == "test_data_set_3/input_0.pb cannot be read as float32: it holds complex64"


SECRET = np.array([1, 2, 3, 4], np.float32)


@pytest.mark.parametrize("beside", [True, False])
def test_tensor_whose_values_lie_in_another_file_is_refused_and_the_file_not_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    """Such as any that the daemon may read: what is expected is told where it is missed."""
    place = folder if beside else tmp_path
    (place / "secret").write_bytes(SECRET.tobytes())
    monkeypatch.chdir(place)
    put(folder, "input_0.pb", external_tensor("secret"))
    assert refusal_of(folder) == (
        "test_data_set_3/input_0.pb cannot be read as float32: its values lie in another file, expected them in it"
    )


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (
            "seq(tensor(float))",
            onnx.SequenceProto(elem_type=onnx.SequenceProto.TENSOR, tensor_values=[external_tensor("secret")]),
        ),
        (
            "optional(tensor(float))",
            onnx.OptionalProto(elem_type=onnx.OptionalProto.TENSOR, tensor_value=external_tensor("secret")),
        ),
        (
            "optional(seq(tensor(float)))",
            onnx.OptionalProto(
                elem_type=onnx.OptionalProto.SEQUENCE,
                sequence_value=onnx.SequenceProto(
                    elem_type=onnx.SequenceProto.TENSOR, tensor_values=[external_tensor("secret")]
                ),
            ),
        ),
    ],
    ids=["sequence", "optional", "sequence in an optional"],
)
def test_values_in_another_file_are_refused_inside_of_something_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, message: Any
) -> None:
    (tmp_path / "secret").write_bytes(SECRET.tobytes())
    monkeypatch.chdir(tmp_path)
    put(folder, "input_0.pb", message)
    assert refusal_of(folder, spec("x", dtype)).endswith("its values lie in another file, expected them in it")
