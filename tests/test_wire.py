"""Messages between the daemon and a trial's process: everything that goes in comes out, and nonsense goes nowhere."""

import json
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from daemon.trial import wire
from daemon.trial.wire import Closed, Late, Nonsense, Oversized, Wire

WAIT_SECONDS = 10.0
SOON_SECONDS = 0.05
"""For what is to come too late."""

NUMBERS = ["?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d"]


class Pair:
    """A wire, and the bare socket at its other end."""

    def __init__(self, meanwhile: Callable[[], None] = wire.nothing) -> None:
        near, self.far = socket.socketpair()
        self.wire = Wire(near, meanwhile)

    def feed(self, text: str, *blobs: bytes) -> None:
        """A message as the other side might send it, right or wrong."""
        self.far.sendall(struct.pack(">Q", len(text.encode())) + text.encode() + b"".join(blobs))

    def feed_value(self, value: object, *blobs: bytes) -> None:
        self.feed(json.dumps({"blobs": [len(blob) for blob in blobs], "value": value}), *blobs)

    def close(self) -> None:
        self.wire.close()
        self.far.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def wires() -> Iterator[tuple[Wire, Wire]]:
    near, far = socket.socketpair()
    ends = Wire(near), Wire(far)
    yield ends
    for end in ends:
        end.close()


def there_and_back(wires: tuple[Wire, Wire], value: object) -> Any:
    """What arrives of ``value``, which must fit into the socket's buffer."""
    wires[0].send(value, seconds=WAIT_SECONDS)
    return wires[1].receive(seconds=WAIT_SECONDS)


def arrays_of(char: str) -> list[np.ndarray[Any, Any]]:
    """Arrays of every form of one type."""
    row = np.array([0, 1, 1, 0, 1, 0], np.dtype(char))
    table = row.reshape(2, 3)
    swapped = table.astype(table.dtype.newbyteorder())
    empty: list[np.ndarray[Any, Any]] = [np.zeros(0, char), np.zeros((2, 0, 3), char)]
    return [row, table, table.T, row[::-2], np.asarray(row[1]), swapped, np.broadcast_to(row, (2, 6)), *empty]


@pytest.mark.parametrize("char", NUMBERS)
def test_array_comes_back_whole_in_every_form(wires: tuple[Wire, Wire], char: str) -> None:
    for array in arrays_of(char):
        back = there_and_back(wires, array)
        assert back.dtype == np.dtype(char)
        assert back.dtype.isnative
        assert back.shape == array.shape
        assert back.tolist() == array.tolist()


def test_extremes_of_numbers_come_back_bit_for_bit(wires: tuple[Wire, Wire]) -> None:
    for array in (
        np.array([math.nan, -math.inf, -0.0, 5e-324], np.float64),
        np.array([-(2**63), 2**63 - 1], np.int64),
        np.array([0, 2**64 - 1], np.uint64),
        np.array([6e-8, 65504], np.float16),
    ):
        assert there_and_back(wires, array).tobytes() == array.tobytes()


@pytest.mark.parametrize("text", ["你好" * 6_000_000, "a" * (wire.MOST_JSON_BYTES + 1)], ids=["chinese", "long"])
def test_strings_may_be_longer_than_a_message_of_json(wires: tuple[Wire, Wire], text: str) -> None:
    sending = threading.Thread(target=wires[0].send, args=(np.array([text, ""], object),))
    sending.start()
    back = wires[1].receive(seconds=WAIT_SECONDS)
    sending.join()
    assert back.tolist() == [text, ""]


def test_strings_of_other_lengths_than_are_told_are_nonsense(pair: Pair) -> None:
    pair.feed_value({"strings": [[2], 0, 1]}, np.array([1, 5], np.uint32).tobytes(), b"abc")
    with pytest.raises(Nonsense):
        pair.wire.receive(seconds=WAIT_SECONDS)


def test_more_than_a_message_holds_is_not_sent(wires: tuple[Wire, Wire]) -> None:
    near, far = wires
    with pytest.raises(Oversized):
        near.send("a" * (wire.MOST_JSON_BYTES + 1))
    near.send("afterwards")
    assert far.receive(seconds=WAIT_SECONDS) == "afterwards"


@pytest.mark.parametrize(
    "strings",
    [
        np.array([["é日本\U0001f600", ""], ["a\0b", "\n"]], object),
        np.array(["é日本", "b"]),
        np.array("alone", object),
        np.zeros((0, 2), object),
    ],
)
def test_strings_come_back_as_objects_of_their_shape(wires: tuple[Wire, Wire], strings: np.ndarray[Any, Any]) -> None:
    back = there_and_back(wires, strings)
    assert back.dtype == object
    assert back.shape == strings.shape
    assert back.tolist() == strings.tolist()


def test_bytes_come_back_as_text(wires: tuple[Wire, Wire]) -> None:
    assert there_and_back(wires, {"a": "é".encode(), "b": b"\xff"}) == {"a": "é", "b": "\ufffd"}
    assert there_and_back(wires, np.array([b"x", b"yz"])).tolist() == ["x", "yz"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(2**70),
        1.5,
        math.inf,
        "\ud800",
        [],
        {},
        [[1, [2, [None]]], {"a": {"b": []}}],
        {1: "one", -2: {"x": [3]}, "1": "text"},
        {"array": [1], "strings": 2, "map": 3, "blobs": 4, "doing": 5},
        [{0: 0.25, 1: 0.75}, {0: 1.0, 1: 0.0}],
    ],
)
def test_plain_value_comes_back_equal(wires: tuple[Wire, Wire], value: object) -> None:
    assert there_and_back(wires, value) == value


def test_nan_comes_back_as_nan(wires: tuple[Wire, Wire]) -> None:
    assert math.isnan(there_and_back(wires, {"a": math.nan})["a"])


def test_numpy_scalars_come_back_as_plain_numbers(wires: tuple[Wire, Wire]) -> None:
    back = there_and_back(wires, [np.float32(0.5), np.int64(-3), np.bool_(True), np.str_("é")])
    assert back == [0.5, -3, True, "é"]
    assert [type(each) for each in back] == [float, int, bool, str]


def test_arrays_inside_come_back_where_they_were(wires: tuple[Wire, Wire]) -> None:
    one, two = np.arange(3, dtype=np.int16), np.array([["a"]], object)
    back = there_and_back(wires, {"outputs": [one, {7: two}, one[:0]], "seconds": 0.5})
    assert back["outputs"][0].tolist() == [0, 1, 2]
    assert back["outputs"][1][7].tolist() == [["a"]]
    assert back["outputs"][2].shape == (0,)
    assert back["seconds"] == 0.5


def test_messages_come_one_by_one_when_sent_together(wires: tuple[Wire, Wire]) -> None:
    for number in range(3):
        wires[0].send({"number": number, "array": np.full(2, number)})
    assert [wires[1].receive(seconds=WAIT_SECONDS)["number"] for _ in range(3)] == [0, 1, 2]


def test_message_larger_than_the_sockets_buffer_comes_whole(wires: tuple[Wire, Wire]) -> None:
    array = np.random.default_rng(0).random(1 << 20)
    text = "é" * (1 << 20)
    sender = threading.Thread(target=lambda: wires[0].send([array, text], seconds=WAIT_SECONDS))
    sender.start()
    back, words = wires[1].receive(seconds=WAIT_SECONDS)
    sender.join(WAIT_SECONDS)
    assert back.tobytes() == array.tobytes()
    assert words == text


def plain_values() -> st.SearchStrategy[Any]:
    texts = st.text(st.characters(codec=None, exclude_categories=[]), max_size=8)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts | some_arrays()
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.integers(), inner, max_size=4),
        max_leaves=12,
    )


def some_arrays() -> st.SearchStrategy[Any]:
    shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    dtypes = st.sampled_from([np.dtype(char) for char in NUMBERS] + [np.dtype(">f4"), np.dtype(">i8")])
    return arrays.arrays(dtypes, shapes)


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        native = one.astype(one.dtype.newbyteorder("="))
        return other.dtype == native.dtype and other.shape == one.shape and bool(other.tobytes() == native.tobytes())
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(is_same(one[k], other[k]) for k in one)
    return type(one) is type(other) and (one == other or (one != one and other != other))


@given(plain_values())
def test_any_value_comes_back_whole(value: object) -> None:
    near, far = socket.socketpair()
    sender, receiver = Wire(near), Wire(far)
    try:
        assert is_same(value, there_and_back((sender, receiver), value))
    finally:
        sender.close()
        receiver.close()


def is_of_known_kinds(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(is_of_known_kinds, value))
    if isinstance(value, dict):
        return all(map(is_of_known_kinds, [*value, *value.values()]))
    return value is None or isinstance(value, bool | int | float | str | np.ndarray | Nonsense | Closed)


def received_or_refused(pair: Pair) -> Any:
    """What comes, or the refusal of it: nothing else may happen."""
    try:
        return pair.wire.receive(seconds=WAIT_SECONDS)
    except (Nonsense, Closed) as refusal:
        return refusal


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(content: bytes) -> None:
    pair = Pair()
    try:
        pair.far.sendall(struct.pack(">Q", len(content)) + content)
        pair.far.shutdown(socket.SHUT_WR)
        with pytest.raises((Nonsense, Closed)):
            pair.wire.receive(seconds=WAIT_SECONDS)
    finally:
        pair.close()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["array", "strings", "map", "value"]), inner, max_size=2)
        ),
        max_leaves=8,
    ),
    st.lists(st.integers(-2, 40) | st.floats() | st.none(), max_size=3),
)
def test_any_json_is_a_message_or_refused(value: object, lengths: list[object]) -> None:
    pair = Pair()
    try:
        pair.feed(json.dumps({"blobs": lengths, "value": value}), bytes(200))
        pair.far.shutdown(socket.SHUT_WR)
        assert is_of_known_kinds(received_or_refused(pair))
    finally:
        pair.close()


@pytest.mark.parametrize("array", [np.zeros(2, np.complex64), np.zeros(2, "M8[s]"), np.zeros(2, np.longdouble)])
def test_array_of_a_type_that_no_model_has_is_nonsense(wires: tuple[Wire, Wire], array: Any) -> None:
    with pytest.raises(Nonsense, match=f"an array of type '{array.dtype.char}'"):
        there_and_back(wires, array)


@pytest.mark.parametrize("length", [wire.MOST_JSON_BYTES + 1, 1 << 63, (1 << 64) - 1])
def test_json_that_is_said_to_be_too_long_is_nonsense_before_it_comes(pair: Pair, length: int) -> None:
    pair.far.sendall(struct.pack(">Q", length))
    with pytest.raises(Nonsense, match=f"a message of {length} bytes"):
        pair.wire.receive(seconds=WAIT_SECONDS)


@pytest.mark.parametrize(
    "lengths",
    ["[2147483649]", "[1073741824,1073741825]", "[-1]", "[2000000000,-1,2000000000]", "[1e300]"],
)
def test_arrays_that_are_said_to_be_too_long_are_nonsense_before_they_come(pair: Pair, lengths: str) -> None:
    pair.feed(f'{{"blobs":{lengths},"value":null}}')
    with pytest.raises(Nonsense, match=r"arrays of -?[0-9]+ bytes"):
        pair.wire.receive(seconds=WAIT_SECONDS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "7",
        "[]",
        '"text"',
        "{}",
        '{"blobs":[]}',
        '{"value":1}',
        '{"blobs":null,"value":1}',
        '{"blobs":["x"],"value":1}',
        '{"blobs":[Infinity],"value":1}',
        '{"blobs":[NaN],"value":1}',
        '{"blobs":[[]],"value":1}',
        '{"blobs":[],"value":' + "9" * 5000 + "}",
        '{"blobs":[],"value":' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=lambda text: text[:30],
)
def test_broken_json_is_nonsense(pair: Pair, text: str) -> None:
    pair.feed(text)
    with pytest.raises(Nonsense, match="a message that cannot be read"):
        pair.wire.receive(seconds=WAIT_SECONDS)


def test_text_that_is_no_utf8_is_nonsense(pair: Pair) -> None:
    pair.far.sendall(struct.pack(">Q", 2) + b"\xff\xfe")
    with pytest.raises(Nonsense):
        pair.wire.receive(seconds=WAIT_SECONDS)


@pytest.mark.parametrize(
    "value",
    [
        {"array": ["f", [4], 1]},
        {"array": ["f", [4], "0"]},
        {"array": ["f", [4], None]},
        {"array": ["f", [3], 0]},
        {"array": ["f", [5], 0]},
        {"array": ["f", [2, 3], 0]},
        {"array": ["d", [4], 0]},
        {"array": ["f", [10**30], 0]},
        {"array": ["f", [1] * 100, 0]},
        {"array": ["f", [4.0], 0]},
        {"array": ["f", "4", 0]},
        {"array": ["O", [2], 0]},
        {"array": ["V16", [1], 0]},
        {"array": ["f4", [4], 0]},
        {"array": [["f"], [4], 0]},
        {"array": [None, [4], 0]},
        {"array": ["f", [4]]},
        {"array": None},
        {"other": 1},
        {},
        {"strings": [[3], ["a", "b"]]},
        {"strings": [[2], 7]},
        {"strings": [[2], [["a", "b"], ["c", "d"]]]},
        {"strings": [[2], ["a", None]]},
        {"strings": [[1]]},
        {"map": [[1]]},
        {"map": [[1, 2, 3]]},
        {"map": [[[], 1]]},
        {"map": 7},
    ],
    ids=str,
)
def test_value_that_does_not_add_up_is_nonsense(pair: Pair, value: object) -> None:
    pair.feed_value(value, np.zeros(4, np.float32).tobytes())
    with pytest.raises(Nonsense):
        pair.wire.receive(seconds=WAIT_SECONDS)


def test_array_whose_bytes_are_no_whole_number_of_elements_is_nonsense(pair: Pair) -> None:
    pair.feed_value({"array": ["f", [1], 0]}, b"12345")
    with pytest.raises(Nonsense):
        pair.wire.receive(seconds=WAIT_SECONDS)


@pytest.mark.parametrize("count", [0, 5, 8, 20, 60])
def test_receive_raises_closed_where_the_other_side_ends(pair: Pair, count: int) -> None:
    text = b'{"blobs":[16],"value":{"array":["f",[4],0]}}'
    pair.far.sendall((struct.pack(">Q", len(text)) + text + bytes(16))[:count])
    pair.far.close()
    with pytest.raises(Closed):
        pair.wire.receive(seconds=WAIT_SECONDS)


def test_receive_raises_closed_where_the_other_side_ends_with_bytes_unread(pair: Pair) -> None:
    pair.wire.send("unread")
    pair.far.close()
    with pytest.raises(Closed):
        pair.wire.receive(seconds=WAIT_SECONDS)


def test_send_raises_closed_where_the_other_side_is_gone(pair: Pair) -> None:
    pair.far.close()
    with pytest.raises(Closed):
        pair.wire.send({"a": 1}, seconds=WAIT_SECONDS)


@pytest.mark.parametrize("start", [b"", b"\0\0", struct.pack(">Q", 30) + b'{"blobs":'])
def test_receive_raises_late_when_no_more_comes(pair: Pair, start: bytes) -> None:
    pair.far.sendall(start)
    with pytest.raises(Late):
        pair.wire.receive(seconds=SOON_SECONDS)


def test_receive_raises_late_when_the_time_was_up_before(pair: Pair) -> None:
    with pytest.raises(Late):
        pair.wire.receive(seconds=-1)


def test_send_raises_late_when_nobody_takes_it(pair: Pair) -> None:
    with pytest.raises(Late):
        pair.wire.send(np.zeros(1 << 20), seconds=SOON_SECONDS)


class Stop(Exception):
    """Raised by a ``meanwhile``."""


def test_meanwhile_is_called_while_a_message_is_waited_for() -> None:
    calls: list[float] = []

    def meanwhile() -> None:
        calls.append(time.monotonic())
        if len(calls) == 3:
            waiting.feed_value("at last")

    waiting = Pair(meanwhile)
    try:
        assert waiting.wire.receive(seconds=WAIT_SECONDS) == "at last"
        assert len(calls) == 3
    finally:
        waiting.close()


@pytest.mark.parametrize("act", [lambda wire: wire.receive(), lambda wire: wire.send(np.zeros(1 << 20))])
def test_meanwhile_ends_the_wait_by_raising(act: Callable[[Wire], object]) -> None:
    def meanwhile() -> None:
        raise Stop

    pair = Pair(meanwhile)
    try:
        with pytest.raises(Stop):
            act(pair.wire)
    finally:
        pair.close()


def test_meanwhile_is_not_called_for_a_message_that_is_there() -> None:
    def meanwhile() -> None:
        raise Stop

    pair = Pair(meanwhile)
    try:
        pair.feed_value(1)
        assert pair.wire.receive(seconds=WAIT_SECONDS) == 1
    finally:
        pair.close()


def test_receive_raises_closed_when_its_own_end_is_closed_meanwhile() -> None:
    waiting = Pair(lambda: waiting.wire.close())
    try:
        with pytest.raises(Closed):
            waiting.wire.receive(seconds=WAIT_SECONDS)
    finally:
        waiting.close()


def test_close_may_be_called_again(pair: Pair) -> None:
    pair.wire.close()
    pair.wire.close()
    with pytest.raises(Closed):
        pair.wire.receive(seconds=WAIT_SECONDS)
