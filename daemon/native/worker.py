"""One listening socket, served by granian: started, closed to newcomers, ended. For the main thread.

granian has three threads for each worker, all unknown to Python's ``threading``: one reads, parses and writes without
the GIL; one calls into Python, for one request after the other; one waits for the end.
"""

import itertools
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from granian._granian import CallbackScheduler, RSGIWorker, SocketHolder, WorkerSignal
from granian.http import HTTP1Settings

from daemon.errors import StartupError
from daemon.http.sockets import Place, turn_away, url_of
from daemon.native.connections import backlog_of
from daemon.native.desk import Desk
from daemon.native.exchange import Exchange
from daemon.native.heads import KnownHeads, base_environ, client_of

LOG = logging.getLogger("modeldrop.http")

LEAST_BUFFER_BYTES = 8192
"""hyper ends the process over a smaller one."""
_NUMBERS = itertools.count()
_TASKS = Path("/proc/self/task")


class Worker:
    """Serves the connections of one socket. ``ended`` is called, by a thread of granian's, when the last is closed.

    It owns ``sock`` from its construction on. granian gets a descriptor of its own for it.
    """

    def __init__(self, sock: socket.socket, desk: Desk, ended: Callable[[], None]) -> None:
        self.url = url_of(sock)
        self.inet = sock.family != socket.AF_UNIX
        self.address: Any = sock.getsockname()
        self._sock = sock
        self._desk = desk
        self._tell_ended = ended
        self._place = None if self.inet else Place(Path(os.fsdecode(self.address)))
        base = base_environ(self.address[1] if self.inet else 80)  # a unix socket has no port; waitress says 80
        self._heads = KnownHeads(base, desk.terms.limits.header_bytes)
        self._signal = WorkerSignal()
        self._threads = f"http-{next(_NUMBERS)}"
        self._descriptor = -1
        self._fault: BaseException | None = None
        self._let_go = False
        self.has_ended = False

    def start(self, connection_limit: int) -> None:
        """Begin to accept, up to ``connection_limit`` connections at once. Raises StartupError if granian does not."""
        if self.inet:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits this
        self._signal.add_cb(self._end)
        self._descriptor = os.dup(self._sock.fileno())
        # Threads inherit the name of the one that starts them, and these are to be told apart.
        starter = threading.Thread(target=self._start, args=(connection_limit,), name=self._threads)
        starter.start()
        starter.join()
        if self._fault is not None:
            raise StartupError(f"granian cannot serve {self.url}: {self._fault}") from self._fault

    def arrived(self, watcher: Any) -> None:
        """Take a request of which the head has come. Called by granian, which can do nothing with what it raises."""
        try:
            scope = watcher.scope
            client = client_of(scope.client if self.inet else "")
            Exchange(self._desk, self._heads.of(scope), client, watcher.proto).arrive()
        except BaseException:  # there is no exchange yet, or it has left and could not send a word
            LOG.exception("a request failed as it came")
            watcher.done()  # granian's own 500, if it was not answered

    def turn_away(self) -> None:
        """Let nobody new connect; those to whom the kernel has said that they are connected will be served."""
        if self._place is not None:
            self._place.unlink()
        turn_away(self._sock)

    @property
    def waiting(self) -> int:
        """How many connections the kernel holds that granian has not accepted yet; of a unix socket, whether any."""
        if self._sock.fileno() < 0:
            return 0
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return (backlog_of(self._sock) or 1) if poll.poll(0) else 0

    def stop_listening(self) -> None:
        """Close the listening socket; connections stay. A second call does nothing.

        granian closes its descriptor only together with its connections, so that comes to be of another socket.
        """
        if self._sock.fileno() < 0:
            return
        self._sock.close()
        if self._descriptor >= 0 and not self._let_go:
            with socket.socket() as stand_in:
                stand_in.bind(("127.0.0.1", 0))
                stand_in.listen(1)
                stand_in.setblocking(False)  # granian may have been told of a connection that it is yet to accept
                turn_away(stand_in)
                os.dup2(stand_in.fileno(), self._descriptor, inheritable=False)

    def let_go(self) -> None:
        """Close idle connections, and the others after their answers. A second call does nothing."""
        if self._descriptor >= 0 and not self._let_go:
            self._let_go = True
            self._signal.set()

    def close(self) -> None:
        """Close the socket, with its name in the file system. A second call does nothing."""
        if self._place is not None:
            self._place.unlink()
        self.stop_listening()
        self.let_go()

    def join(self, until: float) -> bool:
        """Wait up to ``until`` (monotonic) for the end of granian's threads; whether they have ended."""
        while self._runs() and time.monotonic() < until:
            time.sleep(0.001)
        return not self._runs()

    def _start(self, connection_limit: int) -> None:
        with suppress(OSError):
            Path("/proc/thread-self/comm").write_text(self._threads)
        _do_not_interrupt_each_other()
        try:
            self._serve(connection_limit)
        except BaseException as error:  # for who waits for this thread
            self._fault = error

    def _serve(self, connection_limit: int) -> None:
        limits = self._desk.terms.limits
        holder = SocketHolder(self._descriptor, not self.inet, limits.backlog)  # type: ignore[call-arg]
        worker: Any = RSGIWorker(  # type: ignore[call-arg]  # the stubs are behind
            worker_id=1,
            sock=(None, holder),
            ipc=None,
            backpressure=connection_limit,
            http1_opts=HTTP1Settings(
                header_read_timeout=max(1, int(limits.idle_seconds * 1000)),
                max_buffer_size=max(LEAST_BUFFER_BYTES, limits.header_bytes),
            ),
            blocking_threads=1,
        )
        loop = _Loop()
        serve = worker.serve_str if self.inet else worker.serve_str_uds
        serve(_Scheduler(loop, self.arrived), loop, self._signal)

    def _end(self) -> None:
        self.has_ended = True
        self._tell_ended()

    def _runs(self) -> bool:
        for task in _TASKS.glob("*/comm"):
            with suppress(OSError):
                if task.read_text().rstrip() == self._threads:
                    return True
        return False


def _do_not_interrupt_each_other() -> None:
    """Where all threads have one core, have granian's work in turns: it costs a third of the requests a second if each
    arrival interrupts the answer that is being made. Threads inherit this from the one that starts them."""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class _Loop:
    """Stands where granian expects asyncio's loop: what it is asked to call, it calls, here and now."""

    def call_soon_threadsafe(self, call: Callable[..., object], *args: object, **_context: object) -> None:
        call(*args)

    call_soon = call_soon_threadsafe


class _Scheduler(CallbackScheduler):
    """Gives each request to ``arrived``, instead of making a coroutine of it."""

    def __new__(cls, loop: _Loop, _arrived: Callable[[Any], None]) -> "_Scheduler":
        return super().__new__(cls, loop, None, None, None, None)  # type: ignore[call-arg]

    def __init__(self, _loop: _Loop, arrived: Callable[[Any], None]) -> None:
        super().__init__()
        self._schedule_fn = arrived
