"""``/metrics``: what the daemon counts and sees, in Prometheus' words; the only importer of prometheus_client."""

from daemon.web.metrics.happenings import Happenings
from daemon.web.metrics.page import MetricsPage
from daemon.web.metrics.refusals import note_refusal
from daemon.web.metrics.sources import Sources, Watch
from daemon.web.metrics.view import metrics_routes

__all__ = ["Happenings", "MetricsPage", "Sources", "Watch", "metrics_routes", "note_refusal"]
