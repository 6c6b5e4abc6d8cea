"""The side of the drop directory, from its parts: what sees files, and what they become. For the main thread."""

import threading
from pathlib import Path

from daemon.config import Settings
from daemon.deployer import Deployer
from daemon.history import Journal
from daemon.release import Event
from daemon.watcher import Watcher
from daemon.watching.alarm import Alarm
from daemon.watching.arming import Arming
from daemon.watching.reader import Reader
from daemon.watching.scanner import Scanner
from daemon.watching.view import DropDirectory, Patience
from daemon.web.metrics import Happenings


def build_watcher(
    settings: Settings, journal: Journal, deployer: Deployer, happenings: Happenings
) -> tuple[Watcher, Scanner]:
    """The watcher, not started yet, and the scanner that it wakes."""
    drop_dir = settings.place(settings.watch.drop_dir)
    wake = threading.Event()
    alarm = Alarm(wake)
    reader = Reader(wake.set)
    scanner = Scanner(
        DropDirectory(drop_dir, settings.watch.drop_dir, settings.default_model, allowed_dirs(settings)),
        Patience(settings.watch.settle_ms, settings.watch.incomplete_seconds, settings.gate.integrity.required),
        journal=journal,
        submit=deployer.submit,
        read=reader.read,
        closed=alarm.bell.take_closed,
        wake=wake.set,
        noticed=lambda wish: happenings.noticed(wish.model, wish.model_path, wish.changed_ns or 0),
    )

    def report(event: str, reason: str) -> None:
        journal.append(Event(event=event, reason=reason))

    arming = Arming(alarm, drop_dir, report)
    return Watcher(scanner, arming, reader, wake=wake, rescan_seconds=settings.watch.rescan_seconds), scanner


def allowed_dirs(settings: Settings) -> tuple[Path, ...]:
    """The folders beside the drop directory that may be named."""
    return tuple(settings.place(folder) for folder in settings.deploy.allowed_dirs)
