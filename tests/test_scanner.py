"""The scan with a real folder, a real journal and a fake deployer: what becomes a wish, an event, or nothing."""

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.errors import ShuttingDown, SourceChanged
from daemon.history import Journal
from daemon.intake.completeness import examine
from daemon.intake.copying import Part
from daemon.intake.store import hash_members
from daemon.lane import FileSource, Outcome, Wish
from daemon.release import Event
from daemon.watching import view
from daemon.watching.pending import SOON_SECONDS
from daemon.watching.scanner import Scanner
from daemon.watching.view import DropDirectory, Patience
from tests.onnx_bytes import external_bytes, plain_bytes

MODEL, OTHER = plain_bytes(values=4), plain_bytes(values=5)


@dataclass
class Read:
    """Files that the scanner wants the digest of."""

    parts: Sequence[Part]
    future: "Future[str | None]" = field(default_factory=Future)

    def identity(self) -> str | None:
        try:
            return hash_members(self.parts)
        except (OSError, SourceChanged):
            return None


class Desk:
    """A scanner on a real folder whose wishes end on this desk; ``restart`` makes a new one on the same journal.

    What it wants to be read is read between two scans, or by ``read_all`` where ``is_reading`` was turned off.
    """

    def __init__(self, folder: Path, *, settle_ms: int = 0, incomplete_seconds: float = 60) -> None:
        self.drop = folder / "drop"
        self.drop.mkdir(exist_ok=True)
        self.allowed = folder / "allowed"
        self.allowed.mkdir(exist_ok=True)
        self.journal = Journal(folder / "journal.sqlite3")
        self.patience = Patience(settle_ms, incomplete_seconds)
        self.batches: list[list[Wish]] = []
        self.futures: list[Future[Outcome]] = []
        self.reads: list[Read] = []
        self.is_reading = True
        self.stopping = False
        self.woken = 0
        self.noticed: list[Wish] = []
        self.restart()

    def restart(self) -> None:
        self.scanner = Scanner(
            DropDirectory(self.drop, "model_drop/", "default", (self.allowed,)),
            self.patience,
            journal=self.journal,
            submit=self._submit,
            read=self._read,
            closed=lambda _: False,
            wake=self._wake,
            noticed=self.noticed.append,
        )

    def put(self, name: str, content: bytes = MODEL) -> Path:
        path = self.drop / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def scan(self) -> list[Wish]:
        """What one scan submitted, and those that what was read for it called for."""
        before = len(self.batches)
        self.scanner.scan()
        while self.is_reading and self.read_all():
            self.scanner.scan()
        return [wish for batch in self.batches[before:] for wish in batch]

    def read_all(self) -> int:
        """Reads what is to be read; how much that was."""
        unread = [read for read in self.reads if not read.future.done()]
        for read in unread:
            read.future.set_result(read.identity())
        return len(unread)

    def settle(self, kind: str = "live") -> None:
        """Every deploy under way ends so, and a scan sees it."""
        for batch, future in zip(self._flat(), self.futures, strict=True):
            if not future.done():
                assert isinstance(batch.source, FileSource)
                content = b"".join(path.read_bytes() for _, path, _ in batch.source.members)
                sha256 = hashlib.sha256(content).hexdigest()
                future.set_result(Outcome(kind=kind, sha256=None if kind == "superseded" else sha256))  # type: ignore[arg-type]
        assert self.scan() == []

    def fail(self, error: Exception) -> None:
        """The deploy under way ends with ``error``."""
        self.futures[-1].set_exception(error)

    def arrive(self, name: str, content: bytes = MODEL) -> Path:
        """A file that was deployed and dealt with."""
        path = self.put(name, content)
        assert [wish.model_path for wish in self.scan()] == [f"model_drop/{name}"]
        self.settle()
        return path

    def events(self, since: int = 0) -> list[Event]:
        return self.journal.events(after=since, limit=1000)

    def happened(self, since: int = 0) -> list[str]:
        return [event.event for event in self.events(since)]

    def _submit(self, wishes: Sequence[Wish]) -> list[Future[Outcome]]:
        if self.stopping:
            raise ShuttingDown("the daemon is stopping")
        self.batches.append(list(wishes))
        new: list[Future[Outcome]] = [Future() for _ in wishes]
        self.futures += new
        return new

    def _read(self, parts: Sequence[Part]) -> "Future[str | None]":
        self.reads.append(Read(parts))
        return self.reads[-1].future

    def _flat(self) -> list[Wish]:
        return [wish for batch in self.batches for wish in batch]

    def _wake(self) -> None:
        self.woken += 1


NewDesk = Callable[..., Desk]


@pytest.fixture
def new_desk(tmp_path: Path) -> Iterator[NewDesk]:
    desks: list[Desk] = []

    def make(*, settle_ms: int = 0, incomplete_seconds: float = 60) -> Desk:
        desks.append(Desk(tmp_path, settle_ms=settle_ms, incomplete_seconds=incomplete_seconds))
        return desks[-1]

    yield make
    for desk in desks:
        desk.journal.close()


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    return new_desk()


def touch(path: Path) -> None:
    """Another time, the same content."""
    later = path.stat().st_mtime_ns + 10_000_000_000
    os.utime(path, ns=(later, later))


def test_complete_file_becomes_a_wish_for_the_default_model(desk: Desk) -> None:
    path = desk.put("m.onnx")
    (wish,) = desk.scan()
    assert (wish.model, wish.model_path, wish.cause) == ("default", "model_drop/m.onnx", "dropped")
    assert (wish.changed_ns, wish.digests) == (path.stat().st_ctime_ns, ())
    assert isinstance(wish.source, FileSource)
    assert [(location, member) for location, member, _ in wish.source.members] == [("", path)]
    assert wish.source.suffix == ".onnx"
    assert desk.happened() == ["seen"]


@pytest.mark.parametrize(
    ("name", "model", "suffix"),
    [
        ("M.ONNX", "default", ".onnx"),
        ("named/m.onnx", "named", ".onnx"),
        ("named/3/model.onnx", "named", ".onnx"),
        ("a b'\"\n.onnx", "default", ".onnx"),
    ],
)
def test_place_and_suffix_say_which_model_and_format(desk: Desk, name: str, model: str, suffix: str) -> None:
    desk.put(name)
    (wish,) = desk.scan()
    assert isinstance(wish.source, FileSource)
    assert (wish.model, wish.source.suffix) == (model, suffix)


def test_odd_bytes_in_a_name_are_escaped(desk: Desk) -> None:
    (desk.drop / os.fsdecode(b"\xff\n.onnx")).write_bytes(MODEL)
    (wish,) = desk.scan()
    assert wish.model_path == "model_drop/\\xff\\n.onnx"


@pytest.mark.parametrize(
    "name", ["m.onnx.tmp", ".m.onnx", "m.txt", "bad name/m.onnx", "named/x/m.onnx", "a/1/2/m.onnx"]
)
def test_other_files_are_left_alone_with_one_log_line(desk: Desk, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="modeldrop.watcher")
    desk.put(name)
    assert desk.scan() + desk.scan() == []
    assert desk.happened() == []
    assert len(caplog.records) == 1


def test_what_is_under_way_is_not_submitted_again(desk: Desk) -> None:
    desk.put("m.onnx")
    desk.scan()
    assert desk.scan() == []
    assert list(desk.scanner.under_way()) == desk.futures


def test_end_of_a_deploy_wakes_the_scanner_which_then_has_nothing_under_way(desk: Desk) -> None:
    desk.put("m.onnx")
    desk.scan()
    desk.settle()
    assert desk.woken == 1
    assert list(desk.scanner.under_way()) == []


@pytest.mark.parametrize("kind", ["live", "unchanged", "rejected", "superseded"])
@pytest.mark.parametrize("restart", [False, True])
def test_what_was_dealt_with_is_no_arrival_again_not_even_after_a_restart(desk: Desk, kind: str, restart: bool) -> None:
    path = desk.put("m.onnx")
    desk.scan()
    desk.settle(kind)
    if restart:
        desk.restart()
    assert desk.scan() == []
    touch(path)
    path.chmod(0o600)
    assert desk.scan() == []
    assert desk.happened() == ["seen"]


def test_same_bytes_in_a_new_file_at_a_known_path_are_no_arrival(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.put("fresh.tmp")
    (desk.drop / "fresh.tmp").rename(path)
    assert desk.scan() == []
    assert desk.happened() == ["seen"]


def test_changed_content_is_an_arrival(desk: Desk) -> None:
    desk.arrive("m.onnx")
    desk.put("m.onnx", OTHER)
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/m.onnx"]
    assert desk.happened() == ["seen", "seen"]


def test_changed_content_is_an_arrival_though_time_and_size_are_the_same(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    before = path.stat()
    other = MODEL.replace(b"author", b"editor")
    assert len(other) == len(MODEL) != 0
    assert other != MODEL
    path.write_bytes(other)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(desk.scan()) == 1


def test_content_that_changed_while_the_daemon_was_down_is_an_arrival(desk: Desk) -> None:
    desk.arrive("m.onnx")
    desk.put("m.onnx", OTHER)
    desk.restart()
    assert len(desk.scan()) == 1


def test_same_content_at_a_new_path_is_an_arrival(desk: Desk) -> None:
    path = desk.arrive("a.onnx")
    path.rename(desk.drop / "b.onnx")
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/b.onnx"]
    assert sorted(desk.happened()) == ["removed", "seen", "seen"]


def test_arrivals_of_one_scan_are_submitted_together(desk: Desk) -> None:
    for name in ("a.onnx", "b.onnx", "named/c.onnx"):
        desk.put(name)
    desk.scan()
    assert [len(batch) for batch in desk.batches] == [3]


def test_file_that_changed_while_it_was_copied_is_looked_at_again(desk: Desk) -> None:
    desk.put("m.onnx")
    desk.scan()
    desk.fail(SourceChanged("it changed"))
    assert len(desk.scan()) == 1
    assert desk.happened() == ["seen"]


def test_file_whose_deploy_broke_is_left_until_it_changes(desk: Desk) -> None:
    desk.put("m.onnx")
    desk.scan()
    desk.fail(OSError("an odd disk"))
    assert desk.scan() + desk.scan() == []
    desk.put("m.onnx", OTHER)
    assert len(desk.scan()) == 1


def test_file_that_the_end_of_the_daemon_refused_is_an_arrival_of_the_next_start(desk: Desk) -> None:
    desk.put("m.onnx")
    desk.scan()
    desk.fail(ShuttingDown("the daemon is stopping"))
    desk.stopping = True
    assert desk.scan() == []
    desk.stopping = False
    desk.restart()
    assert len(desk.scan()) == 1


def test_removed_file_is_told_once_and_forgotten(desk: Desk) -> None:
    path = desk.arrive("named/m.onnx")
    path.unlink()
    since = desk.journal.last_id()
    assert desk.scan() + desk.scan() == []
    assert [(event.event, event.model, event.model_path) for event in desk.events(since)] == [
        ("removed", "named", "model_drop/named/m.onnx")
    ]
    desk.put("named/m.onnx")
    assert len(desk.scan()) == 1


def test_file_removed_while_its_deploy_is_under_way_is_told(desk: Desk) -> None:
    path = desk.put("m.onnx")
    desk.scan()
    path.unlink()
    desk.scan()
    desk.futures[0].set_result(Outcome(kind="live", sha256="a" * 64))
    assert desk.scan() == []
    assert desk.happened() == ["seen", "removed"]


def test_folder_that_is_gone_and_back_brings_its_files_as_arrivals(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    path.unlink()
    desk.drop.rmdir()
    assert desk.scan() == []
    desk.drop.mkdir()
    desk.put("m.onnx")
    assert len(desk.scan()) == 1
    assert desk.happened() == ["seen", "removed", "seen"]


def test_folder_that_cannot_be_listed_proves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "permission denied")

    desk.arrive("m.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(view, "walk", forbidden)
        with pytest.raises(PermissionError):
            desk.scan()
    assert desk.scan() == []
    assert desk.happened() == ["seen"]


def test_half_a_file_waits_and_is_deployed_when_it_is_whole(desk: Desk) -> None:
    desk.put("m.onnx", MODEL[:-3])
    assert desk.scan() + desk.scan() == []
    assert desk.happened() == ["seen", "waiting"]
    candidate = desk.scanner.waiting_for("default")
    assert candidate is not None
    assert (candidate["model_path"], candidate["stage"]) == ("model_drop/m.onnx", "waiting")
    desk.put("m.onnx")
    assert len(desk.scan()) == 1
    assert desk.scanner.waiting_for("default") is None
    assert desk.happened() == ["seen", "waiting"]


def test_half_a_file_that_stands_still_too_long_is_rejected_once(new_desk: NewDesk) -> None:
    desk = new_desk(incomplete_seconds=0)
    desk.put("m.onnx", MODEL[:-3])
    assert desk.scan() + desk.scan() == []
    (event,) = [event for event in desk.events() if event.event == "rejected"]
    assert (event.check, event.cause, event.model_path) == ("structure", "dropped", "model_drop/m.onnx")
    assert event.reason is not None
    assert event.reason.startswith("truncated")


def test_rejected_file_is_left_alone_after_a_restart_and_looked_at_when_it_changes(new_desk: NewDesk) -> None:
    desk = new_desk(incomplete_seconds=0)
    path = desk.put("m.onnx", MODEL[:-3])
    desk.scan()
    since = desk.journal.last_id()
    desk.restart()
    touch(path)
    assert desk.scan() == []
    assert desk.happened(since) == []
    desk.put("m.onnx")
    assert len(desk.scan()) == 1


def test_half_a_file_that_grew_since_the_last_look_is_not_rejected(new_desk: NewDesk) -> None:
    desk = new_desk(incomplete_seconds=1e-9)
    desk.put("m.onnx", MODEL[:10])
    desk.scanner._view._patience = Patience(0, 60)
    desk.scan()
    desk.scanner._view._patience = Patience(0, 0)
    desk.put("m.onnx", MODEL[:20])
    desk.scan()
    assert "rejected" not in desk.happened()


def test_file_that_a_writer_holds_open_is_never_rejected(new_desk: NewDesk) -> None:
    desk = new_desk(incomplete_seconds=0)
    with (desk.drop / "m.onnx").open("wb", buffering=0) as writer:
        for part in (MODEL[:20], MODEL[20:]):
            writer.write(part)
            assert desk.scan() + desk.scan() == []
    assert len(desk.scan()) == 1
    assert "rejected" not in desk.happened()


def test_what_is_no_model_is_rejected_at_once(desk: Desk) -> None:
    desk.put("m.onnx", b"<html>not found</html>")
    assert desk.scan() + desk.scan() == []
    assert desk.happened() == ["seen", "rejected"]


def test_incomplete_file_is_no_news_before_it_had_a_moment(new_desk: NewDesk) -> None:
    desk = new_desk(settle_ms=3_600_000)
    desk.put("m.onnx", MODEL[:-3])
    desk.scan()
    assert desk.happened() == ["seen"]


def test_missing_external_data_is_named_and_waited_for(desk: Desk) -> None:
    desk.put("m.onnx", external_bytes("m.data"))
    assert desk.scan() == []
    waiting = desk.events()[-1]
    assert (waiting.event, waiting.detail) == ("waiting", {"waiting_for": ["m.data"]})
    desk.put("m.data", b"\0" * 16)
    (wish,) = desk.scan()
    assert isinstance(wish.source, FileSource)
    assert [location for location, _, _ in wish.source.members] == ["", "m.data"]


def test_changed_external_data_is_an_arrival(desk: Desk) -> None:
    desk.put("m.data", b"\0" * 16)
    desk.arrive("m.onnx", external_bytes("m.data"))
    desk.put("m.data", b"\1" * 16)
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/m.onnx"]


def test_sidecar_that_is_right_vouches_for_the_file(desk: Desk) -> None:
    digest = hashlib.sha256(MODEL).hexdigest()
    desk.put("m.onnx.sha256", f"{digest}  m.onnx\n".encode())
    desk.put("m.onnx")
    (wish,) = desk.scan()
    assert wish.digests == (digest,)


def test_sidecar_that_is_wrong_is_waited_out_and_then_refuses(new_desk: NewDesk) -> None:
    desk = new_desk(incomplete_seconds=0)
    desk.put("m.onnx.sha256", b"0" * 64)
    desk.put("m.onnx")
    assert desk.scan() + desk.scan() == []
    assert desk.events()[-1].check == "integrity"
    desk.put("m.onnx.sha256", hashlib.sha256(MODEL).hexdigest().encode())
    assert len(desk.scan()) == 1


def test_link_into_an_allowed_folder_counts_as_what_it_resolves_to(desk: Desk) -> None:
    (desk.allowed / "real.onnx").write_bytes(MODEL)
    (desk.drop / "m.onnx").symlink_to(desk.allowed / "real.onnx")
    (wish,) = desk.scan()
    assert isinstance(wish.source, FileSource)
    assert wish.source.members[0][1] == desk.allowed / "real.onnx"
    assert wish.model_path == "model_drop/m.onnx"


def test_link_that_leads_outside_is_rejected_until_it_is_mended(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "secret.onnx").write_bytes(MODEL)
    link = desk.drop / "m.onnx"
    link.symlink_to(tmp_path / "secret.onnx")
    assert desk.scan() + desk.scan() == []
    assert desk.happened() == ["seen", "rejected"]
    (desk.allowed / "real.onnx").write_bytes(OTHER)
    link.unlink()
    link.symlink_to(desk.allowed / "real.onnx")
    assert len(desk.scan()) == 1


def test_link_to_nothing_waits_for_its_file(desk: Desk) -> None:
    (desk.drop / "m.onnx").symlink_to(desk.allowed / "late.onnx")
    assert desk.scan() == []
    assert desk.happened() == ["seen", "waiting"]
    (desk.allowed / "late.onnx").write_bytes(MODEL)
    assert len(desk.scan()) == 1


def test_swapped_data_folder_is_an_arrival(desk: Desk) -> None:
    for folder, content in (("..one", MODEL), ("..two", OTHER)):
        desk.put(f"{folder}/m.onnx", content)
    (desk.drop / "..data").symlink_to("..one")
    (desk.drop / "m.onnx").symlink_to("..data/m.onnx")
    assert len(desk.scan()) == 1
    desk.settle()
    (desk.drop / "..new").symlink_to("..two")
    (desk.drop / "..new").rename(desk.drop / "..data")
    assert len(desk.scan()) == 1


def test_fifo_is_rejected_and_blocks_nobody(desk: Desk) -> None:
    os.mkfifo(desk.drop / "m.onnx")
    desk.put("n.onnx")
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/n.onnx"]
    assert "rejected" in desk.happened()


def test_folder_with_a_models_name_is_a_folder(desk: Desk) -> None:
    (desk.drop / "m.onnx").mkdir()
    assert desk.scan() == []
    assert desk.happened() == []


def test_one_file_that_cannot_be_looked_at_does_not_keep_the_others_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(path: Path, **more: object) -> object:
        if path.name == "a.onnx":
            raise OSError(116, "stale file handle")
        return examine(path, **more)  # type: ignore[arg-type]

    desk.put("a.onnx")
    desk.put("b.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(view, "examine", stale)
        assert [wish.model_path for wish in desk.scan()] == ["model_drop/b.onnx"]
        candidate = desk.scanner.waiting_for("default")
        assert candidate is not None
        assert candidate["reason"] == "it cannot be looked at: stale file handle"
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/a.onnx"]


def test_name_too_long_to_have_a_sidecar_is_deployed(desk: Desk) -> None:
    desk.put(f"{'a' * 250}.onnx")
    assert len(desk.scan()) == 1


def test_scan_with_nothing_open_needs_no_other(desk: Desk) -> None:
    desk.arrive("m.onnx")
    assert desk.scanner.scan() == math.inf


def test_scan_comes_back_soon_for_what_was_not_looked_at_yet(desk: Desk) -> None:
    desk.put("m.onnx")
    desk.scan()
    desk.fail(SourceChanged("it changed"))
    desk.stopping = True
    assert desk.scanner.scan() <= SOON_SECONDS


def test_scan_does_not_poll_for_a_link_to_nothing(desk: Desk) -> None:
    (desk.drop / "m.onnx").symlink_to("nothing.data")
    desk.scan()
    assert desk.scanner.scan() == math.inf


def test_wish_says_how_long_the_proof_took(desk: Desk) -> None:
    desk.put("m.onnx")
    before = time.monotonic()
    (wish,) = desk.scan()
    assert 0 <= wish.settle_seconds <= time.monotonic() - before


SAME_SIZE = MODEL.replace(b"author", b"editor")
JUNK, OTHER_JUNK = b"<html>not found</html>", b"<html>forbidden</html>"


def overwrite(path: Path, content: bytes) -> None:
    assert path.stat().st_size == len(content)
    path.write_bytes(content)


def test_known_path_is_left_alone_until_its_digest_is_there(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    overwrite(path, SAME_SIZE)
    assert desk.scan() + desk.scan() == []
    assert (len(desk.reads), desk.happened()) == (1, ["seen"])
    assert desk.scanner.scan() == math.inf
    desk.read_all()
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/m.onnx"]
    assert desk.happened() == ["seen", "seen"]
    assert len(desk.reads) == 1


def test_touched_path_is_read_once_and_then_settled(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    touch(path)
    assert desk.scan() + desk.scan() == []
    assert (len(desk.reads), desk.happened()) == (1, ["seen"])
    assert not desk.scanner.is_undecided()


def test_complete_file_that_waited_for_its_digest_is_not_examined_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, examined = desk.arrive("m.onnx"), list[Path]()

    def counted(path: Path, **more: object) -> object:
        examined.append(path)
        return examine(path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(view, "examine", counted)
    overwrite(path, SAME_SIZE)
    assert len(desk.scan()) == 1  # what proved it complete, as that it was closed, may be told only once
    assert examined == [path]


def test_file_that_vanishes_between_the_listing_and_the_look_makes_no_event(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.put("m.onnx")

    def vanished(path: Path, **more: object) -> object:
        path.unlink()
        return examine(path, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(view, "examine", vanished)
        assert desk.scan() == []
    assert not path.exists()
    assert desk.scan() == []
    assert desk.happened() == []


def test_path_stays_undecided_till_the_next_scan_when_its_digest_comes_in_between(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    overwrite(path, SAME_SIZE)
    desk.scan()
    desk.read_all()
    assert desk.scanner.is_undecided()
    assert len(desk.scan()) == 1
    assert not desk.scanner.is_undecided()


def test_digest_of_a_refused_file_that_comes_at_the_end_is_known_after_a_restart(desk: Desk) -> None:
    desk.is_reading = False
    path = desk.put("m.onnx", b"<html></html>")
    desk.scan()
    desk.read_all()
    desk.scanner.finish(1)
    touch(path)
    desk.restart()
    desk.is_reading = True
    assert desk.scan() == []
    assert desk.happened() == ["seen", "rejected"]


def test_other_models_go_on_while_a_path_is_read(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    touch(path)
    desk.put("named/m.onnx")
    assert [wish.model for wish in desk.scan()] == ["named"]
    assert desk.scanner.is_undecided()


def test_arrival_waits_for_a_path_of_its_model_that_may_be_one_too(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    overwrite(path, SAME_SIZE)
    desk.put("n.onnx")
    assert desk.scan() == []
    desk.read_all()
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/m.onnx", "model_drop/n.onnx"]
    assert [len(batch) for batch in desk.batches] == [1, 2]


def test_path_whose_content_cannot_be_read_is_an_arrival(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    touch(path)
    desk.scan()
    desk.reads[0].future.set_result(None)
    assert len(desk.scan()) == 1


def test_path_that_changes_while_it_is_read_is_read_no_further_and_looked_at(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    touch(path)
    desk.scan()
    desk.put("m.onnx", OTHER)
    assert [wish.model_path for wish in desk.scan()] == ["model_drop/m.onnx"]
    assert desk.reads[0].future.cancelled()


def test_path_that_is_touched_while_it_is_read_is_read_again(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    touch(path)
    desk.scan()
    touch(path)
    desk.scan()
    assert [read.future.cancelled() for read in desk.reads] == [True, False]
    desk.is_reading = True
    desk.read_all()
    assert desk.scan() == []
    assert desk.happened() == ["seen"]


def test_path_that_is_removed_while_it_is_read_is_told_and_read_no_further(desk: Desk) -> None:
    path = desk.arrive("m.onnx")
    desk.is_reading = False
    touch(path)
    desk.scan()
    path.unlink()
    assert desk.scan() + desk.scan() == []
    assert desk.happened() == ["seen", "removed"]
    assert desk.reads[0].future.cancelled()


def test_refusal_of_a_new_path_is_told_before_it_is_read(desk: Desk) -> None:
    desk.is_reading = False
    desk.put("m.onnx", JUNK)
    desk.scan()
    assert desk.happened() == ["seen", "rejected"]
    assert not desk.reads[0].future.done()


@pytest.mark.parametrize("restart", [False, True])
def test_refused_path_that_is_touched_once_it_was_read_makes_no_event(desk: Desk, restart: bool) -> None:
    path = desk.put("m.onnx", JUNK)
    desk.scan()
    if restart:
        desk.restart()
    touch(path)
    assert desk.scan() == []
    assert desk.happened() == ["seen", "rejected"]


def test_refusal_of_a_known_path_is_told_once_its_content_is_known_to_differ(desk: Desk) -> None:
    path = desk.put("m.onnx", JUNK)
    desk.scan()
    desk.is_reading = False
    overwrite(path, OTHER_JUNK)
    assert desk.scan() + desk.scan() == []
    assert desk.happened() == ["seen", "rejected"]
    desk.is_reading = True
    desk.read_all()
    desk.scan()
    assert desk.happened() == ["seen", "rejected", "seen", "rejected"]
    assert len(desk.reads) == 2


def test_refusal_of_a_known_path_with_another_size_is_told_before_it_is_read(desk: Desk) -> None:
    desk.arrive("m.onnx")
    desk.is_reading = False
    desk.put("m.onnx", JUNK)
    desk.scan()
    assert desk.happened() == ["seen", "seen", "rejected"]


def test_refused_path_that_is_mended_while_it_is_read_is_an_arrival_at_once(desk: Desk) -> None:
    desk.is_reading = False
    desk.put("m.onnx", JUNK)
    desk.scan()
    desk.put("m.onnx")
    assert len(desk.scan()) == 1
    desk.settle()
    assert desk.reads[0].future.cancelled()


def test_refused_path_that_is_removed_while_it_is_read_is_read_no_further(desk: Desk) -> None:
    desk.is_reading = False
    path = desk.put("m.onnx", JUNK)
    desk.scan()
    path.unlink()
    desk.scan()
    assert desk.happened() == ["seen", "rejected", "removed"]
    assert desk.reads[0].future.cancelled()


def test_refused_path_that_could_not_be_read_is_left_until_it_changes(desk: Desk) -> None:
    desk.is_reading = False
    desk.put("m.onnx", JUNK)
    desk.scan()
    desk.reads[0].future.set_result(None)
    assert desk.scan() + desk.scan() == []
    assert desk.happened() == ["seen", "rejected"]


def test_refused_path_is_no_news_after_an_end_that_came_before_it_was_read(desk: Desk) -> None:
    desk.is_reading = False
    desk.put("m.onnx", JUNK)
    desk.scan()
    desk.restart()
    assert desk.scan() == []
    assert desk.happened() == ["seen", "rejected"]


def test_arrival_is_noticed_once_when_it_is_complete(desk: Desk) -> None:
    changed_ns = desk.put("a.onnx").stat().st_ctime_ns
    wishes = desk.scan()
    desk.settle()
    assert desk.noticed == wishes
    assert [wish.changed_ns for wish in wishes] == [changed_ns]
