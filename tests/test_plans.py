"""What a trial measured decides how a model is run."""

import pytest

from daemon.runtime.plans import batch_size, gears, takes_long


def trial(*each_us: float, equals: bool | None = True) -> dict[str, object]:
    """A measurement: microseconds an item in batches of 1, 2, 4 and so on."""
    runs = [{"batch": 1 << power, "seconds": us * 1e-6 * (1 << power)} for power, us in enumerate(each_us)]
    return {"runs": runs, "batch": {"equals_single": equals}}


@pytest.mark.parametrize(
    ("measured", "size"),
    [
        (trial(500, 260, 130, 70, 50, 36), 32),
        (trial(500, 260, 130, 70, 68, 67), 8),  # beyond 8 little is gained
        (trial(500, 490, 480, 470), 1),  # nothing is gained
        (trial(500, 400, 350, 340), 1),  # too little is
        (trial(6, 3, 2, 1), 1),  # answered before it is put together
        (trial(500, 100, equals=None), 1),
        (trial(500, 100, equals=False), 1),
        (trial(500), 1),
        (trial(500_000, 260_000), 1),  # others would wait too long
        (trial(90_000, 46_000, 30_000, 28_000), 4),
        ({}, 1),
        ({"runs": [{"batch": 1, "seconds": 1.0}]}, 1),
        ({"runs": [], "batch": {"equals_single": True}}, 1),
    ],
)
def test_batch_is_as_large_as_it_pays(measured: dict[str, object], size: int) -> None:
    assert batch_size(measured) == size


def test_batch_is_no_larger_than_it_may_be() -> None:
    assert batch_size(trial(500, 260, 130, 70, 50, 36), most=8) == 8
    assert batch_size(trial(500, 260, 130, 70, 50, 36), most=7) == 4
    assert batch_size(trial(500, 260), most=1) == 1


@pytest.mark.parametrize(
    ("measured", "most", "long"),
    [
        (trial(30_000, 15_000, 10_000), 32, True),
        (trial(500, 260, 130, 70, 50, 36), 32, False),  # 32 are over in a millisecond
        (trial(4_000, 2_600), 32, True),  # two take 5.2 ms
        (trial(4_000, 2_600), 1, False),
        (trial(4_000, 2_400), 32, False),
        ({}, 32, False),
    ],
)
def test_batches_take_long_or_not(measured: dict[str, object], most: int, long: bool) -> None:
    assert takes_long(measured, most=most) is long


@pytest.mark.parametrize(
    ("measured", "cores", "further", "threads"),
    [
        (trial(30_000, 29_000), 2, 9, (2, 1)),
        (trial(30_000, 29_000), 3, 9, (3, 1)),
        (trial(30_000, 29_000), 4, 9, (4, 2, 1)),
        (trial(30_000, 29_000), 6, 9, (6, 3, 1)),
        (trial(30_000, 29_000), 8, 9, (8, 2, 1)),
        (trial(30_000, 29_000), 12, 9, (12, 3, 1)),
        (trial(30_000, 29_000), 16, 9, (16, 4, 2)),  # eight runs at once get two cores each
        (trial(30_000, 29_000), 64, 9, (64, 16, 8)),
        (trial(30_000, 29_000), 64, 1, (64, 8)),
        (trial(30_000, 29_000), 64, 0, (64,)),
        (trial(30_000, 29_000), 2, 0, (2,)),
        (trial(30_000), 1, 9, (1,)),
        (trial(20), 8, 9, (1,)),
        (trial(140, 140, 140), 8, 9, (1,)),  # in batches it would take no less
        (trial(140, 70, 35), 8, 9, (1,)),  # a batch of four takes as long as one
        (trial(140, 72, 38, 36, 29, 28.5), 8, 9, (8, 2, 1)),  # sixteen take 464
        ({}, 8, 9, (8,)),
    ],
)
def test_gears_fit_the_model_and_the_machine(
    measured: dict[str, object], cores: int, further: int, threads: tuple[int, ...]
) -> None:
    assert gears(measured, cores, most_runs=8, further=further) == threads
