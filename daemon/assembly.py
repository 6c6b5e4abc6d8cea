"""Builds every part once, and starts and stops them in order.

The threads of the daemon, and what each alone may touch:

| thread     | started by      | alone may touch                                                        |
|------------|-----------------|------------------------------------------------------------------------|
| main       | the interpreter | the server's loop: sockets, parsing, quick predictions; signals        |
|            |                 | (with the front granian: the clock, and signals)                       |
| granian's  | server          | sockets and parsing, without the GIL; by another, quick predictions    |
| request-N  | server          | one request each: lease, decode, run, encode                           |
| slow-N     | server          | one request each, of those that may wait: deploys, polls, scrapes      |
| spool      | server          | the files that long bodies are spooled to                              |
| scanner    | watcher         | what is known of each path; the alarm                                  |
| reader     | watcher         | the files that it reads for the scanner, while it reads them           |
| deployer   | lane            | swaps, trials, proofs, retired engines, pruning                        |
| watchdog's | alarm           | nothing: they ring the bell                                            |
| deadlines  | engine runs     | nothing: it sets the terminate flag of runs that are overdue           |
| start-up   | serve           | nothing: it waits for the restored and the dropped, then announces     |
| native-log | run_daemon      | the pipe behind file descriptor 2                                      |
| hash-ahead | run_daemon      | nothing: they read stored files before the others are there            |

Every one of them is joined by the ``stop`` or ``close`` of whoever started it. Two more processes end with the daemon:
the trials' warm parent, and what it forks for each trial.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from daemon import __version__
from daemon.config import Settings
from daemon.deployer import Deployer
from daemon.errors import ConfigError, StartupError
from daemon.front import build_front, check_front, listen
from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.http.sockets import url_of
from daemon.http.values import OnRefusal
from daemon.intake.ahead import Known, nothing
from daemon.intake.statelock import StateLock
from daemon.lifecycle import Daemon
from daemon.log import log_event
from daemon.lookout import build_watcher
from daemon.reception import Outlook, Reception, build_reception
from daemon.release import Event, Release
from daemon.runtime import check_providers
from daemon.spine import build_spine, engine_options
from daemon.watcher import Watcher
from daemon.watching.scanner import Scanner
from daemon.web.metrics import Happenings, Watch, note_refusal

LOG = logging.getLogger("modeldrop")

LONGEST_LOAD_STOPS = 12
"""So often is a deployer that loads a model asked to end, each time for some seconds."""


def check(settings: Settings) -> None:
    """Raises ConfigError for a setting that is wrong on this machine, though its form is right."""
    check_providers(engine_options(settings).providers)
    check_front(settings.server.front)
    state_dir, drop_dir = (
        settings.place(settings.state_dir).resolve(),
        settings.place(settings.watch.drop_dir).resolve(),
    )
    if state_dir.is_relative_to(drop_dir) or drop_dir.is_relative_to(state_dir):
        raise ConfigError(
            f"watch.drop_dir and state_dir: found {drop_dir} and {state_dir}, expected folders apart from each other"
        )


def assemble(settings: Settings, *, known: Known = nothing) -> Daemon:
    """Every part, built once; raises ConfigError or StartupError, and then nothing is left behind.

    What served before is loaded meanwhile, beside the main thread. ``known`` has hashed stored files already.
    """
    with ExitStack() as undo:
        return _assemble(settings, undo, known)


def _assemble(settings: Settings, undo: ExitStack, known: Known) -> Daemon:
    state_dir = settings.place(settings.state_dir)
    undo.enter_context(StateLock(state_dir))
    _make_folder(settings.place(settings.watch.drop_dir), "watch.drop_dir")
    _make_folder(state_dir / "spool", "state_dir")
    sockets = listen(settings, undo)
    happenings = Happenings()
    journal = Journal(state_dir / "journal.sqlite3", partial(_tell, happenings), keep_events=settings.history.events)
    undo.callback(journal.close)
    holder = ModelHolder()
    undo.callback(holder.close)
    spine = build_spine(settings, holder, journal, undo, known=known)
    LOG.info("modeldrop %s starts at %s", __version__, " ".join(map(url_of, sockets)))
    restored = _restoring(spine.deployer, undo)
    watcher, scanner = build_watcher(settings, journal, spine.deployer, happenings)
    outlook = _outlook(watcher, scanner, happenings)
    reception = build_reception(settings, holder, journal, spine, outlook, load=lambda: server.load())
    server = build_front(
        settings,
        reception.app,
        sockets,
        predictor=reception.predictor,
        tokens=reception.tokens,
        limits=reception.limits,
        on_refusal=_noting(reception, happenings),
    )
    undo.callback(server.close)
    return Daemon(
        server=server,
        deployer=spine.deployer,
        watcher=watcher,
        journal=journal,
        readiness=reception.readiness,
        restored=restored,
        warm_up=spine.warm_up,
        undo=undo.pop_all(),
    )


def _restoring(deployer: Deployer, undo: ExitStack) -> Sequence["Future[Release | None]"]:
    """Has the deployer begin with what served before; ``undo`` stops it, and waits until it has ended."""
    undo.callback(_end, deployer)
    deployer.start()
    return deployer.restore()


def _end(deployer: Deployer) -> None:
    """Before what it uses is closed; a load cannot be stopped, so this may take as long as one."""
    for _ in range(LONGEST_LOAD_STOPS):
        if deployer.stop():
            return
    LOG.error("a model is still being loaded; the start has failed, and what it uses is closed")


def _make_folder(folder: Path, setting: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"{setting}: the folder {folder} cannot be made: {error.strerror}") from None


def _tell(happenings: Happenings, event: Event) -> None:
    """Everyone who hears of an event."""
    happenings.note(event)
    log_event(event)


def _noting(reception: Reception, happenings: Happenings) -> OnRefusal:
    counting = reception.predictor.counting
    return lambda method, path, error: note_refusal(counting, happenings, method, path, error.code)


def _outlook(watcher: Watcher, scanner: Scanner, happenings: Happenings) -> Outlook:
    return Outlook(
        waiting_for=scanner.waiting_for, fault=watcher.fault, watch=partial(_watch, watcher), happenings=happenings
    )


def _watch(watcher: Watcher) -> Watch:
    looked = time.time() - watcher.since_scan_seconds()
    return Watch(alive=watcher.fault() is None, armed=watcher.is_armed, looked=looked)
