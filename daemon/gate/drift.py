"""How far a candidate's answers are from those that were given: figures over pairs of answers. Pure, any thread."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from daemon.runtime import Array, Output


@dataclass(frozen=True, slots=True)
class Pair:
    """What the live release answered to a request, and what the candidate does (None where its run failed).

    Outputs by name, the first one first.
    """

    live: Mapping[str, Output]
    candidate: Mapping[str, Output] | None


@dataclass(frozen=True, slots=True)
class Drift:
    """The figures over ``requests`` that were replayed.

    ``errors`` and ``non_finite`` are shares of the requests: that failed, and that gave NaN or an infinity where the
    live release gave none. ``max_abs`` and ``mean_abs`` are over all finite numbers of outputs that both have in one
    shape. ``changed_argmax`` is the share of rows whose largest number stands elsewhere, over floating outputs of two
    columns or more (rows are what the last axis makes). ``changed_labels`` is the share of whole numbers, booleans and
    strings that are others. ``incomparable`` counts outputs of another type or shape. None where there is nothing to
    count. ``speed_ratio`` is the candidate's median seconds over the live release's, both run in the trial's process,
    or in their own trials where there was no time for that.
    """

    requests: int
    errors: float
    non_finite: float
    max_abs: float | None
    mean_abs: float | None
    changed_argmax: float | None
    changed_labels: float | None
    incomparable: int
    speed_ratio: float | None = None

    def plain(self) -> dict[str, object]:
        """As the keys of a JSON object, numbers to six digits."""
        return {
            key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def drift(pairs: Sequence[Pair]) -> Drift:
    """The figures over ``pairs``, of which there is at least one."""
    both = [(pair.live, pair.candidate) for pair in pairs if pair.candidate is not None]
    tally = _Tally()
    for live, candidate in both:
        for before, now in _matched(live, candidate):
            tally.add_all(before, now)
    newly = sum(_is_non_finite(candidate) and not _is_non_finite(live) for live, candidate in both)
    return Drift(
        requests=len(pairs),
        errors=(len(pairs) - len(both)) / len(pairs),
        non_finite=newly / len(pairs),
        max_abs=tally.largest if tally.numbers else None,
        mean_abs=tally.summed / tally.numbers if tally.numbers else None,
        changed_argmax=tally.moved_rows / tally.rows if tally.rows else None,
        changed_labels=tally.changed / tally.labels if tally.labels else None,
        incomparable=tally.incomparable,
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """One array of an output; ``keys`` are those of the maps that it was made of, None where there were none."""

    array: Array
    keys: Sequence[object] | None = None


class _Tally:
    """Sums over pairs of arrays."""

    def __init__(self) -> None:
        self.numbers = 0
        self.summed = 0.0
        self.largest = 0.0
        self.rows = 0
        self.moved_rows = 0
        self.labels = 0
        self.changed = 0
        self.incomparable = 0

    def add_all(self, before: Sequence[_Table], now: Sequence[_Table]) -> None:
        if [table.keys for table in before] != [table.keys for table in now]:
            self.incomparable += 1
            return
        for ours, theirs in zip(before, now, strict=True):
            self._add(ours.array, theirs.array)

    def _add(self, before: Array, now: Array) -> None:
        kinds = {before.dtype.kind, now.dtype.kind}
        if before.shape != now.shape or ("f" in kinds and kinds != {"f"}):
            self.incomparable += 1
        elif kinds == {"f"}:
            self._add_numbers(before.astype(np.float64), now.astype(np.float64))
        else:
            self.labels += before.size
            self.changed += int(np.sum(np.asarray(before != now, dtype=bool)))

    def _add_numbers(self, before: Array, now: Array) -> None:
        finite = np.isfinite(before) & np.isfinite(now)
        with np.errstate(over="ignore"):
            gaps = np.abs(now[finite] - before[finite])
            self.summed += float(gaps.sum())
        self.numbers += gaps.size
        self.largest = max(self.largest, float(gaps.max(initial=0.0)))
        if before.ndim and before.shape[-1] > 1 and before.size:
            moved = np.argmax(before, axis=-1) != np.argmax(now, axis=-1)
            self.rows += moved.size
            self.moved_rows += int(np.sum(moved))


def _matched(
    live: Mapping[str, Output], candidate: Mapping[str, Output]
) -> Iterator[tuple[Sequence[_Table], Sequence[_Table]]]:
    """Outputs of one name, each as tables."""
    for name, value in live.items():
        if name in candidate:
            yield _tables(value), _tables(candidate[name])


def _tables(value: object) -> list[_Table]:
    """A value as arrays: itself, the members of a sequence, the columns of a sequence of maps as one table."""
    if isinstance(value, np.ndarray):
        return [_Table(value)]
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        keys = list(value[0])
        if all(list(each) == keys for each in value):
            return [_Table(np.array([[each[key] for key in keys] for each in value]), keys)]
    if isinstance(value, list):
        return [table for each in value for table in _tables(each)]
    if isinstance(value, Mapping):
        return [_Table(np.array(list(value.values())), list(value))]
    return [] if value is None else [_Table(np.asarray(value))]


def _is_non_finite(outputs: Mapping[str, Output]) -> bool:
    return has_non_finite(list(outputs.values()))


def has_non_finite(outputs: Sequence[Output]) -> bool:
    """Whether any number of any output is NaN or an infinity."""
    tables = (table.array for value in outputs for table in _tables(value))
    return any(table.dtype.kind == "f" and not np.isfinite(table).all() for table in tables)
