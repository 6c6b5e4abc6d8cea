"""The journal: what it writes is there again after a restart, whole, in order, and never twice under one id."""

import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import ShuttingDown, StartupError
from daemon.history import records
from daemon.history.journal import Journal
from daemon.history.records import Outcome, Sighting, Standing
from daemon.release import Event, Release, Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float32", ("batch", None, 10)), TensorSpec("k", "int64", (), optional=True)),
    outputs=(TensorSpec("y", "seq(map(int64,tensor(float)))", None),),
)


def make_release(version: int, model: str = "default", *, sha256: str | None = None, cause: str = "dropped") -> Release:
    return Release(
        model=model,
        version=version,
        sha256=sha256 or f"{version:064x}",
        stored_as=f"{version:064x}/model.onnx",
        model_path=f"model_drop/{version}.onnx",
        cause=cause,
        time="2026-11-22T10:15:02.318Z",
        signature=SIGNATURE,
        metadata={"producer": "示例", "custom": {"a": "1"}, "opset": [17, 3]},
    )


def of(event: str, release: Release, **more: str) -> Event:
    return Event(
        event=event,
        model=release.model,
        version=release.version,
        sha256=release.sha256,
        model_path=release.model_path,
        cause=release.cause,
        **more,  # type: ignore[arg-type]
    )


def go_live(journal: Journal, version: int, model: str = "default") -> Release:
    release = make_release(version, model)
    journal.commit(release)
    journal.append(of("live", release))
    return release


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal(path)) as journal:
        yield journal


def test_append_gives_rising_ids_and_utc_time(journal: Journal) -> None:
    first = journal.append(Event(event="seen", model="default", time="yesterday", id=77))
    second = journal.append(Event(event="watch_lost"))
    assert (first.id, second.id) == (1, 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.time)


def test_event_reads_back_equal_after_reopening(path: Path) -> None:
    event = Event(
        event="rejected",
        model="default",
        model_path="model_drop/a\udcff\n.onnx",
        sha256="9c" * 32,
        check="structure",
        reason="a “sentence”",
        seconds={"total": 0.25, "gate": 0.125},
        detail={"waiting_for": ["a.data"], "huge": 1 << 70},
    )
    with closing(Journal(path)) as journal:
        written = journal.append(event)
    with closing(Journal(path)) as journal:
        assert journal.events() == [written]


def test_events_come_oldest_first_after_the_given_id_of_the_given_model(journal: Journal) -> None:
    for model in ("a", "b", "a", "b", "a"):
        journal.append(Event(event="seen", model=model))
    assert [event.id for event in journal.events(after=1, model="a")] == [3, 5]
    assert [event.id for event in journal.events(after=1, limit=2)] == [2, 3]


def test_append_all_gives_consecutive_ids_while_others_append(journal: Journal) -> None:
    def pairs() -> None:
        for _ in range(20):
            both = journal.append_all([Event(event="removed", model="a"), Event(event="seen")])
            if both[1].id != both[0].id + 1:
                torn.append(both)

    torn: list[list[Event]] = []
    threads = [threading.Thread(target=pairs) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torn == []
    assert [event.id for event in journal.events(limit=1000)] == list(range(1, 161))


def test_append_all_leaves_nothing_when_one_of_them_fails(journal: Journal, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.event = 'seen' BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        journal.append_all([of("live", make_release(1)), Event(event="seen")])
    assert journal.events() == []
    assert journal.models() == set()
    assert journal.append(Event(event="removed")).id == 1  # and the journal goes on


def test_listener_hears_of_an_event_after_its_commit(path: Path) -> None:
    heard: list[Event] = []

    def listen(event: Event) -> None:
        assert opened.events(after=event.id - 1) == [event]
        opened.forget_sighting("x")  # no lock is held
        heard.append(event)

    with closing(Journal(path, listen)) as opened:
        written = opened.append(Event(event="seen"))
        assert heard == [written]


def test_append_succeeds_when_the_listener_fails(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise OSError("no room")

    with closing(Journal(path, fail)) as journal:
        assert journal.append(Event(event="seen")).id == 1
    assert "no room" in caplog.text


SYNCED = ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "COMMIT", "PRAGMA synchronous = NORMAL"]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        pytest.param(lambda journal: journal.commit(make_release(1)), SYNCED, id="a release"),
        pytest.param(lambda journal: journal.append(Event(event="unloaded"), durable=True), SYNCED, id="durable event"),
        pytest.param(lambda journal: journal.append(Event(event="seen")), ["BEGIN IMMEDIATE", "COMMIT"], id="event"),
    ],
)
def test_what_is_durable_is_synced_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Journal], object], expected: list[str]
) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*args: object, **kwargs: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)  # type: ignore[call-overload]
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    with closing(Journal(path)) as journal:
        statements.clear()
        write(journal)
        about_sync = ("PRAGMA synchronous", "BEGIN", "COMMIT")
        assert [statement for statement in statements if statement.startswith(about_sync)] == expected


def test_events_after_a_durable_one_are_not_synced(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.commit(make_release(1))
        with journal._database.transaction() as writer:
            level = writer.execute("PRAGMA synchronous").fetchone()[0]
    assert level == 1  # NORMAL


def test_commit_refuses_a_version_that_is_taken(journal: Journal) -> None:
    one = go_live(journal, 1)
    with pytest.raises(ValueError, match="version 1"):
        journal.commit(replace(one, sha256="f" * 64))
    assert journal.releases("default") == [one]
    assert go_live(journal, 2).version == 2  # and the journal goes on


def test_releases_come_newest_first_and_equal_after_reopening(path: Path) -> None:
    with closing(Journal(path)) as journal:
        one, two = go_live(journal, 1), go_live(journal, 2)
        go_live(journal, 9, "other")
    with closing(Journal(path)) as journal:
        assert journal.releases("default") == [two, one]
        assert journal.release("default", 1) == one
        assert journal.release("default", 9) is None


names = st.text(st.characters(codec="utf-8"), max_size=8) | st.just("caf\udce9.onnx")
dims = st.none() | st.integers(0, 1 << 40) | names
specs = st.builds(TensorSpec, names, names, st.none() | st.lists(dims, max_size=3).map(tuple), st.booleans())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)


def test_releases_about_bytes_are_theirs_and_those_that_replaced_a_failed_one(path: Path) -> None:
    with closing(Journal(path)) as journal:
        mine, again = make_release(1, sha256="a" * 64), make_release(4, sha256="a" * 64)
        instead = replace(make_release(3, sha256="b" * 64), instead_of=2)
        misleading = replace(make_release(5), metadata={"note": f'"sha256":"{"a" * 64}"'})
        for release in (mine, make_release(2), instead, again, misleading, make_release(1, "other", sha256="a" * 64)):
            journal.commit(release)
        assert journal.releases_about("default", "a" * 64) == [again, instead, mine]
        assert journal.releases_about("default", "a" * 64, limit=2) == [again]
        assert journal.releases_about("default", "c" * 64) == [instead]


releases = st.builds(
    Release,
    *[names, st.integers(1, 1 << 40), names, names, names, names, names],
    st.builds(Signature, st.lists(specs, max_size=3).map(tuple), st.lists(specs, max_size=3).map(tuple)),
    st.dictionaries(names, json_values, max_size=3),
)


@given(releases)
def test_release_round_trips_through_json_exactly(release: Release) -> None:
    assert records.from_json(records.to_json(release)) == release


def test_release_with_a_read_only_mapping_round_trips(journal: Journal) -> None:
    release = replace(make_release(1), metadata=MappingProxyType({"a": "\udcff"}))
    journal.commit(release)
    assert journal.releases("default") == [replace(release, metadata={"a": "\udcff"})]


def test_outcomes_list_what_went_live_and_what_was_rejected_newest_first(journal: Journal) -> None:
    go_live(journal, 1)
    journal.append(Event(event="seen", model="default"))
    journal.append(Event(event="rejected", model="default", model_path="bad.onnx", check="structure", reason="cut"))
    journal.append(replace(of("restored", make_release(1)), cause=None))  # the same release: no new row
    fallback = make_release(2)
    journal.commit(fallback)
    journal.append(of("restored", fallback, reason="damaged"))
    go_live(journal, 1, "other")
    rows = journal.outcomes("default", limit=10)
    assert [(row.version, row.outcome, row.reason) for row in rows] == [
        (2, "live", "damaged"),
        (None, "rejected", "cut"),
        (1, "live", None),
    ]
    assert rows[1] == Outcome(
        outcome="rejected",
        version=None,
        sha256=None,
        model_path="bad.onnx",
        time=rows[1].time,
        reason="cut",
        check="structure",
        cause=None,
    )
    assert journal.outcomes("default", limit=1) == rows[:1]


def live_twice(journal: Journal) -> None:
    go_live(journal, 1)
    go_live(journal, 2)
    journal.append(Event(event="rejected", model="default"))


def unloaded(journal: Journal) -> None:
    live_twice(journal)
    journal.append(of("unloaded", make_release(2)))
    journal.append(Event(event="seen", model="default"))


def loaded_again(journal: Journal) -> None:
    unloaded(journal)
    go_live(journal, 3)


def committed(journal: Journal) -> None:
    live_twice(journal)
    journal.commit(make_release(3))  # and no more was written: the power was cut


def unloaded_then_committed(journal: Journal) -> None:
    unloaded(journal)
    journal.commit(make_release(3))


def unloaded_after_a_restart(journal: Journal) -> None:
    live_twice(journal)
    journal.append(replace(of("restored", make_release(2)), cause=None))
    journal.append(of("unloaded", make_release(2)))


@pytest.mark.parametrize(
    ("story", "version", "is_unloaded"),
    [
        (live_twice, 2, False),
        (unloaded, 2, True),
        (loaded_again, 3, False),
        (committed, 3, False),
        (unloaded_then_committed, 3, False),
        (unloaded_after_a_restart, 2, True),
    ],
)
def test_standing_is_the_newest_release_unless_it_was_unloaded(
    path: Path, story: Callable[[Journal], None], version: int, is_unloaded: bool
) -> None:
    with closing(Journal(path)) as journal:
        story(journal)
    with closing(Journal(path, keep_events=0)) as journal:  # pruning must not change it
        assert journal.standing() == {"default": Standing("default", make_release(version), is_unloaded)}


def test_standing_leaves_out_a_model_that_never_had_a_release(journal: Journal) -> None:
    journal.append(Event(event="rejected", model="default"))
    journal.append(Event(event="unloaded", model="default"))
    assert journal.standing() == {}


def test_next_version_is_one_more_than_any_before_of_that_model(journal: Journal) -> None:
    assert journal.next_version("default") == 1
    go_live(journal, 7)
    go_live(journal, 40, "other")
    assert journal.next_version("default") == 8


def test_models_are_those_that_ever_had_an_event(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.append(Event(event="seen", model="a"))
        journal.append(Event(event="watch_lost"))
        assert journal.models() == {"a"}
        journal.append(Event(event="seen", model="b"))
        journal.append(Event(event="seen", model="b"))
        assert journal.models() == {"a", "b"}
    with closing(Journal(path, keep_events=1)) as journal:
        assert journal.models() == {"a", "b"}


def test_old_events_are_pruned_in_turn_but_those_of_releases_stay(path: Path) -> None:
    with closing(Journal(path, keep_events=5, prune_every=10)) as journal:
        go_live(journal, 1)
        go_live(journal, 2)
        for _ in range(17):
            journal.append(Event(event="seen", model="default"))
        assert len(journal.events()) == 2 + 5 + 9  # pruned at the 10th append, and not since
        journal.append(Event(event="seen", model="default"))
        assert [event.id for event in journal.events()] == [1, 2, 16, 17, 18, 19, 20]
        assert [row.version for row in journal.outcomes("default")] == [2, 1]


def test_ids_go_on_rising_when_every_event_is_pruned(path: Path) -> None:
    with closing(Journal(path)) as journal:
        for _ in range(3):
            journal.append(Event(event="seen"))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM events")
    with closing(Journal(path)) as journal:
        assert journal.last_id() == 3
        assert journal.append(Event(event="seen")).id == 4


ODD = Sighting("/drop/caf\udce9 \n.onnx", "default", (("caf\udce9.onnx", (1, 2, 3, 1 << 62, 5)), ("w.data", ())), None)


def test_sightings_come_back_after_reopening(path: Path) -> None:
    plain = Sighting("/drop/a.onnx", "default", (("a.onnx", (1, 2, 3, 4, 5)),), "9c" * 32)
    with closing(Journal(path)) as journal:
        journal.keep_sighting(ODD)
        journal.keep_sighting(replace(plain, sha256=None))
        journal.keep_sighting(plain)
    with closing(Journal(path)) as journal:
        assert journal.sightings() == {ODD.path: ODD, plain.path: plain}


def test_sighting_is_gone_when_forgotten(journal: Journal) -> None:
    journal.keep_sighting(ODD)
    journal.forget_sighting(ODD.path)
    journal.forget_sighting("never seen")
    assert journal.sightings() == {}


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this is a letter, not a database" * 100)


def newer_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 2")


def other_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE cookies (name TEXT)")


def overwritten_pages(path: Path) -> None:
    Journal(path).close()
    written = path.read_bytes()
    path.write_bytes(written[:4096] + b"\xff" * (len(written) - 4096))


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (not_a_database, "is damaged or no journal: file is not a database"),
        (newer_schema, "newer modeldrop: expected schema 1, found 2"),
        (other_program, "another program's database"),
        (overwritten_pages, "is damaged"),
        (a_folder, "cannot be opened"),
    ],
)
def test_opening_refuses_a_file_it_cannot_read(path: Path, spoil: Callable[[Path], None], says: str) -> None:
    path.parent.mkdir()
    spoil(path)
    with pytest.raises(StartupError, match=re.escape(says)) as refusal:
        Journal(path)
    assert str(path) in str(refusal.value)


def test_closed_journal_refuses_appends_and_reads(journal: Journal) -> None:
    journal.close()
    journal.close()
    with pytest.raises(ShuttingDown):
        journal.append(Event(event="seen"))
    with pytest.raises(ShuttingDown):
        journal.commit(make_release(1))
    with pytest.raises(ShuttingDown):
        journal.events()


APPENDER = """
import sys
from pathlib import Path
from daemon.history.journal import Journal
from daemon.release import Event
journal = Journal(Path(sys.argv[1]), keep_events=50, prune_every=20)
for turn in range(100_000):
    written = journal.append(Event(event="rejected", model="m", reason="x" * 500), durable=turn % 10 == 0)
    print(written.id, flush=True)
"""


@pytest.mark.parametrize("appends", [1, 57, 300])
def test_every_returned_append_is_there_after_kill_9(path: Path, appends: int) -> None:
    command = [sys.executable, "-c", APPENDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as process:
        assert process.stdout is not None
        returned = [int(process.stdout.readline()) for _ in range(appends)]
        process.send_signal(signal.SIGKILL)
        returned += [int(line) for line in process.stdout.readlines() if line.endswith("\n")]
    with closing(Journal(path, keep_events=50)) as journal:
        kept = {event.id for event in journal.events(limit=1000)}
        assert set(returned[-49:]) <= kept  # one more may have been committed than was said
        assert journal.append(Event(event="seen")).id > returned[-1]
