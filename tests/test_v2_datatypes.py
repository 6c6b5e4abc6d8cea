"""What a model's values appear as in the Open Inference Protocol."""

import pytest

from daemon.release import TensorSpec
from daemon.runtime.dtypes import DTYPES
from daemon.web.binary.wire import WIRE
from daemon.web.open_inference.datatypes import DATATYPES, tensor_of


def test_every_dtype_has_a_datatype_and_a_width_on_the_wire_but_for_strings() -> None:
    assert DATATYPES.keys() == DTYPES.keys()
    assert WIRE.keys() == DTYPES.keys() - {"string"}
    assert len(set(DATATYPES.values())) == len(DATATYPES)


@pytest.mark.parametrize("name", WIRE)
def test_width_is_the_one_of_the_protocol(name: str) -> None:
    assert WIRE[name].itemsize == (2 if name == "bfloat16" else DTYPES[name].itemsize)


@pytest.mark.parametrize(
    ("dtype", "appears_as", "shape"),
    [
        ("seq(map(int64,tensor(float)))", "float32", (None, None)),
        ("seq(map(string,tensor(double)))", "float64", (None, None)),
        ("map(string,tensor(float))", "float32", (None,)),
        ("seq(tensor(int8))", "int8", None),
        ("optional(tensor(string))", "string", None),
        ("optional(seq(tensor(bool)))", "bool", None),
    ],
)
def test_what_is_no_tensor_appears_as_one(dtype: str, appears_as: str, shape: tuple[None, ...] | None) -> None:
    assert tensor_of(TensorSpec("x", dtype, None)) == TensorSpec("x", appears_as, shape)


@pytest.mark.parametrize("dtype", ["seq(seq(tensor(float)))", "map(int64,seq(tensor(float)))", "tensor(int4)", "odd"])
def test_some_values_have_no_form(dtype: str) -> None:
    assert tensor_of(TensorSpec("x", dtype, None)) is None


def test_tensor_appears_as_itself() -> None:
    spec = TensorSpec("x", "float32", ("batch", 3))
    assert tensor_of(spec) is spec
