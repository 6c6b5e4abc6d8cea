"""One trial's process, seen from the daemon: asked, waited for, and ended. Entered by the deployer's thread."""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from daemon.trial.terms import MOST_BYTES
from daemon.trial.wire import Closed, Late, Nonsense, Wire

REAP_SECONDS = 5.0


class Ended(Exception):
    """The process died by itself; ``how`` is a clause that says by what, ``doing`` what it was at."""

    def __init__(self, how: str, doing: str) -> None:
        super().__init__(f"{how} while {doing}")
        self.how = how
        self.doing = doing


class Overdue(Exception):
    """The process did not answer in time and was killed; ``doing`` is what it was at."""

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        self.doing = doing


class Lost(Exception):
    """The process was lost through no fault of its own: the warm parent died."""


class Interrupted(Exception):
    """The daemon is stopping."""


class TrialProcess:
    """A process that does what it is asked until it is closed; for one thread. ``close`` leaves nothing of it.

    ``doing`` is what it said last that it does.
    """

    doing = ""

    def __init__(
        self, sock: socket.socket, pid: int, pidfd: int, control: socket.socket, meanwhile: Callable[[], None]
    ) -> None:
        self._wire = Wire(sock, meanwhile)
        self._meanwhile = meanwhile
        self.pid = pid
        self._pidfd = pidfd
        self._control = control

    def ask(
        self, what: Mapping[str, object], *, seconds: float, doing: str, more_seconds: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """The answer to ``what``, within ``seconds``; ``doing`` says in a clause what is asked, for the errors.

        The process may say meanwhile that it began with something else (``{"doing": …}``), and then that is told.
        What it begins with may have ``more_seconds``, once.
        Raises Ended, Overdue, Lost or Interrupted, after which there is nothing left to ask.
        """
        due = time.monotonic() + seconds
        more = dict(more_seconds or {})
        self.doing = doing
        try:
            self._wire.send(dict(what), seconds=seconds)
            while (left := due - time.monotonic()) > 0:
                answer = self._wire.receive(seconds=left)
                if not isinstance(answer, dict):
                    raise Nonsense("no mapping")
                if "doing" not in answer:
                    return answer
                self.doing = str(answer["doing"])[:200]
                due += more.pop(self.doing, 0.0)
                self._meanwhile()  # one that talks all the time leaves the wire nothing to wait for
            raise Late
        except Late:
            raise Overdue(self.doing) from None
        except Nonsense as error:
            raise Ended(f"its process answered with {error}", self.doing) from None
        except Closed:
            raise Ended(self._how_it_ended(), self.doing) from None

    def close(self) -> None:
        """Kills the process, if it still runs; the warm parent clears it away. May be called again."""
        self._wire.close()
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll(REAP_SECONDS * 1e3)  # its memory is free when this returns
            os.close(pidfd)

    def _how_it_ended(self) -> str:
        """A clause for the status that the warm parent tells; raises Lost, or Interrupted, when it tells none."""
        due = time.monotonic() + REAP_SECONDS
        while (left := due - time.monotonic()) > 0:
            try:
                self._control.settimeout(left)
                message = self._control.recv(MOST_BYTES)
            except TimeoutError:
                return "its process hung up"
            except OSError:
                break
            if not message:
                break
            if message.startswith(f"ended {self.pid} ".encode()):
                return _clause(int(message.split()[2]))
        self._meanwhile()  # it may be that the daemon stops
        raise Lost


def _clause(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hint = ", most likely by the system for want of memory" if number == signal.SIGKILL else ""
        return f"killed by {name}{hint}"
    return f"ended with exit code {os.waitstatus_to_exitcode(status)}"
