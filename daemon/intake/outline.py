"""The outline of a model file: does it end where its fields say, and which external data does it name?

Entered by the scanner and by whoever deploys; holds no state. An ``.onnx`` file is one protobuf message, ``ModelProto``
of onnx.proto: it is walked field by field from the lengths alone, so a gigabyte of weights costs one seek. An ``.ort``
file is a flatbuffer, which holds no lengths to walk: only its identifier is looked at.
"""

import os
from dataclasses import dataclass, replace
from enum import Enum

from daemon.intake.kinds import LOOKED_AT_BYTES, seems_to_be
from daemon.intake.protobuf import LENGTH_DELIMITED, VARINT, Alien, Cut, Fields, Span
from daemon.intake.schema import (
    CHILDREN,
    ENTRY_KEY,
    ENTRY_VALUE,
    LOCATION_EXTERNAL,
    MODEL_GRAPH,
    MODEL_OPSET_IMPORT,
    MODEL_WIRES,
    TENSOR_DATA_LOCATION,
    TENSOR_EXTERNAL_DATA,
    Kind,
)

_MOST_DEEP = 200
_HIGHEST_UNKNOWN_FIELD = 63
"""Fields of a later onnx.proto are let through up to here; text and other formats soon show a higher one."""

_SHORT_TENSOR_BYTES = 1024
_LONGEST_TEXT_BYTES = 4096
_KEY_OF_A_LOCATION = b"location"


class OutlineState(Enum):
    """WHOLE: ends where its fields say; CUT: more is to come; ALIEN: can never be a model."""

    WHOLE = "whole"
    CUT = "cut"
    ALIEN = "alien"


@dataclass(frozen=True, slots=True)
class Reference:
    """A tensor's place in an external file: bytes ``offset`` to ``offset + length``, to its end where that is None."""

    location: str
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Outline:
    """What a look at the structure found; ``references`` are known only of a WHOLE file."""

    state: OutlineState
    reason: str
    references: tuple[Reference, ...] = ()


def read_outline(fd: int, suffix: str) -> Outline:
    """The outline of the open file ``fd`` of that suffix (``.onnx`` or ``.ort``, in any case); its position stays.

    Raises OSError where the file cannot be read.
    """
    size = os.fstat(fd).st_size
    if size == 0:
        return Outline(OutlineState.CUT, "empty")
    is_ort = suffix.lower() == ".ort"
    outline = _outline_of_ort(os.pread(fd, 8, 0)) if is_ort else _outline_of_onnx(Fields(fd, size), size)
    if outline.state is OutlineState.ALIEN and (kind := seems_to_be(os.pread(fd, LOOKED_AT_BYTES, 0))) is not None:
        return replace(outline, reason=f"{outline.reason}; it seems to be {kind}")
    return outline


def _outline_of_ort(start: bytes) -> Outline:
    if len(start) < 8 or not any(start):
        return Outline(OutlineState.CUT, "too short for an identifier, or zeros where it should be")
    if start[4:8] == b"ORTM":
        return Outline(OutlineState.WHOLE, "an .ort file has no lengths to walk")
    return Outline(OutlineState.ALIEN, "not an .ort file: expected the identifier ORTM at byte 4")


def _outline_of_onnx(fields: Fields, size: int) -> Outline:
    try:
        messages = _walk_model(fields, size)
        references = [reference for kind, span in messages for reference in _references(fields, kind, span)]
    except Cut as cut:
        return Outline(OutlineState.CUT, str(cut))
    except Alien as alien:
        return Outline(OutlineState.ALIEN, f"not an ONNX model: {alien}")
    return Outline(OutlineState.WHOLE, "ends where its last field ends", tuple(references))


def _walk_model(fields: Fields, size: int) -> list[tuple[Kind, Span]]:
    """The top level alone, so that a file still on its way is known by its lengths before anything inside is read."""
    children = CHILDREN[Kind.MODEL]
    messages: list[tuple[Kind, Span]] = []
    numbers: set[int] = set()
    for number, wire, start, end in fields.within(0, size):
        _expect_of_a_model(number, wire, first=not numbers)
        if (child := children.get(number)) is not None:
            if number in numbers and not child.repeated:
                raise Alien(f"{child.name} is given twice")
            messages.append((child.kind, (start, end)))
        numbers.add(number)
    for needed, name in ((MODEL_GRAPH, "graph"), (MODEL_OPSET_IMPORT, "opset import")):
        if needed not in numbers:
            raise Cut(f"no {name} yet")
    return messages


def _expect_of_a_model(number: int, wire: int, *, first: bool) -> None:
    known = MODEL_WIRES.get(number)
    if known is None and (first or number > _HIGHEST_UNKNOWN_FIELD):
        raise Alien(f"a model has no field {number}")
    if known is not None and wire != known:
        raise Alien(f"field {number} of a model has wire type {known}, not {wire}")


def _references(fields: Fields, kind: Kind, span: Span) -> list[Reference]:
    """Every external tensor inside a message, found with a stack of our own: depth is the file's to choose."""
    found: list[Reference] = []
    stack = [(kind, fields.within(*span), set[int]())]
    while stack:
        kind, rest, numbers = stack[-1]
        if (field := next(rest, None)) is None:
            stack.pop()
            continue
        number, wire, start, end = field
        child = CHILDREN[kind].get(number)
        if child is None or wire != LENGTH_DELIMITED:
            continue
        if number in numbers and not child.repeated:
            # A parser would merge the two, and an external tensor could hide in the seam.
            raise Alien(f"{child.name} is given twice")
        numbers.add(number)
        if _names_no_file(fields, child.kind, start, end):
            continue
        if child.kind is Kind.TENSOR:
            found.extend(_reference_of(fields, start, end))
            continue
        if len(stack) >= _MOST_DEEP:
            raise Alien(f"nested too deep: expected at most {_MOST_DEEP} levels")
        stack.append((child.kind, fields.within(start, end), set()))
    return found


def _names_no_file(fields: Fields, kind: Kind, start: int, end: int) -> bool:
    """Whether the message needs no walk, as the key that every external tensor has occurs nowhere in its bytes.

    Trees with millions of unpacked attribute values are passed in one search. Long tensors are walked instead: that
    is five fields and seeks over the weights.
    """
    if kind is Kind.TENSOR and end - start > _SHORT_TENSOR_BYTES:
        return False
    return not fields.mentions(_KEY_OF_A_LOCATION, start, end)


def _reference_of(fields: Fields, start: int, end: int) -> list[Reference]:
    """The tensor's reference, if its data lies in a file: none or one."""
    texts: dict[str, str] = {}
    external = False
    for number, wire, inner, inner_end in fields.within(start, end):
        if number == TENSOR_DATA_LOCATION and wire == VARINT:
            external = fields.varint_at(inner) & 0xFFFFFFFF == LOCATION_EXTERNAL
        elif number == TENSOR_EXTERNAL_DATA and wire == LENGTH_DELIMITED:
            texts.update(_entry(fields, inner, inner_end))
    if not external:
        return []
    length = texts.get("length")
    return [
        Reference(
            location=texts.get("location", ""),
            offset=_byte_count("offset", texts.get("offset", "0")),
            length=None if length is None else _byte_count("length", length),
        )
    ]


def _entry(fields: Fields, start: int, end: int) -> dict[str, str]:
    texts = {ENTRY_KEY: "", ENTRY_VALUE: ""}
    for number, wire, inner, inner_end in fields.within(start, end):
        if number not in texts or wire != LENGTH_DELIMITED:
            continue
        if inner_end - inner > _LONGEST_TEXT_BYTES:
            return {}  # far longer than a path may be: prepacked weights, say, which name no file
        texts[number] = fields.read(inner, inner_end).decode("utf-8", "surrogateescape")
    return {texts[ENTRY_KEY]: texts[ENTRY_VALUE]}


def _byte_count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise Alien(f"the {name} of an external tensor is {text[:40]!r}, expected a number of bytes")
    return int(text)
