"""Nothing bad gets in: a corpus of bad files, each with its verdict in bounded time, and predictions all the while."""

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.e2e.arrivals import made
from tests.e2e.bad_models import (
    CORPUS,
    Bad,
    function_bomb,
    pickled,
    slow_load,
    slow_run,
    sparse,
    sparse_model,
    trap_of,
)
from tests.e2e.conftest import NewRig
from tests.e2e.proc import resident_bytes, warm_parent
from tests.e2e.rig import Rig
from tests.e2e.siege import ALLOWED, Siege
from tests.onnx_models import constant_model, external

VERDICT_SECONDS = 30.0
MIB = 1 << 20
LEEWAY_BYTES = 12 * MIB
"""Of resident memory: what an allocator keeps for the next time."""


@pytest.mark.parametrize("bad", CORPUS, ids=lambda bad: bad.name)
def test_bad_file_is_rejected_and_costs_no_prediction(siege: Siege, bad: Bad) -> None:
    path, before = siege.drop(bad.make(siege.rig.folder / "made" / f"{bad.name}.onnx"))
    rejected = siege.rig.wait_for_event(before, event="rejected", model_path=path, seconds=VERDICT_SECONDS)
    assert rejected["check"] == bad.check
    assert re.search(bad.says, rejected["reason"]), rejected["reason"]
    siege.expect_unharmed()
    (siege.rig.drop / f"{bad.name}.onnx").unlink()


def test_refusal_is_told_alike_by_event_answer_catalogue_history_and_log(siege: Siege) -> None:
    rig = siege.rig
    (bad,) = [each for each in CORPUS if each.name == "unknown_operator"]
    path = bad.make(rig.folder / ALLOWED / "told.onnx")
    before = rig.last_id()
    answer = rig.post("/update_model", {"model_path": path.name})
    event = rig.wait_for_event(before, event="rejected", model_path=path.name)
    told = (bad.check, event["reason"])
    assert (answer.status, answer.json["code"]) == (422, "rejected")
    assert (answer.json["check"], answer.json["reason"]) == told
    rejected = rig.get("/models/default").json["rejected"]
    assert (rejected["check"], rejected["reason"], rejected["sha256"]) == (*told, event["sha256"])
    row = rig.get("/models/default/releases?limit=1").json["releases"][0]
    assert (row["outcome"], row["check"], row["reason"]) == ("rejected", *told)
    (line,) = [line for line in rig.log.splitlines() if "rejected" in line and "told.onnx" in line]
    assert "check=trial" in line
    assert "Error No Op registered for Frobnicate" in line


def test_refusal_says_how_long_each_check_took(siege: Siege) -> None:
    (bad,) = [each for each in CORPUS if each.name == "unknown_operator"]
    before = siege.rig.last_id()
    siege.upload(bad.make(siege.rig.folder / "made" / "timed.onnx").read_bytes(), "timed")
    seconds = siege.rig.wait_for_event(before, event="rejected", model="timed")["seconds"]
    parts = {name: taken for name, taken in seconds.items() if name.startswith("gate.")}
    assert set(parts) == {"gate.integrity", "gate.structure", "gate.memory", "gate.trial"}
    assert sum(parts.values()) <= seconds["gate"] <= seconds["total"]


def test_pickle_is_never_loaded(siege: Siege) -> None:
    path = pickled(siege.rig.folder / "made" / "trap.onnx")
    assert siege.upload(path.read_bytes(), "trap").status == 422
    name, before = siege.drop(path)
    siege.rig.wait_for_event(before, event="rejected", model_path=name)
    assert not trap_of(path).exists()


# Weights that lie where they must not.


def _climbing(folder: Path, secret: Path) -> str:
    return f"../{secret.name}"


def _climbing_in_the_middle(folder: Path, secret: Path) -> str:
    made(folder / "weights")
    return f"weights/../../{secret.name}"


def _absolute(folder: Path, secret: Path) -> str:
    return str(secret)


def _device(folder: Path, secret: Path) -> str:
    return "/dev/zero"


def _link(folder: Path, secret: Path) -> str:
    (folder / "weights.data").symlink_to(secret)
    return "weights.data"


def _link_to_a_device(folder: Path, secret: Path) -> str:
    (folder / "weights.data").symlink_to("/dev/zero")
    return "weights.data"


def _link_in_a_loop(folder: Path, secret: Path) -> str:
    (folder / "weights.data").symlink_to("weights.data")
    return "weights.data"


def _link_of_a_folder(folder: Path, secret: Path) -> str:
    (folder / "weights").symlink_to(secret.parent)
    return f"weights/{secret.name}"


def _address(folder: Path, secret: Path) -> str:
    return "*/_ORT_MEM_ADDR_/*"


def _store_name(folder: Path, secret: Path) -> str:
    return "__model__.onnx"


ELSEWHERE = (
    _climbing,
    _climbing_in_the_middle,
    _absolute,
    _device,
    _link,
    _link_to_a_device,
    _link_in_a_loop,
    _link_of_a_folder,
    _address,
    _store_name,
)


@pytest.mark.parametrize("where", ELSEWHERE, ids=lambda where: where.__name__[1:])
def test_weights_elsewhere_are_rejected_and_never_read(siege: Siege, where: Callable[[Path, Path], str]) -> None:
    rig = siege.rig
    folder = made(rig.drop / f"elsewhere-{where.__name__[1:].replace('_', '-')}")
    whole = external(rig.folder / "made" / where.__name__ / "x.onnx", value_of=666.0)
    secret = rig.drop / f"{where.__name__}.data"
    whole.with_name("x.onnx.data").rename(secret)
    location = where(folder, secret)
    before = rig.last_id()
    external(whole, location=location, value_of=666.0).rename(folder / "x.onnx")
    rejected = rig.wait_for_event(before, event="rejected", model=folder.name)
    assert rejected["check"] == "structure"
    assert f"external data location '{location}' " in rejected["reason"]
    assert rig.predict(model=folder.name).status == 503
    siege.expect_unharmed()


# Files that were cut.


def fields_of(content: bytes) -> list[tuple[int, int]]:
    """The number and the end of each top-level field of a protobuf message that has only varints and texts."""
    found, place = [], 0
    while place < len(content):
        tag, place = _varint_at(content, place)
        number, place = _varint_at(content, place)
        place += number if tag & 7 == 2 else 0
        found.append((tag >> 3, place))
    return found


def _varint_at(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


@pytest.fixture(scope="module")
def digits() -> bytes:
    """A real model of a few kilobytes."""
    return (Path(__file__).parents[2] / "examples" / "models" / "digits_v1.onnx").read_bytes()


@pytest.mark.timeout(120)
def test_file_cut_inside_a_field_is_rejected_as_truncated(siege: Siege, digits: bytes) -> None:
    ends = {end for _, end in fields_of(digits)}
    places = [place for place in range(1, len(digits), 29) if place not in ends]
    assert len(places) > 100
    for place in places:
        answer = siege.upload(digits[:place], "cut")
        assert (answer.status, answer.json["check"]) == (422, "structure"), place
        assert answer.json["reason"].startswith("truncated: "), (place, answer.json["reason"])
    siege.expect_unharmed()


def test_file_cut_between_fields_serves_only_where_nothing_is_missing(siege: Siege, digits: bytes) -> None:
    fields = fields_of(digits)
    assert len(fields) > 4
    for count in range(1, len(fields)):
        kept = {number for number, _ in fields[:count]}
        answer = siege.upload(digits[: fields[count - 1][1]], f"between-{count}")
        if {7, 8} <= kept:  # a graph and an opset import
            assert answer.status == 200 or answer.json["check"] == "trial", (count, answer.body)
        else:
            assert (answer.status, answer.json["check"]) == (422, "structure"), (count, answer.body)
            assert answer.json["reason"].startswith("truncated: ")
    siege.expect_unharmed()


def test_file_cut_between_fields_is_rejected_where_its_digest_is_known(siege: Siege, digits: bytes) -> None:
    stated = sha256(digits).hexdigest()
    for _, end in fields_of(digits)[:-1]:
        answer = siege.upload(digits[:end], "digest", digest=stated)
        assert (answer.status, answer.json["check"]) == (422, "integrity"), answer.body
        assert stated in answer.json["reason"]
        assert sha256(digits[:end]).hexdigest() in answer.json["reason"]
    siege.expect_unharmed()


def test_files_cut_anywhere_are_rejected_where_they_are_dropped(siege: Siege, digits: bytes) -> None:
    rig = siege.rig
    before = rig.last_id()
    places = [*range(1, len(digits), 400), *(end for number, end in fields_of(digits) if number < 8)]
    for place in places:
        (made(rig.drop / f"dropped-{place}") / "x.onnx").write_bytes(digits[:place])
    for place in places:
        rejected = rig.wait_for_event(before, event="rejected", model=f"dropped-{place}", seconds=VERDICT_SECONDS)
        assert rejected["check"] == "structure"
        assert rejected["reason"].startswith("truncated: ")
    siege.expect_unharmed()


# What is too large.


def test_model_beyond_the_size_limit_is_rejected_before_it_is_copied(new_rig: NewRig) -> None:
    rig = new_rig(gate={"structure": {"max_model_mb": 1}}).start()
    sparse_model(rig.folder / "huge.onnx").rename(rig.drop / "huge.onnx")
    rejected = rig.wait_for_event(event="rejected")
    assert rejected["check"] == "structure"
    assert re.search(r"2047\.0 MB, expected at most 1 \(gate\.structure\.max_model_mb\)", rejected["reason"])
    assert "store" not in rejected["seconds"], "it was copied first"


def test_model_that_does_not_fit_into_memory_is_rejected_with_the_figures(new_rig: NewRig) -> None:
    rig = new_rig(gate={"memory": {"factor": 1e9}}).start()
    answer = rig.request("PUT", "/models/default/upload", constant_model(rig.folder / "x.onnx", 1.0).read_bytes())
    assert (answer.status, answer.json["check"]) == (422, "memory")
    assert re.search(
        r"needs about \d+ MB while it is loaded \(1e\+09 times its 0 MB and 32\), but of the \d+ MB of "
        r"(this machine|its cgroup) only \d+ are available, and 128 of these are kept back \(gate\.memory\)",
        answer.json["reason"],
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_model_of_two_gigabytes_of_nothing_has_its_verdict_and_costs_no_prediction(siege: Siege) -> None:
    path, before = siege.drop(sparse_model(siege.rig.folder / "made" / "hole.onnx"))
    rejected = siege.rig.wait_for_event(before, event="rejected", model_path=path, seconds=240)
    assert rejected["check"] in ("memory", "trial")
    siege.expect_unharmed()
    (siege.rig.drop / "hole.onnx").unlink()


# What is left of it all.


@pytest.mark.timeout(120)
def test_memory_is_back_after_the_corpus(new_rig: NewRig) -> None:
    rig = new_rig(gate={"trial": {"timeout_seconds": 0.3, "measure_ms": 50}}).start()
    quick = [bad for bad in CORPUS if bad.make not in (sparse, slow_load, slow_run, function_bomb)]
    contents = [bad.make(rig.folder / "made" / bad.name).read_bytes() for bad in quick]
    _offer_all(rig, contents)
    parent = warm_parent(rig.pid)
    assert parent is not None
    first = resident_bytes(rig.pid), resident_bytes(parent)
    _offer_all(rig, contents)
    assert warm_parent(rig.pid) == parent
    last = resident_bytes(rig.pid), resident_bytes(parent)
    print(f"daemon and warm parent, MiB: {[each // MIB for each in first]}, then {[each // MIB for each in last]}")
    assert last[0] <= first[0] + LEEWAY_BYTES
    assert last[1] <= first[1] + LEEWAY_BYTES


def _offer_all(rig: Rig, contents: list[bytes]) -> None:
    for content in contents:
        assert rig.request("PUT", "/models/x/upload", content).status == 422
