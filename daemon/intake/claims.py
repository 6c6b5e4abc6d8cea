"""What a model file says it needs: its IR version, its opsets, and operators of a domain; holds no state, any thread.

Field numbers are those of onnx.proto: ``ir_version`` 1, ``opset_import`` 8 (``domain`` 1, ``version`` 2), ``graph`` 7,
``functions`` 25 (``name`` 1, ``domain`` 10), and of a node ``op_type`` 4 and ``domain`` 7.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daemon.intake.protobuf import LENGTH_DELIMITED, VARINT, Fields, Span
from daemon.intake.schema import CHILDREN, MODEL_FUNCTIONS, MODEL_GRAPH, MODEL_IR_VERSION, MODEL_OPSET_IMPORT, Kind

_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_FUNCTION_NAME, _FUNCTION_DOMAIN = 1, 10
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_LONGEST_NAME_BYTES = 1000
_SIGN_BIT, _WORD = 1 << 63, 1 << 64


@dataclass(frozen=True, slots=True)
class Claims:
    """The version of the format, and of each domain's operators ("" is ``ai.onnx``); 0 where the file gives none."""

    ir_version: int
    opsets: Mapping[str, int]


def read_claims(fd: int) -> Claims:
    """The claims of the open ``.onnx`` file ``fd``, whose outline must be whole."""
    fields = Fields(fd, os.fstat(fd).st_size)
    ir_version, opsets = 0, dict[str, int]()
    for number, wire, start, end in fields.within(0, os.fstat(fd).st_size):
        if number == MODEL_IR_VERSION and wire == VARINT:
            ir_version = _signed(fields.varint_at(start))
        elif number == MODEL_OPSET_IMPORT and wire == LENGTH_DELIMITED:
            domain, version = _opset(fields, start, end)
            opsets[domain] = max(version, opsets.get(domain, 0))
    return Claims(ir_version, opsets)


def operator_of(fd: int, domain: str) -> str | None:
    """The name of the first operator of ``domain`` that the model uses and does not define itself, if there is one."""
    fields = Fields(fd, os.fstat(fd).st_size)
    top = [(number, (start, end)) for number, _, start, end in fields.within(0, os.fstat(fd).st_size)]
    functions = [span for number, span in top if number == MODEL_FUNCTIONS]
    defined = {_names(fields, span, _FUNCTION_NAME, _FUNCTION_DOMAIN) for span in functions}
    bodies = [(Kind.GRAPH, span) for number, span in top if number == MODEL_GRAPH]
    for kind, span in [*bodies, *((Kind.FUNCTION, span) for span in functions)]:
        for node in _nodes(fields, kind, span, domain.encode()):
            operator, of_domain = _names(fields, node, _NODE_OPERATOR, _NODE_DOMAIN)
            if of_domain == domain and (operator, of_domain) not in defined:
                return operator
    return None


def _nodes(fields: Fields, kind: Kind, span: Span, word: bytes) -> Iterator[Span]:
    """Every node inside that mentions ``word``, in inner graphs too; the stack is ours, as depth is the file's."""
    pending = [(kind, span)]
    while pending:
        kind, (start, end) = pending.pop()
        if kind is Kind.NODE:
            yield start, end
        children = CHILDREN[kind]
        for number, wire, inner, inner_end in list(fields.within(start, end)):
            child = children.get(number)
            if child is None or wire != LENGTH_DELIMITED or child.kind is Kind.TENSOR:
                continue
            if fields.mentions(word, inner, inner_end):
                pending.append((child.kind, (inner, inner_end)))


def _opset(fields: Fields, start: int, end: int) -> tuple[str, int]:
    domain, version = "", 0
    for number, wire, inner, inner_end in fields.within(start, end):
        if number == _OPSET_DOMAIN and wire == LENGTH_DELIMITED:
            domain = _name(fields, inner, inner_end)
        elif number == _OPSET_VERSION and wire == VARINT:
            version = _signed(fields.varint_at(inner))
    return "" if domain == "ai.onnx" else domain, version


def _names(fields: Fields, span: Span, first: int, second: int) -> tuple[str, str]:
    """Two text fields of a message."""
    found = {first: "", second: ""}
    for number, wire, start, end in fields.within(*span):
        if number in found and wire == LENGTH_DELIMITED:
            found[number] = _name(fields, start, end)
    return found[first], "" if found[second] == "ai.onnx" else found[second]


def _name(fields: Fields, start: int, end: int) -> str:
    return fields.read(start, min(end, start + _LONGEST_NAME_BYTES)).decode("utf-8", "replace")


def _signed(number: int) -> int:
    """An int64 as protobuf writes it: negative ones as two's complement."""
    number %= _WORD
    return number - _WORD if number >= _SIGN_BIT else number
