"""The part of onnx.proto that leads from a model to its tensors, as tables; entered by any thread, holds no state.

Field numbers and wire types are those of ``onnx.proto``; a test compares them with the onnx package's descriptors.
"""

from dataclasses import dataclass
from enum import Enum

from daemon.intake.protobuf import LENGTH_DELIMITED, VARINT


class Kind(Enum):
    """The messages of onnx.proto on the way from a model to its tensors."""

    MODEL = "ModelProto"
    GRAPH = "GraphProto"
    NODE = "NodeProto"
    ATTRIBUTE = "AttributeProto"
    TENSOR = "TensorProto"
    SPARSE_TENSOR = "SparseTensorProto"
    FUNCTION = "FunctionProto"
    TRAINING = "TrainingInfoProto"


@dataclass(frozen=True, slots=True)
class Child:
    """A field that holds a message on that way."""

    name: str
    kind: Kind
    repeated: bool = False


CHILDREN: dict[Kind, dict[int, Child]] = {
    Kind.MODEL: {
        7: Child("graph", Kind.GRAPH),
        20: Child("training_info", Kind.TRAINING, repeated=True),
        25: Child("functions", Kind.FUNCTION, repeated=True),
    },
    Kind.GRAPH: {
        1: Child("node", Kind.NODE, repeated=True),
        5: Child("initializer", Kind.TENSOR, repeated=True),
        15: Child("sparse_initializer", Kind.SPARSE_TENSOR, repeated=True),
    },
    Kind.NODE: {5: Child("attribute", Kind.ATTRIBUTE, repeated=True)},
    Kind.ATTRIBUTE: {
        5: Child("t", Kind.TENSOR),
        6: Child("g", Kind.GRAPH),
        10: Child("tensors", Kind.TENSOR, repeated=True),
        11: Child("graphs", Kind.GRAPH, repeated=True),
        22: Child("sparse_tensor", Kind.SPARSE_TENSOR),
        23: Child("sparse_tensors", Kind.SPARSE_TENSOR, repeated=True),
    },
    Kind.TENSOR: {},
    Kind.SPARSE_TENSOR: {1: Child("values", Kind.TENSOR), 2: Child("indices", Kind.TENSOR)},
    Kind.FUNCTION: {
        7: Child("node", Kind.NODE, repeated=True),
        11: Child("attribute_proto", Kind.ATTRIBUTE, repeated=True),
    },
    Kind.TRAINING: {1: Child("initialization", Kind.GRAPH), 2: Child("algorithm", Kind.GRAPH)},
}
"""Every way from a model to a tensor, by field number."""

MODEL_WIRES: dict[int, int] = {
    1: VARINT,  # ir_version
    2: LENGTH_DELIMITED,  # producer_name
    3: LENGTH_DELIMITED,  # producer_version
    4: LENGTH_DELIMITED,  # domain
    5: VARINT,  # model_version
    6: LENGTH_DELIMITED,  # doc_string
    7: LENGTH_DELIMITED,  # graph
    8: LENGTH_DELIMITED,  # opset_import
    14: LENGTH_DELIMITED,  # metadata_props
    20: LENGTH_DELIMITED,  # training_info
    25: LENGTH_DELIMITED,  # functions
    26: LENGTH_DELIMITED,  # configuration
}
"""The wire type of every field of ModelProto."""

MODEL_IR_VERSION = 1
MODEL_GRAPH = 7
MODEL_OPSET_IMPORT = 8
MODEL_FUNCTIONS = 25
TENSOR_EXTERNAL_DATA = 13
TENSOR_DATA_LOCATION = 14
LOCATION_EXTERNAL = 1
ENTRY_KEY = 1
ENTRY_VALUE = 2
