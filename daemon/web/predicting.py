"""Predictions: a request in, an answer out, by one lease on one release. Entered by request threads."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import numpy as np

from daemon.errors import HandOver, InferenceFailed, NotServing, RunTimeout, UnknownModel, UnknownVersion
from daemon.gate import RequestRing
from daemon.holder import Lease, ModelHolder, Serving
from daemon.lane.probation import Probation
from daemon.release import Release
from daemon.runtime import Array, Batch, Output, Share, waits_for_cores
from daemon.web.asking import LIVE, PREVIOUS, Asked, Dialect, Prediction, Target, Tell
from daemon.web.faces import Face, Faces

AT_ONCE_SECONDS = 0.1
"""A run for which everybody waits is stopped after that, and made again by another thread."""
AT_ONCE_BYTES = 256 << 10
"""Outputs beyond that take time to be written."""

Run = Callable[[Serving, Mapping[str, Array]], list[Output]]


@dataclass(frozen=True, slots=True)
class Group:
    """What predictions have in common that are made together: one lease, one batch."""

    serving: Serving
    face: Face
    batch: Batch


class Predictor:
    """Answers predict requests in every dialect. Thread-safe.

    ``knows`` tells a model that has no release from one that never was, ``probation`` is told how every run went,
    ``ring`` keeps some of the requests. At most ``max_batch`` rows are run together.
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
        self._probation = probation
        self._ring = ring
        self._knows = knows
        self._default_model = default_model
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._max_batch = max_batch
        self._faces = Faces(holder.loaded)

    def answer(self, dialect: Dialect, asked: Asked) -> Prediction:
        """What a client is told, whatever door it came by: its inputs are run through the release that it asks for.

        Raises UnsupportedMediaType, TooLarge, BadRequest, UnknownModel, UnknownVersion, NotServing, InvalidJson,
        InvalidInput, RunTimeout or InferenceFailed; HandOver where it is to be ``at_once`` and takes time.
        """
        body = asked.body(self._max_body_bytes)
        run = self._run_at_once if asked.at_once else self._run
        try:
            with self._lease(asked.target) as serving:
                return self._answer(serving, dialect, asked, body, run)
        except NotServing as error:
            if self._knows(error.model):
                raise
            raise UnknownModel(f"there is no model {error.model!r}") from None

    def model_at(self, target: Target) -> str:
        """The model that ``target`` names, by saying nothing perhaps."""
        return target.model or self._default_model

    def is_quick(self, model: str) -> bool:
        """Whether the predictions of what serves as ``model`` took next to no time of late."""
        release = self._holder.release_of(model)
        face = None if release is None else self._faces.known(release)
        return face is not None and face.is_quick

    def batch_size(self, model: str) -> int:
        """How many predictions of what serves as ``model`` are best made together; 1 is each by itself."""
        release = self._holder.release_of(model)
        return 1 if release is None else min(self._faces.of(release).batch_size, self._max_batch)

    @contextmanager
    def together(self, model: str) -> Iterator[Group | None]:
        """What predictions have in common that are made within the block; None where each is made by itself."""
        group = None
        with ExitStack() as stack:
            with suppress(NotServing):
                serving = stack.enter_context(self._holder.lease(model))
                face = self._faces.of(serving.release)
                most = min(face.batch_size, self._max_batch)
                batch = Batch(serving.release.signature, partial(self._run_batch, serving, face), most=most)
                group = Group(serving, face, batch) if most > 1 else None
            yield group

    def join(self, group: Group, dialect: Dialect, asked: Asked) -> Callable[[], Prediction]:
        """What gives the answer, once all of ``group`` have joined.

        Raises as ``answer`` what is wrong with the request; what it gives, HandOver where this one is to be answered
        by itself.
        """
        inputs, tell = group.face.reader(dialect)(asked, asked.body(self._max_body_bytes))
        if asked.patience_seconds is not None:
            raise HandOver  # a deadline of its own is no deadline for the others
        return partial(self._joined, group, inputs, tell, group.batch.add(inputs))

    def _lease(self, target: Target) -> Lease:
        """A lease on the release at ``target``; raises UnknownVersion, it or its entry NotServing."""
        model = self.model_at(target)
        if target.which == LIVE:
            return self._holder.lease(model)
        if isinstance(target.which, int):
            return self._holder.lease(model, target.which)
        if target.which != PREVIOUS:
            raise UnknownVersion(f"model {model!r} has no label {target.which!r}: expected 'stable' or 'previous'")
        loaded = self._holder.loaded(model)
        if not loaded:
            raise NotServing(model)
        if len(loaded) == 1:
            raise UnknownVersion(f"no release of model {model!r} is loaded beside version {loaded[0].version}")
        return self._holder.lease(model, loaded[1].version)

    def _answer(self, serving: Serving, dialect: Dialect, asked: Asked, body: bytes, run: Run) -> Prediction:
        face = self._faces.of(serving.release)
        started = face.started()
        inputs, tell = face.reader(dialect)(asked, body)
        if asked.patience_seconds is not None:
            run = partial(self._run_within, asked)
        outputs = self._counted(serving.release, partial(run, serving, inputs))
        self._note(serving.release, inputs, outputs)
        prediction = tell(outputs)
        face.ended(started)
        return prediction

    def _joined(self, group: Group, inputs: Mapping[str, Array], tell: Tell, share: Share) -> Prediction:
        outputs = self._counted(group.serving.release, share)
        self._note(group.serving.release, inputs, outputs)
        return tell(outputs)

    def _counted(self, release: Release, run: Callable[[], list[Output]]) -> list[Output]:
        """The outputs; a run that fails is counted against ``release``."""
        try:
            return run()
        except InferenceFailed as failure:
            self._probation.failed(release, str(failure))
            raise

    def _note(self, release: Release, inputs: Mapping[str, Array], outputs: list[Output]) -> None:
        self._probation.answered(release, outputs)
        if self._ring.wants(release.model):
            self._ring.offer(release, inputs, outputs)

    def _run(self, serving: Serving, inputs: Mapping[str, Array]) -> list[Output]:
        return serving.engine.run(inputs, timeout_seconds=self._timeout_seconds)

    def _run_within(self, asked: Asked, serving: Serving, inputs: Mapping[str, Array]) -> list[Output]:
        """As ``_run``, and no longer than the client waits; raises HandOver where all would wait with it."""
        if asked.at_once:
            raise HandOver
        patience = asked.patience_seconds or 0.0
        return serving.engine.run(inputs, timeout_seconds=min(patience, self._timeout_seconds))

    def _run_batch(self, serving: Serving, face: Face, inputs: Mapping[str, Array]) -> list[Output]:
        """A run that is stopped early, as others wait for it: one of its members may be what takes so long."""
        return serving.engine.run(inputs, timeout_seconds=min(face.batch_seconds, self._timeout_seconds))

    def _run_at_once(self, serving: Serving, inputs: Mapping[str, Array]) -> list[Output]:
        """As ``_run``; raises HandOver where it waits, takes longer than was to be expected, or gives much to write."""
        if waits_for_cores(serving.engine):
            return self._hand_over(serving)
        try:
            outputs = serving.engine.run(inputs, timeout_seconds=min(AT_ONCE_SECONDS, self._timeout_seconds))
        except RunTimeout:
            pass
        else:
            if sum(output.nbytes for output in outputs if isinstance(output, np.ndarray)) <= AT_ONCE_BYTES:
                return outputs
        return self._hand_over(serving)

    def _hand_over(self, serving: Serving) -> NoReturn:
        self._faces.of(serving.release).took_its_time()
        raise HandOver
