"""The daemon itself, what serves, and the HTTP server, in Prometheus' words. Entered by the thread of a scrape."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from prometheus_client.core import Metric

from daemon.release import Release
from daemon.web.metrics.families import counter, gauge, histogram, info
from daemon.web.metrics.happenings import DEPLOY_BOUNDS, Happened
from daemon.web.metrics.sources import Load, Watch
from daemon.web.totals import Spread

_MODEL = ("model",)


def model_metrics(releases: Mapping[str, Release], loads: Mapping[str, tuple[int, float]]) -> Iterator[Metric]:
    """What serves, by model."""
    serving = sorted(releases.items())
    yield gauge(
        "modeldrop_model_version",
        "The version of the model that serves.",
        _MODEL,
        [((model,), release.version) for model, release in serving],
    )
    yield gauge(
        "modeldrop_model_released_timestamp_seconds",
        "When the release that serves was made, in seconds since the epoch; a restart does not change it.",
        _MODEL,
        [((model,), datetime.fromisoformat(release.time).timestamp()) for model, release in serving],
    )
    yield gauge(
        "modeldrop_model_load_duration_seconds",
        "How long the release that serves took to be loaded and warmed in this process.",
        _MODEL,
        [((m,), loads[m][1]) for m, release in serving if m in loads and loads[m][0] == release.version],
    )
    yield info(
        "modeldrop_model",
        "The release that serves: the SHA-256 of its bytes is what it is.",
        ("model", "version", "sha256"),
        [(model, str(release.version), release.sha256) for model, release in serving],
    )


def deploy_metrics(happened: Happened) -> Iterator[Metric]:
    """What happened since the start."""
    yield counter(
        "modeldrop_events_total",
        "Events since the daemon started, by kind.",
        ("event",),
        [((event,), count) for event, count in sorted(happened.events.items())],
    )
    yield _spreads(
        "modeldrop_deploy_duration_seconds",
        "Time that deploys took, by how they ended: live or rejected, or restored at a start.",
        "outcome",
        happened.deploys,
    )
    yield _spreads(
        "modeldrop_deploy_stage_duration_seconds",
        "Time that each stage took of deploys that went live; one with a dot is a part of the one before the dot.",
        "stage",
        happened.stages,
    )
    yield _spreads(
        "modeldrop_detection_lag_seconds",
        "Time since a dropped file last changed when it was seen to be complete, and when it was live.",
        "until",
        happened.lags,
    )


def state_metrics(watch: Watch, faults: Sequence[str], build: Mapping[str, str]) -> Iterator[Metric]:
    """How the daemon is."""
    yield info("modeldrop_build", "What runs: versions, and the front.", tuple(build), [tuple(build.values())])
    yield gauge("modeldrop_ready", "1 while the daemon is ready, as /readyz says, else 0.", (), [((), not faults)])
    yield gauge("modeldrop_watcher_alive", "1 while arrivals are noticed, else 0.", (), [((), watch.alive)])
    yield gauge(
        "modeldrop_watcher_armed",
        "1 while the system tells of arrivals at once; 0 while only the rescan notices them.",
        (),
        [((), watch.armed)],
    )
    yield gauge(
        "modeldrop_watcher_last_scan_timestamp_seconds",
        "When the drop directory was last looked at, in seconds since the epoch.",
        (),
        [((), watch.looked)],
    )


def http_metrics(load: Load, refusals: Mapping[str, int]) -> Iterator[Metric]:
    """How busy the HTTP server is."""
    pools = (("fast", load.fast), ("slow", load.slow))
    yield gauge("modeldrop_http_connections", "Open connections of clients.", (), [((), load.connections)])
    yield gauge(
        "modeldrop_http_threads",
        "Threads that answer requests: fast ones, and those for what may wait, such as deploys.",
        ("pool",),
        [((name,), pool.threads) for name, pool in pools],
    )
    yield gauge(
        "modeldrop_http_threads_busy",
        "Of these, those that are at a request.",
        ("pool",),
        [((name,), pool.busy) for name, pool in pools],
    )
    yield gauge(
        "modeldrop_http_queued_requests",
        "Requests that wait for a thread, those in lines included.",
        ("pool",),
        [((name,), pool.waiting) for name, pool in pools],
    )
    yield gauge(
        "modeldrop_http_lined_up_requests",
        "Of these, those that wait in a line to be run together with others.",
        (),
        [((), load.fast.in_lines)],
    )
    yield counter(
        "modeldrop_http_refusals_total",
        "Requests of any kind that the HTTP server answered itself, before the application, by the error's code.",
        ("code",),
        [((code,), count) for code, count in sorted(refusals.items())],
    )


def _spreads(name: str, text: str, label: str, spreads: Mapping[str, Spread]) -> Metric:
    family = histogram(name, text, (label,), DEPLOY_BOUNDS)
    for value, spread in spreads.items():
        family.add((value,), spread)
    return family.family
