"""Keeps the alarm armed, and says when events stop coming and when they come again. Entered by the scanner's thread."""

import time
from collections.abc import Callable
from pathlib import Path

from daemon.watching.alarm import Alarm

RETRY_SECONDS = 30.0


class Arming:
    """Arms the alarm at first, and again when its folder was replaced or its observer died.

    ``report`` gets ``watch_lost`` or ``watch_restored`` and a reason, once for each change. Where events cannot be had
    at all (inotify's limits), the rescan goes on alone and arming is tried again now and then.
    """

    def __init__(self, alarm: Alarm, folder: Path, report: Callable[[str, str], None]) -> None:
        self._alarm = alarm
        self._folder = folder
        self._report = report
        self._was_armed = False
        self._is_lost = False
        self._retry_at = 0.0

    def keep(self) -> None:
        """To be called before each scan."""
        if self._alarm.is_armed_for(self._folder):
            return
        if self._was_armed and not self._is_lost:
            self._lose(self._fault())
        if time.monotonic() < self._retry_at:
            return
        try:
            self._alarm.arm(self._folder)
        except FileNotFoundError:
            self._lose(self._fault())
        except OSError as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._lose(f"the system gives no file events ({error.strerror or error}); the rescan goes on without them")
        else:
            self._armed()

    @property
    def is_armed(self) -> bool:
        """Whether file events arrive, as far as is known; any thread."""
        return self._was_armed and not self._is_lost

    def end(self) -> None:
        """Disarms for good."""
        self._alarm.disarm()

    def _armed(self) -> None:
        self._was_armed = True
        if self._is_lost:
            self._is_lost = False
            self._report("watch_restored", "file events arrive again")

    def _lose(self, reason: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._report("watch_lost", reason)

    def _fault(self) -> str:
        if not self._folder.is_dir():
            return "the drop directory is gone; what serves goes on serving"
        return "the drop directory was replaced, or its observer ended"
