"""The outline of a model file: whole, cut or alien, and the external data it names."""

import os
import random
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, SparseTensorProto, TensorProto, TrainingInfoProto, helper

from daemon.intake import protobuf, schema
from daemon.intake.outline import Outline, OutlineState, Reference, read_outline
from daemon.intake.protobuf import VARINT
from daemon.intake.schema import CHILDREN, MODEL_WIRES, Kind
from tests.onnx_bytes import external_bytes, external_tensor, graph_of, model_of, plain_bytes, plain_tensor

WHOLE, CUT, ALIEN = OutlineState.WHOLE, OutlineState.CUT, OutlineState.ALIEN


def outline_of(content: bytes, tmp_path: Path, *, suffix: str = ".onnx") -> Outline:
    path = tmp_path / "outlined"
    path.write_bytes(content)
    return outline_at(path, suffix=suffix)


def outline_at(path: Path, *, suffix: str = ".onnx") -> Outline:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_outline(fd, suffix)
    finally:
        os.close(fd)


def ends_of_top_level_fields(content: bytes) -> dict[int, int]:
    """Where each top-level field ends, and its number: found by the protobuf library's own re-serialising."""
    model = onnx.load_model_from_string(content)
    ends: dict[int, int] = {}
    at = 0
    for field, value in model.ListFields():
        for one in value if field.is_repeated else [value]:
            alone = onnx.ModelProto()
            if field.is_repeated:
                getattr(alone, field.name).append(one)
            elif field.message_type is not None:
                getattr(alone, field.name).CopyFrom(one)
            else:
                setattr(alone, field.name, one)
            at += alone.ByteSize()
            ends[at] = field.number
    return ends


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field as bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize("kind", list(Kind))
def test_schema_has_the_field_numbers_of_the_onnx_package(kind: Kind) -> None:
    fields = getattr(onnx, kind.value).DESCRIPTOR.fields_by_number
    for number, child in CHILDREN[kind].items():
        assert fields[number].name == child.name
        assert fields[number].message_type.name == child.kind.value
        assert fields[number].is_repeated == child.repeated


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.TENSOR])
def test_schema_leaves_out_no_way_to_a_tensor(kind: Kind) -> None:
    on_the_way = {kind.value for kind in Kind}
    ways = {
        number
        for number, field in getattr(onnx, kind.value).DESCRIPTOR.fields_by_number.items()
        if field.message_type is not None and field.message_type.name in on_the_way
    }
    assert ways == set(CHILDREN[kind])


def test_schema_has_the_wire_type_of_every_model_field() -> None:
    numeric = onnx.ModelProto.DESCRIPTOR.fields_by_name["ir_version"].type
    fields = onnx.ModelProto.DESCRIPTOR.fields_by_number
    assert set(MODEL_WIRES) >= set(fields)
    assert {number for number, wire in MODEL_WIRES.items() if wire == VARINT} == {
        number for number, field in fields.items() if field.type == numeric
    }


def test_schema_has_the_numbers_of_external_data() -> None:
    tensor, entry = TensorProto.DESCRIPTOR.fields_by_name, onnx.StringStringEntryProto.DESCRIPTOR.fields_by_name
    assert tensor["external_data"].number == schema.TENSOR_EXTERNAL_DATA
    assert tensor["data_location"].number == schema.TENSOR_DATA_LOCATION
    assert TensorProto.EXTERNAL == schema.LOCATION_EXTERNAL
    assert (entry["key"].number, entry["value"].number) == (schema.ENTRY_KEY, schema.ENTRY_VALUE)


def test_outline_is_whole_for_a_model(tmp_path: Path) -> None:
    assert outline_of(plain_bytes(), tmp_path) == Outline(WHOLE, "ends where its last field ends")


def test_outline_leaves_the_position_of_the_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(plain_bytes())
    with path.open("rb", buffering=0) as file:
        file.seek(3)
        read_outline(file.fileno(), ".onnx")
        assert file.tell() == 3


def test_outline_is_cut_at_every_byte_but_between_the_fields_after_the_opset_import(tmp_path: Path) -> None:
    content = plain_bytes()
    ends = ends_of_top_level_fields(content)
    after_opset = {end for end, number in ends.items() if number >= schema.MODEL_OPSET_IMPORT}
    assert len(after_opset) == 3  # the opset import itself and two metadata properties
    for length in range(len(content) + 1):
        state = outline_of(content[:length], tmp_path).state
        assert state is (WHOLE if length in after_opset else CUT), f"cut at byte {length}"


def test_outline_is_cut_at_every_page_of_a_preallocated_file_filled_in_order(tmp_path: Path) -> None:
    content = model_of(graph_of([plain_tensor(f"w{at}", 400) for at in range(20)])).SerializeToString()
    for filled in range(0, len(content) - 4096, 509):
        state = outline_of(content[:filled].ljust(len(content), b"\0"), tmp_path).state
        assert state is CUT, f"filled to byte {filled}"


def test_outline_is_cut_for_zeros_after_a_whole_model(tmp_path: Path) -> None:
    outline = outline_of(plain_bytes() + bytes(4096), tmp_path)
    assert outline.state is CUT
    assert "zeros where a field should begin" in outline.reason


@pytest.mark.parametrize("content", [b"", bytes(100), b"\x08"])
def test_outline_is_cut_for_a_file_hardly_begun(tmp_path: Path, content: bytes) -> None:
    assert outline_of(content, tmp_path).state is CUT


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"PK\x03\x04\x14\x00\x08\x08archive/data.pkl",
        b"hello, world\n" * 50,
        b'{"not": "a model"}',
        b"\x89HDF\r\n\x1a\n" + bytes(64),
        b"\x80\x04\x95pickle",
        b"GGUF\x03\x00\x00\x00",
        b"\x1c\x00\x00\x00TFL3",
        b"#!/bin/sh\necho\n",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"\xff" * 64,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    ],
)
def test_outline_is_alien_or_cut_for_other_formats_and_never_whole(tmp_path: Path, content: bytes) -> None:
    expected = CUT if content.startswith(b"#!") else ALIEN  # "#!" reads as a producer version of 33 bytes, and more
    outline = outline_of(content, tmp_path)
    assert outline.state in {ALIEN, expected}
    assert outline.reason


def test_outline_is_alien_for_a_known_field_of_another_wire_type(tmp_path: Path) -> None:
    outline = outline_of(field(1, b"ir_version as bytes") + plain_bytes(), tmp_path)
    assert outline.state is ALIEN
    assert "wire type" in outline.reason


def test_outline_is_whole_with_a_field_of_a_later_onnx(tmp_path: Path) -> None:
    assert outline_of(plain_bytes() + field(40, b"from the future"), tmp_path).state is WHOLE


def test_outline_is_alien_for_a_child_longer_than_the_message_that_holds_it(tmp_path: Path) -> None:
    model = field(7, varint(5 << 3 | 2) + varint(1000) + b"short") + field(8, b"") + bytes(range(1, 200)) * 8
    assert outline_of(b"\x08\x08" + model, tmp_path).state is not WHOLE
    graph = field(7, varint(5 << 3 | 2) + varint(50) + b"short")
    outline = outline_of(b"\x08\x08" + graph + field(8, bytes(100)), tmp_path)
    assert outline.state is ALIEN
    assert "past the message" in outline.reason


def test_outline_survives_five_hundred_seeded_flips(tmp_path: Path) -> None:
    content = bytearray(external_bytes("a.data", "b.data"))
    rng = random.Random(7)
    for _ in range(500):
        flipped = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        assert outline_of(bytes(flipped), tmp_path).state in OutlineState


def test_outline_of_random_bytes_is_never_whole(tmp_path: Path) -> None:
    rng = random.Random(11)
    for length in range(1, 300):
        assert outline_of(rng.randbytes(length), tmp_path).state is not WHOLE


@pytest.mark.parametrize(("levels", "state"), [(150, WHOLE), (3000, ALIEN)])
def test_outline_is_bounded_in_depth(tmp_path: Path, levels: int, state: OutlineState) -> None:
    inner = field(5, field(13, field(1, b"location") + field(2, b"w")) + b"\x70\x01")
    for level in range(levels):  # in a graph in an attribute in a node in a graph ...
        inner = field((6, 5, 1)[level % 3], inner)
    outline = outline_of(b"\x08\x08" + field(7, inner) + field(8, b""), tmp_path)
    assert outline.state is state
    assert outline.references == ((Reference("w", 0, None),) if state is WHOLE else ())
    assert ("too deep" in outline.reason) == (state is ALIEN)


def test_outline_is_bounded_in_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MOST_FIELDS", 1000)
    outline = outline_of(plain_bytes() + field(14, b"") * 1001, tmp_path)
    assert outline.state is ALIEN
    assert "more than 1000 fields" in outline.reason


def test_outline_is_alien_for_a_number_of_more_than_ten_bytes(tmp_path: Path) -> None:
    assert outline_of(b"\x08" + b"\x80" * 11 + b"\x01", tmp_path).state is ALIEN


def test_outline_reads_hardly_anything_of_large_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_bytes = 0
    pread = os.pread

    def counting(fd: int, length: int, offset: int) -> bytes:
        nonlocal read_bytes
        got = pread(fd, length, offset)
        read_bytes += len(got)
        return got

    content = model_of(graph_of([plain_tensor(f"w{at}", 250_000) for at in range(8)])).SerializeToString()
    monkeypatch.setattr(os, "pread", counting)
    assert outline_of(content, tmp_path).state is WHOLE
    assert len(content) > 8_000_000
    assert read_bytes < 700_000


def test_outline_passes_millions_of_tree_values_in_a_search(tmp_path: Path) -> None:
    trees = [helper.make_attribute("nodes_truenodeids", list(range(300_000))), helper.make_attribute("k", 3)]
    content = model_of(graph_of([external_tensor("w.data")], trees)).SerializeToString()
    fields = protobuf.Fields
    walked = 0
    real = fields._field_at

    def counting(self: protobuf.Fields, position: int, end: int) -> protobuf.Field:
        nonlocal walked
        walked += 1
        return real(self, position, end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "_field_at", counting)
        outline = outline_of(content, tmp_path)
    assert [reference.location for reference in outline.references] == ["w.data"]
    assert walked < 200


@given(
    content=st.lists(st.sampled_from([b"location", b"loca", b"tion", b"lo", b"x" * 5]), max_size=30).map(b"".join),
    spans=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=12),
    chunk_bytes=st.integers(8, 40),
)
def test_mentions_agrees_with_a_plain_search_for_any_spans(
    content: bytes, spans: list[tuple[int, int]], chunk_bytes: int
) -> None:
    fd = os.memfd_create("searched")
    try:
        os.write(fd, content)
        fields = protobuf.Fields(fd, len(content))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(protobuf, "_SEARCH_BYTES", chunk_bytes)
            for start, length in spans:
                start, end = min(start, len(content)), min(start + length, len(content))
                assert fields.mentions(b"location", start, end) == (b"location" in content[start:end])
    finally:
        os.close(fd)


def test_references_are_those_of_the_initializers(tmp_path: Path) -> None:
    tensors = [
        external_tensor("w.data", offset="64", length="16"),
        external_tensor("v.data", offset=None, length=None),
        plain_tensor("inside"),
    ]
    outline = outline_of(model_of(graph_of(tensors)).SerializeToString(), tmp_path)
    assert outline.references == (Reference("w.data", 64, 16), Reference("v.data", 0, None))


def sparse(location: str) -> SparseTensorProto:
    return SparseTensorProto(values=external_tensor(location), indices=external_tensor(location + ".indices"))


@pytest.mark.parametrize("padding", [0, 3000, 100_000])
def test_references_are_found_wherever_a_tensor_may_be(tmp_path: Path, padding: int) -> None:
    def attribute(name: str, **content: object) -> AttributeProto:
        return AttributeProto(name=name, doc_string="d" * padding, **content)  # type: ignore[arg-type]

    inner = [
        attribute("t", t=external_tensor("t")),
        attribute("tensors", tensors=[plain_tensor(), external_tensor("tensors")]),
        attribute("sparse", sparse_tensor=sparse("sparse")),
        attribute("sparses", sparse_tensors=[sparse("sparses")]),
    ]
    graph = graph_of([external_tensor("initializer")], [attribute("g", g=graph_of([external_tensor("g")], inner))])
    graph.node[0].attribute.append(attribute("graphs", graphs=[graph_of([external_tensor("graphs")])]))
    graph.sparse_initializer.append(sparse("sparse_initializer"))
    model = model_of(graph)
    constant = helper.make_node("Constant", [], ["c"], value=external_tensor("function"))
    function = helper.make_function("local", "F", [], ["c"], [constant], [helper.make_opsetid("", 17)])
    function.attribute_proto.append(attribute("default", t=external_tensor("function_default")))
    model.functions.append(function)
    training = TrainingInfoProto(
        initialization=graph_of([external_tensor("initialization")]), algorithm=graph_of([external_tensor("algorithm")])
    )
    model.training_info.append(training)

    outline = outline_of(model.SerializeToString(), tmp_path)

    assert outline.state is WHOLE
    assert {reference.location for reference in outline.references} == {
        *("initializer", "g", "graphs", "t", "tensors", "function", "function_default", "initialization", "algorithm"),
        *("sparse", "sparse.indices", "sparses", "sparses.indices"),
        *("sparse_initializer", "sparse_initializer.indices"),
    }


def test_references_leave_out_a_tensor_that_only_keeps_stale_entries(tmp_path: Path) -> None:
    stale = external_tensor("old.data")
    stale.data_location = TensorProto.DEFAULT
    assert outline_of(model_of(graph_of([stale])).SerializeToString(), tmp_path).references == ()


def test_references_take_the_last_of_two_entries_as_parsers_do(tmp_path: Path) -> None:
    tensor = external_tensor("first.data")
    tensor.external_data.add(key="location", value="../second.data")
    outline = outline_of(model_of(graph_of([tensor])).SerializeToString(), tmp_path)
    assert [reference.location for reference in outline.references] == ["../second.data"]


def test_outline_is_alien_where_a_parser_would_merge_two_halves_of_a_tensor(tmp_path: Path) -> None:
    entries = field(13, field(1, b"location") + field(2, b"../secret"))
    attribute = field(5, entries) + field(5, b"\x70\x01")
    merged = AttributeProto.FromString(attribute)
    assert merged.t.data_location == TensorProto.EXTERNAL  # what the protobuf library makes of it
    content = b"\x08\x08" + field(7, field(1, field(5, attribute))) + field(8, b"")
    outline = outline_of(content, tmp_path)
    assert outline.state is ALIEN
    assert "t is given twice" in outline.reason


def test_outline_is_alien_for_two_graphs(tmp_path: Path) -> None:
    assert outline_of(plain_bytes() + plain_bytes(), tmp_path).state is ALIEN


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "9" * 40, "٣", ""])
def test_outline_is_alien_for_an_offset_that_is_no_number_of_bytes(tmp_path: Path, number: str) -> None:
    content = model_of(graph_of([external_tensor("w.data", offset=number)])).SerializeToString()
    outline = outline_of(content, tmp_path)
    assert outline.state is ALIEN
    assert "offset" in outline.reason


def test_outline_does_not_hang_when_the_file_shrinks_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = model_of(graph_of([plain_tensor(f"w{at}", 20_000) for at in range(4)])).SerializeToString()
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, max(0, min(length, 50_000 - offset)), offset))
    assert outline_of(content, tmp_path).state is CUT


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b"\x18\x00\x00\x00ORTM" + bytes(50), WHOLE),
        (b"\x18\x00\x00\x00ORTM", WHOLE),
        (b"\x18\x00\x00\x00ORT", CUT),
        (b"", CUT),
        (bytes(4096), CUT),
        (b"<!DOCTYPE html>", ALIEN),
    ],
)
def test_outline_of_ort_looks_at_the_identifier(tmp_path: Path, content: bytes, state: OutlineState) -> None:
    assert outline_of(content, tmp_path, suffix=".ORT").state is state
