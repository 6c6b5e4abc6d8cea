"""The lock that keeps two daemons out of one state directory; entered by the main thread at start and stop."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from daemon.errors import StartupError
from daemon.intake.naming import shown


class StateLock:
    """An exclusive ``flock`` on ``state_dir/lock``, held from construction to ``close``; for one thread.

    The kernel lets go of it when the process dies in whatever way, so the file itself means nothing and stays. The
    holder's pid is written in it for the message. Child processes do not inherit it over an exec.
    """

    def __init__(self, state_dir: Path) -> None:
        """Make ``state_dir`` if needed and lock it. Raises StartupError where another daemon has it, or it can't be."""
        name = shown(str(state_dir))
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StartupError(f"state_dir {name} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            pid = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise StartupError(f"state_dir {name} is in use by another daemon (pid {pid or 'unknown'})") from error
        except OSError as error:
            os.close(self._fd)
            raise StartupError(f"state_dir {name} cannot be locked: {error.strerror}") from error

    def close(self) -> None:
        """Let go; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
