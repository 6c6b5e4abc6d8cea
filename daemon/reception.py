"""The side of the requests, from its parts: who answers them, and what they may be. For the main thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon import __version__
from daemon.api import RequestLimits, build_app, code_of
from daemon.config import Settings
from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.http.pool import Load
from daemon.intake.named import NamedFiles
from daemon.lookout import allowed_dirs
from daemon.runtime.sessions import VERSION
from daemon.spine import Spine
from daemon.web.access import Tokens
from daemon.web.catalogue import Catalogue
from daemon.web.metrics import Happenings, MetricsPage, Sources, Watch
from daemon.web.predicting import Predictor
from daemon.web.readiness import Readiness

MIB = 1 << 20
WAITING_CLIENTS = 8
"""Long polls at once; the other slow threads are left to deploys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is told of the side of the drop directory.

    ``waiting_for`` is the file of a model that is not complete yet, ``fault`` why nobody looks, if nobody does.
    """

    waiting_for: Callable[[str], Mapping[str, str] | None]
    fault: Callable[[], str | None]
    watch: Callable[[], Watch]
    happenings: Happenings


@dataclass(frozen=True, slots=True)
class Reception:
    """What answers requests, and what a front must know before it hands one on. ``app`` is a WSGI application."""

    app: Any
    predictor: Predictor
    tokens: Tokens
    limits: RequestLimits
    readiness: Readiness


def build_reception(
    settings: Settings,
    holder: ModelHolder,
    journal: Journal,
    spine: Spine,
    outlook: Outlook,
    *,
    load: Callable[[], Load],
) -> Reception:
    """The application and its parts; ``load`` tells how busy the front is."""
    readiness = Readiness(holder, journal, outlook.fault, default_model=settings.default_model)
    catalogue = Catalogue(
        holder,
        journal,
        default_model=settings.default_model,
        on_its_way=(spine.deployer.candidate_of, outlook.waiting_for),
        on_probation=spine.probation.of,
    )
    tokens = Tokens(settings.auth.admin_token, settings.auth.predict_token)
    limits = _limits(settings)
    predictor = _predictor(settings, holder, spine, catalogue)
    app = build_app(
        predictor=predictor,
        deployer=spine.deployer,
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
        metrics=MetricsPage(_sources(settings, holder, predictor, readiness, outlook, load)),
    )
    return Reception(app, predictor, tokens, limits, readiness)


def _sources(
    settings: Settings,
    holder: ModelHolder,
    predictor: Predictor,
    readiness: Readiness,
    outlook: Outlook,
    load: Callable[[], Load],
) -> Sources:
    return Sources(
        counting=predictor.counting,
        holder=holder,
        happenings=outlook.happenings,
        load=load,
        faults=readiness.faults,
        watch=outlook.watch,
        code_of=code_of,
        build=_build(settings),
    )


def _predictor(settings: Settings, holder: ModelHolder, spine: Spine, catalogue: Catalogue) -> Predictor:
    return Predictor(
        holder,
        probation=spine.probation,
        ring=spine.ring,
        knows=catalogue.knows,
        default_model=settings.default_model,
        timeout_seconds=settings.runtime.timeout_seconds,
        max_body_bytes=_limits(settings).max_body_bytes,
        max_batch=settings.most_batched,
    )


def _build(settings: Settings) -> dict[str, str]:
    """What runs, for metrics."""
    return {"version": __version__, "onnxruntime_version": VERSION, "front": settings.server.front}


def _named_files(settings: Settings) -> NamedFiles:
    return NamedFiles(
        folder=settings.folder,
        allowed=(settings.place(settings.watch.drop_dir), *allowed_dirs(settings)),
        settle_ms=settings.watch.settle_ms,
        patience_seconds=settings.watch.incomplete_seconds,
        needs_sidecar=settings.gate.integrity.required,
    )


def _limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        max_body_bytes=int(settings.server.max_body_mb * MIB),
        max_upload_bytes=int(settings.server.max_upload_mb * MIB),
        waiting_clients=WAITING_CLIENTS,
    )
