"""Small ONNX models as bytes, for tests of intake; built with the onnx package, so they are what exporters write."""

from collections.abc import Sequence

from onnx import AttributeProto, GraphProto, ModelProto, StringStringEntryProto, TensorProto, helper


def plain_tensor(name: str = "w", values: int = 4) -> TensorProto:
    """A float tensor whose data is in the file."""
    return helper.make_tensor(name, TensorProto.FLOAT, [values], [0.5] * values)


def external_tensor(
    location: str, *, offset: str | None = "0", length: str | None = "16", name: str = "w"
) -> TensorProto:
    """A float tensor whose data is said to be in the file ``location``."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.append(StringStringEntryProto(key=key, value=value))
    return tensor


def graph_of(initializers: Sequence[TensorProto] = (), attributes: Sequence[AttributeProto] = ()) -> GraphProto:
    """A graph of one Identity node that carries ``attributes``."""
    node = helper.make_node("Identity", ["x"], ["y"], name="only")
    node.attribute.extend(attributes)
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    return helper.make_graph([node], "graph", value[:1], value[1:], initializer=list(initializers))


def model_of(graph: GraphProto) -> ModelProto:
    """A model around a graph, with metadata after the opset import."""
    model = helper.make_model(graph, producer_name="tests", opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, {"author": "tests", "note": "fields that follow the opset import"})
    return model


def plain_bytes(*, values: int = 4) -> bytes:
    """A whole model in one file."""
    return bytes(model_of(graph_of([plain_tensor(values=values)])).SerializeToString())


def external_bytes(*locations: str, length: int = 16) -> bytes:
    """A model with one tensor in each of ``locations``."""
    tensors = [external_tensor(place, length=str(length), name=f"w{at}") for at, place in enumerate(locations)]
    return bytes(model_of(graph_of(tensors)).SerializeToString())
