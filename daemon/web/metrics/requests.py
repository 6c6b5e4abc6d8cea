"""Requests to run models, in Prometheus' words. Entered by the thread of a scrape; holds no state."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import Metric

from daemon.web.counting import Counted
from daemon.web.metrics.families import Histogram, counter, gauge, histogram
from daemon.web.totals import BATCH_BOUNDS, BOUNDS_SECONDS, Totals

STAGE_BOUNDS = tuple(bound for bound in BOUNDS_SECONDS if not f"{bound:e}".startswith("2.5"))
"""Fewer than are counted: there are four stages for each release and protocol."""

_OF_ASKED = ("model", "version", "protocol")
_OF_RELEASE = ("model", "version")

CodeOf = Callable[[type[BaseException]], str]


def request_metrics(counted: Sequence[Counted], code_of: CodeOf) -> Iterator[Metric]:
    """What was counted of each release that is loaded, and of requests that came to none.

    Labels say what a release is called, never what was asked for.
    """
    yield _requests(counted, code_of)
    released = [row for row in counted if row.release is not None]
    whole = histogram(
        "modeldrop_request_duration_seconds",
        "Time from a request to run a model being there as a whole to its answer being ready, of those answered ok.",
        _OF_ASKED,
        BOUNDS_SECONDS,
    )
    stages = Histogram(
        "modeldrop_request_stage_duration_seconds",
        "The parts of that time: queue (all waiting), decode, infer and encode.",
        (*_OF_ASKED, "stage"),
        STAGE_BOUNDS,
        BOUNDS_SECONDS,
    )
    for row in released:
        whole.add(_asked(row), row.totals.whole)
        for stage, spread in row.totals.seconds.items():
            stages.add((*_asked(row), stage), spread)
    yield whole.family
    yield stages.family
    yield from _by_release(released)


def _requests(counted: Sequence[Counted], code_of: CodeOf) -> Metric:
    rows = [((*_asked(row), outcome), count) for row in counted for outcome, count in _outcomes(row, code_of).items()]
    return counter(
        "modeldrop_requests_total",
        "Requests to run a model, by what became of them: ok, or the code of the error. "
        "Those that were refused before it was known which release is to answer have no model and version.",
        (*_OF_ASKED, "outcome"),
        rows,
    )


def _outcomes(row: Counted, code_of: CodeOf) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    if row.release is not None:
        outcomes["ok"] = row.totals.answered
    for kind, count in row.totals.failed.items():
        outcomes[kind if isinstance(kind, str) else code_of(kind)] += count
    return outcomes


def _by_release(released: Sequence[Counted]) -> Iterator[Metric]:
    totals: dict[tuple[str, str], Totals] = {}
    for row in released:
        model, version, _ = _asked(row)
        totals[model, version] = totals.get((model, version), Totals()) + row.totals
    batches = histogram(
        "modeldrop_batch_rows",
        "Rows in a run of the model, of one request or of several put together; the sum is of all rows.",
        _OF_RELEASE,
        BATCH_BOUNDS,
    )
    for release, each in totals.items():
        batches.add(release, each.batches)
    yield batches.family
    yield gauge(
        "modeldrop_requests_in_flight",
        "Requests that are being answered: read, run or written, not those that wait for a thread.",
        _OF_RELEASE,
        [(release, each.in_flight) for release, each in totals.items()],
    )
    yield gauge(
        "modeldrop_last_answer_timestamp_seconds",
        "When the release last answered a request with ok, in seconds since the epoch; 0 for never.",
        _OF_RELEASE,
        [(release, each.last) for release, each in totals.items()],
    )


def _asked(row: Counted) -> tuple[str, str, str]:
    if row.release is None:
        return "", "", row.dialect
    return row.release.model, str(row.release.version), row.dialect
