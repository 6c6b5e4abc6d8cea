"""Predictions: a request in, an answer out, by one lease on one release. Entered by request threads."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from time import perf_counter

from daemon.errors import ARRIVED, NotServing, UnknownModel, UnknownVersion
from daemon.gate import RequestRing
from daemon.holder import Lease, ModelHolder, Serving
from daemon.lane.probation import Probation
from daemon.runtime import runs_abreast, takes_long
from daemon.web.asking import LIVE, Asked, Dialect, Prediction, Target
from daemon.web.counting import Counting
from daemon.web.faces import QUICK_SECONDS, face_of, known_face_of
from daemon.web.figures import record_of
from daemon.web.joining import Group
from daemon.web.labels import labelled
from daemon.web.runs import Run, Runs


class Predictor:
    """Answers predict requests in every dialect. Thread-safe.

    ``knows`` tells a model that has no release from one that never was, ``probation`` is told how every run went,
    ``ring`` keeps some of the requests. At most ``max_batch`` rows are run together. ``counting`` has the figures of
    all that was asked.
    """

    def __init__(
        self,
        holder: ModelHolder,
        *,
        probation: Probation,
        ring: RequestRing,
        knows: Callable[[str], bool],
        default_model: str,
        timeout_seconds: float,
        max_body_bytes: int,
        max_batch: int,
    ) -> None:
        self._holder = holder
        self._knows = knows
        self._default_model = default_model
        self._max_body_bytes = max_body_bytes
        self._max_batch = max_batch
        self._runs = Runs(probation, ring, timeout_seconds=timeout_seconds)
        self.counting = Counting(holder)

    def answer(self, dialect: Dialect, asked: Asked) -> Prediction:
        """What a client is told, whatever door it came by: its inputs are run through the release that it asks for.

        Raises UnsupportedMediaType, TooLarge, BadRequest, UnknownModel, UnknownVersion, NotServing, InvalidJson,
        InvalidInput, RunTimeout or InferenceFailed; HandOver where it is to be ``at_once`` and takes time.
        """
        began = perf_counter()
        run = self._runs.at_once if asked.at_once else self._runs.alone
        try:
            body = dialect.body_of(asked, self._max_body_bytes)
        except Exception as error:
            raise self._refused(dialect, error, began) from None
        try:
            with self._lease(asked.target) as serving:
                return self._answer(serving, dialect, asked, body, run, began)
        except (NotServing, UnknownVersion) as error:  # of the lease: nothing else raises them
            raise self._refused(dialect, error, began) from None

    def model_at(self, target: Target) -> str:
        """The model that ``target`` names, by saying nothing perhaps."""
        return target.model or self._default_model

    def expected_seconds(self, model: str) -> float:
        """How long the predictions of what serves as ``model`` took a thread of late; infinity where none was asked.

        Of what is run in batches never so little that it were not worth waiting for company.
        """
        serving = self._holder.serving_of(model)
        face = None if serving is None else known_face_of(serving)
        if face is None:
            return math.inf
        is_batched = face.batch_size > 1 and self._max_batch > 1
        return max(face.seconds, QUICK_SECONDS) if is_batched else face.seconds

    def batch_size(self, model: str) -> int:
        """How many predictions of what serves as ``model`` are best made together; 1 is each by itself."""
        serving = self._holder.serving_of(model)
        return 1 if serving is None else min(face_of(serving).batch_size, self._max_batch)

    def batches_abreast(self, model: str) -> int:
        """How many batches of what serves as ``model`` are best run side by side."""
        serving = self._holder.serving_of(model)
        if serving is None or not takes_long(serving.release.trial, most=self._max_batch):
            return 1
        return runs_abreast(serving.engine)

    @contextmanager
    def together(self, model: str) -> Iterator[Group | None]:
        """What predictions have in common that are made within the block; None where each is made by itself."""
        with ExitStack() as stack:
            group = None
            with suppress(NotServing):
                serving = stack.enter_context(self._holder.lease(model))
                face = face_of(serving)
                most = min(face.batch_size, self._max_batch)
                if most > 1:
                    group = Group(serving, face, self._runs.batch(serving, face, most=most), self._runs)
                    stack.enter_context(group.in_flight())
            yield group

    def join(self, group: Group, dialect: Dialect, asked: Asked) -> Callable[[], Prediction]:
        """What gives the answer, once all of ``group`` have joined.

        Raises as ``answer`` what is wrong with the request; what it gives, HandOver where this one is to be answered
        by itself.
        """
        return group.join(dialect, asked, self._max_body_bytes)

    def _lease(self, target: Target) -> Lease:
        """A lease on the release at ``target``; raises UnknownVersion or NotServing, it or its entry."""
        model = self.model_at(target)
        if target.which == LIVE:
            return self._holder.lease(model)
        if isinstance(target.which, int):
            return self._holder.lease(model, target.which)
        loaded = self._holder.loaded(model)
        if not loaded:
            raise NotServing(model)
        return self._holder.lease(model, labelled(loaded, target.which).version)

    def _answer(
        self, serving: Serving, dialect: Dialect, asked: Asked, body: bytes, run: Run, began: float
    ) -> Prediction:
        face = face_of(serving)
        read, figures = face.tongue(dialect)
        started = face.started()
        figures.in_flight.append(None)
        try:
            inputs, tell = read(asked, body)
            if asked.patience_seconds is not None:
                run = partial(self._runs.within, asked)
            decoded = perf_counter()
            outputs = run(serving, face, inputs)
            ran = perf_counter()
            prediction = tell(outputs)
            self._runs.note(serving.release, inputs, outputs)  # what is handed over is noted by who answers it
        except Exception as error:
            self._runs.blame(serving.release, error)
            figures.failed(type(error), perf_counter() - began)
            raise
        finally:
            figures.in_flight.pop()
        rows = face.rows(inputs)
        asked_at = asked.fields.get(ARRIVED) or began
        figures.answered(record_of(asked_at, began, decoded, ran, perf_counter(), rows, rows, 1))
        face.ended(started)
        return prediction

    def _refused(self, dialect: Dialect, error: Exception, began: float) -> Exception:
        """What a client is told who came to no release; counted as such."""
        if isinstance(error, NotServing) and not self._knows(error.model):
            error = UnknownModel(f"there is no model {error.model!r}")
        self.counting.refused(dialect, type(error), perf_counter() - began)
        return error
