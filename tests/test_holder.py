"""The holder: leases, swaps, and an engine that is never closed while anybody holds it."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from daemon.errors import NotServing, UnknownVersion
from daemon.holder import ModelHolder, Serving
from tests.fakes import WAIT_SECONDS, FakeEngine, release_of


@pytest.fixture
def holder() -> Iterator[ModelHolder]:
    holder = ModelHolder()
    yield holder
    holder.close()


def test_holder_is_one_however_often_it_is_called(holder: ModelHolder) -> None:
    assert ModelHolder() is holder


def test_holder_is_one_when_many_threads_make_it() -> None:
    barrier = threading.Barrier(8)
    made: list[ModelHolder] = []

    def make() -> None:
        barrier.wait(WAIT_SECONDS)
        made.append(ModelHolder())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(holder) for holder in made}) == 1
    made[0].close()


def test_close_ends_the_singleton_with_all_it_served(holder: ModelHolder) -> None:
    holder.swap(release_of(), FakeEngine())
    holder.close()
    fresh = ModelHolder()
    assert fresh is not holder
    assert fresh.releases() == {}
    fresh.close()


def test_closing_an_old_holder_leaves_the_new_one(holder: ModelHolder) -> None:
    holder.close()
    fresh = ModelHolder()
    holder.close()
    assert ModelHolder() is fresh
    fresh.close()


def test_lease_is_refused_before_the_first_release(holder: ModelHolder) -> None:
    holder.swap(release_of(model="other"), FakeEngine())
    with pytest.raises(NotServing) as caught, holder.lease("default"):
        pass
    assert caught.value.model == "default"


def test_lease_lends_the_release_with_its_own_engine(holder: ModelHolder) -> None:
    engine, release = FakeEngine(), release_of()
    assert holder.swap(release, engine) is None
    with holder.lease("default") as serving:
        assert (serving.release, serving.engine, serving.leases) == (release, engine, 1)
    assert serving.leases == 0


def test_models_are_lent_apart(holder: ModelHolder) -> None:
    holder.swap(release_of(1, "a"), FakeEngine())
    holder.swap(release_of(2, "b"), FakeEngine())
    with holder.lease("a") as a, holder.lease("b") as b:
        assert (a.release.version, b.release.version) == (1, 2)
    assert holder.releases() == {"a": a.release, "b": b.release}


def test_swap_hands_back_what_served_drained_when_nobody_holds_it(holder: ModelHolder) -> None:
    first = FakeEngine()
    holder.swap(release_of(1), first)
    retired = holder.swap(release_of(2), FakeEngine())
    assert retired is not None
    assert (retired.release.version, retired.engine) == (1, first)
    assert retired.drained.is_set()
    assert holder.release_of("default") == release_of(2)


def test_swap_while_leased_drains_with_the_last_lease(holder: ModelHolder) -> None:
    holder.swap(release_of(1), FakeEngine())
    with holder.lease("default") as outer:
        with holder.lease("default"):
            retired = holder.swap(release_of(2), FakeEngine())
            assert retired is outer
            with holder.lease("default") as newer:
                assert newer.release.version == 2
        assert not retired.drained.is_set()
    assert retired.drained.is_set()
    assert not newer.drained.is_set()


def test_lease_comes_back_when_its_body_fails(holder: ModelHolder) -> None:
    holder.swap(release_of(1), FakeEngine())
    with pytest.raises(RuntimeError), holder.lease("default") as serving:
        raise RuntimeError("the run failed")
    assert serving.leases == 0


def test_retired_model_is_lent_no_more(holder: ModelHolder) -> None:
    holder.swap(release_of(1), FakeEngine())
    with holder.lease("default") as serving:
        assert holder.retire("default") is serving
        with pytest.raises(NotServing), holder.lease("default"):
            pass
        assert not serving.drained.is_set()
    assert serving.drained.is_set()
    assert holder.release_of("default") is None
    assert holder.retire("default") is None


def test_callback_is_called_at_once_for_what_is_drained(holder: ModelHolder) -> None:
    holder.swap(release_of(1), FakeEngine())
    retired = holder.retire("default")
    assert retired is not None
    called: list[int] = []
    holder.call_when_drained(retired, lambda: called.append(1))
    assert called == [1]


def test_callback_is_called_once_by_the_last_lease_and_off_the_lock(holder: ModelHolder) -> None:
    holder.swap(release_of(1), FakeEngine())
    called: list[bool] = []
    with ExitStack() as leases:
        leases.enter_context(holder.lease("default"))
        with holder.lease("default"):
            retired = holder.swap(release_of(2), FakeEngine())
            assert retired is not None
            holder.call_when_drained(retired, lambda: called.append(holder._lock.locked()))
        assert called == []
    assert called == [False]


# What stands by.


def stand_by(holder: ModelHolder) -> Serving:
    """Version 2 serves, version 1 stands by."""
    holder.swap(release_of(1), FakeEngine())
    retired = holder.swap(release_of(2), FakeEngine())
    assert retired is not None
    holder.stand_by(retired)
    return retired


def test_release_that_stands_by_is_lent_to_who_asks_for_its_version(holder: ModelHolder) -> None:
    retired = stand_by(holder)
    assert holder.loaded("default") == [release_of(2), release_of(1)]
    with holder.lease("default") as now, holder.lease("default", 2) as named, holder.lease("default", 1) as before:
        assert now is named
        assert (now.release.version, before) == (2, retired)


def test_release_that_stands_by_is_drained_but_while_it_is_lent(holder: ModelHolder) -> None:
    retired = stand_by(holder)
    with holder.lease("default", 1):
        assert not retired.drained.is_set()
    assert retired.drained.is_set()


def test_release_that_stands_down_is_lent_no_more_and_drains_with_its_last_lease(holder: ModelHolder) -> None:
    retired = stand_by(holder)
    called: list[int] = []
    with holder.lease("default", 1):
        assert holder.stand_down("default") is retired
        holder.call_when_drained(retired, lambda: called.append(1))
        with pytest.raises(UnknownVersion), holder.lease("default", 1):
            pass
        assert called == []
    assert (called, retired.drained.is_set()) == ([1], True)
    assert holder.stand_down("default") is None
    assert holder.loaded("default") == [release_of(2)]


@pytest.mark.parametrize(
    ("version", "sentence"),
    [(3, "version 3 of model 'default' is not loaded: version 2 serves and version 1 stands by"), (1, None)],
)
def test_version_that_is_not_loaded_is_refused_with_those_that_are(
    holder: ModelHolder, version: int, sentence: str | None
) -> None:
    stand_by(holder)
    if sentence is None:
        holder.stand_down("default")
        sentence = "version 1 of model 'default' is not loaded: version 2 serves"
    with pytest.raises(UnknownVersion) as caught, holder.lease("default", version):
        pass
    assert str(caught.value) == sentence


def test_version_of_a_model_that_does_not_serve_is_refused(holder: ModelHolder) -> None:
    with pytest.raises(NotServing), holder.lease("default", 1):
        pass
    assert holder.loaded("default") == []


def test_close_retires_everything_and_hands_it_back(holder: ModelHolder) -> None:
    for model in ("a", "b"):
        holder.swap(release_of(model=model), FakeEngine())
    with holder.lease("a") as leased:
        last = {serving.release.model: serving for serving in holder.close()}
        assert last.keys() == {"a", "b"}
        assert (last["a"].drained.is_set(), last["b"].drained.is_set()) == (False, True)
    assert leased.drained.is_set()


class YieldingLock:
    """A lock after which every other thread comes first, so that what is done too late outside it shows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        time.sleep(0)


class Borrower(threading.Thread):
    """Leases again and again until it is told to stop, and notes what must never be."""

    def __init__(self, holder: ModelHolder) -> None:
        super().__init__()
        self.holder = holder
        self.stopping = threading.Event()
        self.newest = 0
        self.faults: list[str] = []

    def run(self) -> None:
        while not self.stopping.is_set():
            with self.holder.lease("default") as serving:
                self.look_at(serving)

    def look_at(self, serving: Serving) -> None:
        version, engine = serving.release.version, serving.engine
        assert isinstance(engine, FakeEngine)
        if version < self.newest:
            self.faults.append(f"version {version} after {self.newest}")
        self.newest = version
        for _ in range(20):  # long enough for a swap to come in between
            if engine.closed.is_set():
                self.faults.append(f"version {version} was closed while it was leased")


def test_no_engine_is_closed_while_leased_under_8_threads_that_many_swaps_cut_into(holder: ModelHolder) -> None:
    holder._lock = YieldingLock()  # type: ignore[assignment]
    engines = [FakeEngine()]
    holder.swap(release_of(1), engines[0])
    borrowers = [Borrower(holder) for _ in range(8)]
    for borrower in borrowers:
        borrower.start()
    swapped_while_leased = 0
    while swapped_while_leased < 100 and len(engines) < 20_000:
        engines.append(FakeEngine())
        retired = holder.swap(release_of(len(engines)), engines[-1])
        assert retired is not None
        swapped_while_leased += not retired.drained.is_set()
        holder.call_when_drained(retired, retired.engine.close)
    for borrower in borrowers:
        borrower.stopping.set()
        borrower.join()
    assert swapped_while_leased == 100
    assert [fault for borrower in borrowers for fault in borrower.faults] == []
    assert [engine for engine in engines if not engine.closed.is_set()] == [engines[-1]]
