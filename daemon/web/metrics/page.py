"""The page that a scrape gets: everything is asked anew each time. Entered by request threads, one scrape at a time."""

from collections.abc import Callable, Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from daemon.errors import Overloaded
from daemon.web.metrics.daemon import deploy_metrics, http_metrics, model_metrics, state_metrics
from daemon.web.metrics.families import patiently
from daemon.web.metrics.requests import request_metrics
from daemon.web.metrics.sources import Sources

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
WAIT_SECONDS = 10.0
"""How long a scrape waits for another: Prometheus itself gives up after ten, unless it is told otherwise."""


class MetricsPage:
    """Writes what ``sources`` say; thread-safe. It takes no lock that a request or a deploy could wait for."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_House(sources))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._lock = Lock()

    def text(self) -> bytes:
        """Prometheus' text format 0.0.4; raises Overloaded where others keep it busy."""
        return self._written(generate_latest)

    def openmetrics(self) -> bytes:
        """The same in OpenMetrics 1.0.0."""
        return self._written(generate_openmetrics)

    def _written(self, write: Callable[[CollectorRegistry], bytes]) -> bytes:
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise Overloaded("too many clients ask for metrics at once")
        try:
            return write(self._registry)
        finally:
            self._lock.release()


class _House(Collector):
    """Everything of the daemon's own."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        happened = sources.happenings.told()
        yield from request_metrics(list(patiently(sources.counting.each(), every=8)), sources.code_of)
        yield from model_metrics(sources.holder.releases(), happened.loads)
        yield from deploy_metrics(happened)
        yield from state_metrics(sources.watch(), sources.faults(), sources.build)
        yield from http_metrics(sources.load(), happened.refusals)
