"""Builds every part once, and starts and stops them in order.

The threads of the daemon, and what each alone may touch:

| thread     | started by      | alone may touch                                                        |
|------------|-----------------|------------------------------------------------------------------------|
| main       | the interpreter | the server's loop: sockets, parsing, quick predictions; signals        |
|            |                 | (with the front granian: the clock, and signals)                       |
| granian's  | server          | sockets and parsing, without the GIL; by another, quick predictions    |
| request-N  | server          | one request each: lease, decode, run, encode                           |
| slow-N     | server          | one request each, of those that may wait: deploys, uploads, long polls |
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

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from pathlib import Path
from socket import socket

from daemon import __version__
from daemon.api import RequestLimits, build_app, code_of, refusal_of
from daemon.config import Settings
from daemon.deployer import Deployer
from daemon.errors import ConfigError, ModeldropError, StartupError
from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.http.sockets import close as close_socket
from daemon.intake.ahead import Known, nothing
from daemon.intake.named import NamedFiles
from daemon.intake.statelock import StateLock
from daemon.lifecycle import Daemon, HttpServer
from daemon.log import log_event
from daemon.native.installed import WANTED
from daemon.native.installed import why_not as granian_missing
from daemon.release import Event
from daemon.runtime import check_providers, runtime_versions
from daemon.server import Admission, HttpError, Limits, Server, bind
from daemon.spine import build_spine, engine_options
from daemon.watcher import Watcher
from daemon.watching.alarm import Alarm
from daemon.watching.arming import Arming
from daemon.watching.reader import Reader
from daemon.watching.scanner import Scanner
from daemon.watching.view import DropDirectory, Patience
from daemon.web.access import Head, Tokens, authorise
from daemon.web.catalogue import Catalogue
from daemon.web.door import PredictGrouping, is_quick
from daemon.web.metrics import Happenings, MetricsPage, Sources, Watch, note_refusal
from daemon.web.predicting import Predictor
from daemon.web.readiness import Readiness
from daemon.web.routes import is_slow

MIB = 1 << 20
SLOW_THREADS = 16
WAITING_CLIENTS = 8
"""Long polls at once; the other slow threads are left to deploys."""


def check(settings: Settings) -> None:
    """Raises ConfigError for a setting that is wrong on this machine, though its form is right."""
    check_providers(engine_options(settings).providers)
    _check_front(settings.server.front)
    state_dir, drop_dir = (
        settings.place(settings.state_dir).resolve(),
        settings.place(settings.watch.drop_dir).resolve(),
    )
    if state_dir.is_relative_to(drop_dir) or drop_dir.is_relative_to(state_dir):
        raise ConfigError(
            f"watch.drop_dir and state_dir: found {drop_dir} and {state_dir}, expected folders apart from each other"
        )


def _check_front(front: str) -> None:
    why_not = granian_missing() if front == "granian" else None
    if why_not is not None:
        raise ConfigError(
            f"server.front: found granian, {why_not}; expected granian {WANTED}x: "
            "run `make fast`, or pip install 'modeldrop[fast]'"
        )


def assemble(settings: Settings, *, known: Known = nothing) -> Daemon:
    """Every part, built once; raises ConfigError or StartupError, and then nothing is left behind.

    ``known`` has hashed stored files already.
    """
    with ExitStack() as undo:
        return _assemble(settings, undo, known)


def _assemble(settings: Settings, undo: ExitStack, known: Known) -> Daemon:
    state_dir = settings.place(settings.state_dir)
    undo.enter_context(StateLock(state_dir))
    _make_folder(settings.place(settings.watch.drop_dir), "watch.drop_dir")
    _make_folder(state_dir / "spool", "state_dir")
    sockets = _listen(settings, undo)
    happenings = Happenings()
    journal = Journal(state_dir / "journal.sqlite3", partial(_tell, happenings), keep_events=settings.history.events)
    undo.callback(journal.close)
    holder = ModelHolder()
    undo.callback(holder.close)
    spine = build_spine(settings, holder, journal, undo, known=known)
    deployer = spine.deployer
    watcher, scanner = _watcher(settings, journal, deployer, happenings)
    readiness = Readiness(holder, journal, watcher.fault, default_model=settings.default_model)
    catalogue = Catalogue(
        holder,
        journal,
        default_model=settings.default_model,
        on_its_way=(deployer.candidate_of, scanner.waiting_for),
        on_probation=spine.probation.of,
    )
    tokens = Tokens(settings.auth.admin_token, settings.auth.predict_token)
    limits = _api_limits(settings)
    predictor = Predictor(
        holder,
        probation=spine.probation,
        ring=spine.ring,
        knows=catalogue.knows,
        default_model=settings.default_model,
        timeout_seconds=settings.runtime.timeout_seconds,
        max_body_bytes=limits.max_body_bytes,
        max_batch=settings.most_batched,
    )
    app = build_app(
        predictor=predictor,
        deployer=deployer,
        journal=journal,
        catalogue=catalogue,
        files=_named_files(settings),
        faults=readiness.faults,
        tokens=tokens,
        limits=limits,
        default_model=settings.default_model,
        most_batched=settings.most_batched,
        log_file=settings.log.file,
        welcome=settings.server.welcome,
        metrics=MetricsPage(
            Sources(
                counting=predictor.counting,
                holder=holder,
                happenings=happenings,
                load=lambda: server.load(),
                faults=readiness.faults,
                watch=partial(_watch, watcher),
                code_of=code_of,
                build=_build(settings),
            )
        ),
    )
    guard = partial(_guard, tokens, limits)
    quick = partial(is_quick, predictor)
    make = _front(settings.server.front)
    server = make(
        app,
        sockets,
        _server_limits(settings),
        guard,
        is_slow,
        state_dir / "spool",
        quick,
        PredictGrouping(predictor, wait_seconds=settings.batching.max_wait_ms / 1e3),
        lambda method, path, error: note_refusal(predictor.counting, happenings, method, path, error.code),
    )
    undo.callback(server.close)
    return Daemon(
        server=server,
        deployer=deployer,
        watcher=watcher,
        journal=journal,
        readiness=readiness,
        warm_up=spine.warm_up,
        undo=undo.pop_all(),
    )


def _front(front: str) -> Callable[..., HttpServer]:
    """What makes the server; granian is imported only where it is asked for."""
    if front == "granian":
        from daemon.native.server import NativeServer

        return NativeServer
    return Server


def _make_folder(folder: Path, setting: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"{setting}: the folder {folder} cannot be made: {error.strerror}") from None


def _listen(settings: Settings, undo: ExitStack) -> list[socket]:
    host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
    named = [_placed(address, settings) for address in settings.server.listen]
    sockets = bind(named or [f"{host}:{settings.server.port}"])
    undo.callback(_close_unowned, sockets)
    return sockets


def _placed(address: str, settings: Settings) -> str:
    """The address, with the path of a unix socket made absolute: like every path it is the config file's."""
    path = address.removeprefix("unix:")
    return address if path == address else f"unix:{settings.place(path)}"


def _close_unowned(sockets: Sequence[socket]) -> None:
    """Closes the sockets that no server has closed."""
    for sock in sockets:
        if sock.fileno() >= 0:
            close_socket(sock)


def _tell(happenings: Happenings, event: Event) -> None:
    """Everyone who hears of an event."""
    happenings.note(event)
    log_event(event)


def _watch(watcher: Watcher) -> Watch:
    looked = time.time() - watcher.since_scan_seconds()
    return Watch(alive=watcher.fault() is None, armed=watcher.is_armed, looked=looked)


def _build(settings: Settings) -> dict[str, str]:
    """What runs, for metrics."""
    onnxruntime = runtime_versions().library.rpartition(" ")[2]
    return {"version": __version__, "onnxruntime_version": onnxruntime, "front": settings.server.front}


def _watcher(
    settings: Settings, journal: Journal, deployer: Deployer, happenings: Happenings
) -> tuple[Watcher, Scanner]:
    drop_dir = settings.place(settings.watch.drop_dir)
    wake = threading.Event()
    alarm = Alarm(wake)
    reader = Reader(wake.set)
    scanner = Scanner(
        DropDirectory(drop_dir, settings.watch.drop_dir, settings.default_model, _allowed_dirs(settings)),
        Patience(settings.watch.settle_ms, settings.watch.incomplete_seconds, settings.gate.integrity.required),
        journal=journal,
        submit=deployer.submit,
        read=reader.read,
        closed=alarm.bell.take_closed,
        wake=wake.set,
        noticed=happenings.noticed,
    )

    def report(event: str, reason: str) -> None:
        journal.append(Event(event=event, reason=reason))

    arming = Arming(alarm, drop_dir, report)
    return Watcher(scanner, arming, reader, wake=wake, rescan_seconds=settings.watch.rescan_seconds), scanner


def _allowed_dirs(settings: Settings) -> tuple[Path, ...]:
    return tuple(settings.place(folder) for folder in settings.deploy.allowed_dirs)


def _named_files(settings: Settings) -> NamedFiles:
    return NamedFiles(
        folder=settings.folder,
        allowed=(settings.place(settings.watch.drop_dir), *_allowed_dirs(settings)),
        settle_ms=settings.watch.settle_ms,
        patience_seconds=settings.watch.incomplete_seconds,
        needs_sidecar=settings.gate.integrity.required,
    )


def _api_limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        max_body_bytes=int(settings.server.max_body_mb * MIB),
        max_upload_bytes=int(settings.server.max_upload_mb * MIB),
        waiting_clients=WAITING_CLIENTS,
    )


def _server_limits(settings: Settings) -> Limits:
    return Limits(
        threads=settings.server.threads,
        slow_threads=SLOW_THREADS,
        max_queue=settings.server.max_queued,
        max_slow_queue=settings.server.max_queued,
        connection_limit=settings.server.connections,
        idle_seconds=settings.server.idle_seconds,
        drain_seconds=settings.server.drain_seconds,
    )


def _guard(
    tokens: Tokens, limits: RequestLimits, _method: str, path: str, _query: str, headers: Mapping[str, str], peer: str
) -> Admission:
    """Before a body is read: who may not send it, and how long it may be."""
    limit = limits.of_body(path)
    try:
        authorise(Head(path, headers, peer), tokens)
    except ModeldropError as error:
        status, value, extra = refusal_of(error)
        refusal = HttpError(
            status, HTTPStatus(status).phrase, str(value["code"]), str(value["error"]), tuple(extra.items())
        )
        return Admission(limit, refusal)
    return Admission(limit)
