"""One request and its answer on the second front.

Granian's thread brings a request and its body and answers what is quick; threads of the pools answer the others; the
main thread gives up on bodies that come too slowly.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from time import monotonic, perf_counter
from typing import Any

from daemon.errors import ARRIVED, AT_ONCE, HandOver
from daemon.http.values import INTERNAL_ERROR, NOT_STORED, STOPPED, TIMED_OUT, HttpError
from daemon.native.answering import CLOSE, Answer, Begun, answer_of, begin, finish
from daemon.native.desk import Desk
from daemon.native.heads import Client, Head, no_body
from daemon.native.inflow import Inflow
from daemon.native.judging import judge

LOG = logging.getLogger("modeldrop.http")

_UNREADABLE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE})
_NO_MARKS: Mapping[str, object] = {}
_AT_ONCE: Mapping[str, object] = {AT_ONCE: True}
_SOME_COMPANY = 1
"""Granian brings one request at a time, however many others have one."""


class Exchange:
    """A request on its way to its answer: arrived, whole, begun, finished. One thread at a time has it.

    For the pools it is what they run; they choose by its head.
    """

    __slots__ = ("__weakref__", "_arrived", "_client", "_desk", "_head", "_inflow", "_proto")

    def __init__(self, desk: Desk, head: Head, client: Client, proto: Any) -> None:
        self._desk = desk
        self._head = head
        self._client = client
        self._proto = proto
        self._inflow: Inflow | None = None
        self._arrived = 0.0

    def arrive(self) -> None:
        """Judge the head, then have the body come; what fails at that is answered. For granian's thread."""
        self._desk.open[id(self)] = self._client.name
        try:
            self._judge()
        except BaseException:
            self._give_up()

    def _judge(self) -> None:
        desk, head = self._desk, self._head
        admission = judge(head, self._client.address, desk.terms)
        if head.chunked or head.content_length:
            self._inflow = Inflow(
                self._proto,
                desk.terms,
                desk.inflows,
                self._client.name,
                length=None if head.chunked else head.content_length,
                admission=admission,
                settled=self._settled,
            )
        if admission.refusal is not None:
            self._refuse(admission.refusal)
        elif self._inflow is not None:
            self._inflow.start()
        else:
            self._whole()

    @property
    def goes_alone(self) -> bool:
        """Never: granian sends, and nobody waits for it."""
        return False

    def service(self) -> None:
        """Answer. For a pool's thread."""
        self.begin(_NO_MARKS)()

    def begin(self, marks: Mapping[str, object]) -> Callable[[], None]:
        """The first half of ``service``, which gives the second: the application is called, and what it gives is sent.

        ``marks`` are added to what the application is called with. What it hands over is somebody else's from then on.
        """
        try:
            environ = self._environ(marks)
        except OSError as error:
            LOG.error("a request's body could not be stored: %s", error.strerror)
            return partial(self._send, self._refusal(NOT_STORED))
        except BaseException:
            return partial(self._send, answer_of(self._failed("a request")))
        try:
            return partial(self._finish, begin(self._desk.app, environ))
        except HandOver:
            self._desk.pools.submit_alone(self)
            return _nothing
        except BaseException:  # whatever the application raises, the thread must outlive it
            return partial(self._send, answer_of(self._failed("the application")))

    def _environ(self, marks: Mapping[str, object]) -> dict[str, Any]:
        body, length = (no_body(), 0) if self._inflow is None else (self._inflow.file(), self._inflow.received)
        environ = self._head.environ(self._client, body, length=length)
        environ.update(marks)
        environ[ARRIVED] = self._arrived
        return environ

    def _finish(self, begun: Begun) -> None:
        try:
            answer = finish(begun, self._head.command)
        except HandOver:
            self._desk.pools.submit_alone(self)
            return
        except BaseException:
            answer = answer_of(self._failed("the application"))
        self._send(answer)

    def discard(self) -> None:
        """Let go of the request: its connection is cut, and granian alone hears of this answer."""
        self._send(answer_of(STOPPED))

    def _settled(self, error: HttpError | None) -> None:
        """Go on with a body that is whole, or refuse one that will not be; what fails at that is answered."""
        try:
            if error is None:
                self._whole()
            else:
                self._refuse(error)
        except BaseException:
            self._give_up()

    def _refuse(self, error: HttpError) -> None:
        """Answer what was not taken: the connection ends with that, unless all of it has come."""
        answer, inflow = self._refusal(error), self._inflow
        if inflow is not None or error.status in _UNREADABLE:
            answer.headers.append(CLOSE)
        self._send(answer, keep_inflow=True)
        if inflow is None:
            return
        if error is TIMED_OUT or "EXPECT" in self._head.headers:  # who waits to be asked for its body will not send it
            inflow.close()
        else:
            inflow.swallow()

    def _whole(self) -> None:
        self._arrived = perf_counter()
        pools = self._desk.pools
        if pools.is_needless(self._head, company=_SOME_COMPANY):
            self.begin(_AT_ONCE)()
            return
        error = pools.submit(self, self._head)
        if error is not None:
            self._send(self._refusal(error))

    def _refusal(self, error: HttpError) -> Answer:
        self._desk.terms.on_refusal(self._head.command, self._head.path, error)
        return answer_of(error)

    def _send(self, answer: Answer, *, keep_inflow: bool = False) -> None:
        if self._desk.draining and CLOSE not in answer.headers:
            answer.headers.append(CLOSE)
        try:
            self._proto.response_bytes(answer.status, answer.headers, answer.body)
        except Exception:
            LOG.exception("an answer could not be sent to %s %s", self._head.command, ascii(self._head.path))
            failure = answer_of(INTERNAL_ERROR)
            self._proto.response_bytes(failure.status, failure.headers, failure.body)
        finally:
            self._leave(keep_inflow=keep_inflow)

    def _failed(self, what: str) -> HttpError:
        LOG.exception("%s failed at %s %s", what, self._head.command, ascii(self._head.path))
        return INTERNAL_ERROR

    def _give_up(self) -> None:
        """Answer what failed on its way, unless it was answered, and keep nothing of it. For an ``except``."""
        try:
            answer = answer_of(self._failed("a request"))
            answer.headers.append(CLOSE)
            if self._proto is not None:
                self._send(answer)
        finally:
            self._leave()

    def _leave(self, *, keep_inflow: bool = False) -> None:
        self._desk.answered[self._client.name] = monotonic()  # first: granian may take its time to send it
        self._desk.open.pop(id(self), None)
        self._proto = None
        if self._inflow is not None and not keep_inflow:
            self._inflow.close()


def _nothing() -> None:
    """There is no second half: the request was handed over."""
