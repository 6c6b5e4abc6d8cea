"""Looks at dropped models: complete, waiting, or refused; with real files, real writers, and the policy in a table."""

import mmap
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.errors import Rejected
from daemon.intake import sight
from daemon.intake.completeness import Look, LookState, examine
from daemon.intake.judgement import Evidence, Shortage, Sidecar, judge
from daemon.intake.members import fingerprint, open_regular
from daemon.intake.outline import Outline, OutlineState, read_outline
from daemon.intake.writers import Writers
from tests.onnx_bytes import external_bytes, plain_bytes

COMPLETE, WAITING = LookState.COMPLETE, LookState.WAITING
SETTLE_MS = 200
MS = 1_000_000


class Looker:
    """Looks at one path again and again, as the scanner does, with a clock that only the test moves."""

    def __init__(self, path: Path, *allowed: Path) -> None:
        self.path = path
        self.allowed: Sequence[Path] = allowed or (path.parent,)
        self.now_ms = 10_000
        self.closed: set[str] = set()
        self.last: Look | None = None

    def look(self, *, after_ms: int = 0) -> Look:
        self.now_ms += after_ms
        self.last = examine(
            self.path,
            allowed=self.allowed,
            closed=self.closed.__contains__,
            previous=self.last,
            now_ns=self.now_ms * MS,
            settle_ms=SETTLE_MS,
        )
        return self.last


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot say who writes."""
    monkeypatch.setattr(sight, "writers_of", lambda _: Writers.UNKNOWN)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def no_descriptor_leaks(drop: Path) -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_whole_file_that_nobody_writes_is_complete_at_once(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    look = Looker(path).look()
    assert (look.state, look.fault, look.writing, look.next_look_ms) == (COMPLETE, None, False, None)
    assert look.members == (("", path, fingerprint(path)),)
    assert look.changed_ns == path.stat().st_ctime_ns
    assert look.digest is None


def test_a_slow_writer_is_waited_for_and_never_at_fault(drop: Path) -> None:
    content, path = plain_bytes(values=3000), drop / "m.onnx"
    looker = Looker(path)
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), 1000):
            file.write(content[start : start + 1000])
            look = looker.look(after_ms=100_000)
            assert (look.state, look.writing) == (WAITING, True)
        assert look.reason == "a writer has it open"
        assert look.fault is None
    assert looker.look().state is COMPLETE


def test_a_preallocated_file_is_waited_for_until_it_is_filled(drop: Path) -> None:
    content, path = plain_bytes(values=3000), drop / "m.onnx"
    looker = Looker(path)
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, len(content))
        assert "zeros" in looker.look().reason
        file.write(content[:2000])
        assert looker.look().state is WAITING
        file.write(content[2000:])
    assert looker.look().state is COMPLETE


def test_a_mapped_writer_is_waited_for_after_it_closed_the_file(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    with path.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    looker = Looker(path)
    assert looker.look().reason == "a writer has it open"
    mapping.close()
    assert looker.look().state is COMPLETE


def test_a_cut_file_waits_with_the_fault_it_would_be_rejected_for(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes()[:50])
    look = Looker(path).look()
    assert (look.state, look.writing, look.next_look_ms) == (WAITING, False, None)
    assert look.reason.startswith("ends inside a field")
    assert look.fault is not None
    assert look.fault.check == "structure"
    assert look.fault.reason == f"truncated: {look.reason}"


def test_stillness_counts_from_the_last_change(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes()[:50])
    looker = Looker(path)
    first = looker.look()
    assert looker.look(after_ms=5000).still_since_ns == first.still_since_ns
    put(path, plain_bytes()[:60])
    changed = looker.look(after_ms=1000)
    assert changed.writing
    assert changed.still_since_ns == looker.now_ms * MS
    assert not looker.look(after_ms=1).writing


def test_stillness_counts_from_the_last_writer(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes()[:50])
    looker = Looker(path)
    looker.look()
    with path.open("ab"):
        looker.look(after_ms=90_000)
    assert looker.look(after_ms=10).still_since_ns == (looker.now_ms - 10) * MS


@pytest.mark.usefixtures("no_leases")
def test_without_leases_a_file_is_complete_after_stillness(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", plain_bytes()))
    look = looker.look()
    assert (look.state, look.next_look_ms) == (WAITING, SETTLE_MS)
    look = looker.look(after_ms=80)
    assert (look.reason, look.next_look_ms, look.fault) == ("still for 80 of 200 ms", 120, None)
    assert looker.look(after_ms=120).state is COMPLETE


@pytest.mark.usefixtures("no_leases")
def test_without_leases_a_change_starts_the_stillness_again(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", plain_bytes()))
    looker.look()
    put(looker.path, plain_bytes(values=9))
    assert looker.look(after_ms=500).reason == "still for 0 of 200 ms"


@pytest.mark.usefixtures("no_leases")
def test_without_leases_a_close_event_is_proof(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", plain_bytes()))
    looker.closed = {str(drop / "other.onnx")}
    assert looker.look().state is WAITING
    looker.closed = {str(looker.path)}
    assert looker.look().state is COMPLETE


@pytest.mark.usefixtures("no_leases")
def test_without_leases_every_member_needs_its_close_event(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", external_bytes("w.data")))
    put(drop / "w.data", bytes(16))
    looker.closed = {str(looker.path)}
    assert looker.look().state is WAITING
    looker.closed.add(str(drop / "w.data"))
    assert looker.look().state is COMPLETE


def test_an_alien_file_is_rejected_at_once_when_nobody_writes(drop: Path) -> None:
    with pytest.raises(Rejected, match="not an ONNX model") as caught:
        Looker(put(drop / "m.onnx", b"<html>not found</html>")).look()
    assert caught.value.check == "structure"


def test_an_alien_file_is_not_rejected_while_a_writer_has_it_open(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", b"<html>not found</html>"))
    with looker.path.open("ab"):
        look = looker.look(after_ms=100_000)
        assert (look.state, look.writing) == (WAITING, True)
    with pytest.raises(Rejected):
        looker.look()


@pytest.mark.usefixtures("no_leases")
def test_an_alien_file_without_leases_is_rejected_after_stillness(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", b"<html>not found</html>"))
    assert looker.look().next_look_ms == SETTLE_MS
    with pytest.raises(Rejected):
        looker.look(after_ms=SETTLE_MS)


def test_external_data_is_waited_for_until_it_is_there_and_long_enough(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", external_bytes("w.data", length=40)))
    look = looker.look()
    assert (look.state, look.reason) == (WAITING, "waiting for w.data (missing)")
    assert look.waiting_for == ("w.data",)
    put(drop / "w.data", bytes(12))
    look = looker.look()
    assert look.reason == "waiting for w.data (12 of 40 bytes)"
    assert look.fault is not None
    assert look.fault.check == "structure"
    put(drop / "w.data", bytes(40))
    look = looker.look()
    assert (look.state, look.waiting_for) == (COMPLETE, ())
    assert [location for location, _, _ in look.members] == ["", "w.data"]
    assert look.changed_ns == (drop / "w.data").stat().st_ctime_ns


def test_external_data_may_arrive_before_the_model(drop: Path) -> None:
    put(drop / "w.data", bytes(16))
    assert Looker(put(drop / "m.onnx", external_bytes("w.data"))).look().state is COMPLETE


def test_external_data_is_waited_for_while_a_writer_has_it_open(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", external_bytes("w.data")))
    with (drop / "w.data").open("wb", buffering=0) as file:
        file.write(bytes(16))
        look = looker.look()
        assert (look.reason, look.writing) == ("a writer has it open", True)
    assert looker.look().state is COMPLETE


def test_a_change_of_external_data_shows_in_the_members(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", external_bytes("b", "a")))
    put(drop / "a", bytes(16))
    put(drop / "b", bytes(16))
    first = looker.look()
    put(drop / "a", bytes(17))
    second = looker.look()
    assert [location for location, _, _ in second.members] == ["", "a", "b"]
    assert second.members != first.members
    assert second.writing


def test_hundreds_of_external_files_need_no_descriptor_each(drop: Path) -> None:
    names = [f"w{at}" for at in range(300)]
    for name in names:
        put(drop / name, bytes(16))
    path = put(drop / "m.onnx", external_bytes(*names))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 20, hard))
    try:
        assert len(Looker(path).look().members) == 301
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("location", ["/dev/zero", "../secret", "link.data", "m.onnx", "fifo.data"])
def test_a_refused_reference_is_rejected_at_once_and_never_opened(
    drop: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(drop.parent / "secret", bytes(16))
    (drop / "link.data").symlink_to("../secret")
    os.mkfifo(drop / "fifo.data")
    looker = Looker(put(drop / "m.onnx", external_bytes(location)))
    opened: list[Path] = []

    def recording(path: Path) -> int:
        opened.append(path)
        return open_regular(path)

    monkeypatch.setattr(sight, "open_regular", recording)
    with pytest.raises(Rejected) as caught:
        looker.look()
    assert caught.value.check == "structure"
    assert set(opened) <= {looker.path, looker.path.with_name("m.onnx.sha256")}


def test_a_refused_reference_is_not_rejected_while_a_writer_has_the_model_open(drop: Path) -> None:
    looker = Looker(put(drop / "m.onnx", external_bytes("../secret")))
    with looker.path.open("ab"):
        assert looker.look().state is WAITING
    with pytest.raises(Rejected):
        looker.look()


def sidecar_of(path: Path, text: str) -> Path:
    return put(path.with_name(path.name + ".sha256"), text.encode())


@pytest.mark.parametrize("form", ["{0}", "{0}  m.onnx\n", "SHA256 (m.onnx) = {0}\n", "\\{0}  odd\\nname\n", "  {0}"])
def test_a_right_sidecar_is_proof_in_every_common_form(drop: Path, form: str) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    digest = sha256(plain_bytes()).hexdigest()
    mark = sidecar_of(path, form.format(digest.upper()))
    look = Looker(path).look()
    assert (look.state, look.digest, look.sidecar) == (COMPLETE, digest, fingerprint(mark))


@pytest.mark.usefixtures("no_leases")
def test_a_right_sidecar_needs_no_stillness(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    sidecar_of(path, sha256(plain_bytes()).hexdigest())
    assert Looker(path).look().state is COMPLETE


def test_a_right_sidecar_decides_over_a_writer_once_the_file_stands_still(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    sidecar_of(path, sha256(plain_bytes()).hexdigest())
    looker = Looker(path)
    with path.open("ab"):
        look = looker.look()
        assert (look.state, look.next_look_ms) == (WAITING, SETTLE_MS)
        assert looker.look(after_ms=SETTLE_MS).state is COMPLETE


def test_a_right_sidecar_still_waits_for_external_data_and_its_writer(drop: Path) -> None:
    content = external_bytes("w.data")
    path = put(drop / "m.onnx", content)
    sidecar_of(path, sha256(content).hexdigest())
    looker = Looker(path)
    assert looker.look().waiting_for == ("w.data",)
    with (drop / "w.data").open("wb", buffering=0) as file:
        file.write(bytes(16))
        assert looker.look().reason == "a writer has it open"
    assert looker.look().state is COMPLETE


def test_a_wrong_sidecar_holds_a_whole_file_back(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    sidecar_of(path, "0" * 64)
    look = Looker(path).look()
    assert look.state is WAITING
    assert look.reason.startswith("sidecar says 000000000000…, file has ")
    assert look.fault is not None
    assert look.fault.check == "integrity"


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "not a digest"])
def test_a_sidecar_without_a_digest_holds_the_file_back(drop: Path, text: str) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    sidecar_of(path, text)
    look = Looker(path).look()
    assert (look.state, look.reason[:25]) == (WAITING, "sidecar is not a sha256: ")
    assert look.fault is not None
    assert look.fault.check == "integrity"


def test_a_corrected_sidecar_lets_the_file_through(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    sidecar_of(path, "0" * 64)
    looker = Looker(path)
    looker.look()
    sidecar_of(path, sha256(plain_bytes()).hexdigest())
    assert looker.look().state is COMPLETE


def test_the_digest_is_taken_once_while_the_file_stays(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    sidecar_of(path, "0" * 64)
    taken: list[str] = []
    real = sight.Sight.sha256

    def counting(self: sight.Sight) -> str:
        taken.append(real(self))
        return taken[-1]

    monkeypatch.setattr(sight.Sight, "sha256", counting)
    looker = Looker(path)
    for _ in range(4):
        looker.look(after_ms=1000)
    assert len(taken) == 1
    put(path, plain_bytes(values=9))
    looker.look()
    assert taken[1] == sha256(plain_bytes(values=9)).hexdigest()


def test_the_digest_is_the_same_taken_twice(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    with ExitStack() as stack:
        seen = sight.take_sight(path, path, [drop], stack)
        assert seen.sha256() == seen.sha256() == sha256(plain_bytes()).hexdigest()


def test_a_file_with_a_sidecar_is_not_hashed_on_its_way(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = plain_bytes(values=3000)
    path = drop / "m.onnx"
    sidecar_of(path, sha256(content).hexdigest())
    monkeypatch.setattr(sight.Sight, "sha256", lambda _: pytest.fail("hashed a file on its way"))
    looker = Looker(path)
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content) - 1000, 1000):
            file.write(content[start : start + 1000])
            looker.look()
            looker.look()
    monkeypatch.undo()
    put(path, content)
    assert looker.look().state is COMPLETE


def test_a_special_sidecar_does_not_block(drop: Path) -> None:
    path = put(drop / "m.onnx", plain_bytes())
    os.mkfifo(drop / "m.onnx.sha256")
    with pytest.raises(Rejected, match=r"m\.onnx\.sha256 is a FIFO"):
        Looker(path).look()


SPECIAL: list[Callable[[Path], object]] = [os.mkfifo, Path.mkdir]


@pytest.mark.parametrize("make", SPECIAL)
def test_a_special_file_named_as_a_model_is_rejected_without_blocking(
    drop: Path, make: Callable[[Path], object]
) -> None:
    make(drop / "m.onnx")
    with pytest.raises(Rejected, match="expected a regular file"):
        Looker(drop / "m.onnx").look()


def test_a_link_that_leads_outside_is_rejected(drop: Path) -> None:
    put(drop.parent / "m.onnx", plain_bytes())
    (drop / "m.onnx").symlink_to("../m.onnx")
    with pytest.raises(Rejected, match="leads outside"):
        Looker(drop / "m.onnx").look()


@pytest.mark.parametrize("dangling", [True, False])
def test_a_file_that_is_gone_raises_file_not_found(drop: Path, dangling: bool) -> None:
    if dangling:
        (drop / "m.onnx").symlink_to("gone")
    with pytest.raises(FileNotFoundError):
        Looker(drop / "m.onnx").look()


def configmap(drop: Path, name: str, content: bytes) -> None:
    """Publish a new version of a volume as the kubelet does: a folder, and a link renamed over ``..data``."""
    (drop / name).mkdir()
    put(drop / name / "m.onnx", content)
    put(drop / name / "w.data", bytes(16))
    (drop / "..data_tmp").symlink_to(name)
    (drop / "..data_tmp").rename(drop / "..data")


def test_a_configmap_swap_shows_as_other_members(drop: Path) -> None:
    configmap(drop, "..2024_1", external_bytes("w.data"))
    for name in ("m.onnx", "w.data"):
        (drop / name).symlink_to(f"..data/{name}")
    looker = Looker(drop / "m.onnx")
    first = looker.look()
    assert first.state is COMPLETE
    assert [path for _, path, _ in first.members] == [drop / "..2024_1" / name for name in ("m.onnx", "w.data")]
    configmap(drop, "..2024_2", external_bytes("w.data"))
    second = looker.look()
    assert second.state is COMPLETE
    assert [path for _, path, _ in second.members] == [drop / "..2024_2" / name for name in ("m.onnx", "w.data")]


def test_the_change_time_counts_the_link_itself(drop: Path) -> None:
    put(drop / "real.onnx", plain_bytes())
    link, older_ns = drop / "m.onnx", (drop / "real.onnx").stat().st_ctime_ns
    for _ in range(100_000):  # the clock of file systems moves in steps of milliseconds
        link.symlink_to("real.onnx")
        if link.lstat().st_ctime_ns > older_ns:
            break
        link.unlink()
    assert Looker(link).look().changed_ns == link.lstat().st_ctime_ns


def test_the_suffix_is_that_of_the_dropped_name(drop: Path) -> None:
    put(drop / "blob", b"\x18\x00\x00\x00ORTM" + bytes(40))
    (drop / "m.ort").symlink_to("blob")
    assert Looker(drop / "m.ort").look().state is COMPLETE


def test_a_file_that_changes_during_the_look_waits(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looker = Looker(put(drop / "m.onnx", plain_bytes()))

    def change_after(fd: int, suffix: str) -> Outline:
        outline = read_outline(fd, suffix)
        put(drop / "fresh", plain_bytes(values=9)).rename(drop / "m.onnx")
        return outline

    monkeypatch.setattr(sight, "read_outline", change_after)
    look = looker.look()
    assert (look.state, look.reason, look.writing) == (WAITING, "changed while it was looked at", True)
    assert look.next_look_ms == SETTLE_MS


def test_a_file_that_may_not_be_read_waits_with_a_fault(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(drop / "m.onnx", plain_bytes())

    def denied(path: Path) -> int:
        raise PermissionError(13, "permission denied", str(path))

    monkeypatch.setattr(sight, "open_regular", denied)
    looker = Looker(path)
    look = looker.look()
    assert (look.state, look.reason) == (WAITING, "m.onnx cannot be read: permission denied")
    assert look.fault is not None
    assert looker.look(after_ms=100).still_since_ns == look.still_since_ns
    monkeypatch.undo()
    assert looker.look().state is COMPLETE


OUTLINE = {state: Outline(state, state.value) for state in OutlineState}
REFUSAL = Rejected("structure", "refused")
RIGHT, WRONG, BLANK, UNTAKEN = Sidecar("ab", "ab"), Sidecar("ab", "cd"), Sidecar(None, None), Sidecar("ab", None)
SHORT = (Shortage("w", 1, 2),)
ANSWERS = [
    # outline, writers, closed, still_ms, other evidence -> state, final, check of the fault, next look
    (OutlineState.WHOLE, Writers.NONE, False, 0, {}, (COMPLETE, False, None, None)),
    (OutlineState.WHOLE, Writers.SOME, True, 9999, {}, (WAITING, False, None, None)),
    (OutlineState.WHOLE, Writers.UNKNOWN, False, 199, {}, (WAITING, False, None, 1)),
    (OutlineState.WHOLE, Writers.UNKNOWN, False, 200, {}, (COMPLETE, False, None, None)),
    (OutlineState.WHOLE, Writers.UNKNOWN, True, 0, {}, (COMPLETE, False, None, None)),
    (OutlineState.WHOLE, Writers.NONE, False, 0, {"moved": True}, (WAITING, False, None, 200)),
    (OutlineState.CUT, Writers.NONE, True, 9999, {}, (WAITING, False, "structure", None)),
    (OutlineState.CUT, Writers.SOME, False, 0, {}, (WAITING, False, "structure", None)),
    (OutlineState.CUT, Writers.NONE, False, 0, {"sidecar": RIGHT}, (COMPLETE, False, None, None)),
    (OutlineState.CUT, Writers.NONE, False, 0, {"sidecar": WRONG}, (WAITING, False, "structure", None)),
    (OutlineState.ALIEN, Writers.NONE, False, 0, {}, (WAITING, True, "structure", None)),
    (OutlineState.ALIEN, Writers.SOME, False, 9999, {}, (WAITING, False, "structure", None)),
    (OutlineState.ALIEN, Writers.UNKNOWN, False, 50, {}, (WAITING, False, "structure", 150)),
    (OutlineState.ALIEN, Writers.UNKNOWN, True, 0, {}, (WAITING, True, "structure", None)),
    (OutlineState.ALIEN, Writers.NONE, False, 0, {"sidecar": RIGHT}, (WAITING, True, "structure", None)),
    (OutlineState.ALIEN, Writers.NONE, False, 0, {"moved": True}, (WAITING, False, None, 200)),
    (OutlineState.WHOLE, Writers.NONE, False, 0, {"refusal": REFUSAL}, (WAITING, True, "structure", None)),
    (OutlineState.WHOLE, Writers.SOME, False, 0, {"refusal": REFUSAL}, (WAITING, False, "structure", None)),
    (OutlineState.WHOLE, Writers.NONE, False, 0, {"shortages": SHORT}, (WAITING, False, "structure", None)),
    (
        OutlineState.WHOLE,
        Writers.NONE,
        False,
        0,
        {"shortages": SHORT, "sidecar": RIGHT},
        (WAITING, False, "structure", None),
    ),
    (OutlineState.WHOLE, Writers.NONE, False, 0, {"sidecar": RIGHT}, (COMPLETE, False, None, None)),
    (OutlineState.WHOLE, Writers.SOME, False, 0, {"sidecar": RIGHT}, (WAITING, False, None, None)),
    (OutlineState.WHOLE, Writers.NONE, True, 9999, {"sidecar": WRONG}, (WAITING, False, "integrity", None)),
    (OutlineState.WHOLE, Writers.NONE, True, 9999, {"sidecar": BLANK}, (WAITING, False, "integrity", None)),
    (OutlineState.WHOLE, Writers.SOME, False, 0, {"sidecar": UNTAKEN}, (WAITING, False, None, 200)),
]


@pytest.mark.parametrize(("outline", "writers", "closed", "still_ms", "more", "expected"), ANSWERS)
def test_judge_answers_the_table(
    outline: OutlineState,
    writers: Writers,
    closed: bool,
    still_ms: int,
    more: dict[str, object],
    expected: tuple[LookState, bool, str | None, int | None],
) -> None:
    evidence = Evidence(
        outline=OUTLINE[outline],
        writers=writers,
        closed=closed,
        still_ms=still_ms,
        settle_ms=SETTLE_MS,
        **more,  # type: ignore[arg-type]
    )
    verdict = judge(evidence)
    check = verdict.fault.check if verdict.fault else None
    assert (verdict.state, verdict.final, check, verdict.next_look_ms) == expected
    assert verdict.reason
