"""What a model says it needs: its IR version, its opsets, and operators that it does not bring itself."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, helper

from daemon.intake import claims
from daemon.intake.claims import Claims, operator_of, read_claims
from daemon.intake.schema import MODEL_FUNCTIONS, MODEL_GRAPH, MODEL_IR_VERSION, MODEL_OPSET_IMPORT
from tests.onnx_bytes import graph_of, model_of, plain_tensor

DOMAIN = "org.example"


def claims_of(model: ModelProto, tmp_path: Path) -> Claims:
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_claims(fd)
    finally:
        os.close(fd)


def found_in(model: ModelProto, tmp_path: Path, domain: str = DOMAIN) -> str | None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    fd = os.open(path, os.O_RDONLY)
    try:
        return operator_of(fd, domain)
    finally:
        os.close(fd)


def model_with(*opsets: tuple[str | None, int | None], ir: int | None = 8) -> ModelProto:
    """A model of one node; None leaves a field out."""
    model = ModelProto(graph=graph_of())
    if ir is not None:
        model.ir_version = ir
    for domain, version in opsets:
        model.opset_import.append(OperatorSetIdProto(domain=domain, version=version))
    return model


def graph(*nodes: NodeProto) -> GraphProto:
    """A graph of these nodes, beside what others may have."""
    return helper.make_graph(nodes, "graph", [], [], initializer=[plain_tensor()])


def node(operator: str = "Custom", domain: str = DOMAIN, attributes: Sequence[AttributeProto] = ()) -> NodeProto:
    made = helper.make_node(operator, ["x"], ["y"], domain=domain)
    made.attribute.extend(attributes)
    return made


def function(name: str, *nodes: NodeProto, domain: str = DOMAIN) -> FunctionProto:
    return helper.make_function(domain, name, ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])


def model_around(main: GraphProto, *functions: FunctionProto) -> ModelProto:
    model = model_of(main)
    model.functions.extend(functions)
    return model


def test_field_numbers_are_those_of_the_onnx_package() -> None:
    model = ModelProto.DESCRIPTOR.fields_by_name
    numbers = [model[name].number for name in ("ir_version", "opset_import", "graph", "functions")]
    assert numbers == [MODEL_IR_VERSION, MODEL_OPSET_IMPORT, MODEL_GRAPH, MODEL_FUNCTIONS]
    opset = OperatorSetIdProto.DESCRIPTOR.fields_by_name
    assert (opset["domain"].number, opset["version"].number) == (claims._OPSET_DOMAIN, claims._OPSET_VERSION)
    function = FunctionProto.DESCRIPTOR.fields_by_name
    assert (function["name"].number, function["domain"].number) == (claims._FUNCTION_NAME, claims._FUNCTION_DOMAIN)
    one_node = NodeProto.DESCRIPTOR.fields_by_name
    assert (one_node["op_type"].number, one_node["domain"].number) == (claims._NODE_OPERATOR, claims._NODE_DOMAIN)


# Versions.


def test_claims_are_the_ir_version_and_every_opset(tmp_path: Path) -> None:
    found = claims_of(model_with(("", 17), ("ai.onnx.ml", 3), (DOMAIN, 1), ir=10), tmp_path)
    assert found == Claims(10, {"": 17, "ai.onnx.ml": 3, DOMAIN: 1})


def test_alias_of_the_standard_domain_is_the_standard_domain(tmp_path: Path) -> None:
    assert claims_of(model_with(("ai.onnx", 21)), tmp_path).opsets == {"": 21}


@pytest.mark.parametrize("opsets", [[("", 5), ("ai.onnx", 21)], [("", 21), ("", 5)]])
def test_highest_opset_counts_of_a_domain_that_is_imported_twice(tmp_path: Path, opsets: list[tuple[str, int]]) -> None:
    assert claims_of(model_with(*opsets), tmp_path).opsets == {"": 21}


def test_opset_without_a_domain_is_of_the_standard_domain(tmp_path: Path) -> None:
    assert claims_of(model_with((None, 17)), tmp_path).opsets == {"": 17}


def test_opset_without_a_version_is_zero(tmp_path: Path) -> None:
    assert claims_of(model_with((DOMAIN, None)), tmp_path).opsets == {DOMAIN: 0}


def test_model_without_an_ir_version_claims_zero(tmp_path: Path) -> None:
    assert claims_of(model_with(("", 17), ir=None), tmp_path).ir_version == 0


def test_model_without_an_opset_claims_none(tmp_path: Path) -> None:
    assert claims_of(model_with(), tmp_path).opsets == {}


def test_negative_numbers_are_not_taken_for_huge_ones(tmp_path: Path) -> None:
    found = claims_of(model_with(("", -1), (DOMAIN, -(2**63)), ir=-1), tmp_path)
    assert found == Claims(-1, {"": 0, DOMAIN: 0})


def test_huge_numbers_are_claimed_as_they_are(tmp_path: Path) -> None:
    assert claims_of(model_with(("", 2**63 - 1), ir=2**62), tmp_path) == Claims(2**62, {"": 2**63 - 1})


def test_domain_that_is_no_utf8_is_claimed_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_with(("odd?", 3)).SerializeToString().replace(b"odd?", b"odd\xff"))
    fd = os.open(path, os.O_RDONLY)
    try:
        assert read_claims(fd).opsets == {"odd\ufffd": 3}
    finally:
        os.close(fd)


def test_claims_after_a_large_graph_are_read(tmp_path: Path) -> None:
    model = model_of(graph_of([plain_tensor(values=200_000)]))
    assert claims_of(model, tmp_path).opsets == {"": 17}


# Operators.


def test_operator_of_a_domain_is_found(tmp_path: Path) -> None:
    assert found_in(model_around(graph(node("Sin", ""), node("Custom"))), tmp_path) == "Custom"


def test_operator_of_another_domain_is_not_found(tmp_path: Path) -> None:
    assert found_in(model_around(graph(node("Sin", ""), node("Custom", "org.example.more"))), tmp_path) is None


def test_domain_that_is_only_mentioned_is_not_used(tmp_path: Path) -> None:
    mentions = node("Sin", "", [helper.make_attribute("note", f"made by {DOMAIN}")])
    mentions.name = DOMAIN
    assert found_in(model_around(graph(mentions)), tmp_path) is None


def test_domain_that_is_only_imported_is_not_used(tmp_path: Path) -> None:
    assert found_in(model_with(("", 17), (DOMAIN, 1)), tmp_path) is None


@pytest.mark.parametrize("repeated", [False, True], ids=["g", "graphs"])
def test_operator_in_a_nested_graph_is_found(tmp_path: Path, repeated: bool) -> None:
    inner = graph(node("Deep"))
    for _ in range(20):
        inner = graph(node("If", "", [helper.make_attribute("body", [inner] if repeated else inner)]))
    assert found_in(model_around(inner), tmp_path) == "Deep"


def test_operator_beside_a_nested_graph_is_found(tmp_path: Path) -> None:
    nested = node("If", "", [helper.make_attribute("body", graph(node("Sin", "")))])
    assert found_in(model_around(graph(nested, node("Beside"))), tmp_path) == "Beside"


def test_operator_after_many_tensors_is_found(tmp_path: Path) -> None:
    constants = [
        node("Constant", "", [helper.make_attribute("value", plain_tensor(f"w{number}", 3000))]) for number in range(40)
    ]
    assert found_in(model_around(graph(*constants, node("Last"))), tmp_path) == "Last"


def test_operator_that_the_model_defines_itself_is_not_missing(tmp_path: Path) -> None:
    model = model_around(graph(node("Own")), function("Own", node("Sin", "")))
    assert found_in(model, tmp_path) is None


def test_operator_that_the_model_does_not_define_is_found_beside_one_that_it_does(tmp_path: Path) -> None:
    model = model_around(graph(node("Own"), node("Other")), function("Own", node("Sin", "")))
    assert found_in(model, tmp_path) == "Other"


def test_operator_that_is_defined_in_another_domain_is_missing(tmp_path: Path) -> None:
    model = model_around(graph(node("Own")), function("Own", node("Sin", ""), domain="org.example.more"))
    assert found_in(model, tmp_path) == "Own"


def test_operator_inside_a_function_is_found(tmp_path: Path) -> None:
    model = model_around(graph(node("Own")), function("Own", node("Inner")))
    assert found_in(model, tmp_path) == "Inner"


def test_operator_in_a_graph_inside_a_function_is_found(tmp_path: Path) -> None:
    nested = node("If", "", [helper.make_attribute("body", graph(node("Inner")))])
    assert found_in(model_around(graph(node("Own")), function("Own", nested)), tmp_path) == "Inner"


def test_function_that_uses_another_function_misses_nothing(tmp_path: Path) -> None:
    functions = [function("Own", node("Other")), function("Other", node("Sin", ""))]
    assert found_in(model_around(graph(node("Own")), *functions), tmp_path) is None


def test_function_of_the_standard_domains_alias_is_the_standard_domains(tmp_path: Path) -> None:
    model = model_around(graph(node("Own", "")), function("Own", node("Sin", ""), domain="ai.onnx"))
    assert found_in(model, tmp_path, "") == "Sin"


def test_very_long_names_are_cut(tmp_path: Path) -> None:
    found = found_in(model_around(graph(node("x" * 100_000))), tmp_path)
    assert found == "x" * 1000
