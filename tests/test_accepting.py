"""Accept headers: what weighs most is given, and what nobody names in particular is JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.web.accepting import best_of

JSON, NPY, NPZ = "application/json", "application/x-npy", "application/x-npz"
OFFERED = (JSON, NPY, NPZ)


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (NPY, NPY),
        ("Application/X-NPY", NPY),
        (f"{NPY}, */*", NPY),
        (f"*/*, {NPZ}", NPZ),
        (f"{NPY};q=0.5, {JSON};q=0.4", NPY),
        (f"{NPY};q=0.4, {JSON};q=0.5", JSON),
        (f"{NPY}; q=0.4 , {NPZ} ; Q=0.5", NPZ),
        (f"{NPY}, {JSON}", JSON),
        (f"{NPY};version=1;q=0.9, {NPZ};q=0.8", NPY),
        (f"{NPY};q=0, */*", JSON),
        (f"{JSON};q=0, */*;q=0.1", NPY),
        (f"{NPY};q=0.2, application/*;q=0.8", JSON),
        (f"{NPY};q=nan, {NPZ};q=0.1", NPZ),
        (f"{NPY};q=7, {JSON}", JSON),
        ("text/html", None),
        (f"{NPY};q=0", None),
        (f"{NPY};q=x", None),
        ("nonsense", JSON),
        (",;q=,=;/", JSON),
        ("a/b;q=1=2;q, c/", None),
    ],
)
def test_form_is_the_one_that_weighs_most(accept: str, best: str | None) -> None:
    assert best_of(accept, OFFERED) == best


@given(st.text(max_size=60) | st.text(alphabet="*/,;q=01. xnpyj", max_size=60))
def test_any_header_can_be_read(accept: str) -> None:
    assert best_of(accept, OFFERED) in (*OFFERED, None)


def test_header_is_read_up_to_a_bound() -> None:
    assert best_of("x/y," * 250 + NPY, OFFERED) is None
