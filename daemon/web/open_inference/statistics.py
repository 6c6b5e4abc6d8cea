"""How often releases ran and how long that took, in the form of Triton's clients. Entered by request threads.

Source: Triton's ``extension_statistics.md``. Durations are in nanoseconds, summed over requests of every dialect.
"""

from collections.abc import Sequence

from flask import Blueprint, Response

from daemon.release import Release
from daemon.web.answers import answer
from daemon.web.catalogue import Catalogue, of_version
from daemon.web.counting import Counting
from daemon.web.describing import described
from daemon.web.open_inference.models import number_of
from daemon.web.openapi import open_inference as told
from daemon.web.totals import OfSize, Spread, Totals

NS = 1e9
_NONE = {"count": 0, "ns": 0}


def statistics_routes(catalogue: Catalogue, counting: Counting) -> Blueprint:
    """``GET /v2/models/stats`` and ``/v2/models/NAME[/versions/N]/stats``."""
    routes = Blueprint("open-inference-statistics", __name__)

    @routes.get("/v2/models/stats")
    @described(told.STATISTICS)
    def all_statistics() -> Response:
        return _answer(catalogue.all_loaded())

    @routes.get("/v2/models/<model>/stats")
    @routes.get("/v2/models/<model>/versions/<version>/stats")
    @described(told.STATISTICS)
    def statistics(model: str, version: str | None = None) -> Response:
        loaded = catalogue.loaded(model)
        return _answer(loaded if version is None else [of_version(loaded, number_of(version))])

    def _answer(releases: Sequence[Release]) -> Response:
        ordered = sorted(releases, key=lambda release: (release.model, release.version))
        return answer({"model_stats": [statistics_of(release, totals_of(release, counting)) for release in ordered]})

    return routes


def totals_of(release: Release, counting: Counting) -> Totals:
    """What requests to ``release`` came to, in whatever dialect."""
    rows = counting.of(release.model)
    return sum((row.totals for row in rows if row.release and row.release.version == release.version), Totals())


def statistics_of(release: Release, totals: Totals) -> dict[str, object]:
    """Triton's ``model_stat`` of ``release``: nothing is cached, and no answer comes in several."""
    seconds = totals.seconds
    return {
        "name": release.model,
        "version": str(release.version),
        "last_inference": int(totals.last * 1e3),
        "inference_count": totals.rows,
        "execution_count": totals.runs,
        "inference_stats": {
            "success": _duration(totals.whole),
            "fail": {"count": sum(totals.failed.values()), "ns": round(totals.failed_seconds * NS)},
            "queue": _duration(seconds["queue"]),
            "compute_input": _duration(seconds["decode"]),
            "compute_infer": _duration(seconds["infer"]),
            "compute_output": _duration(seconds["encode"]),
            "cache_hit": _NONE,
            "cache_miss": _NONE,
        },
        "response_stats": {},
        "batch_stats": [_batch(size, totals.sizes[size]) for size in sorted(totals.sizes)],
        "memory_usage": [],
    }


def _duration(spread: Spread) -> dict[str, int]:
    return {"count": spread.count, "ns": round(spread.total * NS)}


def _batch(size: int, runs: OfSize) -> dict[str, object]:
    stages = {"compute_input": runs.decode, "compute_infer": runs.infer, "compute_output": runs.encode}
    return {
        "batch_size": size,
        **{name: {"count": runs.runs, "ns": round(spent * NS)} for name, spent in stages.items()},
    }
