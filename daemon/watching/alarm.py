"""watchdog's events as an alarm clock: they wake the scanner and say which files were closed, nothing more.

The scanner's thread arms and disarms; watchdog's threads ring. Nothing slow happens on theirs, and nothing may raise
there: an exception would end the observer's thread.
"""

import os
import threading
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

# Asked of the kernel: our own reads (opened, closed without a write) never come back to us as events.
WAKING = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
MOST_CLOSED = 10_000


class Bell(FileSystemEventHandler):
    """Rings for every event, and keeps the paths whose writer closed them. Thread-safe, never raises."""

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._closed: set[str] = set()  # guarded by _lock

    def on_any_event(self, event: FileSystemEvent) -> None:
        """watchdog's threads enter here."""
        if isinstance(event, FileClosedEvent):
            self._note(event.src_path)
        elif isinstance(event, FileMovedEvent):
            self._note(event.dest_path)
        self._wake.set()

    def take_closed(self, path: str) -> bool:
        """Whether ``path`` was closed by a writer, or moved into place, since the last time it was asked."""
        with self._lock:
            if path not in self._closed:
                return False
            self._closed.discard(path)
            return True

    def _note(self, path: bytes | str) -> None:
        with self._lock:
            if len(self._closed) >= MOST_CLOSED:
                self._closed.clear()
            self._closed.add(os.fsdecode(path))


class Alarm:
    """A watchdog observer on one folder, which can die and be armed again. Owned by the scanner's thread."""

    def __init__(self, wake: threading.Event) -> None:
        self.bell = Bell(wake)
        self._observer: BaseObserver | None = None
        self._folder: tuple[int, int] | None = None

    def arm(self, folder: Path) -> None:
        """Watches ``folder`` and what is below it from now on; raises OSError, as when inotify's limits are reached."""
        self.disarm()
        seen = folder.stat()
        observer = Observer()  # from here on it has a thread and descriptors, which only its stop gives back
        try:
            observer.schedule(self.bell, str(folder), recursive=True, event_filter=WAKING)
            observer.start()
        except BaseException:
            observer.stop()
            raise
        self._observer = observer
        self._folder = (seen.st_dev, seen.st_ino)

    def is_armed_for(self, folder: Path) -> bool:
        """Whether events of ``folder``, as it is now, still arrive."""
        if self._observer is None or not self._observer.is_alive():
            return False
        if not all(emitter.is_alive() for emitter in self._observer.emitters):
            return False
        try:
            seen = folder.stat()
        except OSError:
            return False
        return self._folder == (seen.st_dev, seen.st_ino)

    def disarm(self) -> None:
        """Ends the observer and its threads, if there are any."""
        observer, self._observer = self._observer, None
        if observer is None:
            return
        observer.stop()
        observer.join(timeout=5)
